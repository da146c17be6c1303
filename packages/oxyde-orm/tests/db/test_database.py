"""Connecting, the registry, start-up and shutdown."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from oxyde import db
from oxyde.db import (
    AsyncDatabase,
    PoolSettings,
    disconnect_all,
    get_connection,
    pool,
    register_connection,
    registry,
    unregister_connection,
)
from oxyde.db.database import system_user
from oxyde.db.features import FEATURES, check_transaction, isolation_level
from oxyde.db.resolve import resolve
from oxyde.exceptions import ConnectError, ManagerError, NotSupportedError, OperationalError, OxydeError

from .fake_core import Server

pytestmark = pytest.mark.usefixtures("server")


async def test_connect_and_disconnect(server: Server, tmp_path: os.PathLike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = AsyncDatabase("sqlite:///app.db?mode=rw&max_connections=3", settings=PoolSettings(max_connections=7))
    assert (database.connected, database.backend, database.name) == (False, "sqlite", "default")
    assert database.settings.max_connections == 7
    async with database:
        assert database.connected
        config = server.databases[0].config
        assert config["path"] == str(tmp_path / "app.db")
        assert config["settings"]["max_connections"] == 3
        assert config["settings"]["options"] == {"mode": "rw"}
        assert config["name"] == "default"
        await database.connect()
        await database.ensure_connected()
        assert await database.ping() >= 0.0
        assert database.stats() == {"in_use": 0}
        with pytest.raises(ManagerError, match="while it is connected"):
            database.settings = PoolSettings()
    assert not database.connected
    assert get_connection() is database
    await database.disconnect()
    database.settings = PoolSettings(max_connections=5)
    assert await database is database
    assert len(server.databases) == 2
    assert server.databases[1].config["settings"]["max_connections"] == 3
    with pytest.raises(TypeError, match="PoolSettings"):
        AsyncDatabase("sqlite:///x.db", name="x", settings={})  # type: ignore[arg-type]


async def test_memory() -> None:
    assert AsyncDatabase("sqlite://:memory:").in_memory


async def test_not_connected() -> None:
    database = AsyncDatabase("sqlite:///app.db")
    for call in (database.stats, lambda: resolve(), lambda: resolve(client=database)):
        with pytest.raises(OperationalError, match=r"not connected: await db\.init"):
            call()
    with pytest.raises(OperationalError, match="not connected"):
        await database.ping()


async def test_mysql_or_mariadb_is_what_the_server_says(server: Server) -> None:
    for url, asked, found in (
        ("mysql://u:secret@h/d", "mysql", "mariadb"),
        ("mariadb://u:secret@h/d", "mariadb", "mysql"),
        ("mariadb://u:secret@h", "mariadb", "mariadb"),
    ):
        database = AsyncDatabase(url, auto_register=False)
        assert "secret" not in database.url + repr(database)
        assert database.backend == asked
        server.is_a = found
        async with database:
            config = server.databases[-1].config
            assert config["backend"] == asked
            assert (config["user"], config["password"], config["hosts"]) == ("u", "secret", [("h", 3306)])
            assert config["database"] == ("d" if url.endswith("/d") else None)
            assert database.backend == found
            assert isolation_level("READ UNCOMMITTED") in FEATURES[database.backend].isolation
            with pytest.raises(NotSupportedError, match=f"deferrable transactions are not supported on {found}"):
                check_transaction(database, isolation=None, deferrable=True)
        assert database.backend == asked


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgres://ada:p%40ss@[::1]:6432,db.example/na%2Fme?target_session_attrs=read-write",
            {
                "user": "ada",
                "password": "p@ss",
                "hosts": [("::1", 6432), ("db.example", 5432)],
                "database": "na/me",
                "socket": None,
                "target_session_attrs": "read-write",
            },
        ),
        (
            "postgresql://ada@/app?host=/run/postgresql",
            {"hosts": [("localhost", 5432)], "socket": "/run/postgresql", "password": None},
        ),
        ("postgres://ada@db.example", {"user": "ada", "database": "ada"}),
        ("postgres:///app", {"hosts": [("localhost", 5432)], "database": "app"}),
    ],
    ids=["everything", "socket", "the database of the user", "nobody"],
)
async def test_what_a_server_is_told(server: Server, url: str, expected: dict[str, object]) -> None:
    database = AsyncDatabase(f"{url}{'&' if '?' in url else '?'}max_connections=3&sslmode=require", name="here")
    async with database:
        config = server.databases[0].config
    assert {name: config[name] for name in expected} == expected
    assert (config["backend"], config["name"], config["options"]) == ("postgres", "here", {})
    assert (config["settings"]["max_connections"], config["settings"]["ssl_mode"]) == (3, "require")
    assert config["user"] == (expected.get("user") or ("ada" if "ada" in url else system_user()))


async def test_a_password_beside_the_url(server: Server) -> None:
    async def asked() -> str:
        return "canary"

    for n, password in enumerate((asked, lambda: "canary", "canary")):
        database = AsyncDatabase("postgres://ada@h/d", name=str(n), password=password)
        await database.connect()
        assert server.databases[-1].config["password"] is password
        assert "canary" not in database.url + repr(database) + repr(database.settings)
    with pytest.raises(ValueError, match="twice") as raised:
        AsyncDatabase("postgres://ada:canary@h/d", name="x", password="canary")
    assert "canary" not in str(raised.value)
    with pytest.raises(ValueError, match="sqlite database has no password"):
        AsyncDatabase("sqlite:///a.db", name="x", password="canary")
    with pytest.raises(TypeError, match="password must be a string or a function, not bytes"):
        AsyncDatabase("postgres://ada@h/d", name="x", password=b"canary")  # type: ignore[arg-type]


async def test_many_connect_at_once(server: Server) -> None:
    database = AsyncDatabase("sqlite:///app.db")
    await asyncio.gather(*(database.connect() for _ in range(5)))
    assert server.log == ["connect"]


async def test_those_who_wait_see_the_error_of_the_attempt(server: Server) -> None:
    server.fail("connect", ConnectError("no such directory"))
    database = AsyncDatabase("sqlite:///app.db")
    results = await asyncio.gather(*(database.connect() for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectError] * 3
    assert len({id(result) for result in results}) == 3
    assert server.databases[0].closed == 0.0
    await database.connect()
    assert database.connected


async def test_a_cancelled_attempt_is_taken_over(server: Server) -> None:
    server.delays["connect"] = 0.02
    database = AsyncDatabase("sqlite:///app.db")
    first, second = (asyncio.create_task(database.connect()) for _ in range(2))
    await asyncio.sleep(0.005)
    first.cancel()
    await second
    assert database.connected
    assert first.cancelled()
    assert server.databases[0].closed == 0.0


async def test_disconnect_waits_for_an_attempt(server: Server) -> None:
    server.delays["connect"] = 0.02
    database = AsyncDatabase("sqlite:///app.db")
    task = asyncio.create_task(database.connect())
    await asyncio.sleep(0.005)
    await database.disconnect()
    await task
    assert not database.connected
    # The time that connecting took counts.
    assert 9.0 < (server.databases[0].closed or 0) < 10.0


async def test_disconnect_gives_an_attempt_up(server: Server) -> None:
    server.delays["connect"] = 0.1
    database = AsyncDatabase("sqlite:///app.db")
    task = asyncio.create_task(database.connect())
    await asyncio.sleep(0.005)
    await database.disconnect(timeout=0.01)
    assert not task.done()
    with pytest.raises(OperationalError, match="closed while it was being connected"):
        await task
    assert not database.connected
    assert server.databases[0].closed == 0.0
    await database.connect()
    assert database.connected


@pytest.mark.parametrize(("given", "told"), [(1, 1.0), (timedelta(milliseconds=20), 0.02), (None, None), (0, 0.0)])
async def test_disconnect_hands_its_timeout_on(server: Server, given: Any, told: float | None) -> None:
    database = await AsyncDatabase("sqlite:///app.db")
    await database.disconnect(timeout=given)
    closed = server.databases[0].closed
    assert closed is None if told is None else closed == pytest.approx(told, abs=0.01)
    with pytest.raises(ValueError, match="timeout must not be negative"):
        await database.disconnect(timeout=-1)


@pytest.mark.parametrize(("name", "error"), [("", ValueError), (1, TypeError)])
def test_names(name: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        AsyncDatabase("sqlite:///a.db", name=name)  # type: ignore[arg-type]


# -- registry


def test_registry() -> None:
    database = AsyncDatabase("sqlite:///a.db")
    assert get_connection("default") is database
    with pytest.raises(ValueError, match="'default' is already registered"):
        AsyncDatabase("sqlite:///b.db")
    replaced = AsyncDatabase("sqlite:///b.db", overwrite=True)
    assert get_connection() is replaced
    other = AsyncDatabase("sqlite:///c.db", name="other", auto_register=False)
    assert register_connection(other) is other
    assert register_connection(other) is other
    with pytest.raises(ValueError, match="other"):
        register_connection(database, name="other")
    assert unregister_connection("other") is other
    with pytest.raises(KeyError):
        unregister_connection("other")


def test_unknown_alias() -> None:
    with pytest.raises(KeyError, match=r"await db\.init\(reports="):
        get_connection("reports")
    AsyncDatabase("sqlite:///a.db", name="reports")
    with pytest.raises(KeyError) as raised:
        get_connection("report")
    assert isinstance(raised.value, OxydeError)
    assert str(raised.value) == "no database is registered as 'report'; did you mean 'reports'?"


async def test_disconnect_all(server: Server) -> None:
    assert pool.close_all_pools is disconnect_all
    first, second = [await AsyncDatabase(f"sqlite:///{name}.db", name=name) for name in "ab"]
    server.fail("close", OperationalError("first"))
    with pytest.raises(OperationalError, match="first"):
        await disconnect_all()
    assert not first.connected
    assert not second.connected
    assert registry.connections == {}


async def test_disconnect_all_cancelled_closes_all_the_same(server: Server) -> None:
    databases = [await AsyncDatabase(f"sqlite:///{name}.db", name=name) for name in "abc"]
    server.delays["close"] = 0.05
    task = asyncio.create_task(disconnect_all())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(database.connected for database in databases)


# -- start-up and shutdown


async def test_init_and_close() -> None:
    await db.init(default="sqlite:///a.db", other=AsyncDatabase("sqlite:///b.db", name="x", auto_register=False))
    assert get_connection().connected
    assert get_connection("other").name == "x"
    with pytest.raises(ValueError, match="'default' is already registered"):
        await db.init(default="sqlite:///c.db")
    await db.close()
    with pytest.raises(KeyError):
        get_connection()
    await db.init(default="sqlite:///a.db", settings=PoolSettings(max_connections=2))
    assert get_connection().settings.max_connections == 2


async def test_init_connects_what_was_constructed_before() -> None:
    database = AsyncDatabase("sqlite:///a.db")
    await db.init(default=database)
    assert database.connected
    with pytest.raises(ValueError, match="already registered"):
        await db.init(default=database)


async def test_init_without_alias_or_with_nonsense() -> None:
    with pytest.raises(ValueError, match="at least one alias"):
        await db.init()
    with pytest.raises(TypeError, match="default"):
        await db.init(default=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scheme"):
        await db.init(default="sqlite:///a.db", other="nope://x")
    assert registry.connections == {}


async def test_init_closes_what_it_connected_if_one_fails(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise ValueError("the user has no name")

    monkeypatch.setattr("oxyde.db.database.system_user", nobody)
    for _ in range(2):
        server.failures["connect"] = []
        with pytest.raises(ValueError, match="no name"):
            await db.init(a="sqlite:///a.db", b="sqlite:///b.db", c="mysql://h/d", d="sqlite:///d.db")
    assert registry.connections == {}
    assert len(server.databases) == 4
    assert all(database.closed is not None for database in server.databases)


async def test_init_cancelled(server: Server) -> None:
    server.delays["connect"] = 0.02
    task = asyncio.create_task(db.init(a="sqlite:///a.db", b="sqlite:///b.db"))
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert registry.connections == {}
    assert all(database.closed is not None for database in server.databases)


async def test_connect() -> None:
    async with db.connect("sqlite:///a.db", name="x") as database:
        assert get_connection("x") is database
        assert database.connected
        with pytest.raises(ValueError, match="'x'"):
            async with db.connect("sqlite:///b.db", name="x"):
                pass
        assert database.connected
    assert not database.connected
    assert registry.connections == {}


async def test_lifespan() -> None:
    lifespan = db.lifespan(default="sqlite:///a.db")
    kept = await AsyncDatabase("sqlite:///k.db", name="kept")
    for _ in range(2):
        async with lifespan(SimpleNamespace()) as state:
            assert state is None
            assert get_connection().connected
        assert list(registry.connections) == ["kept"]
    async with lifespan:
        assert get_connection().connected
    assert kept.connected
    with pytest.raises(ValueError, match="at least one alias"):
        db.lifespan()


async def test_fastapi_takes_the_lifespan() -> None:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI(lifespan=db.lifespan(default="sqlite:///a.db"))
    async with app.router.lifespan_context(app):
        assert get_connection().connected
    assert registry.connections == {}


# -- resolve


async def test_choice_of_connection() -> None:
    a, b, c = [await AsyncDatabase(f"sqlite:///{name}.db", name=name) for name in ("default", "b", "c")]
    assert resolve() == (a.core, None)
    assert resolve("b", None, "c") == (b.core, None)
    assert resolve(None, None, "c") == (c.core, None)
    assert resolve(None, b, "c") == (b.core, None)
    assert resolve(c, None, "b") == (c.core, None)
    with pytest.raises(ManagerError, match="either"):
        resolve("b", c, None)
    with pytest.raises(KeyError, match="'d'"):
        resolve("d")
    with pytest.raises(KeyError):
        resolve("")
    with pytest.raises(ManagerError, match="int"):
        resolve(1)  # type: ignore[arg-type]


async def test_the_usual_case_is_cheap() -> None:
    """Two calls into C (a dict look-up and a ContextVar get) and no Python function."""
    import sys

    await AsyncDatabase("sqlite:///a.db")
    calls: list[str] = []

    def profile(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            calls.append(event)

    sys.setprofile(profile)
    try:
        resolve("default", None, None)
    finally:
        sys.setprofile(None)
    assert calls[:-1] == ["call", "c_call", "c_call"]
