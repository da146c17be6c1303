"""How connections are made: hosts, addresses, TLS modes, deadlines and words, against small servers in this process.

A server here speaks the first bytes of PostgreSQL's protocol (the request for TLS) and then one line each way.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from oxyde_core._connect import connector

from .connecting import Authority, Opening, free_port

TLS = struct.pack("!ii", 8, 80877103)


Say = Callable[[bool], bytes]


@asynccontextmanager
async def server(
    say: Say | bytes = b"ok\n",
    context: ssl.SSLContext | None = None,
    *,
    tls: bytes | None = None,
    path: str | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[tuple[int, list[str]]]:
    """A server on a free port; ``say(encrypted)`` is its answer, the list is what clients have done."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted = False
        try:
            first = await reader.readexactly(6)
            if first == TLS[:6]:
                await reader.readexactly(2)
                seen.append("tls?")
                answer = tls if tls is not None else b"S" if context else b"N"
                writer.write(answer)
                if context and answer == b"S":
                    await writer.start_tls(context)
                    encrypted = True
                    seen.append("tls")
                elif answer != b"N":
                    return
                first = await reader.readexactly(6)
            seen.append(first.decode(errors="replace").strip())
            if first == b"cancel":
                return
            writer.write(say(encrypted) if callable(say) else say)
            await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            seen.append("ended")
        finally:
            writer.close()

    if path is None:
        listening = await asyncio.start_server(serve, host, 0)
        port = listening.sockets[0].getsockname()[1]
    else:
        listening, port = await asyncio.start_unix_server(serve, path), 0
    try:
        yield port, seen
    finally:
        listening.close()
        await asyncio.sleep(0.01)


async def connect(hosts: Any, **config: Any) -> Opening:
    settings = {"connect_timeout": 5.0} | config.pop("settings", {})
    opening = Opening()
    made = connector({"hosts": hosts, "user": "me", "settings": settings} | config)
    await made.open(opening)
    return opening


# ------------------------------------------------------------------------------------------------------------ settings


def test_defaults_are_those_of_libpq() -> None:
    made = connector({"settings": {}})
    assert [str(host) for host in made.hosts] == ["localhost:5432"]
    assert made.database == made.user != ""
    assert (made.attributes, made.tls.mode) == ("any", "prefer")
    assert connector({"settings": {}, "user": "ada"}).database == "ada"


def test_a_password_is_not_shown() -> None:
    made = connector({"settings": {}, "password": "canary"})
    assert "canary" not in repr(vars(made)) + repr(made) + str(made._password)


# --------------------------------------------------------------------------------------------------------------- hosts


async def test_the_first_host_that_takes_the_connection() -> None:
    async with server() as (port, seen):
        opening = await connect([("127.0.0.1", free_port()), ("127.0.0.1", port)], password="secret")
        assert opening.ended == ["ready"]
        assert seen == ["tls?", "hello"]
        assert (opening.encrypted, opening.secure, opening.password) == (False, False, "secret")
        options = opening.transport.get_extra_info("socket")
        assert options.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert options.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await opening.close()


async def test_every_host_is_named_with_its_reason() -> None:
    first, second = free_port(), free_port()
    opening = await connect([("127.0.0.1", first), ("127.0.0.1", second)])
    assert opening.ended == ["failed"]
    assert opening.message == (
        f"cannot connect to any of 2 hosts: 127.0.0.1:{first}: {os.strerror(111)}; "
        f"127.0.0.1:{second}: {os.strerror(111)}"
    )


async def test_a_name_that_does_not_exist() -> None:
    opening = await connect([("no-such-host.invalid", 5432)])
    assert opening.message.startswith("cannot connect to no-such-host.invalid:5432: the host name cannot be resolved")


async def test_a_refusal_of_the_server_is_passed_on() -> None:
    async with server(b"28P01 password authentication failed\n") as (port, _):
        opening = await connect([("127.0.0.1", port)])
    assert opening.ended == ["given up", "failed"]
    assert opening.refused
    assert opening.message == f"cannot connect to 127.0.0.1:{port}: password authentication failed"


