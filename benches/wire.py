"""What a statement costs PostgreSQL, the kernel and the loop: its bytes, sent and received without looking at them.

For the comparison in phases.py. psycopg opens the connection; then Bind, Execute and Sync are made once and sent again
and again on its socket, and what comes is read until ReadyForQuery: by a blocking socket (server and kernel), and by a
protocol of the event loop (which every asynchronous driver needs in some form).
"""

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

READY = b"Z\0\0\0\5I"


class Wire(asyncio.BufferedProtocol):
    def __init__(self, place: str, sql: str, values: Sequence[Any]) -> None:
        self.connection = psycopg.connect(place, autocommit=True)
        self.socket = socket.socket(fileno=os.dup(self.connection.fileno()))
        self.socket.setblocking(True)
        self.buffer = bytearray(1 << 18)
        self.view = memoryview(self.buffer)
        self.end = b""
        self.waiter: asyncio.Future[None] | None = None
        self.transport: Any = None
        self.socket.sendall(message(b"P", b"floor\0" + sql.encode() + b"\0\0\0") + message(b"S", b""))
        self.receive()
        # Parameters as text, whose types the server knows; results in binary, as drivers ask for them.
        bound = b"".join(map(text, values))
        bind = b"\0floor\0" + struct.pack("!hh", 0, len(values)) + bound + struct.pack("!hh", 1, 1)
        self.flight = message(b"B", bind) + message(b"E", b"\0\0\0\0\0") + message(b"S", b"")

    def receive(self) -> None:
        end = b""
        while end != READY:
            size = self.socket.recv_into(self.buffer)
            if not size:
                raise ConnectionError("the server has closed the connection")
            end = (end + bytes(self.view[max(0, size - 6) : size]))[-6:]

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
        self.end = (self.end + bytes(self.view[max(0, size - 6) : size]))[-6:]
        if self.end == READY and self.waiter is not None:
            self.end = b""
            self.waiter.set_result(None)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
        self.connection.close()


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def text(value: Any) -> bytes:
    if value is None:
        return struct.pack("!i", -1)
    shown = value.isoformat(" ") if isinstance(value, datetime) else str(value)
    return struct.pack("!i", len(shown.encode())) + shown.encode()
