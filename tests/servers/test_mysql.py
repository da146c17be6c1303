from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import mysql_programs
from . import mysql_wire as wire
from .child import ROOT
from .guard import alive
from .mysql import MySQLServer
from .mysql_programs import TITLES
from .proxy import Proxy
from .unavailable import Unavailable, named_in_the_summary
from .waiting import processes_with, until


@pytest.fixture(scope="module", params=sorted(TITLES, reverse=True))
def flavour(request: pytest.FixtureRequest) -> str:
    """MySQL, and MariaDB where it is present."""
    try:
        with named_in_the_summary():
            mysql_programs.find(request.param)
    except Unavailable as error:
        if request.param == "mysql":
            raise
        pytest.skip(str(error))
    return request.param


@pytest.fixture(scope="module")
def server(flavour: str) -> Iterator[MySQLServer]:
    """A private server for the tests that do not stop it."""
    with MySQLServer({"max_allowed_packet": "2M"}, flavour=flavour, tls=True) as server:
        yield server


def test_the_server_answers_on_tcp_and_on_its_unix_socket(server: MySQLServer) -> None:
    assert server.version.startswith(f"{TITLES[server.flavour]} ")
    for url in (server.url(), server.socket_url()):
        with wire.Connection(url) as connection:
            assert connection.query("SELECT current_user(), 1 + 1, NULL, 'ü'") == [("root@localhost", "2", None, "ü")]


def test_options_are_the_tests_own(server: MySQLServer) -> None:
    assert server.query("SELECT @@max_allowed_packet") == [(str(2 * 2**20),)]
    with MySQLServer({"character_set_server": "latin1", "lower_case_table_names": "1"}, flavour=server.flavour) as own:
        assert own.query("SELECT @@character_set_server, @@lower_case_table_names") == [("latin1", "1")]


def test_an_option_that_the_server_refuses_is_shown_from_its_log(flavour: str) -> None:
    with pytest.raises(RuntimeError, match="no_such_option"), MySQLServer({"no_such_option": "1"}, flavour=flavour):
        pass


def test_rows_and_errors(server: MySQLServer) -> None:
    with wire.Connection(server.url()) as connection:
        ((long, *rest),) = connection.query("SELECT 1; SELECT repeat('x', 1000000), x'ff', ''")
        assert (len(long or ""), rest) == (1_000_000, ["ÿ", ""])
        assert connection.query("DO 1") == []
        with pytest.raises(wire.ServerError, match="nothing") as caught:
            connection.query("SELECT nothing")
        assert (caught.value.number, caught.value.code) == (1054, "42S22")
        assert connection.query("SELECT 1") == [("1",)]


def test_tls_with_a_certificate_that_can_be_checked(server: MySQLServer) -> None:
    for url in (server.tls_url(), server.url(ssl_mode="require")):
        with wire.Connection(url) as connection:
            ((_, cipher),) = connection.query("SHOW STATUS LIKE 'Ssl_cipher'")
            assert cipher
    other = str(server.certificates.other_ca)
    with pytest.raises(ssl.SSLCertVerificationError, match="CERTIFICATE_VERIFY_FAILED"):
        wire.Connection(server.url(ssl_mode="verify-full", ssl_root_cert=other))


def test_access_by_password(server: MySQLServer) -> None:
    server.query("CREATE USER guest IDENTIFIED BY 's e:c/r@t'")
    ways = (
        server.url(user="guest", password="s e:c/r@t", ssl_mode="require", database=""),
        server.socket_url(user="guest", password="s e:c/r@t", database=""),
        server.url(user="guest", password="s e:c/r@t", database=""),
    )
    for url in ways:
        with wire.Connection(url) as connection:
            assert connection.query("SELECT current_user()") == [("guest@%",)]
    with pytest.raises(wire.ServerError) as refused:
        wire.Connection(server.url(user="guest", password="another", database=""))
    assert refused.value.number == 1045
    server.query("DROP USER guest")


def test_nothing_is_left_after_the_block(flavour: str) -> None:
    with MySQLServer(flavour=flavour) as server:
        server.query("SELECT 1")
        directory = server.directory
        assert (pids := processes_with(str(directory)))
    assert not directory.exists()
    assert not any(map(alive, pids))
    with pytest.raises(ConnectionRefusedError):
        wire.Connection(server.url())


def test_nothing_is_left_after_an_error_in_the_block(flavour: str) -> None:
    started = []
    with pytest.raises(ZeroDivisionError), MySQLServer(flavour=flavour) as server:
        started.append(server.directory)
        raise ZeroDivisionError
    assert not started[0].exists()


