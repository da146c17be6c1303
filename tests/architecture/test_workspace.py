"""The house stays the house: which crate may know which, where our packages come from, what lies at the top."""

import json
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Feeds the others any bytes; nobody depends on it, and it looks at their work with the libraries of their rooms.
TESTS = "oxyde-fuzz"

# Every arrow that is allowed between our crates (oxyde-exec may know oxyde-sql for `SqlType` alone).
ARROWS = {
    "oxyde-core": {"oxyde-py"},
    "oxyde-py": {"oxyde-exec", "oxyde-sql"},
    "oxyde-exec": {"oxyde-sql"},
    "oxyde-sql": set(),
    TESTS: {"oxyde-py", "oxyde-exec", "oxyde-sql"},
}
# Libraries that belong to one room only.
ROOMS = {
    "pyo3": {"oxyde-py", "oxyde-core"},
    "sea-query": {"oxyde-sql"},
    "rusqlite": {"oxyde-exec"},
}
TOP = {
    "packages", "crates", "docs", "noxfile.py", "Cargo.toml", "Cargo.lock", "pyproject.toml", "uv.lock",
    "mkdocs.yml", ".github", ".ci", "benches", "tests", "examples", "README.md", "CONTRIBUTING.md", "LICENSE",
    ".gitignore",
}  # fmt: skip


@cache
def crates() -> dict[str, dict[str, set[str]]]:
    """For each crate of the workspace: what it depends on, by kind of dependency."""
    command = ["cargo", "metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found: dict[str, dict[str, set[str]]] = {}
    for package in json.loads(done.stdout)["packages"]:
        kinds = found.setdefault(package["name"], {"normal": set(), "dev": set(), "build": set()})
        for dependency in package["dependencies"]:
            kinds[dependency["kind"] or "normal"].add(dependency["name"])
    return found


def tracked() -> list[Path]:
    """The files that belong to the repository: those git would commit."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout: what belongs to the repository is unknown")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_every_crate_is_in_the_table_of_arrows() -> None:
    assert set(crates()) == set(ARROWS)


@pytest.mark.parametrize("crate", sorted(ARROWS))
def test_crates_know_only_what_is_below_them(crate: str) -> None:
    ours = crates()[crate]["normal"] & set(ARROWS)
    assert ours <= ARROWS[crate]


@pytest.mark.parametrize("library", sorted(ROOMS))
def test_a_library_is_used_in_one_room(library: str) -> None:
    users = {name for name, kinds in crates().items() if library in kinds["normal"] | kinds["build"]}
    assert users - {TESTS} <= ROOMS[library]


def test_the_sql_crate_is_pure() -> None:
    text = (ROOT / "crates/oxyde-sql/src/lib.rs").read_text("utf-8")
    assert "#![forbid(unsafe_code)]" in text
    for source in (ROOT / "crates/oxyde-sql/src").rglob("*.rs"):
        code = source.read_text("utf-8").partition("#[cfg(test)]")[0]
        assert not re.search(r"\bstd::(net|fs|process|thread)\b", code), source


def test_nothing_else_lies_at_the_top() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP


def test_siblings_resolve_from_the_workspace_only() -> None:
    """The names exist on the public index, from another project."""
    ours = {"oxyde-core", "oxyde-orm"}
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    assert set(lock["manifest"]["members"]) == ours
    seen = set()
    for package in lock["package"]:
        if package["name"].startswith("oxyde"):
            seen.add(package["name"])
            assert package["source"] == {"editable": f"packages/{package['name']}"}
    assert seen == ours
    sources = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["sources"]
    for manifest in (ROOT / "packages").glob("*/pyproject.toml"):
        document = tomllib.loads(manifest.read_text("utf-8"))
        local = document.get("tool", {}).get("uv", {}).get("sources", {})
        assert document["project"]["name"] in ours
        for requirement in document["project"]["dependencies"]:
            name = re.match(r"[\w-]+", requirement)[0]
            if name.startswith("oxyde"):
                assert local.get(name) == sources.get(name) == {"workspace": True}, requirement


def test_our_names_are_never_fetched_by_the_commands() -> None:
    """Wherever a command installs our packages, it does so from files, with the index switched off."""
    text = (ROOT / "noxfile.py").read_text("utf-8")
    for line in text.splitlines():
        if re.search(r'"(install|add)"', line) and re.search(r"oxyde[-_](core|orm)", line):
            assert "--no-index" in line, line
    assert '"--no-deps", "--no-index"' in text


def test_the_lock_holds_public_addresses_only() -> None:
    hosts = set(re.findall(r"https?://([^/\"\s]+)", (ROOT / "uv.lock").read_text("utf-8")))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}
    sources = set(re.findall(r'^source = "([^"]+)"', (ROOT / "Cargo.lock").read_text("utf-8"), re.MULTILINE))
    assert sources == {"registry+https://github.com/rust-lang/crates.io-index"}


# Somebody's home or work folder. The expression does not match its own text.
MACHINE = re.compile(r"(?<![\w.])/(?:root|work)/[\w.-]+|(?<![\w.])/(?:home|Users)/(?!app\b|user\b|me\b)[\w.-]+")


def test_no_file_names_a_machine() -> None:
    found = []
    for path in tracked():
        if path.suffix in {".png", ".ico", ".db", ".lock"}:
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", ["oxyde-core", "oxyde-orm"])
def test_each_package_carries_the_licence(package: str) -> None:
    assert (ROOT / "packages" / package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
