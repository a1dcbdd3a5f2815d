"""Files and directories that appear whole or not at all."""

import pytest

from elbert_jax import filesystem
from elbert_jax.errors import UserError


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "a.json"
    for text in (b"old", b"new"):
        with filesystem.replacing(path) as file:
            file.write(text)
    with pytest.raises(KeyError), filesystem.replacing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [path]


def test_a_directory_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "model"
    with pytest.raises(KeyError), filesystem.creating_directory(path) as folder:
        (folder / "half").touch()
        raise KeyError
    assert not [*path.parent.iterdir()]
    path.mkdir()  # empty, it may be replaced
    (path.parent / ".model.tmp").mkdir()  # of a killed process
    (path.parent / ".model.tmp" / "half").touch()
    with filesystem.creating_directory(path) as folder:
        (folder / "whole").touch()
    assert [*path.parent.iterdir()] == [path]
    assert [*path.iterdir()] == [path / "whole"]


def test_what_the_system_refuses_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for write in (filesystem.replacing, filesystem.creating_directory):
        with pytest.raises(UserError, match="cannot be written: Not a directory"):
            with write(tmp_path / "file" / "a"):
                pass
