"""Just enough of the protocol of MySQL and MariaDB to see whether a server answers, which one it is, and to run SQL.

Written apart from Oxyde's own session on purpose: what the tests observe must not come from what they test.
"""

from __future__ import annotations

import hashlib
import ssl
import struct
from collections.abc import Iterator
from types import TracebackType

from .wire import Address, Ended

LONG_PASSWORD, FOUND_ROWS, WITH_DATABASE, PROTOCOL_41, TLS = 1, 2, 8, 0x200, 0x800
TRANSACTIONS, SECURE_CONNECTION, MULTI_STATEMENTS, MULTI_RESULTS, PLUGIN_AUTH = (
    0x2000,
    0x8000,
    1 << 16,
    1 << 17,
    1 << 19,
)
WANTED = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION
WANTED |= MULTI_STATEMENTS | MULTI_RESULTS | PLUGIN_AUTH
MORE_RESULTS = 8
UTF8MB4 = 45
LONGEST = 0xFFFFFF


class ServerError(Exception):
    """An ERR packet: ``number`` is the server's own code, ``code`` the SQLSTATE."""

    def __init__(self, body: bytes) -> None:
        self.number = struct.unpack_from("<H", body, 1)[0]
        self.code, text = (body[4:9].decode(), body[9:]) if body[3:4] == b"#" else ("", body[3:])
        super().__init__(f"{self.number} ({self.code}): {text.decode(errors='replace')}")


class Connection:
    """A connection on which one thing happens after the other."""

    def __init__(self, url: str, timeout: float = 30) -> None:
        self.url = url
        self.address = Address.of(url)
        self.version = ""
        self.id = 0
        self._sequence = 0
        self.socket = self.address.connect(timeout)
        try:
            self._login()
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
            self.command(b"\x01")
        except OSError:
            pass
        finally:
            self.socket.close()

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of the last statement, every value as the text that the server sent (bytes: as Latin-1)."""
        self.command(b"\x03" + sql.encode())
        rows: list[tuple[str | None, ...]] = []
        more = True
        while more:
            rows, more = self.result()
        return rows

    def cancel(self) -> None:
        """Ask the server, on a connection of its own, to stop what this one runs."""
        with Connection(self.url) as other:
            other.query(f"KILL QUERY {self.id}")

    def command(self, body: bytes) -> None:
        self._sequence = 0
        self._send(body)

    # ---------------------------------------------------------------------------------------------------------- results

    def result(self) -> tuple[list[tuple[str | None, ...]], bool]:
        """The rows of one statement, and whether another's result follows."""
        first = self._packet()
        if first[0] == 0:
            _, at = _length(first, 1)
            _, at = _length(first, at)
            return [], bool(struct.unpack_from("<H", first, at)[0] & MORE_RESULTS)
        columns, _ = _length(first, 0)
        for _ in range(columns + 1):  # their definitions, and what ends these
            self._packet()
        rows = []
        while True:
            packet = self._packet()
            if packet[0] == 0xFE and len(packet) < 9:
                return rows, bool(struct.unpack_from("<H", packet, 3)[0] & MORE_RESULTS)
            rows.append(tuple(_values(packet)))

    def _packet(self) -> bytes:
        body = b""
        while True:
            head = self._exactly(4)
            length = int.from_bytes(head[:3], "little")
            self._sequence = head[3] + 1 & 0xFF
            body += self._exactly(length)
            if length < LONGEST:
                break
        if body[:1] == b"\xff":
            raise ServerError(body)
        return body

    def _send(self, body: bytes) -> None:
        assert len(body) < LONGEST
        self.socket.sendall(len(body).to_bytes(3, "little") + bytes([self._sequence]) + body)
        self._sequence = self._sequence + 1 & 0xFF

    def _exactly(self, length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            piece = self.socket.recv(length - len(found))
            if not piece:
                raise Ended("the server closed the connection")
            found += piece
        return bytes(found)

    # ------------------------------------------------------------------------------------------------------------ login

    def _login(self) -> None:
        greeting = self._packet()
        end = greeting.index(0, 1)
        self.version = greeting[1:end].decode().removeprefix("5.5.5-")
        self.id = struct.unpack_from("<I", greeting, end + 1)[0]
        offered = struct.unpack_from("<H", greeting, end + 14)[0]
        nonce = greeting[end + 5 : end + 13] + greeting[end + 32 : end + 44]
        plugin = greeting[end + 45 :].rstrip(b"\0").decode()
        wanted = WANTED | (WITH_DATABASE if self.address.database else 0)
        if self._wants_tls(bool(offered & TLS)):
            wanted |= TLS
            self._send(struct.pack("<IIB23x", wanted, LONGEST + 1, UTF8MB4))
            self.socket = self.address.shake_hands(self.socket)
        proof = self._proof(plugin, nonce)
        database = self.address.database.encode() + b"\0" if self.address.database else b""
        names = self.address.user.encode() + b"\0" + bytes([len(proof)]) + proof + database + plugin.encode() + b"\0"
        self._send(struct.pack("<IIB23x", wanted, LONGEST + 1, UTF8MB4) + names)
        while (packet := self._packet())[0] != 0:
            if packet[0] == 0xFE:  # another way than the greeting's
                name, _, nonce = packet[1:].partition(b"\0")
                self._send(self._proof(name.decode(), nonce[:20]))
            elif packet == b"\x01\x04":
                if not isinstance(self.socket, ssl.SSLSocket) and self.address.unix is None:
                    raise Ended("the server wants the password itself, and the connection is neither TLS nor a socket")
                self._send(self._secret + b"\0")
            elif packet != b"\x01\x03":
                raise Ended(f"the server sent {packet[:20]!r} during the login")

    def _wants_tls(self, offered: bool) -> bool:
        # `prefer`: a password that the server does not remember yet has to go to it in plain text.
        wanted = self.address.ssl_mode == "prefer" and self._secret and self.address.unix is None
        return self.address.encrypted or bool(wanted and offered)

    @property
    def _secret(self) -> bytes:
        return (self.address.password or "").encode()

    def _proof(self, plugin: str, nonce: bytes) -> bytes:
        if plugin not in ("mysql_native_password", "caching_sha2_password"):
            raise Ended(f"the server asks for {plugin}, which this client does not know")
        if not self._secret:
            return b""
        if plugin == "mysql_native_password":
            once = hashlib.sha1(self._secret).digest()
            return _xor(once, hashlib.sha1(nonce + hashlib.sha1(once).digest()).digest())
        once = hashlib.sha256(self._secret).digest()
        return _xor(once, hashlib.sha256(hashlib.sha256(once).digest() + nonce).digest())


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _length(packet: bytes, at: int) -> tuple[int, int]:
    """A length-encoded number, and where it ends."""
    first = packet[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(packet[at + 1 : at + 1 + size], "little"), at + 1 + size


def _values(packet: bytes) -> Iterator[str | None]:
    at = 0
    while at < len(packet):
        if packet[at] == 0xFB:
            at += 1
            yield None
            continue
        length, at = _length(packet, at)
        value = packet[at : at + length]
        at += length
        try:
            yield value.decode()
        except UnicodeDecodeError:
            yield value.decode("latin-1")


def flavour(version: str) -> str:
    """Whose server this version is."""
    return "mariadb" if "MariaDB" in version else "mysql"


def version(url: str) -> str:
    """What the server at this URL is: `MySQL 8.4.7`, `MariaDB 10.11.6`."""
    with Connection(url) as connection:
        name = {"mariadb": "MariaDB", "mysql": "MySQL"}[flavour(connection.version)]
        return f"{name} {connection.version.partition('-')[0]}"