@pytest.mark.parametrize("stopped", [False, True])
def test_nothing_is_left_when_the_process_that_started_it_is_killed(flavour: str, stopped: bool) -> None:
    script = (
        "import sys; from tests.servers.mysql import MySQLServer\n"
        f"with MySQLServer(flavour='{flavour}') as server:\n"
        f"    {'server.pause()' if stopped else 'pass'}\n"
        "    print(server.directory, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        assert processes_with(f"--datadir={directory}")
        process.send_signal(signal.SIGKILL)
    until(lambda: not directory.exists())
    assert processes_with(str(directory)) == []


def test_restarted_it_has_its_data_and_its_port(flavour: str) -> None:
    with MySQLServer(flavour=flavour) as server:
        port = server.port
        server.query("CREATE DATABASE kept; CREATE TABLE kept.kept (n int); INSERT INTO kept.kept VALUES (7)")
        for end in (server.stop, server.kill):
            with wire.Connection(server.url()) as open_one:
                server.query("UPDATE kept.kept SET n = n + 1")
                end()
                with pytest.raises((wire.Ended, wire.ServerError, ConnectionError)):
                    open_one.query("SELECT 1")
            assert not server.answers()
            server.start()
        assert (server.port, server.query("SELECT n FROM kept.kept")) == (port, [("9",)])


def test_a_paused_server_does_not_answer_until_resumed(flavour: str) -> None:
    with MySQLServer(flavour=flavour) as server:
        with wire.Connection(server.url(), timeout=0.3) as connection:
            server.pause()
            with pytest.raises(TimeoutError):
                connection.query("SELECT 1")
        server.resume()
        assert server.query("SELECT 1") == [("1",)]
        server.pause()


def test_a_statement_can_be_cancelled_from_outside(server: MySQLServer) -> None:
    with wire.Connection(server.url()) as connection:
        connection.command(b"\x03SELECT count(*) FROM information_schema.collations a, (SELECT sleep(60)) AS long_one")
        until(lambda: server.query("SELECT 1 FROM information_schema.processlist WHERE info LIKE '%AS long_\\one'"))
        connection.cancel()
        with pytest.raises(wire.ServerError) as caught:
            connection.result()
        assert caught.value.number == 1317
        assert connection.query("SELECT 1") == [("1",)]


def test_the_proxy_stands_in_front_of_it_too(server: MySQLServer) -> None:
    for target in (server.url(ssl_mode="disable"), server.socket_url()):
        with Proxy(target) as proxy:
            with wire.Connection(proxy.url) as connection:
                assert connection.query("SELECT 1") == [("1",)]
                proxy.drop_reply(b"SELECT 2")
                with pytest.raises((wire.Ended, ConnectionError)):
                    connection.query("SELECT 2")
            assert proxy.stats()["matched"] == 1


def test_a_command_gets_the_addresses(server: MySQLServer) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OXYDE_TEST_")}
    module = [sys.executable, "-m", "tests.servers.mysql", "run", "--flavour", server.flavour, "--"]
    inner = [
        sys.executable,
        "-c",
        "import os; print(*(os.environ[f'OXYDE_TEST_MYSQL_{n}'] for n in ('URL', 'SOCKET', 'TLS_URL')))",
    ]
    done = subprocess.run([*module, *inner], capture_output=True, text=True, cwd=ROOT, env=variables)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert [url.partition(":")[0] for url in done.stdout.split()] == [server.flavour] * 3
    given = subprocess.run(
        [*module, *inner[:2], "import os; print(os.environ['OXYDE_TEST_MYSQL_URL'])"],
        capture_output=True, text=True, cwd=ROOT, env=variables | {"OXYDE_TEST_MYSQL_URL": server.url()},
    )  # fmt: skip
    assert given.stdout.strip() == server.url()
    failing = [*module, sys.executable, "-c", "raise SystemExit(7)"]
    failed = subprocess.run(failing, cwd=ROOT, env=variables, capture_output=True)
    assert failed.returncode == 7
    assert b"ready for connections" in failed.stderr


def test_a_server_that_does_not_answer_is_an_exit_code_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.servers.mysql", "describe", "mysql://root@127.0.0.1:1/x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (3, "")


class TestFinding:
    """A machine without the programs is told what to do."""

    @pytest.fixture(autouse=True)
    def nothing_there(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(mysql_programs, "FOLDERS", ())
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def test_no_mariadb(self) -> None:
        with pytest.raises(Unavailable, match="MariaDB: there is no `mariadbd`.*apt install"):
            mysql_programs.find("mariadb")

    def test_no_mysql_and_no_way_to_get_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(Unavailable, match="MySQL: there is no `mysqld`.*without apt-get.*OXYDE_TEST_MYSQL_URL"):
            mysql_programs.find("mysql")
        monkeypatch.setattr("sys.platform", "darwin")
        with pytest.raises(Unavailable, match="on Linux only"):
            mysql_programs.find("mysql")
        assert list(tmp_path.iterdir()) == []

    def test_what_a_program_is_called_says_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder, said in (
            ("old", "mysqld  Ver 8.0.18 for Linux on x86_64"),
            ("renamed", "mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu"),
            ("good", "mysqld  Ver 8.4.7 for Linux on x86_64"),
        ):
            program = tmp_path / folder / "mysqld"
            program.parent.mkdir()
            program.write_text(f"#!/bin/sh\necho '{said}'\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'old'}:{tmp_path / 'renamed'}:{tmp_path / 'good'}")
        assert mysql_programs.find("mysql").version == (8, 4, 7)
        assert mysql_programs.find("mariadb").version == (10, 11, 6)
