"""Databases of a test run on the MySQL or MariaDB server that OXYDE_TEST_MYSQL_URL names.

The counterpart of ``databases``, which is PostgreSQL's: each process of the run makes its own databases when it first
asks for them and drops them at its end; between two tests they are emptied.
"""

from __future__ import annotations

import atexit
import os
import re
import time

from .databases import with_database
from .mysql_wire import Connection, ServerError, flavour

SERVER = os.environ.get("OXYDE_TEST_MYSQL_URL")
PREFIX = f"oxyde_test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}"

OWNER = os.getpid()
# The server's own default may be another one.
CREATE = "CREATE DATABASE {} CHARACTER SET utf8mb4"
NO_SUCH_THREAD = 1094
# Of MySQL and of MariaDB.
THREAD = re.compile(r"^M\w+ thread id (\d+)", re.MULTILINE)
_open: dict[str, Connection] = {}


def server() -> str:
    assert SERVER is not None, "OXYDE_TEST_MYSQL_URL names no server"
    return SERVER


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
            connection.query(CREATE.format(full))
        _open[name] = Connection(with_database(server(), full), timeout=20)
    return _open[name]


def mariadb() -> bool:
    return flavour(observer("default").version) == "mariadb"


def version() -> tuple[int, ...]:
    """`(8, 4, 7)`"""
    return tuple(map(int, observer("default").version.partition("-")[0].split(".")))


def processes() -> str:
    """Where the server lists its sessions. MySQL's older list fails over letters beyond the basic plane."""
    older = mariadb() or version() < (8, 0, 22)
    return "information_schema.processlist" if older else "performance_schema.processlist"


def sessions(name: str) -> list[tuple[str | None, ...]]:
    """The sessions that others have in a database: thread, what it does, statement."""
    return observer(name).query(
        f"SELECT id, command, info FROM {processes()} WHERE db = database() AND id <> connection_id()"
    )


def busy(name: str) -> list[tuple[str | None, ...]]:
    """Those of them that have a transaction open or are at work."""
    there = sessions(name)
    # information_schema.innodb_trx shows an old copy for as long as anybody asks more often than every 0.1 s.
    ((_, _, status),) = observer(name).query("SHOW ENGINE INNODB STATUS")
    listed = (status or "").partition("LIST OF TRANSACTIONS FOR EACH SESSION:")[2]
    active = {
        found[1]
        for transaction in listed.split("---TRANSACTION ")
        if ", not started" not in transaction and (found := THREAD.search(transaction))
    }
    return [session for session in there if session[1] != "Sleep" or session[0] in active]


def end_sessions(name: str) -> None:
    """End what others have open in a database."""
    for thread, *_ in sessions(name):
        end_session(name, thread)


def end_session(name: str, thread: str | None) -> None:
    """End one of them."""
    try:
        observer(name).query(f"KILL {thread}")
    except ServerError as error:
        if error.number != NO_SUCH_THREAD:  # it has ended by itself
            raise


def empty(name: str, seconds: float = 5.0) -> None:
    """Check that nobody is connected any more (within ``seconds``) and remove what the test left in the database."""
    deadline = time.monotonic() + seconds
    while (left := sessions(name)) and time.monotonic() < deadline:
        time.sleep(0.005)
    if left:
        end_sessions(name)
    ((things,),) = observer(name).query(
        "SELECT (SELECT count(*) FROM information_schema.tables WHERE table_schema = database()) "
        "+ (SELECT count(*) FROM information_schema.routines WHERE routine_schema = database()) "
        "+ (SELECT count(*) FROM information_schema.events WHERE event_schema = database())"
    )
    if things != "0":
        full = f"{PREFIX}_{name}"
        observer(name).query(f"DROP DATABASE {full}; {CREATE.format(full)}; USE {full}")
    assert not left, f"sessions that a database still has after it was disconnected: {left}"


def drop_all() -> None:
    """Drop this process's databases; nothing happens if there are none."""
    # A child that forked from the worker inherits the exit handler, not the databases.
    if not _open or os.getpid() != OWNER:
        return
    names = list(_open)
    for name in names:
        end_sessions(name)
    while _open:
        _open.popitem()[1].close()
    with Connection(server()) as connection:
        for name in names:
            connection.query(f"DROP DATABASE {PREFIX}_{name}")
