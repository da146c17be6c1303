"""A private MySQL or MariaDB: no system server, no root, nothing left behind.

The programs are the machine's own, or Oracle MySQL unpacked without installing it (``mysql_programs``). The server
listens on a free port of 127.0.0.1 and on a unix socket, lets in root without a password, and trades durability for
speed: what it has acknowledged outlives the server, not the machine.

::

    with MySQLServer({"max_allowed_packet": "1M"}, flavour="mariadb") as server:
        server.url("mysql"), server.socket_url("mysql")
        server.restart()      # and stop, start, kill (SIGKILL), pause, resume

    with MySQLServer(tls=True) as server:
        server.tls_url(), server.certificates

    python -m tests.servers.mysql run [--flavour mariadb] -- COMMAND
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from . import mysql_wire as wire
from .guard import Guard
from .mysql_programs import TITLES, cache, find
from .postgres import free_port
from .unavailable import Unavailable

if TYPE_CHECKING:
    from .certificates import Certificates

PATIENCE = 60.0
BOTH = {
    "bind_address": "127.0.0.1",
    "max_connections": "200",
    "innodb_buffer_pool_size": "64M",
    # To the system at every commit, to the disk never.
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_flush_method": "nosync",
    "innodb_doublewrite": "OFF",
}
SETTINGS = {
    "mysql": BOTH | {"log_bin": "OFF", "innodb_redo_log_capacity": "64M", "mysqlx": "OFF"},
    "mariadb": BOTH | {"innodb_log_file_size": "32M"},
}
# What a data directory keeps from its making.
LASTING = ("lower_case_table_names", "innodb_page_size", "innodb_data_file_path")
# Files of a new data directory that would otherwise be a hundred megabytes.
SMALL = {
    "mysql": {"innodb_redo_log_capacity": "16M", "innodb_autoextend_increment": "1"},
    "mariadb": {"innodb_log_file_size": "8M"},
}
STARTING_UP = 1053


class MySQLServer:
    """One server with its data directory. The block of the context manager is its life."""

    def __init__(self, settings: Mapping[str, str] | None = None, *, flavour: str = "mysql", tls: bool = False) -> None:
        """``settings`` are options of the server; ``tls`` gives it a certificate that clients can check."""
        self.flavour = flavour
        self._settings = {**SETTINGS[flavour], **(settings or {})}
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MySQLServer:
        self._program = find(self.flavour)
        self._guard = Guard()
        try:
            # Short, for the 107 bytes of a unix socket's path.
            parent = tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"
            self.directory = Path(tempfile.mkdtemp(prefix="oxyde-my-", dir=parent)).resolve()
            self.directory.chmod(0o755)
            self._guard.directory(self.directory)
            self._create()
            self.port = 0
            self.start()
        except BaseException:
            self._guard.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            # Nobody will read its data again.
            self.kill()
        finally:
            self._guard.close()

    # ------------------------------------------------------------------------------------------------------- addresses

    def url(self, database: str = "mysql", *, user: str = "root", password: str = "", **options: str) -> str:
        """``mysql://…``, or ``mariadb://…`` for MariaDB."""
        secret = f":{quote(password, safe='')}" if password else ""
        query = f"?{urlencode(options, safe='/')}" if options else ""
        place = f"{quote(user, safe='')}{secret}@127.0.0.1:{self.port}"
        return f"{self.flavour}://{place}/{quote(database, safe='')}{query}"

    def socket_url(self, database: str = "mysql", *, user: str = "root", password: str = "") -> str:
        """The same through the unix socket."""
        return self.url(database, user=user, password=password, socket=str(self.socket))

    def tls_url(self, database: str = "mysql", *, user: str = "root", password: str = "") -> str:
        """The same through TLS, with the certificate checked in full (a server that was made with ``tls``)."""
        ca = str(self.certificates.ca)
        return self.url(database, user=user, password=password, ssl_mode="verify-full", ssl_root_cert=ca)

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    @property
    def version(self) -> str:
        return wire.version(self.url())

    def query(self, sql: str, database: str = "mysql") -> list[tuple[str | None, ...]]:
        """Run SQL from outside, as root; every value comes as text."""
        with wire.Connection(self.socket_url(database)) as connection:
            return connection.query(sql)

    # --------------------------------------------------------------------------------------------------- life and death

    def start(self) -> None:
        """Start, or start again on the same port with the same data, and wait until it answers."""
        assert self._process is None, "the server runs already"
        again = self.port != 0
        deadline = time.monotonic() + PATIENCE
        while True:
            self.port = self.port if again else free_port()
            # A reader of the log wants to see this start, not the one before.
            self.log.unlink(missing_ok=True)
            settings = self._settings | {"port": str(self.port), "socket": str(self.socket)}
            self._process = self._spawn(settings | {"pid_file": str(self.directory / "pid")})
            self._guard.process(self._process.pid)
            while self._process.poll() is None:
                if self.answers():
                    return
                if time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"{self._title} did not answer within {PATIENCE:.0f} s\n{self.tail()}")
                time.sleep(0.02)
            self._reaped()
            # The port was taken meanwhile.
            if time.monotonic() > deadline or "Address already in use" not in self.tail():
                raise RuntimeError(f"{self._title} did not start\n{self.tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Orderly shutdown: open transactions are rolled back. Nothing to do if it does not run."""
        if (process := self._process) is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.resume()
            process.send_signal(number)
            try:
                process.wait(PATIENCE / 2)
            except subprocess.TimeoutExpired:
                continue
            break
        self._reaped()

    def kill(self) -> None:
        """SIGKILL: clients see their sockets closed without a word, and the next start recovers."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reaped()

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: sockets stay open, nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            if hasattr(os, "waitid"):  # on a busy machine a thread of it may answer for a moment
                os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether a connection gets as far as authentication."""
        try:
            with wire.Connection(self.url(), timeout=PATIENCE):
                return True
        except wire.ServerError as error:
            return error.number != STARTING_UP
        except OSError:
            return False

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def tail(self, lines: int = 30) -> str:
        """The end of the server's log."""
        if not self.log.exists():
            return ""
        with self.log.open(errors="replace") as file:
            return "".join(deque(file, lines))

    # ----------------------------------------------------------------------------------------------------------- inside

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _title(self) -> str:
        return TITLES[self.flavour]

    def _create(self) -> None:
        if self._tls:
            from .certificates import Certificates  # `describe` does with the standard library

            (folder := self.directory / "certificates").mkdir()
            self.certificates: Certificates = Certificates.create(folder, "root")
            server = str(self.certificates.server)
            self._settings |= {"ssl_ca": str(self.certificates.ca), "ssl_cert": server, "ssl_key": server}
        lasting = {name: self._settings[name] for name in LASTING if name in self._settings}
        if lasting:
            self._initialise(self._data, lasting)
        else:
            # Seconds of work that are the same every time.
            shutil.copytree(self._template(), self._data)

    def _template(self) -> Path:
        """A data directory that has just been made, kept in the user's cache."""
        version = ".".join(map(str, self._program.version))
        kept = cache() / f"data-{self.flavour}-{version}"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent, prefix="making-") as folder:
                self._initialise(Path(folder, "data"), {})
                with contextlib.suppress(OSError):  # another process was faster
                    Path(folder, "data").rename(kept)
        return kept

    def _initialise(self, data: Path, settings: Mapping[str, str]) -> None:
        command = self._maker(self._arguments(data, SMALL[self.flavour] | dict(settings)))
        # MariaDB's script has been seen to fail once in some hundred runs on a busy machine.
        for _ in range(2):
            shutil.rmtree(data, ignore_errors=True)
            with self.log.open("ab") as log:
                done = subprocess.run(command, stdout=log, stderr=log, env=environment(), check=False)
            if not done.returncode:
                return
        raise RuntimeError(f"{self._title} could not make its data directory\n{self.tail(100)}")

    def _maker(self, arguments: list[str]) -> list[str]:
        if self.flavour == "mysql":
            return [
                *self._program.command,
                "--no-defaults",
                *self._program.options,
                "--initialize-insecure",
                *arguments,
            ]
        names = ("mariadb-install-db", "mysql_install_db")
        beside = Path(self._program.command[-1]).parent
        folders = (*os.environ.get("PATH", "").split(os.pathsep), beside, beside.with_name("bin"), "/usr/bin")
        found = (path for name in names if (path := shutil.which(name, path=os.pathsep.join(map(str, folders)))))
        if (script := next(found, None)) is None:
            raise Unavailable(f"MariaDB: its {names[0]} is not on this machine")
        return [script, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", *arguments]

    def _spawn(self, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        own = ("--no-defaults", *self._program.options)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._program.command, *own, *self._arguments(self._data, settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd="/",
                start_new_session=True,
            )

    def _arguments(self, data: Path, settings: Mapping[str, str]) -> list[str]:
        # MariaDB clears its folder for temporary tables as it starts, also of those of other servers.
        always = {"datadir": str(data), "tmpdir": str(self.directory)}
        if os.name == "posix" and os.geteuid() == 0:  # it does not run as root unless told to
            always["user"] = "root"
        return [f"--{name}={value}" for name, value in (always | dict(settings)).items()]

    def _reaped(self) -> None:
        assert self._process is not None
        self._guard.ended(self._process.pid)
        self._process = None


def environment() -> dict[str, str]:
    """The caller's variables without those that would change how the programs behave."""
    leaks = ("MYSQL_", "MARIADB_", "LC_", "LANG")
    return {key: value for key, value in os.environ.items() if not key.startswith(leaks)} | {"LC_ALL": "C"}


if __name__ == "__main__":
    from tests.servers.commands import MYSQL, main

    sys.exit(main(MYSQL))
