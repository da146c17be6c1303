"""What happens to files: killed writers, full disks, files that may not be written, that go, that are spoilt."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxyde import (
    AsyncDatabase,
    ConnectError,
    OperationalError,
    TransactionBrokenError,
    TransactionRolledBackError,
    atomic,
)
from oxyde.db import connect

from .harness import Where, check, finish_program, on, run_program, scaled, start_program
from .programs.common import Entry, prepared

pytestmark = on("file")

# More than the connections wait between two looks at their file.
MOMENT = 0.03


def rows_of(where: Where) -> Counter[str]:
    (rows,) = check(where, "SELECT nonce, count(*) FROM faults_entry GROUP BY nonce")
    return Counter(dict(rows))


async def test_a_writer_that_is_killed(where: Where, seed: int) -> None:
    """`kill -9` at any moment: the file is whole, and every row is there that was acknowledged."""
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    for life in range(scaled(12)):
        writer = start_program("acknowledged", where, life=life)
        assert writer.stdout is not None
        # It is at work from its first line on.
        lines = [writer.stdout.readline()]
        await asyncio.sleep(chance.uniform(0.0, 0.1))
        writer.kill()
        ended = finish_program(writer)
        assert (ended.code, ended.err) == (-9, ""), ended
        # The last line may be cut off.
        for line in (lines[0] + ended.out).split("\n")[:-1]:
            name, rows = line.split(",")
            acknowledged[name] = int(rows)
    found = rows_of(where)
    assert len(acknowledged) > 12 and not acknowledged.items() - found.items()
    # What was written and not acknowledged is whole, too: one, three or fifty rows.
    assert set(found.values()) <= {1, 3, 50}


def test_a_disk_that_is_full(where: Where) -> None:
    told = run_program("small_disk", where, folder=str(where.scratch)).report
    assert told["written"] >= 3
    assert told["kept"] == told["written"]
    assert told["after"] == told["kept"] + 1
    for message in told["messages"]:
        assert "disk" in message, message
    assert told["left"] == [where.file.name]
    assert sum(rows_of(where).values()) == told["after"]


async def test_a_database_that_may_not_grow(opened: Any, where: Where) -> None:
    """SQLITE_FULL, alone and inside a block."""
    await opened(on_connect=["PRAGMA max_page_count=60"])
    many = [Entry(nonce="x" * 3_000) for _ in range(200)]
    with pytest.raises(OperationalError, match="full") as caught:
        await Entry.objects.bulk_create(many)
    assert (caught.value.outcome, caught.value.retryable, caught.value.code) == ("not_applied", False, 13)
    assert await Entry.objects.count() == 0
    # SQLite gives the whole transaction up, and so the block cannot end well, whoever catches the error.
    with pytest.raises(TransactionRolledBackError, match="full"):
        async with atomic():
            await Entry.objects.create(nonce="before")
            with pytest.raises(OperationalError, match="full"):
                await Entry.objects.bulk_create(many)
            with pytest.raises(TransactionBrokenError, match="full"):
                await Entry.objects.create(nonce="after")
    assert await Entry.objects.count() == 0
    await Entry.objects.create(nonce="small")
    check(where)


@pytest.fixture
def reachable() -> Iterator[Where]:
    """A file's place below directories that any user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="oxyde-read-only-") as folder:
        Path(folder).chmod(0o755)
        yield Where.of("file", Path(folder))
        Path(folder).chmod(0o755)


async def test_a_file_that_may_only_be_read(where: Where, reachable: Where) -> None:
    # Whoever reads a file in WAL mode has to make its shared memory, so such a file needs a place to write.
    database = await prepared(f"{reachable.url}?sqlite_journal_mode=delete")
    await Entry.objects.create(nonce="there")
    await database.disconnect()
    reachable.file.chmod(0o444)
    reachable.scratch.chmod(0o555)
    told = run_program("read_only", reachable).report
    assert told["rows"] == ["there"]
    assert told["found"] == "there"
    assert len(told["refused"]) == 4
    for name, message, retryable, outcome in told["refused"]:
        assert name == "OperationalError" and "readonly" in message, message
        assert (retryable, outcome) == (False, "not_applied")


async def test_a_file_that_is_deleted(opened: Any, where: Where) -> None:
    """Nothing is acknowledged that goes to a file without a name, and no empty database takes the place of the old."""
    await opened()
    entry = await Entry.objects.create(nonce="before")
    await Entry.objects.all()
    where.file.unlink()
    await asyncio.sleep(MOMENT)

    async def block() -> None:
        async with atomic():
            await Entry.objects.create(nonce="never")

    for _ in range(2):
        for work in (
            lambda: Entry.objects.create(nonce="never"),
            lambda: Entry.objects.bulk_create([Entry(nonce="never"), Entry(nonce="never")]),
            lambda: Entry.objects.get(id=entry.id),
            lambda: Entry.objects.count(),
            block,
        ):
            with pytest.raises(ConnectError, match=r"the database file is gone: .*faults\.db") as caught:
                await work()
            assert caught.value.outcome == "not_applied"
    assert not where.file.exists()


