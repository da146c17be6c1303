from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import wire
from .guard import alive
from .postgres import PostgresServer
from .tls import CASES, TLSFront
from .waiting import cancelled


@pytest.fixture(scope="module")
def front(server: PostgresServer) -> Iterator[TLSFront]:
    with TLSFront(server.url()) as front:
        yield front


def answer(front: TLSFront, case: str, request: bytes = wire.SSL_REQUEST) -> bytes:
    with socket.create_connection(("127.0.0.1", front.ports[case]), 10) as client:
        client.sendall(request)
        return client.recv(64)


def query(url: str) -> list[tuple[str | None, ...]]:
    with wire.Connection(url) as connection:
        return connection.query("SELECT 1")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_good_server_in_every_mode(front: TLSFront, mode: str, host: str) -> None:
    before = front.stats()["encrypted"]
    assert query(front.url(mode, host=host)) == [("1",)]
    assert front.stats()["encrypted"] == before + 1


def test_much_goes_through(front: TLSFront) -> None:
    with wire.Connection(front.url()) as connection:
        ((found,),) = connection.query("SELECT repeat('x', 5000000)")
        assert found is not None
        assert len(found) == 5_000_000


@pytest.mark.parametrize(
    ("case", "mode", "reason"),
    [
        ("expired", "verify-full", "expired"),
        ("expired", "verify-ca", "expired"),
        ("wrong_host", "verify-full", "Hostname mismatch|doesn't match"),
    ],
)
def test_a_bad_certificate_is_refused(front: TLSFront, case: str, mode: str, reason: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        query(front.url(mode, case))


@pytest.mark.parametrize(
    ("case", "mode"), [("wrong_host", "verify-ca"), ("expired", "require"), ("wrong_host", "require")]
)
def test_what_a_mode_does_not_look_at_gets_through(front: TLSFront, case: str, mode: str) -> None:
    assert query(front.url(mode, case)) == [("1",)]


def test_an_unknown_authority_is_refused(front: TLSFront) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        query(front.url(ca=front.certificates.other_ca))


def test_a_client_certificate_is_asked_for_and_checked(front: TLSFront) -> None:
    made = front.certificates
    assert query(front.url(case="client_cert")) == [("1",)]
    foreign = (made.foreign_client, made.foreign_client_key)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        query(front.url(case="client_cert", client=foreign))
    without = front.url(case="client_cert").partition("&ssl_client_cert")[0]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        query(without)


def test_an_old_protocol_is_refused_by_todays_clients(front: TLSFront) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        query(front.url(case="old"))


def test_answers_to_the_request_for_tls(front: TLSFront) -> None:
    assert {case: answer(front, case) for case in ("good", "refused", "closed", "garbage")} == {
        "good": b"S",
        "refused": b"N",
        "closed": b"",
        "garbage": b"?",
    }
    assert answer(front, "injected")[:2] == b"SR"
    gss = b"\0\0\0\x08\x04\xd2\x16\x30"
    assert answer(front, "good", gss) == b"N"


def test_plain_connections_get_through_unless_tls_is_required(front: TLSFront) -> None:
    for case in ("good", "refused", "closed"):
        assert query(front.url("disable", case)) == [("1",)]
    with pytest.raises((wire.Ended, ConnectionError)):
        query(front.url("disable", "required"))
    assert query(front.url("verify-full", "required")) == [("1",)]


@pytest.mark.parametrize("mode", ["disable", "verify-full"])
def test_a_cancel_request_is_passed_on(front: TLSFront, server: PostgresServer, mode: str) -> None:
    before = front.stats()["cancelled"]
    with wire.Connection(front.url(mode)) as connection:
        assert cancelled(connection, server)
    assert front.stats()["cancelled"] == before + 1


def test_it_ends_without_a_process_and_without_a_file(server: PostgresServer) -> None:
    with TLSFront(server.socket_url()) as front:
        assert query(front.url()) == [("1",)]
        folder, pid = Path(front.certificates.ca).parent, front.pid
        assert set(front.ports) == set(CASES)
        assert folder.exists()
    assert not folder.exists()
    assert not alive(pid)
