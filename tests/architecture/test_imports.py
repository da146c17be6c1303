"""Who imports whom in Python. The layers themselves are import-linter contracts in pyproject.toml (`nox -s lint`)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "packages/oxyde-core/python/oxyde_core"
ORM = ROOT / "packages/oxyde-orm/src/oxyde"


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every import of a file as (module, name); relative ones are made absolute."""
    package = path.relative_to(
        ROOT / ("packages/oxyde-core/python" if CORE in path.parents else "packages/oxyde-orm/src")
    )
    parts = package.with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sources(folder)]


@pytest.mark.parametrize("name", names(CORE) + names(ORM))
def test_only_the_package_itself_imports_the_compiled_module(name: str) -> None:
    if ROOT / name == CORE / "__init__.py":
        return
    for module, imported in imports(ROOT / name):
        assert module != "oxyde_core._core", f"{name}: import the name from oxyde_core"
        assert (module, imported) != ("oxyde_core", "_core"), f"{name}: import the name from oxyde_core"


@pytest.mark.parametrize("name", names(ORM))
def test_the_orm_uses_public_names_of_the_core(name: str) -> None:
    for module, imported in imports(ROOT / name):
        if module.partition(".")[0] == "oxyde_core":
            private = [part for part in (*module.split(".")[1:], imported or "") if part.startswith("_")]
            assert not private, f"{name} reaches into {module}.{imported}"


@pytest.mark.parametrize("name", names(CORE))
def test_the_core_does_not_know_the_orm(name: str) -> None:
    assert not [module for module, _ in imports(ROOT / name) if module.partition(".")[0] == "oxyde"]


@pytest.mark.parametrize("folder", [CORE, ORM], ids=["oxyde_core", "oxyde"])
def test_files_are_of_a_size_one_can_hold_in_mind(folder: Path) -> None:
    too_long = {
        str(p.relative_to(ROOT)): n for p in sources(folder) if (n := len(p.read_text("utf-8").splitlines())) > 700
    }
    assert not too_long
