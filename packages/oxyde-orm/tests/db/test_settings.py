from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from oxyde.db import PoolSettings

DEFAULTS = {
    "max_connections": 10,
    "min_connections": 1,
    "acquire_timeout": 30.0,
    "connect_timeout": 10.0,
    "idle_timeout": 600.0,
    "max_lifetime": 1800.0,
    "commit_timeout": 5.0,
    "test_before_acquire": False,
    "sqlite_inline": True,
    "sqlite_journal_mode": "WAL",
    "sqlite_synchronous": "NORMAL",
    "sqlite_busy_timeout": 5000,
    "pgbouncer": "auto",
    "mysql_charset": "utf8mb4",
    "pipelining": True,
    "log_statements": "auto",
    "log_values": False,
    "telemetry": "auto",
}


def test_defaults() -> None:
    assert PoolSettings().to_payload() == DEFAULTS


def test_durations_are_seconds_or_timedelta() -> None:
    settings = PoolSettings(acquire_timeout=timedelta(milliseconds=1500), statement_timeout=2, idle_timeout=None)
    payload = settings.to_payload()
    assert (payload["acquire_timeout"], payload["statement_timeout"]) == (1.5, 2.0)
    assert isinstance(payload["statement_timeout"], float)
    assert "idle_timeout" not in payload
    assert settings.seconds("acquire_timeout") == 1.5
    assert settings.seconds("idle_timeout") is None
    assert PoolSettings(sqlite_busy_timeout=timedelta(seconds=1)).to_payload()["sqlite_busy_timeout"] == 1000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"acquire_timeout": -1}, ValueError, "acquire_timeout must not be negative"),
        ({"acquire_timeout": timedelta(seconds=-1)}, ValueError, "negative"),
        ({"acquire_timeout": "5"}, TypeError, "acquire_timeout .* not str"),
        ({"acquire_timeout": True}, TypeError, "not bool"),
        ({"acquire_timeout": float("inf")}, ValueError, "use None"),
        ({"acquire_timeout": float("nan")}, ValueError, "finite"),
        ({"max_connections": 0}, ValueError, "1 or more"),
        ({"max_connections": 2.0}, TypeError, "whole number"),
        ({"max_connections": None}, TypeError, "must not be None"),
        ({"min_connections": -1}, ValueError, "0 or more"),
        ({"min_connections": 11}, ValueError, "min_connections must not be greater"),
        ({"sqlite_inline": 1}, TypeError, "True or False"),
        ({"sqlite_journal_mode": "fast"}, ValueError, "one of"),
        ({"ssl_mode": 3}, TypeError, "one of"),
        ({"pgbouncer": "yes"}, ValueError, "one of"),
        ({"pg_application_name": ""}, ValueError, "empty"),
        ({"mysql_charset": 8}, TypeError, "one of 'utf8mb4', not int"),
        ({"mysql_charset": "latin1"}, ValueError, "one of 'utf8mb4'"),
        ({"mysql_collation": "utf8mb4_bin; DROP TABLE x"}, ValueError, "letters, digits and underscores"),
        ({"mysql_collation": ""}, ValueError, "empty"),
        ({"on_connect": "PRAGMA x"}, TypeError, "list of SQL"),
        ({"on_connect": [1]}, TypeError, "string"),
        ({"unknown": 1}, TypeError, "unknown"),
    ],
)
def test_refused(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PoolSettings(**arguments)


def test_values_are_normalised_and_frozen() -> None:
    statements = ["PRAGMA a"]
    settings = PoolSettings(sqlite_journal_mode="delete", sqlite_cache_size=-2000, on_connect=statements)
    statements.append("PRAGMA b")
    payload = settings.to_payload()
    assert (payload["sqlite_journal_mode"], payload["sqlite_cache_size"]) == ("DELETE", -2000)
    assert payload["on_connect"] == ["PRAGMA a"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.max_connections = 1  # type: ignore[misc]
    assert dataclasses.replace(settings, max_connections=3).max_connections == 3


def test_the_callers_own_values_stay_readable() -> None:
    assert PoolSettings(max_lifetime=timedelta(minutes=1)).max_lifetime == timedelta(minutes=1)
