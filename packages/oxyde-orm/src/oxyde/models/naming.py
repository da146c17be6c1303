"""Names that Oxyde makes up in the database: for indexes, checks, enums and derived columns.

They must be the same in every run and on every machine, since migrations compare them, and fit into the shortest
limit of the supported databases, PostgreSQL's 63 bytes (MySQL allows 64 characters, SQLite any length).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from hashlib import blake2b
from typing import Final

__all__ = ["MAX_BYTES", "nearest", "shorten", "snake_case"]

MAX_BYTES: Final = 63
"""PostgreSQL: NAMEDATALEN - 1."""

_HASH: Final = 8
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def shorten(name: str) -> str:
    """The name itself, or its beginning and a hash of the whole where it is too long for a database.

    >>> shorten("orders_idx")
    'orders_idx'
    >>> len(shorten("a" * 80))
    63
    """
    data = name.encode()
    if len(data) <= MAX_BYTES:
        return name
    digest = blake2b(data, digest_size=_HASH // 2).hexdigest()
    # A cut inside a character leaves bytes that are no text; they are dropped.
    return data[: MAX_BYTES - _HASH - 1].decode(errors="ignore") + "_" + digest


def snake_case(name: str) -> str:
    """`OrderStatus` → `order_status`."""
    return _WORD.sub("_", name).lower()


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an error message, `"; did you mean 'x'?"`, or nothing where no known name is near."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
