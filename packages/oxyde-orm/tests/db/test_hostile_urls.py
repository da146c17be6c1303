"""Whatever is given for a URL is one, or a `ValueError` that does not repeat it."""

from __future__ import annotations

import os
import random
import string

import pytest

from oxyde import AsyncDatabase
from oxyde.db.url import parse_url

ROUNDS = 20_000
GOOD = (
    "postgres://user:secret@db.example.org:5432/shop?sslmode=require&max_connections=5",
    "postgresql://user@[::1],other:6432/shop?target_session_attrs=read-write",
    "postgres://user@/shop?host=/run/postgresql",
    "mysql://root:p%40ss@127.0.0.1:3306/shop?charset=utf8mb4&statement_timeout=1.5",
    "mariadb://root@/shop?socket=/run/mysqld/mysqld.sock",
    "sqlite:////srv/app.db?journal_mode=DELETE",
    "sqlite:///:memory:",
)
JUNK = (
    *(
        "@",
        ":",
        "/",
        "//",
        "?",
        "&",
        "=",
        "%",
        "%zz",
        "%00",
        "%2f",
        "#",
        "[",
        "]",
        ",",
        " ",
        "\0",
        "\n",
        "\\",
        "'",
        '"',
        ";",
    ),
    *(
        "\u202e",
        "\N{FULLWIDTH COLON}",
        "\ud800",
        "é",
        "💥",
        "..",
        "://",
        "0x",
        "-1",
        "65536",
        "1e309",
        "nan",
        "9" * 400,
    ),
    *("host=", "port=", "password=", "sslmode=", "on_connect=", "max_connections=", "x" * 10_000),
)


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("OXYDE_FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"OXYDE_FAULTS_SEED={seed}")
    return random.Random(seed)


def spoilt(chance: random.Random) -> str:
    text = chance.choice(GOOD)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0:
                text = text[:at] + chance.choice(JUNK) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randrange(1, 9) :]
            case 2:
                other = chance.choice(GOOD)
                text = text[:at] + other[chance.randrange(len(other)) :]
            case 3:
                text = text[:at] + chance.choice(string.printable) + text[at + 1 :]
    return text


def test_spoilt_urls(chance: random.Random) -> None:
    refused = 0
    for _ in range(ROUNDS):
        text = spoilt(chance)
        try:
            parsed = parse_url(text)
        except ValueError as error:
            refused += 1
            # Short whatever came in, and without a piece that could be of a password.
            assert len(str(error)) < 1_000, text
            assert "secret" not in str(error) and "p%40ss" not in str(error), text
        else:
            # Spoilt in the right place, a password becomes a piece of something else, which is shown.
            if parsed.password and len(parsed.password) > 3 and text.count(parsed.password) == 1:
                assert parsed.password not in repr(parsed) + str(parsed), text
    assert ROUNDS / 10 < refused < ROUNDS


@pytest.mark.parametrize(
    "junk", [None, 1, b"sqlite://", ["sqlite://"], "", " ", "sqlite", "//", "http://a/b", "postgres:"]
)
def test_what_is_no_url(junk: object) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        AsyncDatabase(junk, name="never", auto_register=False)  # type: ignore[arg-type]
    assert str(caught.value)


def test_names_of_files_that_are_no_text() -> None:
    """What `os.fsdecode` makes of bytes that are no UTF-8."""
    path = os.fsdecode(b"/srv/caf\xe9.db")
    parsed = parse_url(f"sqlite:///{path}")
    assert parsed.path == path
    assert "caf%E9.db" in str(parsed)
