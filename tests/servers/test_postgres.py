from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from . import unprivileged, wire
from .child import ROOT
from .guard import alive
from .postgres import PostgresServer
from .unavailable import Unavailable, named_in_the_summary
from .waiting import cancelled, processes_with, until


def test_the_server_answers_on_tcp_and_on_its_unix_socket(server: PostgresServer) -> None:
    assert server.version.startswith("PostgreSQL 18.")
    for url in (server.url(), server.socket_url()):
        with wire.Connection(url) as connection:
            assert connection.query("SELECT current_user, 1 + 1, NULL") == [("postgres", "2", None)]


def test_case_mapping_knows_unicode_whatever_the_machine_has(server: PostgresServer) -> None:
    assert server.query("SELECT lower('ÄΩЖ'), upper('éßя')") == [("äωж", "ÉßЯ")]


def test_nothing_is_left_after_the_block() -> None:
    with PostgresServer() as server:
        server.query("SELECT 1")
        pids = [int(pid) for (pid,) in server.query("SELECT pid FROM pg_stat_activity") if pid]
        directory = server.directory
        assert processes_with(str(directory))
    assert not directory.exists()
    assert processes_with(str(directory)) == []
    until(lambda: not any(map(alive, pids)))
    with pytest.raises(ConnectionRefusedError):
        wire.Connection(server.url())


def test_nothing_is_left_after_an_error_in_the_block() -> None:
    started = []
    with pytest.raises(ZeroDivisionError), PostgresServer() as server:
        started.append(server.directory)
        raise ZeroDivisionError
    assert not started[0].exists()


@pytest.mark.parametrize("stopped", [False, True])
def test_nothing_is_left_when_the_process_that_started_it_is_killed(stopped: bool) -> None:
    script = (
        "import sys; from tests.servers.postgres import PostgresServer\n"
        "with PostgresServer() as server:\n"
        f"    {'server.pause()' if stopped else 'pass'}\n"
        "    print(server.directory, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        assert processes_with(f"-D {directory}".replace(" ", "\0"))
        process.send_signal(signal.SIGKILL)
    until(lambda: not directory.exists())
    assert processes_with(str(directory)) == []


def test_restarted_it_has_its_data_and_its_port() -> None:
    with PostgresServer() as server:
        port = server.port
        server.query("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        for end in (server.stop, server.crash, server.kill):
            with wire.Connection(server.url()) as open_one:
                end()
                with pytest.raises((wire.Ended, wire.ServerError, ConnectionError)):
                    open_one.query("SELECT 1")
            assert not server.answers()
            server.start()
            assert (server.port, server.query("SELECT n FROM kept")) == (port, [("7",)])


def test_a_paused_server_does_not_answer_until_resumed() -> None:
    with PostgresServer() as server:
        with wire.Connection(server.url(), timeout=0.3) as connection:
            server.pause()
            with pytest.raises(TimeoutError):
                connection.query("SELECT 1")
        server.resume()
        assert server.query("SELECT 1") == [("1",)]
        server.pause()


@pytest.mark.parametrize(
    ("method", "encryption"), [("password", "scram-sha-256"), ("md5", "md5"), ("scram-sha-256", "scram-sha-256")]
)
def test_access_can_be_by_password(method: str, encryption: str) -> None:
    with PostgresServer(hba=[f"host all guest 127.0.0.1/32 {method}"]) as server:
        server.query(f"SET password_encryption = '{encryption}'; CREATE USER guest PASSWORD 's e:c/r@t'")
        with wire.Connection(server.url(user="guest", password="s e:c/r@t")) as connection:
            assert connection.query("SELECT current_user") == [("guest",)]
        with pytest.raises(wire.ServerError) as refused:
            wire.Connection(server.url(user="guest", password="another"))
        assert refused.value.code == "28P01"


def test_a_setting_that_the_server_refuses_is_shown_from_its_log() -> None:
    with pytest.raises(RuntimeError, match="no_such_setting"), PostgresServer({"no_such_setting": "1"}):
        pass


def test_a_statement_can_be_cancelled_from_outside(server: PostgresServer) -> None:
    with wire.Connection(server.url()) as connection:
        assert cancelled(connection, server)
        assert connection.query("SELECT 1") == [("1",)]


def test_a_command_gets_the_addresses(server: PostgresServer) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OXYDE_TEST_")}
    module = [sys.executable, "-m", "tests.servers.postgres"]
    inner = [
        sys.executable,
        "-c",
        "import os; print(*(os.environ[f'OXYDE_TEST_POSTGRES_{n}'] for n in ('URL', 'SOCKET', 'TLS_URL')))",
    ]
    done = subprocess.run([*module, "run", "--", *inner], capture_output=True, text=True, cwd=ROOT, env=variables)
    assert (done.returncode, done.stderr, len(done.stdout.split())) == (0, "", 3), done
    given = subprocess.run(
        [*module, "run", "--", *inner[:2], "import os; print(os.environ['OXYDE_TEST_POSTGRES_URL'])"],
        capture_output=True, text=True, cwd=ROOT, env=variables | {"OXYDE_TEST_POSTGRES_URL": server.url()},
    )  # fmt: skip
    assert given.stdout.strip() == server.url()
    failed = subprocess.run(
        [*module, "run", "--", sys.executable, "-c", "raise SystemExit(7)"],
        cwd=ROOT,
        env=variables,
        capture_output=True,
    )
    assert failed.returncode == 7
    assert b"ready to accept connections" in failed.stderr


def test_a_server_that_does_not_answer_is_an_exit_code_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.servers.postgres", "describe", "postgres://postgres@127.0.0.1:1/x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (3, "")


def test_a_tree_that_the_account_cannot_reach_is_copied(tmp_path: Path) -> None:
    (closed := tmp_path / "closed" / "tree").mkdir(parents=True)
    (closed / "file").write_text("x")
    closed.parent.chmod(0o700)
    found = unprivileged.within_reach(closed, tmp_path)
    assert (found / "file").read_text() == "x"
    assert (found != closed) == (os.geteuid() == 0)


def test_what_is_missing_is_named_in_the_summary_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="PgBouncer: not here"), named_in_the_summary():
        raise Unavailable("PgBouncer: not here")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Unavailable, match="PgBouncer: not here"), named_in_the_summary():
        raise Unavailable("PgBouncer: not here")