async def test_a_file_that_is_replaced(opened: Any, where: Where, tmp_path: Path) -> None:
    """A backup that is put in the file's place is what everybody reads and writes from then on."""
    database = await opened()
    await Entry.objects.create(nonce="in both")
    backup = tmp_path / "backup.db"
    await database.disconnect()
    shutil.copy(where.file, backup)

    database = await opened()
    await Entry.objects.create(nonce="in the old one")
    assert (await Entry.objects.get(id=2)).nonce == "in the old one"
    assert await Entry.objects.count() == 2
    for log in where.scratch.glob("faults.db-*"):
        log.unlink()
    backup.rename(where.file)
    await asyncio.sleep(MOMENT)
    assert await Entry.objects.filter(id=2).first() is None
    assert await Entry.objects.count() == 1
    await Entry.objects.create(nonce="in the new one")
    async with atomic():
        await Entry.objects.create(nonce="in a block")
    await database.disconnect()
    assert set(rows_of(where)) == {"in both", "in the new one", "in a block"}


async def test_a_transaction_goes_on_in_a_file_that_is_moved(opened: Any, where: Where, tmp_path: Path) -> None:
    await opened()
    moved = tmp_path / "moved.db"
    async with atomic():
        await Entry.objects.create(nonce="one")
        where.file.rename(moved)
        await asyncio.sleep(MOMENT)
        await Entry.objects.create(nonce="two")
        moved.rename(where.file)
    assert await Entry.objects.count() == 2


async def test_a_closed_file_stands_alone(opened: Any, where: Where) -> None:
    """After closing, the file is all there is to copy."""
    database = await opened()
    entries = await Entry.objects.bulk_create([Entry(nonce=str(n)) for n in range(100)])
    # Readers, on threads and inline, close after the writer, or before it.
    await asyncio.gather(*(Entry.objects.filter(nonce=str(n)).first() for n in range(10)))
    await Entry.objects.get(id=entries[0].id)
    await database.disconnect()
    assert [path.name for path in where.scratch.glob("faults.db*")] == ["faults.db"]
    with sqlite3.connect(where.file) as connection:
        assert connection.execute("SELECT count(*) FROM faults_entry").fetchone() == (100,)
    connection.close()


async def test_files_that_are_no_databases(where: Where) -> None:
    where.file.write_bytes(b"Dear diary, " * 2_000)
    with pytest.raises(ConnectError, match="not a database"):
        async with connect(where.url):
            raise AssertionError("it was opened")
    assert where.file.read_bytes() == b"Dear diary, " * 2_000
    directory = where.scratch / "directory"
    directory.mkdir()
    with pytest.raises(ConnectError, match=str(directory)) as caught:
        async with connect(f"sqlite:///{directory}"):
            raise AssertionError("it was opened")
    assert "is a directory" in (caught.value.hint or "")


async def test_a_file_that_is_spoilt(opened: Any, where: Where, seed: int) -> None:
    """Errors of their own kind; what is still legible is read."""
    database = await opened()
    await Entry.objects.bulk_create([Entry(nonce=f"{n} " + "x" * 2_000) for n in range(200)])
    await database.disconnect()
    content = bytearray(where.file.read_bytes())
    page = 4096
    content[-40 * page :] = random.Random(seed).randbytes(40 * page)
    where.file.write_bytes(content)

    database = await prepared(where.url)
    with pytest.raises(OperationalError, match="malformed") as caught:
        await Entry.objects.all()
    assert not caught.value.retryable
    assert (await Entry.objects.get(id=1)).nonce.startswith("0 ")
    await database.disconnect()


async def test_a_database_that_is_forgotten(where: Where) -> None:
    """Nobody disconnects it: it is closed when the object goes, which leaves one file; what runs ends first."""
    await (await prepared(where.url)).disconnect()
    database = AsyncDatabase(where.url, auto_register=False)
    await database.connect()
    running = [asyncio.create_task(Entry.objects.using(database).create(nonce=str(n))) for n in range(20)]
    await asyncio.sleep(0)
    assert len(list(where.scratch.iterdir())) > 1
    del database
    await asyncio.gather(*running)
    del running
    # The loop knows the last task until its next turn.
    await asyncio.sleep(0.01)
    gc.collect()
    async with asyncio.timeout(2):
        while [path.name for path in where.scratch.iterdir()] != [where.file.name]:
            await asyncio.sleep(0.01)
    assert rows_of(where) == Counter(str(n) for n in range(20))