async def test_a_silent_server_costs_the_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        opening = await connect([("127.0.0.1", port)], settings={"connect_timeout": 0.3})
        took = time.monotonic() - started
    assert opening.message == f"cannot connect to 127.0.0.1:{port}: no answer within 0.3 s (connect_timeout)"
    assert 0.25 < took < 0.3 + 1.0


async def test_a_server_that_never_lets_in_costs_the_connect_timeout() -> None:
    async with server(b"") as (port, _):
        opening = await connect([("127.0.0.1", port)], settings={"connect_timeout": 0.2})
    assert opening.ended == ["given up", "failed"]
    assert "no answer within 0.2 s" in opening.message


async def test_a_silent_host_does_not_keep_the_next_one_from_being_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with server() as (port, _):
            hosts = [("127.0.0.1", silent.getsockname()[1]), ("127.0.0.1", port)]
            opening = await connect(hosts, settings={"connect_timeout": 0.2})
            assert opening.ended == ["ready"]
            await opening.close()


async def test_a_cancelled_attempt_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        opening = Opening()
        made = connector({"hosts": [("127.0.0.1", silent.getsockname()[1])], "user": "me", "settings": {}})
        task = asyncio.create_task(made.open(opening))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert opening.ended == ["abandoned"]


@pytest.mark.parametrize("given", ["directory", "file"])
async def test_socket_files(tmp_path: Path, given: str) -> None:
    path = tmp_path / ".s.PGSQL.6000"
    async with server(path=str(path)) as (_, seen):
        where = str(tmp_path if given == "directory" else path)
        opening = await connect([("localhost", 6000)], socket=where, settings={"ssl_mode": "require"})
        assert opening.ended == ["ready"]
        assert (opening.encrypted, opening.secure) == (False, True)
        assert seen == ["hello"]
        await opening.close()
    opening = await connect([("localhost", 6001)], socket=str(tmp_path))
    assert opening.message.startswith(f"cannot connect to {tmp_path}/.s.PGSQL.6001: No such file or directory")


# ---------------------------------------------------------------------------------------------- target_session_attrs


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("any", b"ok standby read-only\n"),
        ("read-write", b"ok\n"),
        ("read-only", b"ok standby read-only\n"),
        ("primary", b"ok\n"),
        ("standby", b"ok standby read-only\n"),
        ("prefer-standby", b"ok standby read-only\n"),
    ],
)
async def test_which_server_is_taken(wanted: str, taken: bytes) -> None:
    async with server(b"ok standby read-only\n") as (standby, _), server() as (primary, _):
        hosts = [("127.0.0.1", primary), ("127.0.0.1", standby)]
        if wanted in ("any", "read-write", "primary"):
            hosts.reverse()
        opening = await connect(hosts, target_session_attrs=wanted)
        assert opening.ended[-1] == "ready"
        assert opening.place is not None
        assert opening.place.host.port == (standby if b"standby" in taken else primary)
        await opening.close()


async def test_prefer_standby_takes_what_there_is() -> None:
    async with server() as (primary, _):
        opening = await connect([("127.0.0.1", primary)], target_session_attrs="prefer-standby")
        assert opening.ended == ["given up", "ready"]
        await opening.close()


async def test_no_server_of_the_wanted_kind() -> None:
    async with server() as (primary, _):
        opening = await connect([("127.0.0.1", primary)], target_session_attrs="standby")
    assert opening.message.endswith("the server is no standby (target_session_attrs=standby)")
    assert not opening.refused


# ----------------------------------------------------------------------------------------------------------------- TLS


