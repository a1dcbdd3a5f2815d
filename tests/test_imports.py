"""Imports go down only: a package may import those that stand before it."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "elbert_jax"
LIBRARY = """
errors filesystem interruption machine settings tables
model exits hub data inference evaluation sweeps explanation training serving
benchmarking cli
""".split()


def imported(path: pathlib.Path) -> set[str]:
    """Returns the packages and root modules of ours that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write {node.module} in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("elbert_jax.")}


def test_imports_go_down_only():
    for path in ROOT.rglob("*.py"):
        owner = path.relative_to(ROOT).with_suffix("").parts[0]
        allowed = LIBRARY  # of commands, which nobody imports, and of the package
        if owner in LIBRARY:
            allowed = LIBRARY[: LIBRARY.index(owner) + 1]
        above = imported(path) - set(allowed)
        assert not above, f"{path} imports {above}"


@pytest.mark.slow
def test_training_starts_and_a_model_of_ours_opens_without_torch(answering_model):
    """Its import takes as long as all others together."""
    pytest.importorskip("torch", reason="there is no torch to leave out")
    code = (
        "import sys; from elbert_jax import Classifier, train;"
        f"Classifier.from_pretrained({str(answering_model)!r});"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
