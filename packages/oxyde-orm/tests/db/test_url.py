"""Every spelling of a database URL, and no secret in any message."""

from __future__ import annotations

import itertools
import traceback

import pytest

from oxyde.db import AsyncDatabase
from oxyde.db.url import parse_url

CANARY = "hunter2canary"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///app.db", "app.db"),
        ("sqlite://app.db", "app.db"),
        ("sqlite:app.db", "app.db"),
        ("sqlite:////srv/app.db", "/srv/app.db"),
        ("sqlite:/srv/app.db", "/srv/app.db"),
        ("sqlite:///dir/app.db", "dir/app.db"),
        ("sqlite://dir/app.db", "dir/app.db"),
        ("sqlite:///C:/data/app.db", "C:/data/app.db"),
        ("sqlite:///my%20file%3f.db", "my file?.db"),
        ("sqlite:///my file.db", "my file.db"),
        ("sqlite:///a#b.db", "a#b.db"),
        ("sqlite:////tmp/user@host.db", "/tmp/user@host.db"),
        ("SQLite:///app.db", "app.db"),
        ("sqlite://:memory:", None),
        ("sqlite:///:memory:", None),
        ("sqlite::memory:", None),
    ],
)
def test_sqlite_spellings(url: str, path: str | None) -> None:
    parsed = parse_url(url)
    assert (parsed.backend, parsed.path) == ("sqlite", path)
    assert parse_url(str(parsed)).path == path


def test_server_urls() -> None:
    url = parse_url("postgresql://us%40er:p%3Aa%2Fss@[::1]:6432,db.example/na%2Fme?sslmode=require&connect_timeout=2.5")
    assert (url.scheme, url.backend, url.username, url.password) == ("postgresql", "postgres", "us@er", "p:a/ss")
    assert url.hosts == (("::1", 6432), ("db.example", 5432))
    assert url.database == "na/me"
    assert url.settings == {"ssl_mode": "require", "connect_timeout": 2.5}
    assert str(url) == (
        "postgresql://us%40er:***@[::1]:6432,db.example:5432/na%2Fme?ssl_mode=require&connect_timeout=2.5"
    )
    assert "p:a/ss" not in repr(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://root@localhost/app", ("mysql", (("localhost", 3306),), None)),
        ("mariadb://root@/app?socket=/run/mysqld.sock", ("mysql", (("localhost", 3306),), "/run/mysqld.sock")),
        ("mysql://root@/app?host=/run/mysqld", ("mysql", (("localhost", 3306),), "/run/mysqld")),
        ("mysql://root@/app?host=db.example", ("mysql", (("db.example", 3306),), None)),
        (
            "mysql://a,b:1,[::1]:2/app?target_session_attrs=read-write",
            ("mysql", (("a", 3306), ("b", 1), ("::1", 2)), None),
        ),
        ("postgres:///app?host=/run/postgresql", ("postgres", (("localhost", 5432),), "/run/postgresql")),
        ("postgres:///app?host=db.example", ("postgres", (("db.example", 5432),), None)),
        ("postgres://a,b:1/app?target_session_attrs=primary", ("postgres", (("a", 5432), ("b", 1)), None)),
    ],
)
def test_places(url: str, expected: tuple) -> None:
    parsed = parse_url(url)
    assert (parsed.backend, parsed.hosts, parsed.socket) == expected
    assert parse_url(str(parsed)) == parsed


def test_mysql_urls() -> None:
    url = parse_url(
        "mariadb://us%40er:p%3Aa%2Fss@h/na%2Fme?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem&ssl-cert=/c.pem&ssl-key=/k.pem"
        "&charset=utf8mb4&collation=utf8mb4_bin&lock_timeout=2"
    )
    assert (url.scheme, url.backend, url.username, url.password) == ("mariadb", "mysql", "us@er", "p:a/ss")
    assert url.database == "na/me"
    assert url.settings == {
        "ssl_mode": "verify-full",
        "ssl_root_cert": "/ca.pem",
        "ssl_client_cert": "/c.pem",
        "ssl_client_key": "/k.pem",
        "mysql_charset": "utf8mb4",
        "mysql_collation": "utf8mb4_bin",
        "lock_timeout": 2.0,
    }
    assert str(url).startswith("mariadb://us%40er:***@h:3306/na%2Fme?ssl_mode=verify-full&")
    assert parse_url("mysql://h").database is None
    for word, mode in (("DISABLED", "disable"), ("preferred", "prefer"), ("Required", "require"), ("allow", "allow")):
        assert parse_url(f"mysql://h/d?ssl-mode={word}").settings == {"ssl_mode": mode}


