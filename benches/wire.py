"""What a statement costs the server, the kernel and the loop: its bytes, sent and received without looking at them.

For the comparison in phases.py. A driver opens the connection and the statement is prepared; then the bytes that
execute it are made once and sent again and again on the driver's socket, and what comes is read to its end: by a
blocking socket (server and kernel), and by a protocol of the event loop (which every asynchronous driver needs in some
form).
"""

import asyncio
import os
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any

READY = b"Z\0\0\0\5I"


class Wire(asyncio.BufferedProtocol, ABC):
    flight: bytes

    def __init__(self, connection: Any, number: int) -> None:
        self.connection = connection
        self.socket = socket.socket(fileno=os.dup(number))
        self.socket.setblocking(True)
        self.buffer = bytearray(1 << 18)
        self.view = memoryview(self.buffer)
        self.waiter: asyncio.Future[None] | None = None
        self.transport: Any = None

    @abstractmethod
    def ended(self, size: int) -> bool:
        """Whether the answer ends with what is in the first so many bytes of the buffer; then forgets it."""

    def receive(self) -> None:
        while True:
            size = self.socket.recv_into(self.buffer)
            if not size:
                raise ConnectionError("the server has closed the connection")
            if self.ended(size):
                return

    async def blocking(self) -> None:
        self.socket.sendall(self.flight)
        self.receive()

    async def start(self) -> None:
        self.socket.setblocking(False)
        self.transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=self.socket)

    async def asynchronous(self) -> None:
        self.waiter = waiter = asyncio.get_running_loop().create_future()
        self.transport.write(self.flight)
        await waiter

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, size: int) -> None:
        if self.ended(size) and self.waiter is not None:
            self.waiter.set_result(None)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
        self.connection.close()


class Postgres(Wire):
    """Bind, Execute and Sync; the answer ends with ReadyForQuery."""

    def __init__(self, place: str, sql: str, values: Sequence[Any]) -> None:
        import psycopg

        connection = psycopg.connect(place, autocommit=True)
        super().__init__(connection, connection.fileno())
        self.end = b""
        self.socket.sendall(message(b"P", b"floor\0" + sql.encode() + b"\0\0\0") + message(b"S", b""))
        self.receive()
        # Parameters as text, whose types the server knows; results in binary, as drivers ask for them.
        bound = b"".join(map(text, values))
        bind = b"\0floor\0" + struct.pack("!hh", 0, len(values)) + bound + struct.pack("!hh", 1, 1)
        self.flight = message(b"B", bind) + message(b"E", b"\0\0\0\0\0") + message(b"S", b"")

    def ended(self, size: int) -> bool:
        self.end = (self.end + bytes(self.view[max(0, size - 6) : size]))[-6:]
        if self.end != READY:
            return False
        self.end = b""
        return True


class Mysql(Wire):
    """COM_STMT_EXECUTE. Rows end where they ended the first time; an OK says how long it is."""

    def __init__(self, place: str, sql: str, values: Sequence[Any]) -> None:
        from databases.mysql import connect

        connection = connect(place)
        super().__init__(connection, connection._sock.fileno())
        self.reader = self.socket.makefile("rb", buffering=0)
        self.socket.sendall(packet(b"\x16" + sql.encode()))
        prepared = self.packet()
        number, columns, parameters = struct.unpack_from("<IHH", prepared, 1)
        for _ in range(columns + bool(columns) + parameters + bool(parameters)):
            self.packet()
        bound = [binary(value) for value in values]
        nulls = sum(1 << n for n, (kind, _) in enumerate(bound) if kind == NULL)
        types = b"".join(struct.pack("<H", kind) for kind, _ in bound)
        told = nulls.to_bytes((len(bound) + 7) // 8, "little") + b"\x01" + types + b"".join(body for _, body in bound)
        self.flight = packet(b"\x17" + struct.pack("<IBI", number, 0, 1) + (told if bound else b""))
        self.received, self.length = 0, 0
        self.socket.sendall(self.flight)
        self.rows = self.measure()

    def ended(self, size: int) -> bool:
        if not self.received:
            self.length = self.rows or 4 + int.from_bytes(self.view[:3], "little")
        self.received += size
        if self.received < self.length:
            return False
        self.received = 0
        return True

    def packet(self) -> bytes:
        head = self.exactly(4)
        return self.exactly(int.from_bytes(head[:3], "little"))

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            if not (piece := self.reader.read(size - len(found))):
                raise ConnectionError("the server has closed the connection")
            found += piece
        return found

    def measure(self) -> int:
        """The bytes of a result with rows, 0 of one without."""
        first = self.packet()
        if first[0] in (0, 0xFF):
            return 0
        size, ends = 4 + len(first), 0
        while ends < 2:
            body = self.packet()
            size += 4 + len(body)
            ends += body[0] == 0xFE and len(body) < 9
        return size


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def text(value: Any) -> bytes:
    if value is None:
        return struct.pack("!i", -1)
    shown = value.isoformat(" ") if isinstance(value, datetime) else str(value)
    return struct.pack("!i", len(shown.encode())) + shown.encode()


def packet(body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + b"\0" + body


DOUBLE, NULL, LONGLONG, STRING = 5, 6, 8, 0xFD


def binary(value: Any) -> tuple[int, bytes]:
    """A parameter's type and bytes."""
    if value is None:
        return NULL, b""
    if isinstance(value, int):
        return LONGLONG, struct.pack("<q", value)
    if isinstance(value, float):
        return DOUBLE, struct.pack("<d", value)
    shown = (value.isoformat(" ") if isinstance(value, datetime) else str(value)).encode()
    length = bytes([len(shown)]) if len(shown) < 0xFB else b"\xfc" + struct.pack("<H", len(shown))
    return STRING, length + shown
