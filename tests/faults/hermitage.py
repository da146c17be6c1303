"""The ten anomalies of the Hermitage suite as scripts, and how one is played with any way to a database.

A script says who does what, in which order: sessions 1 to 3, each in a transaction of its own, on the rows
``{1: 10, 2: 20}``. What a session does while it waits for another one's lock, it does when it has got the lock; the
others go on. What is found out is a transcript: what each step read or with which code it failed, and what the table
holds at the end; from that follows whether the anomaly occurred.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

ROWS = {1: 10, 2: 20}

Step = tuple[str, Any]
Rows = tuple[tuple[int, int], ...]

BEGIN: Step = ("begin", None)
COMMIT: Step = ("commit", None)
ABORT: Step = ("abort", None)
ALL: Step = ("read", None)
# 30 and 42 are, what is there at the beginning is not.
BY_THREE: Step = ("read multiples of", 3)


def read(*ids: int) -> Step:
    return "read", ids


def write(number: int, value: int) -> Step:
    return "write", (number, value)


def insert(number: int, value: int) -> Step:
    return "insert", (number, value)


@dataclass
class Transcript:
    """``results``: session, what it did, and the rows that it read, how many it wrote, or the code of its error."""

    results: list[tuple[int, str, Any]] = field(default_factory=list)
    final: dict[int, int] = field(default_factory=dict)

    def of(self, session: int, kind: str) -> list[Any]:
        return [result for who, what, result in self.results if who == session and what.startswith(kind)]

    def reads(self, session: int) -> list[dict[int, int]]:
        return [dict(rows) for rows in self.of(session, "read") if isinstance(rows, tuple)]

    def saw(self, session: int, **row: int) -> bool:
        """Whether a read had ``id`` with ``value``."""
        return any(rows.get(row["id"]) == row["value"] for rows in self.reads(session))

    def committed(self, *sessions: int) -> bool:
        return all(self.of(session, "commit") == ["done"] for session in sessions)


@dataclass(frozen=True)
class Anomaly:
    name: str
    title: str
    script: tuple[tuple[int, Step], ...]
    occurred: Callable[[Transcript], bool]

    @property
    def sessions(self) -> tuple[int, ...]:
        return tuple(sorted({session for session, _ in self.script}))

    def only_reads(self, session: int) -> bool:
        return not any(who == session and kind in ("write", "insert") for who, (kind, _) in self.script)


def mixture(rows: dict[int, int], *pairs: tuple[int, int]) -> bool:
    return (rows.get(1), rows.get(2)) in pairs


ANOMALIES = (
    Anomaly(
        "G0",
        "write cycles: two transactions' writes mixed",
        (
            (1, write(1, 11)),
            (2, write(1, 12)),
            (1, write(2, 21)),
            (1, COMMIT),
            (2, write(2, 22)),
            (2, COMMIT),
        ),
        lambda told: mixture(told.final, (11, 22), (12, 21)),
    ),
    Anomaly(
        "G1a",
        "aborted reads: what was rolled back had been seen",
        ((1, write(1, 101)), (2, ALL), (1, ABORT), (2, ALL), (2, COMMIT)),
        lambda told: told.saw(2, id=1, value=101),
    ),
    Anomaly(
        "G1b",
        "intermediate reads: what was written over had been seen",
        ((1, write(1, 101)), (2, ALL), (1, write(1, 11)), (1, COMMIT), (2, ALL), (2, COMMIT)),
        lambda told: told.saw(2, id=1, value=101),
    ),
    Anomaly(
        "G1c",
        "circular information flow: each saw the other's write",
        ((1, write(1, 11)), (2, write(2, 22)), (1, read(2)), (2, read(1)), (1, COMMIT), (2, COMMIT)),
        lambda told: told.saw(1, id=2, value=22) and told.saw(2, id=1, value=11),
    ),
    Anomaly(
        "OTV",
        "observed transaction vanishes: half of it seen beside half of another",
        (
            (1, write(1, 11)),
            (1, write(2, 19)),
            (2, write(1, 12)),
            (1, COMMIT),
            (3, ALL),
            (2, write(2, 18)),
            (3, ALL),
            (2, COMMIT),
            (3, ALL),
            (3, COMMIT),
        ),
        lambda told: any(mixture(rows, (12, 19), (11, 18)) for rows in told.reads(3)),
    ),
    Anomaly(
        "PMP",
        "predicate-many-preceders: a condition met rows that it had not met",
        ((1, BY_THREE), (2, insert(3, 30)), (2, COMMIT), (1, BY_THREE), (1, COMMIT)),
        lambda told: told.saw(1, id=3, value=30),
    ),
    Anomaly(
        "P4",
        "lost update: written over without having been seen",
        ((1, read(1)), (2, read(1)), (1, write(1, 11)), (2, write(1, 12)), (1, COMMIT), (2, COMMIT)),
        # Who came second must have seen what the first one wrote.
        lambda told: told.committed(1, 2) and not told.saw(2, id=1, value=11) and not told.saw(1, id=1, value=12),
    ),
    Anomaly(
        "G-single",
        "read skew: one row from before a transaction, one from after it",
        (
            (1, read(1)),
            (2, read(1)),
            (2, read(2)),
            (2, write(1, 12)),
            (2, write(2, 18)),
            (2, COMMIT),
            (1, read(2)),
            (1, COMMIT),
        ),
        lambda told: told.saw(1, id=1, value=10) and told.saw(1, id=2, value=18),
    ),
    Anomaly(
        "G2-item",
        "write skew: each wrote what the other had read",
        (
            (1, read(1, 2)),
            (2, read(1, 2)),
            (1, write(1, 11)),
            (2, write(2, 21)),
            (1, COMMIT),
            (2, COMMIT),
        ),
        lambda told: told.committed(1, 2) and not told.saw(2, id=1, value=11) and not told.saw(1, id=2, value=21),
    ),
    Anomaly(
        "G2",
        "write skew by a condition: each inserted what the other had not met",
        (
            (1, BY_THREE),
            (2, BY_THREE),
            (1, insert(3, 30)),
            (2, insert(4, 42)),
            (1, COMMIT),
            (2, COMMIT),
        ),
        lambda told: told.committed(1, 2) and not told.saw(2, id=3, value=30) and not told.saw(1, id=4, value=42),
    ),
)


class Refused(Exception):
    """A step failed; ``code`` is the database's own for the error."""

    def __init__(self, code: object) -> None:
        super().__init__(code)
        self.code = code


