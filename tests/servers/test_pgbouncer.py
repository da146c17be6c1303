from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from . import wire
from .pgbouncer import PgBouncer, program, version
from .postgres import PostgresServer
from .unavailable import Unavailable, named_in_the_summary
from .waiting import cancelled


@pytest.fixture(scope="module")
def bouncer(server: PostgresServer) -> Iterator[PgBouncer]:
    with ExitStack() as stack:
        with named_in_the_summary():
            made = stack.enter_context(PgBouncer(server.url(), {"default_pool_size": "2"}))
        yield made


def test_many_clients_share_two_connections(server: PostgresServer, bouncer: PgBouncer) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(wire.Connection(bouncer.url)) for _ in range(20)]
        sessions = {client.query("SELECT pg_backend_pid()")[0] for client in clients for _ in range(3)}
    assert 1 <= len(sessions) <= 2


def test_the_mode_is_transaction(bouncer: PgBouncer) -> None:
    assert ("pool_mode", "transaction") in [row[:2] for row in bouncer.admin("SHOW CONFIG")]
    assert version().startswith("PgBouncer ")


def test_a_cancel_request_is_passed_on(server: PostgresServer, bouncer: PgBouncer) -> None:
    with wire.Connection(bouncer.url) as connection:
        assert cancelled(connection, server)


def test_in_front_of_a_unix_socket_it_leaves_nothing(server: PostgresServer, bouncer: PgBouncer) -> None:
    with PgBouncer(server.socket_url("template1")) as other:
        directory = other.directory
        with wire.Connection(other.url) as connection:
            assert connection.query("SELECT current_database()") == [("template1",)]
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        wire.Connection(other.url)


def test_a_setting_that_it_refuses_is_shown_from_its_log(server: PostgresServer, bouncer: PgBouncer) -> None:
    with pytest.raises(RuntimeError, match="no_such_setting"), PgBouncer(server.url(), {"no_such_setting": "1"}):
        pass


def test_a_machine_without_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *arguments, **options: None)
    with pytest.raises(Unavailable, match="apt install pgbouncer"):
        program()
