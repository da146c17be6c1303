"""Databases of a test run on the PostgreSQL server that OXYDE_TEST_POSTGRES_URL names.

Each process of the run (a worker of pytest-xdist) makes its own when it first asks for them, and drops them at its
end. Between two tests a database is emptied: that is cheaper than a new one, and what a test left behind is seen.
"""

from __future__ import annotations

import atexit
import os
import time
from urllib.parse import urlsplit, urlunsplit

from .wire import Connection, ServerError

SERVER = os.environ.get("OXYDE_TEST_POSTGRES_URL")
PREFIX = f"oxyde_test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}"

OWNER = os.getpid()
_open: dict[str, Connection] = {}


def server() -> str:
    assert SERVER is not None, "OXYDE_TEST_POSTGRES_URL names no server"
    return SERVER


def with_database(url: str, name: str) -> str:
    """Another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def database_url(name: str, address: str | None = None) -> str:
    """The URL of one of this process's databases, made if it is not there; ``address`` is another way to the server."""
    observer(name)
    return with_database(server() if address is None else address, f"{PREFIX}_{name}")


def observer(name: str) -> Connection:
    """A connection to such a database by which the tests look at what Oxyde did."""
    if name not in _open:
        if not _open:
            # For a run that is interrupted; as a rule the end of the session does it.
            atexit.register(drop_all)
        full = f"{PREFIX}_{name}"
        with Connection(server()) as connection:
            connection.query(f"CREATE DATABASE {full} ENCODING 'UTF8' TEMPLATE template0")
        _open[name] = Connection(with_database(server(), full), timeout=20)
        _open[name].query("SET application_name = 'oxyde-tests-observer'")
    return _open[name]


def sessions(name: str) -> list[tuple[str | None, ...]]:
    """The sessions that others have in a database: process, state, last statement."""
    return observer(name).query(
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


def busy(name: str) -> list[tuple[str | None, ...]]:
    """Those of them that have a transaction open or are at work."""
    return [session for session in sessions(name) if session[1] != "idle"]


def end_sessions(name: str) -> None:
    """End what others have open in a database."""
    observer(name).query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )


def end_session(name: str, process: str | None) -> None:
    """End one of them."""
    observer(name).query(f"SELECT pg_terminate_backend({process})")


def empty(name: str, seconds: float = 5.0) -> None:
    """Check that nobody is connected any more (within ``seconds``) and remove what the test left in the database."""
    deadline = time.monotonic() + seconds
    while (left := sessions(name)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        end_sessions(name)
    observer(name).query(EMPTY)
    assert not left, f"sessions that a database still has after it was disconnected: {left}"


EMPTY = r"""
DO $$
DECLARE name text;
BEGIN
    SET LOCAL lock_timeout = '5s';
    SET LOCAL client_min_messages = 'error';
    FOR name IN SELECT nspname FROM pg_namespace n
        WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' AND (
            nspname <> 'public'
            OR EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
            OR EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid)
            OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)
        )
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA IF NOT EXISTS public;
END $$
"""


def drop_all() -> None:
    """Drop this process's databases; nothing happens if there are none."""
    # A child that forked from the worker inherits the exit handler, not the databases.
    if not _open or os.getpid() != OWNER:
        return
    names = list(_open)
    while _open:
        _open.popitem()[1].close()
    with Connection(server()) as connection:
        for name in names:
            full = f"{PREFIX}_{name}"
            connection.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{full}'")
            try:
                connection.query(f"DROP DATABASE {full} WITH (FORCE)")
            except ServerError:
                # Before version 13.
                connection.query(f"DROP DATABASE {full}")