class Session(Protocol):
    """One transaction: ``do`` reads and writes, the block ends with a commit or, after an exception, a rollback."""

    async def do(self, kind: str, argument: Any) -> Any: ...


class Way(Protocol):
    """A way to a database."""

    def transaction(
        self, session: int, level: str, *, read_only: bool
    ) -> contextlib.AbstractAsyncContextManager[Session]:
        """Raises Refused for what fails at its beginning or its end."""
        ...

    async def reset(self) -> None:
        """Put the rows there."""
        ...

    async def rows(self) -> dict[int, int]: ...

    async def waiting(self, busy: int) -> bool:
        """Whether all the sessions that are at work wait for locks."""
        ...


class _Abort(Exception):
    pass


class _Player:
    """Does what it is told, in a task and a transaction of its own; after an error nothing more."""

    def __init__(self, way: Way, level: str, session: int, read_only: bool, told: Transcript) -> None:
        self.way, self.level, self.session, self.read_only, self.told = way, level, session, read_only, told
        self.steps: asyncio.Queue[tuple[int, Step]] = asyncio.Queue()
        self.left = 0
        self.task = asyncio.create_task(self.run())

    def tell(self, position: int, step: Step) -> None:
        self.left += 1
        self.steps.put_nowait((position, step))

    def note(self, position: int, result: Any) -> None:
        who, what, _ = self.told.results[position]
        self.told.results[position] = (who, what, result)
        self.left -= 1

    async def run(self) -> None:
        position, (kind, argument) = await self.steps.get()
        try:
            async with self.way.transaction(self.session, self.level, read_only=self.read_only) as session:
                while kind != "commit":
                    if kind == "abort":
                        raise _Abort
                    result = None if kind == "begin" else await session.do(kind, argument)
                    self.note(position, result)
                    position, (kind, argument) = await self.steps.get()
            self.note(position, "done")
        except _Abort:
            self.note(position, "done")
        except Refused as error:
            self.note(position, error.code)
            while kind not in ("commit", "abort"):
                position, (kind, argument) = await self.steps.get()
                self.note(position, "not run")


async def play(way: Way, level: str, anomaly: Anomaly, seconds: float = 30.0) -> Transcript:
    """Play a script at an isolation level; no step begins before the ones before it are done or wait for a lock."""
    await way.reset()
    told = Transcript()
    players: dict[int, _Player] = {}
    deadline = time.monotonic() + seconds

    async def settle() -> None:
        while busy := sum(player.left > 0 for player in players.values()):
            # A session whose lock has just been given up is at work again before it is asked for.
            if await way.waiting(busy):
                return
            assert time.monotonic() < deadline, (level, anomaly.name, told)
            await asyncio.sleep(0.001)

    script = [*((session, BEGIN) for session in anomaly.sessions), *anomaly.script]
    for session, step in script:
        if session not in players:
            players[session] = _Player(way, level, session, anomaly.only_reads(session), told)
        told.results.append((session, f"{step[0]} {step[1] or ''}".strip(), "not done"))
        players[session].tell(len(told.results) - 1, step)
        await settle()
    async with asyncio.timeout(seconds):
        await asyncio.gather(*(player.task for player in players.values()))
    told.final = await way.rows()
    return told
