"""A password is in no message, repr, traceback, log or warning, however a connection fails."""

from __future__ import annotations

import itertools
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from oxyde import AsyncDatabase, ConnectError, DatabaseError, PoolSettings, execute_raw
from tests.servers.proxy import Proxy

from .harness import WIRE, Where, on

pytestmark = on(*WIRE)

CANARY = "kanärienvogel p@ss:w/o#r%d?"
# As it is, as a URL has it, and its first word.
FORMS = [CANARY, quote(CANARY, safe=""), quote(CANARY), "kanärienvogel", quote("kanärienvogel"), "w/o#r"]


async def coroutine() -> str:
    return CANARY


def boom() -> str:
    raise LookupError("the vault is sealed")


GIVEN: dict[str, Any] = {"url": None, "text": CANARY, "function": lambda: CANARY, "coroutine": coroutine}


def configurations(
    where: Where, proxy: Proxy, scratch: Path
) -> Iterator[tuple[str, dict[str, Any], Callable[[], None]]]:
    """URL, arguments of AsyncDatabase, and what happens to the proxy before."""
    parts = urlsplit(where.url)
    path, scheme = parts.path, parts.scheme
    here = f"127.0.0.1:{proxy.port}"
    not_a_key = scratch / "not-a-key.pem"
    not_a_key.write_text("-----BEGIN CERTIFICATE-----\nnothing\n")
    hosts = {
        "the server": here,
        "nobody there": "127.0.0.1:1",
        "two": f"127.0.0.1:1,127.0.0.1:2,{here}",
        "no such name": "nobody.invalid",
    }
    options = [
        "",
        "ssl_mode=disable",
        "ssl_mode=require",
        f"ssl_mode=verify-full&ssl_root_cert={not_a_key}",
        "ssl_mode=verify-full&ssl_root_cert=/nowhere.pem",
        f"ssl_mode=require&ssl_client_cert={not_a_key}&ssl_client_key={not_a_key}",
        "target_session_attrs=standby",
        "connect_timeout=0.05",
    ]
    users = {"url": f"oxyde_nobody:{quote(CANARY, safe='')}", "bare": "oxyde_nobody"}
    for (given, secret), host, option in itertools.product(GIVEN.items(), hosts.values(), options):
        user = users["url" if given == "url" else "bare"]
        arguments = {} if given == "url" else {"password": secret}
        yield f"{scheme}://{user}@{host}{path}?{option}", arguments, proxy.reset
    # Options and parts of a URL that are nonsense: a password may have been put in the wrong place.
    wrong = quote(CANARY, safe="")
    for option in (
        "ssl_mode", "connect_timeout", "max_connections", "target_session_attrs", "test_before_acquire", "nothing",
        "password", "pgbouncer", "statement_timeout", "min_connections", "idle_timeout", "on_connect",
    ):  # fmt: skip
        for user, host, value in itertools.product(users.values(), (here, hosts["two"]), (wrong, CANARY)):
            yield f"{scheme}://{user}@{host}{path}?{option}={value}", {}, proxy.reset
    for url in (
        f"{scheme}://user:{CANARY}@{here}{path}",
        f"{scheme}://user:{wrong}@{here}:{wrong}{path}",
        f"{scheme}://user:{wrong}@127.0.0.1:99999{path}",
        f"{scheme}://user:{wrong}@[::1{path}",
        f"nothing://user:{wrong}@{here}{path}",
        f"{wrong}://user:{wrong}@{here}{path}",
        f"user:{wrong}@{here}{path}",
        f"{scheme}://user:{wrong}",
        f"{scheme}://user:{wrong}@",
        f"{scheme}://user:{wrong}%zz@{here}{path}",
        f"{scheme}://user:{wrong}%00@{here}{path}",
    ):
        yield url, {}, proxy.reset
        yield url, {"settings": PoolSettings(ssl_mode="disable")}, proxy.reset
    # A server that breaks off, falls silent or says something else, at each stage of a login.
    faults: list[Callable[[], None]] = [proxy.refuse, proxy.blackhole, proxy.deaf]
    faults += [lambda size=size: proxy.cut_after(size, "down") for size in range(0, 120, 6)]
    faults += [lambda size=size: proxy.cut_after(size, "up") for size in range(1, 200, 10)]
    faults += [lambda seed=seed: proxy.mutate(seed, 0.1) for seed in range(25)]
    for (given, secret), fault, mode in itertools.product(list(GIVEN.items())[:2], faults, ("disable", "prefer")):
        user = users["url" if given == "url" else "bare"]
        arguments = {} if given == "url" else {"password": secret}
        yield f"{scheme}://{user}@{here}{path}?connect_timeout=0.1&ssl_mode={mode}", arguments, fault
    for bad in (boom, lambda: 5, lambda: CANARY.encode(), lambda: CANARY + "\0", b"bytes", 5):
        yield f"{scheme}://oxyde_nobody@{here}{path}", {"password": bad}, proxy.reset


def shown(error: BaseException) -> Iterator[str]:
    """Everything that a program, a log or a test runner may show of an exception and of those behind it."""
    seen: set[int] = set()
    open_ = [error]
    while open_:
        it = open_.pop()
        if id(it) in seen:
            continue
        seen.add(id(it))
        yield f"{it} {it!r} {it.args!r} {vars(it)!r} {getattr(it, '__notes__', '')!r}"
        open_ += [other for other in (it.__cause__, it.__context__) if other is not None]
        if isinstance(it, BaseExceptionGroup):
            open_ += it.exceptions
    yield "".join(traceback.format_exception(error))


def looked_through(text: str, url: str) -> None:
    for form in FORMS:
        assert form not in text, (url.replace(CANARY, "…"), text)


async def test_no_failure_shows_it(
    where: Where,
    proxy: Proxy,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    failed = 0
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for url, arguments, before in configurations(where, proxy, tmp_path):
            before()
            database = None
            try:
                database = AsyncDatabase(url, auto_register=False, **arguments)
                await database.connect()
            except Exception as error:
                failed += 1
                for text in shown(error):
                    looked_through(text, url)
                if isinstance(error, ConnectError):
                    looked_through(repr(pickle.loads(pickle.dumps(error)).__dict__), url)
            if database is not None:
                looked_through(f"{database!r} {database} {database.settings!r} {database.url!r}", url)
                await database.disconnect()
            proxy.reset()
    # A mutated or delayed login may succeed, where everybody is let in.
    assert failed > 500, failed
    looked_through(caplog.text, "log")
    looked_through(" ".join(str(warning.message) for warning in warned), "warnings")
    looked_through("".join(capfd.readouterr()), "output")


async def test_bound_values_are_not_shown_either(opened: Any, where: Where, caplog: pytest.LogCaptureFixture) -> None:
    """In no error of a statement, and in no log."""
    await opened(accounts=1)
    caplog.set_level(logging.DEBUG)
    mark = "$1" if where.kind == "postgres" else "?"
    for statement in (
        f"INSERT INTO faults_account (id, owner, balance) VALUES (1, {mark}, 0)",
        f"INSERT INTO faults_account (owner, balance) VALUES ('owner', {mark})",
        f"SELECT nothing FROM faults_account WHERE owner = {mark}",
        f"SELECT FROM WHERE {mark}",
    ):
        with pytest.raises(DatabaseError) as caught:
            await execute_raw(statement, [CANARY])
        for text in shown(caught.value):
            looked_through(text, statement)
    looked_through(caplog.text, "log")
