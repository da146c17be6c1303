"""The compiled engine of Oxyde.

This module is the only one that imports ``oxyde_core._core``: whoever needs the engine takes it from here, after the
check that the compiled half and the Python half belong together. Both carry the version of the query contract
(``IR_VERSION``, see :mod:`oxyde_core.ir`) and the project's marker. An old extension left behind by an update would
otherwise read shapes that it does not know, and another package of the same name would fail somewhere far from here.
"""

from __future__ import annotations

from .ir import IR_VERSION

MARKER = "oxyde: pydantic-native async orm, rust core"

_REBUILD = "build it again: `uv sync --reinstall-package oxyde-core`, or `python3 noxfile.py -s dev` in the repository"

try:
    from . import _core
except ImportError as error:
    raise ImportError(f"the compiled part of oxyde-core cannot be loaded ({error}); {_REBUILD}") from error


def _check(core: object) -> None:
    marker = getattr(core, "MARKER", None)
    if marker != MARKER:
        raise ImportError(
            f"the extension module oxyde_core._core at {getattr(core, '__file__', '?')} belongs to another project; "
            f"remove it and {_REBUILD}"
        )
    version = getattr(core, "IR_VERSION", None)
    if version != IR_VERSION:
        raise ImportError(
            f"the compiled part of oxyde-core speaks contract version {version}, its Python part version {IR_VERSION}; "
            f"{_REBUILD}"
        )


_check(_core)

from ._core import (  # noqa: E402 - only after the check
    Copy,
    Cursor,
    Database,
    Inflow,
    Lease,
    Loader,
    Outflow,
    Parts,
    Pending,
    Pin,
    compile_sql,
    create_ddl,
    drop_ddl,
    forget_table,
    register_table,
)

__all__ = [
    "IR_VERSION",
    "MARKER",
    "Copy",
    "Cursor",
    "Database",
    "Inflow",
    "Lease",
    "Loader",
    "Outflow",
    "Parts",
    "Pending",
    "Pin",
    "compile_sql",
    "create_ddl",
    "drop_ddl",
    "forget_table",
    "register_table",
]