@pytest.mark.parametrize(
    ("mode", "has_tls", "outcome"),
    [
        ("disable", True, "plain"),
        ("allow", True, "plain"),
        ("prefer", True, "tls"),
        ("prefer", False, "plain"),
        ("require", True, "tls"),
        ("require", False, "the server does not speak TLS, which ssl_mode=require asks for"),
        ("verify-ca", False, "the server does not speak TLS, which ssl_mode=verify-ca asks for"),
    ],
)
async def test_modes(authority: Authority, mode: str, has_tls: bool, outcome: str) -> None:
    async with server(context=authority.context if has_tls else None) as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": mode})
        if outcome in ("plain", "tls"):
            assert opening.ended == ["ready"], opening.message
            assert (opening.encrypted, opening.secure) == (outcome == "tls",) * 2
            assert ("tls" in seen) == (outcome == "tls")
            await opening.close()
        else:
            assert outcome in opening.message
            assert "ssl_mode" in (opening.hint or "")


async def test_allow_speaks_tls_where_the_server_insists(authority: Authority) -> None:
    def say(encrypted: bool) -> bytes:
        return b"ok\n" if encrypted else b"28000 no encryption\n"

    async with server(say, authority.context) as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "allow"})
        assert opening.ended == ["given up", "ready"]
        assert opening.encrypted
        assert seen == ["hello", "tls?", "tls", "hello"]
        await opening.close()


async def test_allow_does_not_repeat_a_wrong_password() -> None:
    async with server(b"28P01 wrong password\n") as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "allow"})
    assert opening.ended == ["given up", "failed"]
    assert seen.count("hello") == 1


async def test_prefer_goes_without_tls_where_the_server_insists(authority: Authority) -> None:
    def say(encrypted: bool) -> bytes:
        return b"28000 no pg_hba.conf entry, SSL encryption\n" if encrypted else b"ok\n"

    async with server(say, authority.context) as (port, _):
        opening = await connect([("127.0.0.1", port)])
        assert opening.ended == ["given up", "ready"]
        assert not opening.encrypted
        await opening.close()


async def test_prefer_goes_without_tls_when_the_handshake_fails() -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # a server without a certificate
    async with server(context=old) as (port, _):
        opening = await connect([("127.0.0.1", port)])
        assert opening.ended == ["ready"], opening.message
        assert not opening.encrypted
        await opening.close()
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "require"})
    assert "TLS handshake" in opening.message
    assert "ssl_mode=require" in opening.message


@pytest.mark.parametrize(
    ("mode", "host", "root", "problem"),
    [
        ("verify-full", "localhost", "root", None),
        ("verify-ca", "127.0.0.1", "root", None),
        ("verify-full", "127.0.0.1", "root", "the certificate of the server was refused: IP address mismatch"),
        ("verify-ca", "localhost", "wrong", "the certificate of the server was refused"),
        ("verify-full", "localhost", None, "the certificate of the server was refused"),
        ("require", "localhost", "wrong", "the certificate of the server was refused"),
        ("require", "localhost", "missing", "cannot be read: No such file or directory"),
    ],
)
async def test_certificates(
    authority: Authority, tmp_path: Path, mode: str, host: str, root: str | None, problem: str | None
) -> None:
    files = {"root": authority.root, "wrong": authority.wrong, "missing": str(tmp_path / "none.crt"), None: None}
    async with server(context=authority.context, host="127.0.0.1") as (port, _):
        opening = await connect([(host, port)], settings={"ssl_mode": mode, "ssl_root_cert": files[root]})
        if problem is None:
            assert opening.ended == ["ready"], opening.message
            assert opening.encrypted
            await opening.close()
        else:
            assert opening.ended == ["failed"]
            assert problem in opening.message
            assert mode in opening.message or root == "missing"


async def test_a_client_certificate(authority: Authority) -> None:
    authority.context.verify_mode = ssl.CERT_REQUIRED
    try:
        async with server(context=authority.context) as (port, _):
            settings: dict[str, Any] = {"ssl_mode": "require"}
            with_one = settings | {"ssl_client_cert": authority.cert, "ssl_client_key": authority.key}
            opening = await connect([("127.0.0.1", port)], settings=with_one)
            assert opening.ended == ["ready"], opening.message
            await opening.close()
            opening = await connect([("127.0.0.1", port)], settings=settings)
            assert opening.ended[-1] == "failed"
            broken = settings | {"ssl_client_cert": authority.key}
            opening = await connect([("127.0.0.1", port)], settings=broken)
            assert "ssl_client_cert" in opening.message
    finally:
        authority.context.verify_mode = ssl.CERT_NONE


