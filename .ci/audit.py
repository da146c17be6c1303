"""Checks the licence and the origin of everything that is locked, for Rust and for Python.

What this can prove without a network: every package comes from the public registry of its language with a checksum,
carries a licence of the list below, and the names of this repository's own packages are not taken from an index.
Known vulnerabilities need an advisory database from outside: they are checked with `cargo deny check advisories`
where cargo-deny is installed, and the last line says whether that was so.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = {"oxyde-core", "oxyde-orm", "oxyde", "oxyde-migrate", "oxyde-fastapi"}

# One entry of a licence expression must be here (`A OR B`), or all of them (`A AND B`).
LICENCES = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT",
    "MIT-0", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unicode-3.0", "Unlicense", "Zlib",
}  # fmt: skip

# Python packages whose metadata carries no licence expression: read by hand, with the words that must still be there.
CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}

# Of the dependency group `bench` only: measured against, neither imported nor shipped by a package of ours.
MEASURED_AGAINST = dict.fromkeys(("psycopg", "psycopg-binary", "psycopg-pool"), "LGPL-3.0-only")


def allowed(expression: str) -> bool:
    """Whether an SPDX expression can be satisfied with LICENCES."""
    text = expression.replace("/", " OR ")

    def either(part: str) -> bool:
        return any(both(piece) for piece in re.split(r"\s+OR\s+", part))

    def both(part: str) -> bool:
        return all(piece.strip(" ()") in LICENCES for piece in re.split(r"\s+AND\s+", part))

    # Parentheses appear in lock files only as `(A OR B) AND C`.
    if "(" in text:
        groups = re.findall(r"\(([^()]*)\)", text)
        rest = re.sub(r"\([^()]*\)", "", text)
        return all(map(either, groups)) and all(
            piece.strip() in LICENCES for piece in re.split(r"\s*\b(?:AND|OR)\b\s*", rest) if piece.strip()
        )
    return either(text)


def rust() -> tuple[int, list[str]]:
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    packages = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)["packages"]
    problems = []
    for package in packages:
        name = f"crate {package['name']} {package['version']}"
        if package["source"] is None:
            if not Path(package["manifest_path"]).is_relative_to(ROOT):
                problems.append(f"{name}: a path outside the repository")
        elif package["source"] != "registry+https://github.com/rust-lang/crates.io-index":
            problems.append(f"{name}: comes from {package['source']}, not from crates.io")
        if not allowed(package["license"] or ""):
            problems.append(f"{name}: licence {package['license']!r} is not in the list of .ci/audit.py")
    return len(packages), problems


def python() -> tuple[int, list[str]]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    problems = []
    for package in packages:
        name, source = package["name"], package["source"]
        if name in OURS:
            if "editable" not in source and "virtual" not in source:
                problems.append(f"package {name}: locked from {source}, must come from this workspace")
            continue
        if source != {"registry": "https://pypi.org/simple"}:
            problems.append(f"package {name}: comes from {source}, not from the public index")
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
        if not files or not all(file.get("hash", "").startswith("sha256:") for file in files):
            problems.append(f"package {name}: a file without a sha256 in uv.lock")
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"].lower()
        found = licence(distribution)
        if name in OURS or found == [MEASURED_AGAINST.get(name)]:
            continue
        if not any(allowed(expression) for expression in found):
            problems.append(f"package {name}: licence {found} is not in the list of .ci/audit.py")
    return len(packages), problems


def licence(distribution: metadata.Distribution) -> list[str]:
    """What the installed package says of its licence: the expression, else its classifiers, else a short free text."""
    fields = distribution.metadata
    if expression := fields.get("License-Expression"):
        return [expression]
    classifiers = [c.rpartition(" :: ")[2] for c in fields.get_all("Classifier") or () if c.startswith("License ::")]
    free = fields.get("License") or ""
    return [CLASSIFIED.get(c, c) for c in classifiers] + [CLASSIFIED.get(free, free)] * bool(free)


def advisories() -> tuple[str, list[str]]:
    if shutil.which("cargo-deny") is None:
        return "vulnerability advisories NOT checked (cargo-deny is not installed)", []
    command = ["cargo", "deny", "--locked", "check", "--config", str(ROOT / ".ci" / "deny.toml"), "advisories"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return "vulnerability advisories checked with cargo-deny", [] if done.returncode == 0 else [done.stderr]


def main() -> None:
    crates, crate_problems = rust()
    packages, package_problems = python()
    said, advisory_problems = advisories()
    problems = [*crate_problems, *package_problems, *advisory_problems]
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"audit: {crates} crates and {packages} Python packages locked, {len(problems)} problems; {said}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
