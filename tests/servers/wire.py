"""Just enough of PostgreSQL's protocol 3.0 to see whether a server answers, which version it is, and to run SQL.

Written apart from Oxyde's own driver on purpose: what the tests observe must not come from what they test.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import parse_qsl, unquote, urlsplit

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
CANCEL_CODE = 80877102
USUAL = {"postgres": (5432, "postgres"), "mysql": (3306, "root")}
SCHEMES = {"postgresql": "postgres", "mariadb": "mysql"}


class ServerError(Exception):
    """An ErrorResponse; ``code`` is its SQLSTATE."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"{fields.get('S', 'ERROR')} {fields.get('C', '?')}: {fields.get('M', '')}")
        self.code = fields.get("C", "")


class Ended(ConnectionError):
    """The server closed the connection."""


@dataclass(frozen=True)
class Address:
    """Where a server is, PostgreSQL or MySQL, read from a database URL."""

    host: str = "127.0.0.1"
    port: int = 5432
    user: str = "postgres"
    database: str = "postgres"
    password: str | None = None
    unix: str | None = None
    """The path of a unix socket, in place of host and port."""
    ssl_mode: str = "prefer"
    ssl_root_cert: str | None = None
    ssl_client_cert: str | None = None
    ssl_client_key: str | None = None

    @classmethod
    def of(cls, url: str) -> Address:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        kind = SCHEMES.get(parts.scheme, parts.scheme)
        usual_port, usual_user = USUAL[kind]
        port, user = parts.port or usual_port, unquote(parts.username or usual_user)
        directory, database = options.get("host", ""), unquote(parts.path.removeprefix("/"))
        unix = f"{directory}/.s.PGSQL.{port}" if directory.startswith("/") else options.get("socket")
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=port,
            user=user,
            database=database or (user if kind == "postgres" else ""),
            password=None if parts.password is None else unquote(parts.password),
            unix=unix,
            ssl_mode=options.get("ssl_mode") or options.get("sslmode") or "prefer",
            ssl_root_cert=options.get("ssl_root_cert"),
            ssl_client_cert=options.get("ssl_client_cert"),
            ssl_client_key=options.get("ssl_client_key"),
        )

    def connect(self, timeout: float = 10) -> socket.socket:
        if self.unix is None:
            return socket.create_connection((self.host, self.port), timeout)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(timeout)
        try:
            made.connect(self.unix)
        except OSError:
            made.close()
            raise
        return made

    @property
    def encrypted(self) -> bool:
        """Whether the URL asks for TLS (`prefer` does with plain text)."""
        return self.unix is None and self.ssl_mode not in ("disable", "allow", "prefer")

    def shake_hands(self, plain: socket.socket) -> ssl.SSLSocket:
        """TLS, with the server's certificate checked as the URL says."""
        context = ssl.create_default_context(cafile=self.ssl_root_cert)
        context.check_hostname = self.ssl_mode == "verify-full"
        if not self.ssl_mode.startswith("verify-"):
            context.verify_mode = ssl.CERT_NONE
        if self.ssl_client_cert is not None:
            context.load_cert_chain(self.ssl_client_cert, self.ssl_client_key)
        return context.wrap_socket(plain, server_hostname=self.host)

    def secure(self, plain: socket.socket) -> socket.socket:
        """As the URL asks for it: PostgreSQL wants to be asked first."""
        if not self.encrypted:
            return plain
        plain.sendall(SSL_REQUEST)
        answer = plain.recv(1)
        if answer != b"S":
            raise Ended(f"the server answered {answer!r} to the request for TLS")
        return self.shake_hands(plain)


class Connection:
    """A connection on which one thing happens after the other."""

    def __init__(self, url: str, timeout: float = 30) -> None:
        self.address = Address.of(url)
        self.parameters: dict[str, str] = {}
        self.pid = self.key = 0
        plain = self.address.connect(timeout)
        self.socket = plain
        try:
            self.socket = self.address.secure(plain)
            self._start()
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye if the other side still listens."""
        try:
            self.socket.sendall(b"X\0\0\0\x04")
        except OSError:
            pass
        finally:
            self.socket.close()

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of the last statement, every value as the text that the server sent."""
        self.send(b"Q", sql.encode() + b"\0")
        rows: list[tuple[str | None, ...]] = []
        failure = None
        for kind, body in self.messages():
            if kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(tuple(_columns(body)))
            elif kind == b"E":
                failure = ServerError(_fields(body))
            elif kind == b"Z":
                break
        if failure is not None:
            raise failure
        return rows

    def cancel(self) -> None:
        """Ask the server, on a connection of its own, to stop what this one runs."""
        other = self.address.connect()
        try:
            other = self.address.secure(other)
            other.sendall(struct.pack("!iiii", 16, CANCEL_CODE, self.pid, self.key))
            other.recv(1)
        finally:
            other.close()

    def send(self, kind: bytes, body: bytes) -> None:
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            head = self._exactly(5)
            yield head[:1], self._exactly(struct.unpack("!i", head[1:])[0] - 4)

    def _exactly(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            piece = self.socket.recv(length - len(found))
            if not piece:
                raise Ended("the server closed the connection")
            found += piece
        return found

    def _start(self) -> None:
        pairs = ("user", self.address.user, "database", self.address.database, "client_encoding", "UTF8")
        body = struct.pack("!i", 196608) + "\0".join(pairs).encode() + b"\0\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        scram = _Scram(self.address.password or "")
        for kind, body in self.messages():
            if kind == b"R":
                self._authenticate(struct.unpack("!i", body[:4])[0], body[4:], scram)
            elif kind == b"S":
                name, value, _ = body.decode().split("\0")
                self.parameters[name] = value
            elif kind == b"K":
                self.pid, self.key = struct.unpack("!ii", body[:8])
            elif kind == b"E":
                raise ServerError(_fields(body))
            elif kind == b"Z":
                return

    def _authenticate(self, request: int, body: bytes, scram: _Scram) -> None:
        password = (self.address.password or "").encode()
        if request == 3:
            self.send(b"p", password + b"\0")
        elif request == 5:
            inner = hashlib.md5(password + self.address.user.encode()).hexdigest().encode()
            self.send(b"p", b"md5" + hashlib.md5(inner + body).hexdigest().encode() + b"\0")
        elif request == 10:
            first = scram.first()
            self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        elif request == 11:
            self.send(b"p", scram.final(body))
        elif request not in (0, 12):
            raise Ended(f"the server asks for authentication method {request}, which this client does not know")


class _Scram:
    """The client's half of SCRAM-SHA-256; it trusts the server, as tests may."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._bare = f"n=,r={base64.b64encode(os.urandom(18)).decode()}"

    def first(self) -> bytes:
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        given = dict(part.split("=", 1) for part in challenge.decode().split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), base64.b64decode(given["s"]), int(given["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        closing = f"c=biws,r={given['r']}"
        signed = f"{self._bare},{challenge.decode()},{closing}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return f"{closing},p={base64.b64encode(proof).decode()}".encode()


def _fields(body: bytes) -> dict[str, str]:
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def _columns(body: bytes) -> Iterator[str | None]:
    at = 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        (length,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        yield None if length < 0 else body[at : at + length].decode()
        at += max(length, 0)


def version(url: str) -> str:
    """What the server at this URL calls itself: `PostgreSQL 18.6`."""
    with Connection(url) as connection:
        return f"PostgreSQL {connection.parameters.get('server_version', 'of an unknown version')}"
