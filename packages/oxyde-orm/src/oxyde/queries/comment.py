"""Comments that go with a query to the server, for its logs and its lists of running statements.

The comment is put around the shape on the way to the engine, so that every statement of an operation carries it. The
engine keeps statements with comments apart from the others: at most 256 of them, and on a connection only those that
have come twice are kept prepared. A program whose comments are all different (numbers of requests, trace ids) pays for
a new statement each time, and takes nothing from the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from oxyde_core import ir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oxyde_core import Database

__all__ = ["comment_text", "commented"]

_LONGEST: Final = 1_000

# What would end or nest a comment, and what a driver, a proxy or a tool that reads logs might take for a parameter.
_REFUSED: Final = re.compile(r"\*/|/\*|\?|\$\d|--")


def comment_text(text: str | None, tags: Mapping[str, str]) -> str:
    """The text between `/*` and `*/`; raises TypeError and ValueError for one that must not be there."""
    if tags:
        if text is not None:
            raise TypeError("sql_comment() takes a text or tags, not both")
        for key, value in tags.items():
            if not isinstance(value, str):
                raise TypeError(f"The tag {key} must be a str, not {type(value).__name__}")
        # As sqlcommenter has it: sorted, percent-encoded, in quotes. Nothing of what is refused survives the encoding.
        text = ",".join(f"{_encoded(key)}='{_encoded(value)}'" for key, value in sorted(tags.items()))
    elif not isinstance(text, str):
        raise TypeError(f"sql_comment() takes a str or tags, not {type(text).__name__}")
    if not text.strip():
        raise ValueError("The comment is empty")
    if len(text) > _LONGEST:
        raise ValueError(f"The comment is longer than {_LONGEST} characters")
    if not text.isprintable():
        raise ValueError("The comment must not have control characters or line breaks")
    found = _REFUSED.search(text)
    if found is not None:
        raise ValueError(f"The comment must not have {found.group()!r} in it")
    return text.strip()


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="strict").replace("--", "-%2D")


class _Commented:
    """An engine whose statements carry a comment."""

    __slots__ = ("_comment", "_database")

    def __init__(self, database: Database, comment: str) -> None:
        self._database = database
        self._comment = comment

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._database, name)
        if name not in _SHAPED:
            return found

        def call(shape: ir.Node, *arguments: Any, **options: Any) -> Any:
            return found(ir.comment(self._comment, shape), *arguments, **options)

        return call


_SHAPED: Final = frozenset({"run", "run_bulk", "prepare_parts", "prepare_copy", "cursor", "describe"})
"""The methods whose first argument is a shape."""


def commented(database: Database, comment: str) -> Database:
    """The engine for the statements of a query with a comment."""
    return cast("Database", _Commented(database, comment))
