"""Stand-ins for what the compiled core hands to the connect procedures, and certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import trustme

from oxyde_core._connect import Place


class Line(asyncio.Protocol):
    """Collects what the server says; its end counts as an answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_result(b"- the server closed the connection\n")


class Opening:
    """Stands for a link of the compiled core: says hello, and takes ``ok`` or ``SQLSTATE words`` for an answer."""

    def __init__(self) -> None:
        self.password: str | bytes | None = None
        self.transport: Any = None
        self.place: Place | None = None
        self.encrypted: bool | None = None
        self.secure: bool | None = None
        self.attributes_ = (False, False)
        self.greetings: list[bytes] = []
        self.ended: list[str] = []
        self.message = ""
        self.hint: str | None = None
        self.refused = False

    def protocol(self) -> Line:
        return Line()

    def set_password(self, password: str | bytes | None) -> None:
        self.password = password

    def tls_request(self, greeting: bytes) -> bytes | None:
        raise AssertionError("this server does not greet")

    async def start(
        self,
        protocol: Any,
        transport: Any,
        sock: socket.socket,
        place: Place,
        encrypted: bool,
        secure: bool,
        greeting: bytes,
    ) -> tuple[str | None, str] | None:
        self.transport, self.place, self.encrypted, self.secure = transport, place, encrypted, secure
        self.greetings.append(greeting)
        assert transport.get_extra_info("socket").fileno() == sock.fileno()
        transport.write(b"hello\n")
        answer = (await protocol.answer).decode().strip()
        if answer.startswith("ok"):
            self.attributes_ = ("read-only" in answer, "standby" in answer)
            return None
        state, _, words = answer.partition(" ")
        return (None if state == "-" else state, words)

    def attributes(self) -> tuple[bool, bool]:
        return self.attributes_

    def give_up(self, protocol: Any) -> None:
        self.ended.append("given up")

    def abandoned(self) -> None:
        self.ended.append("abandoned")

    def ready(self) -> None:
        self.ended.append("ready")

    def failed(self, message: str, hint: str | None = None, refused: bool = False) -> None:
        self.ended.append("failed")
        self.message, self.hint, self.refused = message, hint, refused

    async def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()
            await asyncio.sleep(0)


class Authority:
    def __init__(self, directory: Path) -> None:
        authority, self.other = trustme.CA(), trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)
        authority.configure_trust(self.context)
        self.root = str(directory / "root.crt")
        authority.cert_pem.write_to_path(self.root)
        self.wrong = str(directory / "wrong.crt")
        self.other.cert_pem.write_to_path(self.wrong)
        mine = authority.issue_cert("client@example.org")
        self.cert, self.key = str(directory / "client.crt"), str(directory / "client.key")
        mine.cert_chain_pems[0].write_to_path(self.cert)
        mine.private_key_pem.write_to_path(self.key)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
