"""The databases of the process, by alias.

A query finds its database here: ``using="reports"`` is a look-up in one dict. The alias ``"default"`` is used wherever
none is named. An alias belongs to one database until it is unregistered; taking it twice is an error, because the first
database would go on living unseen with its connections open.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import threading
from typing import TYPE_CHECKING

from ..exceptions import ManagerError
from .settings import CLOSE_TIMEOUT, Duration

if TYPE_CHECKING:
    from .database import AsyncDatabase

__all__ = [
    "DEFAULT_ALIAS",
    "UnknownAliasError",
    "close_all_pools",
    "disconnect_all",
    "get_connection",
    "register_connection",
    "unregister_connection",
]

DEFAULT_ALIAS = "default"

# Read without the lock by every query (one dict look-up); changed only under it.
connections: dict[str, AsyncDatabase] = {}
_lock = threading.Lock()


def _after_fork() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class UnknownAliasError(ManagerError, KeyError):
    """No database is registered under the alias. A ``KeyError``, and one of Oxyde's own errors too."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0]) if self.args else ""


def unknown_alias(name: object) -> UnknownAliasError:
    """Make the error for an alias that is not registered, with the way to register it."""
    message = f"no database is registered as {name!r}"
    known = sorted(connections)
    if near := difflib.get_close_matches(str(name), known, n=1):
        return UnknownAliasError(f"{message}; did you mean {near[0]!r}?")
    listed = f"; registered are {', '.join(map(repr, known))}" if known else ""
    return UnknownAliasError(f'{message}{listed}; connect it first: await db.init({name}="sqlite:///app.db")')


def register_connection(database: AsyncDatabase, *, name: str | None = None, overwrite: bool = False) -> AsyncDatabase:
    """Make ``database`` known under ``name`` (default: its own name) and return it.

    Raises ``ValueError`` if the alias belongs to another database, unless ``overwrite`` is true (the other one is then
    no longer found by name, but stays connected), and ``TypeError`` for what is no ``AsyncDatabase``.

    >>> register_connection(AsyncDatabase("sqlite:///a.db", name="a", auto_register=False))
    >>> get_connection("a")
    """
    alias = database.name if name is None else name
    with _lock:
        holder = connections.get(alias)
        if holder is not None and holder is not database and not overwrite:
            raise ValueError(taken(alias))
        connections[alias] = database
    return database


def taken(alias: str) -> str:
    """Say that an alias is in use, and what to do."""
    return (
        f"the database alias {alias!r} is already registered; await db.close() first, call "
        f"unregister_connection({alias!r}), or pass overwrite=True where a database is constructed"
    )


def unregister_connection(name: str = DEFAULT_ALIAS) -> AsyncDatabase:
    """Forget the alias and return its database, which stays connected; ``KeyError`` if there is none.

    >>> database = unregister_connection("reports")
    >>> await database.disconnect()
    """
    with _lock:
        try:
            return connections.pop(name)
        except KeyError:
            raise unknown_alias(name) from None


def forget(database: AsyncDatabase, alias: str) -> None:
    """Forget the alias if it still belongs to this database."""
    with _lock:
        if connections.get(alias) is database:
            del connections[alias]


def get_connection(name: str = DEFAULT_ALIAS) -> AsyncDatabase:
    """Return the database registered as ``name``; ``KeyError`` if there is none.

    The database may not be connected yet; awaiting it connects it.

    >>> database = get_connection("reports")
    >>> database = await get_connection("reports")  # connected
    """
    try:
        return connections[name]
    except KeyError:
        raise unknown_alias(name) from None


async def disconnect_all(timeout: Duration | None = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109 - more happens then than a cancellation
    """Disconnect every registered database and forget all aliases.

    They are closed at the same time, all of them even if closing one fails; the first error is raised afterwards.
    What runs has ``timeout`` (seconds or timedelta) to end, see ``AsyncDatabase.disconnect``.

    >>> await disconnect_all()
    """
    with _lock:
        databases = list(dict.fromkeys(connections.values()))
        connections.clear()
    await disconnect_each(databases, timeout)


async def disconnect_each(
    databases: list[AsyncDatabase],
    timeout: Duration | None = CLOSE_TIMEOUT,  # noqa: ASYNC109 - more happens then than a cancellation
) -> None:
    """Disconnect these databases at the same time; all of them even if one fails, then its error is raised.

    A wait that is cancelled does not cancel the closing: the engines finish it by themselves.
    """
    closings = [asyncio.ensure_future(database.disconnect(timeout)) for database in databases]
    results = await asyncio.gather(*closings, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


close_all_pools = disconnect_all
