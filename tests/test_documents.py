"""The documents name commands, flags, config keys and files that exist."""

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [
    path
    for pattern in ("*.md", "benchmarks/*.md", "docs/*.md", "docs/howto/*.md")
    for path in sorted(ROOT.glob(pattern))
]
# benchmarks/README.md has commands as they were typed then.
CURRENT = [path for path in DOCUMENTS if path.parent.name != "benchmarks"]

# `model.x` that is no module of the package model.
NO_MODULES = (("model", "embed"), ("model", "safetensors"))


def named(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def flags(command: str) -> set[str]:
    """Returns the flags that a command defines, read from its source."""
    sources = [ROOT / "elbert_jax" / f"{command}.py"]
    if "dataset_flags" in sources[0].read_text("utf-8"):
        sources.append(ROOT / "elbert_jax" / "cli" / "dataset_flags.py")
    text = "".join(path.read_text("utf-8") for path in sources)
    return {*re.findall(r'DEFINE_\w+\(\s*"(\w+)"', text)}


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Returns the commands of a document's shell blocks, each with its arguments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = (re.match(r"python -m elbert_jax\.(\w+) *(.*)", line) for line in lines)
    return [(each[1], each[2].split("#")[0].split()) for each in found if each]


@pytest.mark.parametrize("path", CURRENT, ids=named)
def test_commands_have_these_flags_and_config_keys(path):
    for command, arguments in commands(path.read_text("utf-8")):
        given = [argument[2:].split("=") for argument in arguments if "--" in argument]
        names = {name for name, *_ in given}
        keys = {name for name in names if name.startswith("config.")}
        unknown = names - keys - flags(command)
        assert not unknown, f"{command} has no --{', --'.join(sorted(unknown))}"
        if keys:
            file = next(value[0] for name, *value in given if name == "config")
            module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
            config = module.get_config()
            for key in keys:
                section = config
                *parents, last = key.removeprefix("config.").split(".")
                for parent in parents:
                    section = section[parent]
                assert last in section, f"{file} has no {key}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), f"{target} is missing"


def test_the_architecture_names_modules_and_functions_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    packages = [path.parent.name for path in ROOT.glob("elbert_jax/*/__init__.py")]
    names = re.findall(r"`(\w+)\.(\w+)(?:\.(\w+))?`", text)
    inner = [
        each for each in names if each[0] in packages and each[:2] not in NO_MODULES
    ]
    assert inner
    for package, module, member in inner:
        folder = ROOT / "elbert_jax" / package
        source = folder / f"{module}.py"
        if not source.exists():  # a name that the package exports
            source, member = folder / "__init__.py", module
        found = re.search(rf"\b{member}\b", source.read_text("utf-8"))
        assert found, f"{package}.{module}.{member}"
    for package, contents in re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE):
        for module in re.findall(r"`(\w+)`", contents):
            path = ROOT / "elbert_jax" / package / f"{module}.py"
            assert path.exists(), f"{package}.{module}"


def test_the_root_documents_stay_short():
    for name, most in {"README.md": 150, "BUILD_NOTES.md": 300}.items():
        assert len((ROOT / name).read_text("utf-8").splitlines()) <= most
