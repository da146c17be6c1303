"""A transaction that does not begin: what was to hold for it alone holds for no other."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from oxyde import AsyncConnection, OxydeError, atomic

from .harness import Where, on
from .programs.common import Account, database_at

pytestmark = on("mysql")

LEVEL = (
    "SELECT trx_isolation_level AS level FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()"
)
INTERRUPTED = b"\xff" + (1317).to_bytes(2, "little") + b"#70100Query execution was interrupted"
"""What a server says to a statement that somebody has stopped."""


class Interrupting:
    """Passes everything on, but for START TRANSACTION while it is `armed`: that is interrupted."""

    def __init__(self, url: str) -> None:
        self.parts = urlsplit(url)
        self.armed = False
        self.links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Interrupting:
        server = self.server = await asyncio.start_server(self.link, "127.0.0.1", 0)
        user = self.parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.url = urlunsplit(self.parts._replace(netloc=netloc))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in list(self.links):
            task.cancel()
        await asyncio.gather(*self.links, return_exceptions=True)

    async def link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.links.add(task)
        task.add_done_callback(self.links.discard)
        there, back = await asyncio.open_connection(self.parts.hostname, self.parts.port)
        answers = asyncio.create_task(self.copy(there, writer))
        try:
            while True:
                head = await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(head[:3], "little"))
                if self.armed and head[3] == 0 and body.startswith(b"\x03START TRANSACTION"):
                    self.armed = False
                    # The answer to what was sent in front of it comes first.
                    await asyncio.sleep(0.1)
                    writer.write(len(INTERRUPTED).to_bytes(3, "little") + b"\x01" + INTERRUPTED)
                else:
                    back.write(head + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            answers.cancel()
            for stream in (back, writer):
                stream.close()

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 20):
                writer.write(piece)


async def level(conn: AsyncConnection) -> Any:
    """Of a transaction that has done something."""
    async with atomic(connection=conn):
        await Account.objects.filter(id=1).update(balance=5)
        # The server's list of transactions is a copy that is made anew only when nobody has looked for 0.1 s.
        await asyncio.sleep(0.15)
        ((row),) = await conn.fetch(LEVEL)
        return row["level"]


async def test_an_isolation_level_ends_with_its_transaction(opened: Any, where: Where) -> None:
    await (await opened(accounts=3)).disconnect()
    async with Interrupting(where.url) as relay:
        database = database_at(relay.url, ssl_mode="disable", max_connections=1)
        async with database:
            async with database.connection() as conn:
                await conn.execute("SET @kept = 1")
                usual = await level(conn)
                async with atomic(connection=conn, isolation="serializable"):
                    await Account.objects.filter(id=1).update(balance=6)
                    await asyncio.sleep(0.15)
                    assert (await conn.fetch(LEVEL))[0]["level"] == "SERIALIZABLE" != usual
                relay.armed = True
                with pytest.raises(OxydeError, match="interrupted"):
                    async with atomic(connection=conn, isolation="serializable"):
                        raise AssertionError
                assert not relay.armed
                assert await level(conn) == usual
                # The session is the same.
                assert await conn.fetch("SELECT @kept AS kept") == [{"kept": 1}]
            # On a connection of the pool's.
            relay.armed = True
            with pytest.raises(OxydeError, match="interrupted"):
                async with atomic(isolation="serializable"):
                    raise AssertionError
            async with database.connection() as conn:
                assert await level(conn) == usual
