from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from . import wire
from .child import ROOT
from .echo import echo_server
from .guard import alive
from .postgres import PostgresServer
from .proxy import Proxy
from .waiting import until


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echo_server() as url, Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def dial(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def dial() -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", proxy.port), 10))
        return opened[-1]

    yield dial
    for client in opened:
        client.close()


def asked(client: socket.socket, data: bytes) -> bytes:
    """What comes back for this, up to the same length."""
    client.sendall(data)
    found = b""
    while len(found) < len(data) and (piece := client.recv(65536)):
        found += piece
    return found


def silent(client: socket.socket) -> bool:
    client.settimeout(0.2)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


Dial = Callable[[], socket.socket]


def test_passes_everything(proxy: Proxy, dial: Dial) -> None:
    data = os.urandom(3_000_000)
    client = dial()
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()  # both directions at once, or the sockets fill up
    found = b""
    while len(found) < len(data):
        found += client.recv(65536)
    sender.join()
    assert found == data
    assert proxy.stats() == {"accepted": 1, "open": 1, "matched": 0, "cut": 0, "up": len(data), "down": len(data)}


def test_cut_resets_what_is_open_only(proxy: Proxy, dial: Dial) -> None:
    first = dial()
    asked(first, b"hello")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        first.recv(1)
    assert asked(dial(), b"again") == b"again"
    assert proxy.stats()["cut"] == 1


def test_fin_is_an_orderly_end(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    asked(client, b"hello")
    proxy.fin()
    assert client.recv(1) == b""
    client.sendall(b"a client may still send")
    client.close()
    assert asked(dial(), b"again") == b"again"


def test_blackhole_reads_and_forwards_nothing(proxy: Proxy, dial: Dial) -> None:
    before = dial()
    asked(before, b"hello")
    proxy.blackhole()
    before.sendall(b"lost?")
    after = dial()
    after.sendall(b"never read")
    assert silent(before)
    assert silent(after)
    after.setblocking(False)
    with pytest.raises(BlockingIOError):  # the sockets are full: nobody reads
        for _ in range(10_000):
            after.send(bytes(65536))
            time.sleep(0)
    proxy.reset()
    assert before.recv(5) == b"lost?"


def test_deaf_throws_away_what_the_client_sends(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    asked(client, b"hello")
    proxy.deaf()
    for _ in range(200):
        client.sendall(bytes(65536))
    assert silent(client)
    proxy.reset()
    proxy.wait("open", 1)
    assert asked(client, b"heard") == b"heard"


def test_refuse_and_listen_again_on_the_same_port(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    asked(client, b"hello")
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        dial()
    assert asked(client, b"still") == b"still"
    proxy.reset()
    assert asked(dial(), b"back") == b"back"


def test_delay(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    proxy.delay(150, "down")
    started = time.monotonic()
    assert asked(client, b"slow") == b"slow"
    assert time.monotonic() - started >= 0.15


def test_slices_arrive_one_by_one(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    proxy.slice(3, "down")
    proxy.delay(20, "up")
    client.sendall(b"0123456789")
    first = client.recv(3)
    assert first == b"012"
    rest = b""
    while len(rest) < 7:
        rest += client.recv(65536)
    assert rest == b"3456789"


def test_cut_after_so_many_bytes(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    asked(client, b"does not count")
    proxy.cut_after(5)
    client.sendall(b"0123456789")
    found = b""
    with pytest.raises(ConnectionResetError):
        while piece := client.recv(65536):
            found += piece
    assert found == b"01234"


@pytest.mark.parametrize("forward", [False, True])
def test_cut_on_a_pattern_across_two_chunks(proxy: Proxy, dial: Dial, forward: bool) -> None:
    client = dial()
    proxy.cut_on(b"COMMIT", forward=forward)
    assert asked(client, b"xxCOM") == b"xxCOM"
    client.sendall(b"MITyy")
    with pytest.raises(ConnectionResetError):
        while client.recv(65536):
            pass
    proxy.wait("matched", 1)
    assert proxy.stats()["up"] == 5


def test_drop_reply_hangs_or_cuts_once_the_server_has_answered(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    proxy.drop_reply(b"COMMIT", then="hang")
    assert asked(client, b"BEGIN") == b"BEGIN"
    client.sendall(b"COMMIT")
    assert silent(client)
    assert proxy.stats()["up"] == len(b"BEGINCOMMIT")
    client = dial()
    proxy.drop_reply(b"COMMIT", then="cut")
    client.sendall(b"COMMIT")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.stats()["matched"] == 2


def test_the_same_seed_does_the_same_damage(proxy: Proxy, dial: Dial) -> None:
    data = bytes(20_000)
    damaged = []
    for seed in (1, 1, 2):
        proxy.mutate(seed, rate=0.01)
        damaged.append(asked(dial(), data))
        proxy.reset()
    assert damaged[0] == damaged[1] != damaged[2]
    assert 50 < sum(byte != 0 for byte in damaged[0]) < 500
    assert asked(dial(), data) == data


def test_rules_add_up_until_reset(proxy: Proxy, dial: Dial) -> None:
    proxy.slice(2, "down")
    proxy.cut_after(4, "down")
    client = dial()
    client.sendall(b"0123456789")
    assert client.recv(2) == b"01"
    proxy.reset()
    assert asked(dial(), b"0123456789") == b"0123456789"


def test_it_ends_with_the_block(proxy: Proxy, dial: Dial) -> None:
    assert asked(dial(), b"x") == b"x"
    assert alive(proxy.pid)
    proxy.close()
    assert not alive(proxy.pid)
    with pytest.raises(ConnectionError):
        dial()


def test_it_ends_when_the_process_that_started_it_is_killed() -> None:
    script = (
        "import sys; from tests.servers.proxy import Proxy\n"
        "print(Proxy('postgres://127.0.0.1:1/x').pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
    until(lambda: not alive(pid))


def test_a_server_that_is_not_there_is_a_reset() -> None:
    with Proxy("postgres://postgres@127.0.0.1:1/postgres") as nowhere:
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", nowhere.port), 10) as client:
            client.recv(1)
        assert nowhere.stats()["accepted"] == 1


def test_in_front_of_a_server_by_tcp_and_by_its_unix_socket(server: PostgresServer) -> None:
    for target in (server.url("template1"), server.socket_url("template1")):
        with Proxy(target) as proxy, wire.Connection(proxy.url) as connection:
            assert connection.query("SELECT current_database()") == [("template1",)]
            with wire.Connection(proxy.of(server.url("postgres"))) as other:
                assert other.query("SELECT current_database()") == [("postgres",)]


def test_the_transaction_whose_commit_reply_is_lost_is_committed(server: PostgresServer) -> None:
    server.query("CREATE TABLE lost_reply (n int)")
    with Proxy(server.url()) as proxy, wire.Connection(proxy.url) as connection:
        proxy.drop_reply(b"COMMIT")
        connection.query("BEGIN")
        connection.query("INSERT INTO lost_reply VALUES (1)")
        with pytest.raises(ConnectionResetError):
            connection.query("COMMIT")
    assert server.query("SELECT n FROM lost_reply") == [("1",)]


def test_a_stopped_proxy_can_be_resumed(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    assert asked(client, b"x") == b"x"
    os.kill(proxy.pid, signal.SIGSTOP)
    client.sendall(b"y")
    assert silent(client)
    os.kill(proxy.pid, signal.SIGCONT)
    assert client.recv(1) == b"y"
