"""The process behind ``tls.TLSFront``: answers the request for TLS, then forwards bytes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import struct
import warnings
from functools import partial
from typing import Any

from .child import serve
from .wire import CANCEL_CODE

SSL_CODE, GSS_CODE = 80877103, 80877104
ANSWERS = {"refused": b"N", "garbage": b"?", "injected": b"SR\0\0\0\x08\0\0\0\0"}
SILENCE = 30


class Front:
    def __init__(self) -> None:
        self.target: dict[str, Any] = {}
        self.folder = ""
        self.contexts: dict[str, ssl.SSLContext] = {}
        self.servers: list[asyncio.Server] = []
        self.counts = {"plain": 0, "encrypted": 0, "failed": 0, "cancelled": 0}

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "stats":
            return dict(self.counts)
        self.target, self.folder = command["target"], command["folder"]
        ports = {}
        for case in command["cases"]:
            self.contexts[case] = context(case, command["files"])
            server = await asyncio.start_server(partial(self.accept, case), "127.0.0.1", 0)
            self.servers.append(server)
            ports[case] = server.sockets[0].getsockname()[1]
        return {"ports": ports}

    async def accept(self, case: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Errors of the network are what these connections are for.
        with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
            try:
                await self.negotiate(case, reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async def negotiate(self, case: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted = False
        while True:
            first = await asyncio.wait_for(reader.readexactly(8), SILENCE)
            code = struct.unpack("!ii", first)[1]
            if code == GSS_CODE:
                writer.write(b"N")
            elif code == SSL_CODE and not encrypted:
                if case == "closed":
                    return
                writer.write(ANSWERS.get(case, b"S"))
                if case == "refused":
                    continue
                try:
                    await asyncio.wait_for(writer.start_tls(self.contexts[case]), SILENCE)
                except (TimeoutError, OSError):
                    self.counts["failed"] += 1
                    raise
                encrypted = True
            elif case == "required" and not encrypted:
                return
            else:
                kind = "cancelled" if code == CANCEL_CODE else "encrypted" if encrypted else "plain"
                self.counts[kind] += 1
                await self.forward(first, reader, writer)
                return

    async def forward(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if unix := self.target.get("socket"):
            server_reader, server_writer = await asyncio.open_unix_connection(unix)
        else:
            server_reader, server_writer = await asyncio.open_connection(self.target["host"], self.target["port"])
        try:
            server_writer.write(first)
            pumps = {
                asyncio.create_task(pump(reader, server_writer)),
                asyncio.create_task(pump(server_reader, writer)),
            }
            # TLS has no half-closed connections: one end is the end of both.
            _, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.wait(pumps)
        finally:
            server_writer.close()
            with contextlib.suppress(OSError):
                await server_writer.wait_closed()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()


def context(case: str, files: dict[str, str]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.get(case, files["server"]))
    if case == "client_cert":
        made.load_verify_locations(files["ca"])
        made.verify_mode = ssl.CERT_REQUIRED
    if case == "old":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made.set_ciphers("ALL:@SECLEVEL=0")
            made.minimum_version = ssl.TLSVersion.TLSv1
            made.maximum_version = ssl.TLSVersion.TLSv1_1
    return made


async def main() -> None:
    front = Front()
    # A client that refuses a certificate, or hangs up, is not an error here.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    try:
        await serve(front.handle)
    finally:
        shutil.rmtree(front.folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
