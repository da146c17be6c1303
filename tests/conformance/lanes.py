"""The databases that the conformance suite runs on, and what each of them cannot do.

To add a server: one row here.  ``url`` gets a directory of the test's own; a server's row reads its address from the
environment instead.  ``lacks`` maps a capability to the reason why the database has not got it; it is written from the
database's manual and deliberately knows nothing of the core's own feature flags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest

from oxyde import NotSupportedError

CAPABILITIES = {
    "deferrable_foreign_key": "a foreign key that is only checked at commit",
    "deferrable_unique": "a UNIQUE constraint that is only checked at commit",
    "nulls_not_distinct": "a UNIQUE constraint under which two NULLs are equal",
    "partial_index": "an index on some of the rows",
    "index_include": "an index that carries further columns",
    "index_method": "a choice of index methods",
    "infinite_floats": "NaN and infinity in a float column",
}


@dataclass(frozen=True)
class Lane:
    """One database to run on."""

    name: str
    family: str
    """Lanes of one family share the storage forms that a test about unreadable values writes by hand."""
    url: Callable[[Path], str]
    lacks: Mapping[str, str] = field(default_factory=dict)
    negative_zero: bool = True
    """Whether -0.0 keeps its sign."""

    def has(self, capability: str) -> bool:
        assert capability in CAPABILITIES, f"unknown capability {capability!r}"
        return capability not in self.lacks

    @contextmanager
    def can(self, *capabilities: str) -> Iterator[None]:
        """The block works if the database has all of the capabilities, else it raises NotSupportedError."""
        if all(self.has(capability) for capability in capabilities):
            yield
            return
        with pytest.raises(NotSupportedError):
            yield


SQLITE_LACKS = MappingProxyType(
    {
        "deferrable_unique": "the manual of CREATE TABLE knows DEFERRABLE for foreign keys only",
        "nulls_not_distinct": "NULLs are distinct in every UNIQUE index",
        "index_include": "CREATE INDEX has no INCLUDE",
        "index_method": "every index is a b-tree",
        "infinite_floats": "NaN is stored as NULL; infinity is refused everywhere but on PostgreSQL",
    }
)

LANES = (
    Lane(
        "sqlite-file",
        "sqlite",
        lambda directory: f"sqlite:///{directory / 'conformance.db'}",
        SQLITE_LACKS,
        # A REAL that is a whole number is stored as an integer, which has no negative zero.
        negative_zero=False,
    ),
    Lane("sqlite-memory", "sqlite", lambda directory: "sqlite://:memory:", SQLITE_LACKS, negative_zero=False),
)