def test_options_are_typed() -> None:
    parsed = parse_url("sqlite:///a.db?max_connections=4&sqlite_inline=off&journal_mode=wal&busy_timeout=100&mode=ro")
    assert parsed.settings == {
        "max_connections": 4,
        "sqlite_inline": False,
        "sqlite_journal_mode": "wal",
        "sqlite_busy_timeout": 100.0,
    }
    assert parsed.engine_options == {"mode": "ro"}
    assert parse_url("postgres://h/d?pgbouncer=true").settings == {"pgbouncer": True}
    assert parse_url("postgres://h/d?pgbouncer=auto").settings == {"pgbouncer": "auto"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "starts with"),
        ("app.db", "starts with"),
        ("postgre://h/d", "did you mean postgres"),
        ("oracle://h/d", "known are"),
        ("postgresql+asyncpg://h/d", "no driver"),
        ("postgres:h/d", "form"),
        ("sqlite://", "names a file"),
        ("sqlite:///", "names a file"),
        ("sqlite://user:pw@host/app.db", "no user"),
        ("sqlite:///a%00.db", "NUL"),
        ("sqlite:///a\n.db", "control"),
        ("sqlite:///100%.db", "%25"),
        ("sqlite:///%ff.db", "UTF-8"),
        ("sqlite:///a.db?max_conections=4", "max_connections"),
        ("sqlite:///a.db?jornal_mode=wal", "did you mean 'journal_mode'"),
        ("sqlite:///a.db?zzz=1", "known are"),
        ("sqlite:///a.db?max_connections=x", "whole number"),
        ("sqlite:///a.db?max_connections=1_0", "whole number"),
        ("sqlite:///a.db?max_connections=0", "1 or more"),
        ("sqlite:///a.db?statement_timeout=-1", "negative"),
        ("sqlite:///a.db?statement_timeout=nan", "finite"),
        ("sqlite:///a.db?statement_timeout=soon", "number of seconds"),
        ("sqlite:///a.db?sqlite_inline=maybe", "true or false"),
        ("sqlite:///a.db?journal_mode=fast", "one of"),
        ("sqlite:///a.db?max_connections", "no value"),
        ("sqlite:///a.db?max_connections=1&max_connections=2", "twice"),
        ("sqlite:///a.db?journal_mode=wal&sqlite_journal_mode=wal", "twice"),
        ("sqlite:///a.db?ssl_mode=require", "means nothing to sqlite"),
        ("sqlite:///a.db?on_connect=x", "PoolSettings"),
        ("sqlite:///a.db?mode=fast", "one of"),
        ("sqlite://:memory:?mode=ro", "memory"),
        ("postgres://h:0/d", "port"),
        ("postgres://h:65536/d", "port"),
        ("postgres://h:99999999999999999999/d", "port"),
        ("postgres://h:x/d", "port"),
        ("postgres://h:1:2/d", "two ':'"),
        ("postgres://[::1/d", "IPv6"),
        ("postgres://h/d?target_session_attrs=best", "target_session_attrs"),
        ("postgres://h/d?host=other", "twice"),
        ("postgres://h/d#x", "%23"),
        ("mysql://h/d?ssl_mode=REQUIRED", "ssl_mode must be one of"),
        ("mysql://h/d?charset=latin1", "mysql_charset must be one of"),
        ("mysql://h/d?collation=a'b", "letters, digits"),
        ("mysql://h/d?socket=mysqld.sock", "absolute path"),
        ("mysql:///d?socket=/a.sock&host=/b", "two socket files"),
        ("mysql://h/d?host=other", "twice"),
        ("mysql://h/d?pgbouncer=true", "means nothing to mysql"),
        ("mariadb://h/d?application_name=x", "unknown option in the mysql URL"),
        ("postgres://h/d?charset=utf8mb4", "unknown option in the postgres URL"),
    ],
)
def test_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AsyncDatabase(url, auto_register=False)


def test_not_a_string() -> None:
    with pytest.raises(TypeError, match="string"):
        parse_url(b"sqlite:///a.db")  # type: ignore[arg-type]


def test_min_above_max_across_url_and_settings() -> None:
    with pytest.raises(ValueError, match="min_connections"):
        AsyncDatabase("sqlite:///a.db?max_connections=2&min_connections=3", auto_register=False)


def failing_urls() -> list[str]:
    """More than 500 wrong URLs that hold the canary in places where a password ends up by mistake."""
    passwords = [
        CANARY,
        *(f"p{mark}{CANARY}" for mark in "?#/@:[]%&=+ "),
        *(f"{CANARY}{mark}p" for mark in "?#/@:[]%&=+ "),
    ]
    schemes = ["postgres", "postgresql", "mysql", "mariadb", "sqlite", "pg", "oracle", "postgres+asyncpg"]
    tails = ["h:x/d", "h:99999/d", "h/d?unknown=1", "[::1/d", "h/d?max_connections=x", "h/d#f", "h/d?a", "h/d%ff"]
    return [
        f"{scheme}://u:{password}@{tail}" for scheme, password, tail in itertools.product(schemes, passwords, tails)
    ]


def test_no_message_holds_the_password() -> None:
    failed = 0
    for url in failing_urls():
        try:
            database = AsyncDatabase(url, auto_register=False)
        except ValueError as error:
            failed += 1
            # Not the traceback's source lines, which show this file, but every message in the chain.
            text = "".join(traceback.format_exception_only(error)) + repr(error)
            for linked in (error.__cause__, error.__context__):
                text += repr(linked)
            assert CANARY not in text, url
        else:
            assert CANARY not in repr(database), url
            assert database.backend == "sqlite" or CANARY not in database.url, url
    assert failed > 500
