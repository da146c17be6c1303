"""What can be set about a database's connections, with one table of what each option accepts.

A setting arrives in one of two ways: as a Python value in :class:`PoolSettings`, or as text in the query string of the
database URL. Both go through the same :class:`Option`, so that ``?statement_timeout=-1`` and
``PoolSettings(statement_timeout=-1)`` are refused in the same words. No message repeats a value: a value may be a
password that was put in the wrong place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal

__all__ = ["OPTIONS", "Option", "PoolSettings"]

Duration = float | timedelta

SERVERS = frozenset({"postgres", "mysql"})
POSTGRES = frozenset({"postgres"})
MYSQL = frozenset({"mysql"})
SQLITE = frozenset({"sqlite"})
EVERY = SERVERS | SQLITE

_WORD = re.compile(r"[A-Za-z0-9_]+")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Option:
    """What one setting accepts: its kind, its bounds, and the databases it means anything to."""

    kind: Literal["seconds", "milliseconds", "count", "flag", "text", "word", "choice", "statements"]
    minimum: int = 0
    choices: tuple[str | bool, ...] = ()
    databases: frozenset[str] = EVERY

    def check(self, name: str, value: Any) -> Any:
        """Return ``value`` as the engine takes it; TypeError or ValueError name the setting, never the value."""
        match self.kind:
            case "seconds":
                return _duration(name, value, 1.0)
            case "milliseconds":
                return round(_duration(name, value, 1000.0))
            case "count":
                return self._count(name, value)
            case "flag":
                if not isinstance(value, bool):
                    raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
                return value
            case "text":
                return _text(name, value)
            case "word":
                return _word(name, value)
            case "choice":
                return self._choice(name, value)
            case "statements":
                return _statements(name, value)

    def parse(self, name: str, text: str) -> Any:
        """Read the text of a URL option into the Python value that :class:`PoolSettings` takes."""
        match self.kind:
            case "seconds" | "milliseconds":
                with suppress(ValueError):
                    return float(text)
                # Not raised in place of Python's error, which shows the text and would stay beside it.
                raise ValueError(f"{name} must be a number of {self.kind}")
            case "count":
                # int() would also take "1_000" and surrounding blanks, which no other tool reads in a URL.
                if not text.removeprefix("-").isdecimal():
                    raise ValueError(f"{name} must be a whole number")
                return int(text)
            case "flag":
                if text.lower() not in _TRUE | _FALSE:
                    raise ValueError(f"{name} must be true or false")
                return text.lower() in _TRUE
            case "choice":
                if True in self.choices and text.lower() in _TRUE | _FALSE:
                    return text.lower() in _TRUE
                return text
            case "text" | "word":
                return text
            case "statements":
                raise ValueError(f"{name} cannot be given in a URL; set PoolSettings({name}=[…])")

    def _count(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
        if value < self.minimum:
            raise ValueError(f"{name} must be {self.minimum} or more")
        return value

    def _choice(self, name: str, value: Any) -> str | bool:
        if not isinstance(value, str | bool):
            raise TypeError(f"{name} must be one of {self._listed()}, not {type(value).__name__}")
        for choice in self.choices:
            if value is choice or (
                isinstance(value, str) and isinstance(choice, str) and value.lower() == choice.lower()
            ):
                return choice
        raise ValueError(f"{name} must be one of {self._listed()}")

    def _listed(self) -> str:
        return ", ".join(repr(choice) for choice in self.choices)


def _duration(name: str, value: Any, per_second: float) -> float:
    if isinstance(value, timedelta):
        number = value.total_seconds() * per_second
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        unit = "seconds" if per_second == 1.0 else "milliseconds"
        raise TypeError(f"{name} must be a number of {unit} or a timedelta, not {type(value).__name__}")
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite; use None for no limit")
    if number < 0:
        raise ValueError(f"{name} must not be negative")
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if not value or "\0" in value:
        raise ValueError(f"{name} must not be empty or hold a NUL character")
    return value


def _word(name: str, value: Any) -> str:
    text = _text(name, value)
    if not _WORD.fullmatch(text):
        raise ValueError(f"{name} must be a name of letters, digits and underscores")
    return text


def _statements(name: str, value: Any) -> list[str]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of SQL statements, not {type(value).__name__}")
    return [_text(name, statement) for statement in value]


_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_JOURNAL_MODES = ("WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF")
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")

OPTIONS: dict[str, Option] = {
    "max_connections": Option("count", minimum=1),
    "min_connections": Option("count"),
    "acquire_timeout": Option("seconds"),
    "connect_timeout": Option("seconds"),
    "idle_timeout": Option("seconds"),
    "max_lifetime": Option("seconds"),
    "statement_timeout": Option("seconds"),
    "lock_timeout": Option("seconds"),
    "commit_timeout": Option("seconds"),
    "test_before_acquire": Option("flag"),
    "max_waiting": Option("count"),
    "transaction_timeout": Option("seconds"),
    "sqlite_inline": Option("flag", databases=SQLITE),
    "sqlite_journal_mode": Option("choice", choices=_JOURNAL_MODES, databases=SQLITE),
    "sqlite_synchronous": Option("choice", choices=_SYNCHRONOUS, databases=SQLITE),
    # Negative is SQLite's own spelling of a size in KiB, so there is no lower bound.
    "sqlite_cache_size": Option("count", minimum=-(2**31), databases=SQLITE),
    "sqlite_busy_timeout": Option("milliseconds", databases=SQLITE),
    "ssl_mode": Option("choice", choices=_SSL_MODES, databases=SERVERS),
    "ssl_root_cert": Option("text", databases=SERVERS),
    "ssl_client_cert": Option("text", databases=SERVERS),
    "ssl_client_key": Option("text", databases=SERVERS),
    "pg_application_name": Option("text", databases=POSTGRES),
    "pg_statement_cache_capacity": Option("count", databases=POSTGRES),
    "pgbouncer": Option("choice", choices=("auto", True, False), databases=POSTGRES),
    # Texts go over the wire as UTF-8; in another character set the server would take or give other characters.
    "mysql_charset": Option("choice", choices=("utf8mb4",), databases=MYSQL),
    # Becomes part of a statement.
    "mysql_collation": Option("word", databases=MYSQL),
    "on_connect": Option("statements"),
}


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How a database's connections are made, kept and bounded.

    Durations are seconds (int or float) or a ``timedelta``; ``sqlite_busy_timeout`` is milliseconds or a ``timedelta``.
    ``None`` means no limit, or the database's own default. Settings are frozen, because several databases may share
    them; make a changed copy with ``dataclasses.replace``.

    Raises ``TypeError`` for a value of the wrong type and ``ValueError`` for a negative duration, an unknown choice, or
    ``min_connections`` above ``max_connections``.

    >>> settings = PoolSettings(max_connections=20, statement_timeout=5)
    >>> await db.init(default="sqlite:///app.db", settings=settings)
    """

    max_connections: int = 10
    min_connections: int = 1
    acquire_timeout: Duration | None = 30
    connect_timeout: Duration | None = 10
    idle_timeout: Duration | None = 600
    max_lifetime: Duration | None = 1800
    statement_timeout: Duration | None = None
    lock_timeout: Duration | None = None
    commit_timeout: Duration | None = 5
    test_before_acquire: bool = False
    max_waiting: int | None = None
    transaction_timeout: Duration | None = None
    sqlite_inline: bool = True
    sqlite_journal_mode: str | None = "WAL"
    sqlite_synchronous: str | None = "NORMAL"
    sqlite_cache_size: int | None = None
    sqlite_busy_timeout: float | timedelta | None = 5000
    ssl_mode: str | None = None
    ssl_root_cert: str | None = None
    ssl_client_cert: str | None = None
    ssl_client_key: str | None = None
    pg_application_name: str | None = None
    pg_statement_cache_capacity: int | None = None
    pgbouncer: Literal["auto"] | bool = "auto"
    mysql_charset: str | None = "utf8mb4"
    mysql_collation: str | None = None
    on_connect: Iterable[str] | None = None

    def __post_init__(self) -> None:
        if self.on_connect is not None:
            # Held as a tuple: a caller's list could change under a database that reads it at every connect.
            object.__setattr__(self, "on_connect", tuple(OPTIONS["on_connect"].check("on_connect", self.on_connect)))
        self.to_payload()

    def to_payload(self) -> dict[str, Any]:
        """Return the settings that are not None as the engine takes them: durations as float seconds.

        >>> PoolSettings(acquire_timeout=timedelta(seconds=2)).to_payload()["acquire_timeout"]
        2.0
        """
        payload = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                payload[field.name] = OPTIONS[field.name].check(field.name, value)
            elif field.name in _REQUIRED:
                raise TypeError(f"{field.name} must not be None")
        if payload["min_connections"] > payload["max_connections"]:
            raise ValueError("min_connections must not be greater than max_connections")
        return payload

    def seconds(self, name: str) -> float | None:
        """Return one duration in seconds, or None for no limit."""
        value = getattr(self, name)
        return None if value is None else _duration(name, value, 1.0)


# For these, None would have no meaning: there is no "no limit" to a pool.
_REQUIRED = frozenset({"max_connections", "min_connections", "test_before_acquire", "sqlite_inline", "pgbouncer"})
