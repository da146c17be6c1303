"""How connections to MySQL and MariaDB are made, against small servers in this process.

A server here greets as these servers do, understands the request for TLS, and speaks one line each way after that.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from oxyde_core._connect import connector
from oxyde_core._connect.core import Cancelling

from .connecting import Authority, Opening, free_port

GREETING = b"\x0a8.4.0\0 and the rest"
WITH_TLS = GREETING + b", TLS"
FULL = b"\xff\x10\x04#08004Too many connections"
BLOCKED = b"\xff\x69\x04Host '10.0.0.7' is blocked because of many connection errors"
REQUEST = b"\x03\0\0\x01TLS"


def packet(payload: bytes, sequence: int = 0) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


class Link(Opening):
    """Knows of a greeting whether it offers TLS, and reads the error that stands in the place of one."""

    def tls_request(self, greeting: bytes) -> bytes | None:
        if greeting.startswith(b"\x0anonsense"):
            raise ValueError("the server does not speak MySQL's protocol: nonsense")
        return REQUEST if greeting.endswith(b"TLS") else None

    async def start(self, *given: Any) -> tuple[str | None, str] | None:
        greeting: bytes = given[-1]
        if greeting[0] == 255:
            self.greetings.append(greeting)
            self.encrypted = given[4]
            words = greeting[3:].decode()
            return (words[1:6], words[6:]) if words.startswith("#") else (None, words)
        return await super().start(*given)


class Killing(Link):
    packet = None

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bool] = []

    def sent(self, ok: bool) -> None:
        self.answers.append(ok)


Say = Callable[[bool], bytes]


@asynccontextmanager
async def server(
    say: Say | bytes = b"ok\n",
    context: ssl.SSLContext | None = None,
    *,
    greeting: bytes | None = None,
    stay: bool = True,
    path: str | None = None,
) -> AsyncIterator[tuple[int, list[str]]]:
    """A server on a free port; ``say(encrypted)`` is its answer to a login, the list is what clients have done.

    ``greeting`` are the bytes that it begins with; unless it is to ``stay`` it ends the connection after them.
    """
    seen: list[str] = []
    first = packet(WITH_TLS if context else GREETING) if greeting is None else greeting

    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(sock: socket.socket) -> None:
        await loop.sock_sendall(sock, first)
        if not stay:
            return
        begun = await exactly(sock, 6)
        # A client does not wait for an answer before it begins the handshake: none of that may be read here.
        encrypted = begun == REQUEST[:6]
        if encrypted:
            assert begun + await exactly(sock, 1) == REQUEST
            assert context is not None
            seen.append("tls?")
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        wrapped = context if encrypted else None
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=wrapped)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            if encrypted:
                seen.append("tls")
                begun = await reader.readexactly(6)
            seen.append(begun.decode().strip())
            writer.write(say(encrypted) if callable(say) else say)
            await writer.drain()
            await reader.read()
        finally:
            writer.close()

    async def guarded(sock: socket.socket) -> None:
        try:
            await serve(sock)
        except (OSError, asyncio.IncompleteReadError):
            seen.append("ended")
        finally:
            sock.close()

    async def accept(listening: socket.socket) -> None:
        while True:
            sock, _ = await loop.sock_accept(listening)
            tasks.add(asyncio.create_task(guarded(sock)))

    listening = socket.create_server(("127.0.0.1", 0)) if path is None else socket.socket(socket.AF_UNIX)
    with listening:
        if path is not None:
            listening.bind(path)
            listening.listen()
        listening.setblocking(False)
        accepting = asyncio.create_task(accept(listening))
        try:
            yield listening.getsockname()[1] if path is None else 0, seen
        finally:
            accepting.cancel()
            await asyncio.wait([accepting, *tasks], timeout=0.5)
            for task in tasks:
                task.cancel()
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
            await asyncio.sleep(0.01)


async def exactly(sock: socket.socket, size: int) -> bytes:
    taken = b""
    while len(taken) < size:
        more = await asyncio.get_running_loop().sock_recv(sock, size - len(taken))
        if not more:
            raise asyncio.IncompleteReadError(taken, size)
        taken += more
    return taken


def made(hosts: Any, **config: Any) -> Any:
    settings = {"connect_timeout": 5.0} | config.pop("settings", {})
    return connector({"backend": "mysql", "hosts": hosts, "user": "me", "settings": settings} | config)


async def connect(hosts: Any, **config: Any) -> Link:
    opening = Link()
    await made(hosts, **config).open(opening)
    return opening


def test_defaults() -> None:
    for backend in ("mysql", "mariadb"):
        it = connector({"backend": backend, "settings": {}})
        assert [str(host) for host in it.hosts] == ["localhost:3306"]
        assert it.user != ""
        assert it.database is None


# ------------------------------------------------------------------------------------------------------------ greeting


async def test_the_greeting_is_handed_over() -> None:
    async with server() as (port, seen):
        opening = await connect([("127.0.0.1", port)], password="secret")
        assert opening.ended == ["ready"]
        assert opening.greetings == [GREETING]
        assert (opening.encrypted, opening.secure, opening.password) == (False, False, "secret")
        assert seen == ["hello"]
        options = opening.transport.get_extra_info("socket")
        assert options.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert options.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await opening.close()


async def test_a_greeting_that_comes_byte_by_byte() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in packet(GREETING):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        await reader.readexactly(6)
        writer.write(b"ok\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        opening = await connect([("127.0.0.1", listening.sockets[0].getsockname()[1])])
        assert opening.greetings == [GREETING]
        assert opening.ended == ["ready"]
        await opening.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("greeting", "state", "words"),
    [
        (FULL, "08004", "Too many connections"),
        (BLOCKED, None, "Host '10.0.0.7' is blocked because of many connection errors"),
    ],
    ids=["full", "blocked"],
)
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-full"])
async def test_an_error_in_place_of_a_greeting(greeting: bytes, state: str | None, words: str, mode: str) -> None:
    async with server(greeting=packet(greeting), stay=False) as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": mode})
    assert opening.ended[-1] == "failed"
    assert opening.message == f"cannot connect to 127.0.0.1:{port}: {words}"
    assert opening.refused
    assert opening.encrypted is False
    assert seen == []
    # A server that is full is not asked twice.
    assert opening.greetings == [greeting] * (2 if mode == "allow" and state is None else 1)


GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "the X protocol": b"\x05\0\0\0\x0b\x08\x05\x1a\0",
    "an old protocol": packet(b"\x093.23.58\0"),
    "empty": packet(b""),
    "a later packet": packet(GREETING, 1),
    "huge": packet(b"\x0a" + b"8" * 3000),
    "said to be huge": b"\xff\xff\xff\0\x0a8.4.0",
}


@pytest.mark.parametrize("greeting", GARBAGE.values(), ids=list(GARBAGE))
async def test_what_is_no_greeting(greeting: bytes) -> None:
    started = time.monotonic()
    async with server(greeting=greeting) as (port, _):
        opening = await connect([("127.0.0.1", port)])
    assert opening.message == (
        f"cannot connect to 127.0.0.1:{port}: what answers there does not speak the protocol of MySQL"
    )
    assert opening.greetings == []
    assert not opening.refused
    assert time.monotonic() - started < 1.0


async def test_a_greeting_that_nobody_can_read() -> None:
    async with server(greeting=packet(b"\x0anonsense")) as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "require"})
    assert opening.message == (
        f"cannot connect to 127.0.0.1:{port}: the server does not speak MySQL's protocol: nonsense"
    )
    assert seen == ["ended"]


@pytest.mark.parametrize("said", [b"", b"\x20\0", b"\x20\0\0\0\x0a8.4"], ids=["nothing", "half a header", "a part"])
@pytest.mark.parametrize("mode", ["disable", "require"])
async def test_a_server_that_ends_without_a_greeting(said: bytes, mode: str) -> None:
    async with server(greeting=said, stay=False) as (port, _):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": mode})
    assert opening.message == (
        f"cannot connect to 127.0.0.1:{port}: the server closed the connection without a greeting"
    )


@pytest.mark.parametrize("said", [b"", b"\x20\0\0\0\x0a8.4"], ids=["nothing", "a part"])
async def test_a_server_that_is_slow_to_greet_costs_the_connect_timeout(said: bytes) -> None:
    async with server(greeting=said) as (port, _):
        started = time.monotonic()
        opening = await connect([("127.0.0.1", port)], settings={"connect_timeout": 0.2})
        took = time.monotonic() - started
    assert opening.message == f"cannot connect to 127.0.0.1:{port}: no answer within 0.2 s (connect_timeout)"
    assert 0.15 < took < 0.2 + 0.5


# --------------------------------------------------------------------------------------------------------------- hosts


async def test_the_first_host_that_takes_the_connection() -> None:
    async with server(greeting=packet(FULL), stay=False) as (full, _), server() as (port, seen):
        opening = await connect([("127.0.0.1", free_port()), ("127.0.0.1", full), ("127.0.0.1", port)])
        assert opening.ended == ["given up", "ready"]
        assert seen == ["hello"]
        await opening.close()


async def test_every_host_is_named_with_its_reason() -> None:
    dead = free_port()
    async with server(greeting=packet(FULL), stay=False) as (full, _):
        opening = await connect([("127.0.0.1", dead), ("127.0.0.1", full)])
    assert opening.message == (
        f"cannot connect to any of 2 hosts: 127.0.0.1:{dead}: {os.strerror(111)}; "
        f"127.0.0.1:{full}: Too many connections"
    )
    assert not opening.refused


@pytest.mark.parametrize("given", ["file", "directory", "directory of mysql.sock"])
async def test_socket_files(tmp_path: Path, given: str) -> None:
    file = tmp_path / ("mysql.sock" if given.endswith("mysql.sock") else "mysqld.sock")
    async with server(path=str(file)) as (_, seen):
        where = str(file if given == "file" else tmp_path)
        opening = await connect([("localhost", 3306)], socket=where, settings={"ssl_mode": "require"})
        assert opening.ended == ["ready"], opening.message
        assert (opening.encrypted, opening.secure) == (False, True)
        assert seen == ["hello"]
        assert opening.place is not None
        assert str(opening.place.host) == str(file)
        await opening.close()


async def test_a_socket_file_that_is_not_there(tmp_path: Path) -> None:
    opening = await connect([("localhost", 3306)], socket=str(tmp_path))
    assert opening.message.startswith(f"cannot connect to {tmp_path}/mysqld.sock: No such file or directory")


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [("any", 0), ("read-write", 1), ("read-only", 0), ("primary", 1), ("standby", 0), ("prefer-standby", 0)],
)
async def test_which_server_is_taken(wanted: str, taken: int) -> None:
    async with server(b"ok standby read-only\n") as (standby, _), server() as (primary, _):
        ports = [standby, primary]
        for order in (ports, ports[::-1]) if wanted != "any" else (ports,):
            opening = await connect([("127.0.0.1", port) for port in order], target_session_attrs=wanted)
            assert opening.ended[-1] == "ready"
            assert opening.place is not None
            assert opening.place.host.port == ports[taken]
            await opening.close()


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
        ("verify-full", False, "the server does not speak TLS, which ssl_mode=verify-full asks for"),
    ],
)
async def test_modes(authority: Authority, mode: str, has_tls: bool, outcome: str) -> None:
    async with server(context=authority.context if has_tls else None) as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": mode})
        if outcome in ("plain", "tls"):
            assert opening.ended == ["ready"], opening.message
            assert (opening.encrypted, opening.secure) == (outcome == "tls",) * 2
            assert opening.greetings == [WITH_TLS if has_tls else GREETING]
            assert seen == (["tls?", "tls", "hello"] if outcome == "tls" else ["hello"])
            await opening.close()
        else:
            assert outcome in opening.message
            assert "ssl_cert" in (opening.hint or "")
            assert opening.greetings == []


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (b"HY000 Connections using insecure transport are prohibited\n", True),
        (b"28000 Access denied for user 'me'@'localhost' (using password: YES)\n", True),
        (b"- mysql_clear_password is not sent over a network without TLS\n", True),
        (b"42000 Unknown database 'shop'\n", False),
        (b"08004 Too many connections\n", False),
    ],
)
async def test_allow_speaks_tls_where_that_may_help(authority: Authority, answer: bytes, again: bool) -> None:
    def say(encrypted: bool) -> bytes:
        return b"ok\n" if encrypted else answer

    async with server(say, authority.context) as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "allow"})
        assert opening.ended == ["given up", "ready" if again else "failed"]
        assert seen == ["hello"] + ["tls?", "tls", "hello"] * again
        assert opening.encrypted == again
        await opening.close()


async def test_allow_reports_the_first_refusal_of_a_server_without_tls() -> None:
    async with server(b"28000 Access denied\n") as (port, seen):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "allow"})
    assert opening.ended == ["given up", "failed"]
    assert opening.message.endswith(": Access denied")
    assert opening.refused
    assert seen == ["hello", "ended"]


async def test_a_wrong_password_is_tried_once(authority: Authority) -> None:
    async with server(b"28000 Access denied\n", authority.context) as (port, seen):
        opening = await connect([("127.0.0.1", port)])
    assert opening.ended == ["given up", "failed"]
    assert seen == ["tls?", "tls", "hello"]


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
    ],
)
async def test_certificates(authority: Authority, mode: str, host: str, root: str | None, problem: str | None) -> None:
    files = {"root": authority.root, "wrong": authority.wrong, None: None}
    async with server(context=authority.context) as (port, _):
        opening = await connect([(host, port)], settings={"ssl_mode": mode, "ssl_root_cert": files[root]})
        if problem is None:
            assert opening.ended == ["ready"], opening.message
            assert opening.encrypted
            await opening.close()
        else:
            # The login with the password has not begun.
            assert opening.ended == ["failed"]
            assert problem in opening.message
            assert mode in opening.message


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
    finally:
        authority.context.verify_mode = ssl.CERT_NONE


async def test_bytes_behind_the_greeting_are_not_taken_for_the_server(authority: Authority) -> None:
    behind = packet(WITH_TLS) + packet(b"\0\0\0\2\0\0\0", 2)
    async with server(context=authority.context, greeting=behind) as (port, _):
        opening = await connect([("127.0.0.1", port)], settings={"ssl_mode": "require"})
    assert opening.ended == ["failed"]
    assert "TLS handshake" in opening.message


# ---------------------------------------------------------------------------------------------------------------- ends


async def test_a_login_that_an_administrator_ended_is_tried_again() -> None:
    answers = [b"70100 Connection was killed\n", b"ok\n"]
    async with server(lambda _: answers.pop(0)) as (port, _):
        opening = await connect([("127.0.0.1", port)])
        assert opening.ended == ["given up", "ready"]
        await opening.close()


async def test_a_password_is_in_no_message() -> None:
    async def canary() -> str:
        return "canary"

    it = made([("127.0.0.1", 1)], password="canary")
    assert "canary" not in repr(vars(it)) + repr(it)
    for greeting in (*GARBAGE.values(), packet(FULL), b""):
        async with server(b"28000 Access denied\n", greeting=greeting, stay=False) as (port, _):
            opening = await connect([("127.0.0.1", port)], password=canary)
        assert opening.ended[-1] == "failed"
        assert "canary" not in opening.message + (opening.hint or "")


# -------------------------------------------------------------------------------------------------------------- cancel


async def kill(it: Any, opening: Link) -> Killing:
    request = Killing()
    checked: Cancelling = request
    await it.cancel(checked, opening.place)
    return request


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_query_is_killed_by_a_login_at_the_same_server(authority: Authority, encrypted: bool) -> None:
    passwords = iter(["first", "second"])
    async with server(context=authority.context if encrypted else None) as (port, seen):
        it = made([("127.0.0.1", free_port()), ("127.0.0.1", port)], password=lambda: next(passwords))
        opening = Link()
        await it.open(opening)
        assert opening.ended == ["ready"]
        seen.clear()
        request = await kill(it, opening)
        assert request.answers == [True]
        assert (request.password, request.encrypted) == ("second", encrypted)
        assert request.ended == []
        assert seen == (["tls?", "tls", "hello"] if encrypted else ["hello"])
        assert request.transport.is_closing()
        await opening.close()


async def test_killing_goes_over_a_socket_file_as_well(tmp_path: Path) -> None:
    path = str(tmp_path / "mysqld.sock")
    async with server(path=path) as (_, seen):
        it = made([("localhost", 3306)], socket=path)
        opening = Link()
        await it.open(opening)
        request = await kill(it, opening)
        assert request.answers == [True]
        assert request.secure
        assert seen == ["hello", "hello"]
        await opening.close()


async def test_a_server_that_does_not_let_the_helper_in() -> None:
    answers = [b"ok\n", b"08004 Too many connections\n"]
    async with server(lambda _: answers.pop(0)) as (port, _):
        it = made([("127.0.0.1", port)])
        opening = Link()
        await it.open(opening)
        request = await kill(it, opening)
        assert request.answers == [False]
        assert request.ended == ["given up"]
        await opening.close()
    request = await kill(it, opening)
    assert request.answers == [False]


async def test_the_helper_does_not_speak_less_than_its_connection(authority: Authority) -> None:
    async with server(context=authority.context) as (port, _):
        it = made([("127.0.0.1", port)])
        opening = Link()
        await it.open(opening)
        assert opening.encrypted
        await opening.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(packet(GREETING))
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        request = await kill(it, opening)
        await asyncio.sleep(0.01)
    assert request.answers == [False]
    assert request.greetings == []


async def test_a_loop_that_ends_does_not_keep_the_kill_from_the_server() -> None:
    async with server() as (port, seen):
        it = made([("127.0.0.1", port)])
        opening = Link()
        await it.open(opening)
        seen.clear()
        request = Killing()
        task = asyncio.create_task(it.cancel(request, opening.place))
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert request.answers == [True]
        assert "hello" in seen
        await opening.close()
