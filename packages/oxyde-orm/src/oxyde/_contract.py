"""Refuses an ``oxyde_core`` that is not ours, or not of our version, before anything is imported from it.

The name ``oxyde_core`` exists on the public package index from another project. Importing that one would fail somewhere
deep inside a query with a message that explains nothing; so this module is the first that ``oxyde`` imports.
"""

from __future__ import annotations

MARKER = "oxyde: pydantic-native async orm, rust core"
IR_VERSION = 1

_FIX = (
    "install both from one place: `pip install --force-reinstall --find-links <directory of the wheels> oxyde-orm "
    "oxyde-core`, or `python3 noxfile.py -s dev` in the repository"
)


def check(core: object) -> None:
    """Raise ``ImportError`` with the fix unless ``core`` is the ``oxyde_core`` that this package was written for."""
    where = getattr(core, "__file__", None) or "an unknown place"
    if getattr(core, "MARKER", None) != MARKER:
        raise ImportError(f"the package oxyde_core at {where} belongs to another project; {_FIX}")
    version = getattr(core, "IR_VERSION", None)
    if version != IR_VERSION:
        raise ImportError(
            f"oxyde speaks version {IR_VERSION} of the query contract, and oxyde_core at {where} version {version}; "
            f"{_FIX}"
        )
