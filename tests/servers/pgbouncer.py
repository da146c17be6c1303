"""PgBouncer in transaction mode in front of a server: the program is the machine's own (Debian: ``pgbouncer``).

::

    with named_in_the_summary(), PgBouncer(server.url()) as bouncer:
        bouncer.url
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from . import unprivileged, wire
from .guard import Guard
from .postgres import environment, free_port
from .unavailable import Unavailable

PATIENCE = 60.0
SETTINGS = {
    "pool_mode": "transaction",
    "listen_addr": "127.0.0.1",
    "auth_type": "trust",
    "max_client_conn": "1000",
    "default_pool_size": "10",
    "server_idle_timeout": "60",
    "logfile": "",
    "pidfile": "",
}


def program() -> str:
    """Where PgBouncer is. It belongs to the administrator's programs, which are not on everybody's PATH."""
    if found := shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin"):
        return found
    raise Unavailable("PgBouncer: the program `pgbouncer` is not on this machine (on Debian: apt install pgbouncer)")


def version() -> str:
    """`PgBouncer 1.18.0`"""
    return subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


class PgBouncer:
    """Raises `Unavailable` where the program is missing. ``settings`` go to its configuration."""

    def __init__(self, target: str, settings: Mapping[str, str] | None = None) -> None:
        self._target = target
        self._address = wire.Address.of(target)
        self._settings = {**SETTINGS, **(settings or {})}

    def __enter__(self) -> PgBouncer:
        executable = program()
        self._guard = Guard()
        try:
            self.directory = unprivileged.directory("oxyde-pgb-")
            self._guard.directory(self.directory)
            self.port = free_port()
            self._configure()
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    [executable, self.directory / "pgbouncer.ini"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(),
                    **unprivileged.popen_options(),
                )
            self._guard.process(self._process.pid)
            self._wait()
        except BaseException:
            self._guard.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            # PgBouncer's immediate shutdown; SIGINT would wait for its clients.
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._guard.ended(self._process.pid)
        finally:
            self._guard.close()

    @property
    def url(self) -> str:
        """The target's URL through PgBouncer."""
        return self.of(self._target)

    def of(self, target: str) -> str:
        """Another database of the same server through PgBouncer."""
        parts = urlsplit(target)
        user = parts.netloc.rpartition("@")[0] or self._address.user
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self.port}", query=""))

    def admin(self, command: str) -> list[tuple[str | None, ...]]:
        """A command of the console (`SHOW POOLS`)."""
        with wire.Connection(self.of("postgres://pgbouncer@localhost/pgbouncer")) as console:
            return console.query(command)

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def _configure(self) -> None:
        address = self._address
        # The server's directory for a unix socket, which PgBouncer takes in place of a host.
        host = address.unix.rpartition("/")[0] if address.unix else address.host
        users = {address.user: address.password or "", "pgbouncer": ""}
        quoted = [(name.replace('"', '""'), secret.replace('"', '""')) for name, secret in users.items()]
        (self.directory / "users.txt").write_text("".join(f'"{name}" "{secret}"\n' for name, secret in quoted))
        settings = self._settings | {
            "listen_port": str(self.port),
            "unix_socket_dir": str(self.directory),
            "auth_file": str(self.directory / "users.txt"),
            "admin_users": "pgbouncer",
        }
        lines = [f"* = host={host} port={address.port}", "[pgbouncer]", *(f"{k} = {v}" for k, v in settings.items())]
        (self.directory / "pgbouncer.ini").write_text("\n".join(["[databases]", *lines, ""]))
        for name in ("users.txt", "pgbouncer.ini"):
            (self.directory / name).chmod(0o600)
            unprivileged.give(self.directory / name)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.admin("SHOW VERSION")
                return
            except (OSError, wire.ServerError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PgBouncer did not start\n{self.log.read_text()}") from error
                time.sleep(0.02)
