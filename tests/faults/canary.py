"""A password to look for, everything in which it could show, and attempts to connect with it."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any

from oxyde import AsyncDatabase, PoolSettings, execute_raw
from oxyde.db.url import parse_url

# In pieces, since a traceback shows lines of this file; letters, since percent-encoding leaves them as they are.
CANARY = "q7" + "can" + "ary" + "7q"
PASSWORDS = [
    form.replace("*", CANARY)
    for form in (
        *("*", "*@*", "*/*", "*?*=*", "*#*", "*:*", "* *", "*%*", "*&*=*", "'*'", "ä*€", "*\\*", "*,*", "*;*"),
        *("[*]", "*\n", "%25*", "*=*", "@*", "/*", ":*", "?*", "*\x7f", "$(*)", "🦀*", "*" + "x" * 3_000),
    )
]
# Whatever such a character cuts off, a piece of it shows.
SECRET = f"ä {CANARY} p@{CANARY}'s:{CANARY}/{CANARY}#{CANARY}%{CANARY}?{CANARY}"
QUICK = PoolSettings(connect_timeout=0.5, acquire_timeout=0.5)


def told(error: BaseException) -> Iterator[str]:
    """Everything that a program, a log or a person may see of an error and of those behind it."""
    seen, rest = set(), [error]
    while rest:
        one = rest.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "__notes__", "")))
        rest += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            rest += one.exceptions
    yield "".join(traceback.format_exception(error))
    if type(error).__module__.startswith("oxyde"):
        again = pickle.loads(pickle.dumps(error))
        yield from (repr(again), str(again), repr(vars(again)), repr(vars(copy.copy(error))))


def shown(database: AsyncDatabase) -> Iterator[str]:
    """The same of a database."""
    yield from (repr(database), str(database), database.url, database.name, f"{database}")
    yield from (repr(database.settings), repr(copy.deepcopy(database.settings)))
    yield repr(pickle.loads(pickle.dumps(database.settings)))
    yield repr(dataclasses.asdict(database.settings))
    parsed = parse_url(database.url)
    yield from (repr(parsed), str(parsed), repr(copy.copy(database._parsed)), str(database._parsed))
    if database.connected:
        yield repr(database.stats())


def check_silent(texts: Iterator[str], what: object) -> None:
    for text in texts:
        assert CANARY not in text.lower(), (str(what).replace(CANARY, "…"), text)


async def attempt(url: str, seen: Counter[str], *, settings: PoolSettings | None = QUICK, **arguments: Any) -> None:
    """Connect; whatever fails on the way says nothing, and is counted."""
    database = None
    try:
        database = AsyncDatabase(url, settings=settings, auto_register=False, **arguments)
        check_silent(shown(database), url)
        await database.connect()
        async with asyncio.timeout(2):
            await execute_raw("SELECT 1", client=database)
    except AssertionError:
        raise
    except Exception as error:
        seen[type(error).__name__] += 1
        check_silent(told(error), url)
    else:
        seen["connected"] += 1
    finally:
        if database is not None:
            check_silent(shown(database), url)
            await database.disconnect()