async def test_bytes_behind_the_answer_are_not_taken_for_the_server(authority: Authority) -> None:
    async with server(context=authority.context, tls=b"Sok\n") as (port, _):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "require"})
    assert opening.ended == ["failed"]
    assert "TLS" in opening.message


@pytest.mark.parametrize("answer", [b"", b"E", b"H"])
async def test_no_answer_of_a_postgresql_server(answer: bytes) -> None:
    async with server(tls=answer) as (port, _):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "require"})
    assert "when it was asked for TLS" in opening.message


# ----------------------------------------------------------------------------------------------------------- passwords


async def given_later() -> str:
    await asyncio.sleep(0)
    return "later"


@pytest.mark.parametrize(("password", "sent"), [(lambda: "now", "now"), (given_later, "later"), (lambda: None, None)])
async def test_a_function_gives_the_password(
    password: Callable[[], str | Awaitable[str] | None], sent: str | None
) -> None:
    async with server() as (port, _):
        opening = await connect([("127.0.0.1", port)], password=password)
        assert opening.password == sent
        await opening.close()


async def test_a_function_that_fails_to_give_the_password() -> None:
    def canary() -> str:
        raise ValueError("canary")

    opening = await connect([("127.0.0.1", 1)], password=canary)
    assert opening.message == ("cannot connect to 127.0.0.1:1: the function that gives the password raised ValueError")
    opening = await connect([("127.0.0.1", 1)], password=lambda: 5)
    assert "returned int, not str" in opening.message


# -------------------------------------------------------------------------------------------------------------- cancel


class Cancelling(Opening):
    packet = b"cancel"

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bool] = []

    def sent(self, ok: bool) -> None:
        self.answers.append(ok)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_cancel_goes_to_the_same_server_in_the_same_way(authority: Authority, encrypted: bool) -> None:
    async with server(context=authority.context if encrypted else None) as (port, seen):
        made = connector({"hosts": [("127.0.0.1", port)], "user": "me", "settings": {"ssl_mode": "prefer"}})
        opening = Opening()
        await made.open(opening)
        assert opening.place is not None
        seen.clear()
        request = Cancelling()
        await made.cancel(request, opening.place)
        assert request.answers == [True]
        assert seen == (["tls?", "tls", "cancel"] if encrypted else ["cancel"])
        await opening.close()
    request = Cancelling()
    await made.cancel(request, opening.place)
    assert request.answers == [False]


async def test_a_login_that_an_administrator_ended_is_tried_again() -> None:
    answers = [b"57P01 terminating connection due to administrator command\n", b"ok\n"]
    async with server(lambda _: answers.pop(0)) as (port, _):
        opening = await connect([("127.0.0.1", port)])
        assert opening.ended == ["given up", "ready"]
        await opening.close()
    answers = [b"57P01 terminating\n"] * 3
    async with server(lambda _: answers.pop(0)) as (port, _):
        opening = await connect([("127.0.0.1", port)])
    assert opening.ended == ["given up", "given up", "failed"]
    assert len(answers) == 1


async def test_a_loop_that_ends_does_not_keep_the_cancel_from_the_server() -> None:
    async with server() as (port, seen):
        made = connector({"hosts": [("127.0.0.1", port)], "user": "me", "settings": {"ssl_mode": "disable"}})
        opening = Opening()
        await made.open(opening)
        assert opening.place is not None
        seen.clear()
        request = Cancelling()
        task = asyncio.create_task(made.cancel(request, opening.place))
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert request.answers == [True]
        assert "cancel" in seen
        await opening.close()
