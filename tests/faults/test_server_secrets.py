"""A password never shows, of servers that ask for one: what they refuse, what breaks off, what fails behind it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest

from oxyde import AsyncDatabase, DatabaseError, execute_raw
from tests.servers import mysql_databases
from tests.servers.mysql import MySQLServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.unavailable import named_in_the_summary

from .canary import PASSWORDS, QUICK, SECRET, attempt, check_silent, shown, told
from .harness import SERVERS, Where, on

pytestmark = on(*SERVERS)

WRONG = SECRET + " "
# A URL without its scheme, arguments for `attempt`, and what happens to the proxy before.
Configuration: TypeAlias = tuple[str, dict[str, Any], Callable[[], None]]


@pytest.fixture
def asking(where: Where) -> Iterator[Any]:
    """A server that asks for passwords; ada's is the canary with everything around it that is special."""
    quoted = SECRET.replace("'", "''")
    with ExitStack() as stack:
        server: Any
        with named_in_the_summary():
            if where.kind == "postgres":
                server = stack.enter_context(PostgresServer(hba=["host all ada 127.0.0.1/32 scram-sha-256"]))
                server.query(f"CREATE ROLE ada LOGIN PASSWORD '{quoted}'")
            else:
                flavour = "mariadb" if mysql_databases.mariadb() else "mysql"
                server = stack.enter_context(MySQLServer(flavour=flavour, tls=True))
                server.query(f"CREATE USER ada IDENTIFIED BY '{quoted}'")
        yield server


async def coroutine() -> str:
    return WRONG


def boom() -> str:
    raise LookupError(WRONG)


GIVEN: tuple[dict[str, Any], ...] = (
    {},
    {"password": WRONG},
    {"password": lambda: WRONG},
    {"password": coroutine},
)


def user(arguments: dict[str, Any], password: str = WRONG, name: str = "ada") -> str:
    """As a URL has it, with the password unless another argument gives it."""
    return name if "password" in arguments else f"{name}:{quote(password, safe='')}"


def wrong_passwords(here: str) -> Iterator[Configuration]:
    """Also of unknown users and databases."""
    for password in (*PASSWORDS, WRONG):
        ada, nobody = user({}, password), user({}, password, "oxyde_nobody")
        for rest in (
            f"{ada}@{here}/postgres?ssl_mode=disable",
            f"{ada}@{here}/",
            f"{nobody}@{here}/none?connect_timeout=2",
            f"{ada}@{here}/none?ssl_mode=verify-full&ssl_root_cert={__file__}",
            f"{ada}@127.0.0.1:1,{here}/postgres",
        ):
            yield rest, {}, nothing
        for source in (password, lambda password=password: password):
            yield f"ada@{here}/", {"password": source}, nothing
    for bad in (boom, lambda: 5, lambda: WRONG.encode(), lambda: WRONG + "\0", b"bytes", 5):
        yield f"ada@{here}/", {"password": bad}, nothing


def the_right_password(here: str) -> Iterator[Configuration]:
    """But nothing else."""
    for rest in (
        "/no_such_database",
        f"/?ssl_mode=verify-full&ssl_root_cert={__file__}",
        "/no_such_database?target_session_attrs=standby",
    ):
        yield f"{user({}, SECRET)}@{here}{rest}", {}, nothing


def addresses_and_options(here: str, scratch: Path) -> Iterator[Configuration]:
    """Nobody there, several of them, no such name; keys and certificates that are none."""
    not_a_key = scratch / "not-a-key.pem"
    not_a_key.write_text("-----BEGIN CERTIFICATE-----\nnothing\n")
    hosts = (here, "127.0.0.1:1", f"127.0.0.1:1,127.0.0.1:2,{here}", "nobody.invalid")
    options = (
        "",
        "ssl_mode=disable",
        "ssl_mode=require",
        f"ssl_mode=verify-full&ssl_root_cert={not_a_key}",
        "ssl_mode=verify-full&ssl_root_cert=/nowhere.pem",
        f"ssl_mode=require&ssl_client_cert={not_a_key}&ssl_client_key={not_a_key}",
        "target_session_attrs=standby",
        "connect_timeout=0.05",
    )
    for arguments, host, option in itertools.product(GIVEN, hosts, options):
        yield f"{user(arguments)}@{host}/?{option}", {**arguments, "settings": None}, nothing


def broken_logins(proxy: Proxy) -> Iterator[Configuration]:
    """A server that breaks off, falls silent or says something else, at each stage of a login."""
    faults: list[Callable[[], None]] = [proxy.refuse, proxy.blackhole, proxy.deaf]
    faults += [lambda size=size: proxy.cut_after(size, "down") for size in range(0, 120, 6)]
    faults += [lambda size=size: proxy.cut_after(size, "up") for size in range(1, 200, 10)]
    faults += [lambda seed=seed: proxy.mutate(seed, 0.1) for seed in range(25)]
    for arguments, fault, mode in itertools.product(GIVEN[:2], faults, ("disable", "prefer")):
        rest = f"{user(arguments)}@127.0.0.1:{proxy.port}/?connect_timeout=0.1&ssl_mode={mode}"
        yield rest, {**arguments, "settings": None}, fault


def nothing() -> None:
    """The proxy passes everything on."""


async def test_logins_that_fail(asking: Any, where: Where, tmp_path: Path, overheard: None) -> None:
    """More than 500 configurations with which nobody gets in."""
    seen: Counter[str] = Counter()
    here = f"127.0.0.1:{asking.port}"
    with Proxy(f"{where.kind}://ada@{here}/") as proxy:
        # One after the other: MySQL's servers count those that break off.
        for rest, arguments, before in itertools.chain(
            wrong_passwords(here),
            the_right_password(here),
            addresses_and_options(f"127.0.0.1:{proxy.port}", tmp_path),
            broken_logins(proxy),
        ):
            before()
            await attempt(f"{where.kind}://{rest}", seen, **{"settings": QUICK, **arguments})
            proxy.reset()
    print(seen)
    assert "connected" not in seen, seen
    assert seen.total() > 550, seen
    assert seen["ConnectError"] > 450, seen


async def test_statements_that_fail(asking: Any, where: Where, overheard: None) -> None:
    """It is the right password: what works with it, and fails later, says as little."""
    url = f"{where.kind}://{user({}, SECRET)}@127.0.0.1:{asking.port}/{'postgres' if where.kind == 'postgres' else ''}"
    async with AsyncDatabase(url, auto_register=False) as database:
        check_silent(shown(database), "connected")
        for text in ("SELECT nothing FROM nowhere", "SELECT 1 +", "SELECT 1/"):
            with pytest.raises(DatabaseError) as caught:
                await execute_raw(text, client=database)
            check_silent(told(caught.value), text)
        check_silent(shown(database), "connected")
    check_silent(shown(database), "disconnected")


async def test_bound_values_are_not_shown_either(opened: Any, where: Where, overheard: None) -> None:
    """In no error of a statement, and in no log."""
    await opened(accounts=1)
    mark = "$1" if where.kind == "postgres" else "?"
    for statement in (
        f"INSERT INTO faults_account (id, owner, balance) VALUES (1, {mark}, 0)",
        f"INSERT INTO faults_account (owner, balance) VALUES ('owner', {mark})",
        f"SELECT nothing FROM faults_account WHERE owner = {mark}",
        f"SELECT FROM WHERE {mark}",
    ):
        with pytest.raises(DatabaseError) as caught:
            await execute_raw(statement, [SECRET])
        check_silent(told(caught.value), statement)
