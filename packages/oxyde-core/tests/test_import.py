"""The Python half refuses a compiled half that is missing, foreign or of another version, and says what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import oxyde_core

PACKAGE = Path(oxyde_core.__file__).parent


def imported_with(directory: Path, extension: str | None) -> str:
    """Import a copy of the package whose compiled half is ``extension``, and return what went wrong."""
    copied = directory / "oxyde_core"
    copied.mkdir()
    for file in PACKAGE.glob("*.py"):
        shutil.copy(file, copied)
    if extension is not None:
        (copied / "_core.py").write_text(extension)
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(directory)!r}); import oxyde_core"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


@pytest.mark.parametrize(
    ("extension", "message"),
    [
        (None, "cannot be loaded"),
        ("raise ImportError('libc too old')", "libc too old"),
        ("", "another project"),
        ("MARKER = 'else'; IR_VERSION = 1", "another project"),
        (f"MARKER = {oxyde_core.MARKER!r}; IR_VERSION = 0", "contract version 0"),
    ],
)
def test_refused(tmp_path: Path, extension: str | None, message: str) -> None:
    stderr = imported_with(tmp_path, extension)
    assert "ImportError" in stderr
    assert message in stderr
    assert "noxfile.py -s dev" in stderr


def test_exports() -> None:
    assert {name for name in vars(oxyde_core) if name in oxyde_core.__all__} == set(oxyde_core.__all__)
    for name in ("Database", "Lease", "Loader", "Pending"):
        assert getattr(oxyde_core, name).__module__ == "oxyde_core._core"
