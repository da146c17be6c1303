"""Any text as a database URL: read or refused, never anything else, and never with a secret in the words.

URLs are read by Python, out of reach of the libFuzzer targets in `crates/oxyde-fuzz`; this is their counterpart.
`OXYDE_FUZZ_EXAMPLES` chooses how many URLs are tried (`python3 noxfile.py -s fuzz -- urls`).
"""

from __future__ import annotations

import os
import pickle
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oxyde.db.url import DatabaseURL, parse_url

EXAMPLES = int(os.environ.get("OXYDE_FUZZ_EXAMPLES") or 400)
tried = settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 400)

SCHEMES = ("postgres", "postgresql", "mysql", "mariadb", "sqlite")
CANARY = "hunter2canary"

# What has a meaning somewhere in a URL, or looks like it.
PIECES = (
    *("://", ":", "/", "//", "@", "?", "&", "=", "#", ",", "[", "]", "::1", "%", "%zz", "%00", "%2F", "%40", "%ff"),
    *("host", "localhost", "socket", "sslmode", "ssl-mode", "connect_timeout", "mode", "ro", "1.5", "nan", "1e999"),
    *("-1", "0", "65535", "65536", "000", ":memory:", "target_session_attrs", "any", " ", "\t", "\0", "ü", "\ud800"),
    *("\N{ARABIC-INDIC DIGIT FIVE}", *SCHEMES),
)
pieces = st.one_of(st.sampled_from(PIECES), st.text(max_size=5))
beginnings = st.sampled_from(("", *(f"{scheme}://" for scheme in SCHEMES)))
anything = st.builds("{}{}".format, beginnings, st.lists(pieces).map("".join))

# Control characters and halves of surrogate pairs are refused in a part, percent-encoded or not in UTF-8.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)
ports = st.integers(1, 65535)


def read(url: str) -> DatabaseURL | None:
    try:
        return parse_url(url)
    except ValueError as error:
        assert str(error)
        return None


def check(parsed: DatabaseURL) -> None:
    """What holds for every URL that is read."""
    assert all(host and 1 <= port <= 65535 for host, port in parsed.hosts)
    assert (parsed.backend == "sqlite") == (not parsed.hosts)
    assert pickle.loads(pickle.dumps(parsed)) == parsed
    again = parse_url(str(parsed).replace(":***@", "@", 1))
    assert again.path == parsed.path
    assert (again.hosts, again.username, again.database) == (parsed.hosts, parsed.username, parsed.database)
    assert (again.settings, again.engine_options) == (parsed.settings, parsed.engine_options)
    assert (again.socket, again.target_session_attrs) == (parsed.socket, parsed.target_session_attrs)


@tried
@given(anything)
@example("postgres://localhost:0655359/app")
@example(f"postgres://localhost:{'0' * 5000}1/app")
def test_any_text(url: str) -> None:
    if parsed := read(url):
        check(parsed)


@tried
@given(st.sampled_from(SCHEMES[:4]), texts, texts, st.lists(st.tuples(names, ports), min_size=1, max_size=3), texts)
def test_the_parts_come_back(
    scheme: str, user: str, password: str, hosts: list[tuple[str, int]], database: str
) -> None:
    places = ",".join(f"{host}:{port}" for host, port in hosts)
    secret = quote(password, safe="")
    url = f"{scheme}://{quote(user, safe='')}:{secret}@{places}/{quote(database, safe='')}"
    parsed = parse_url(url)
    assert (parsed.username, parsed.password) == (user or None, password)
    assert (list(parsed.hosts), parsed.database) == (hosts, database or None)
    check(parsed)


@tried
@given(st.sampled_from(SCHEMES), st.lists(pieces, max_size=4).map("".join), st.lists(pieces, max_size=6).map("".join))
@example("postgres", "@://", "")
@example("mysql", "@h/", "")
@example("sqlite", "", ":memory:")
def test_a_password_is_in_no_word(scheme: str, around: str, rest: str) -> None:
    """Also one that is not percent-encoded as it should be, so that it is cut in two."""
    url = f"{scheme}://app:{CANARY}{around}{CANARY}@{rest}"
    try:
        parsed = parse_url(url)
    except ValueError as error:
        told = f"{error} {error!r} {error.__cause__!r}"
    else:
        told = f"{parsed} {parsed!r}"
    # Without its '@' a text is no password: the name of a host, or of a file.
    assert CANARY not in told


@pytest.mark.parametrize("value", [None, 1, b"sqlite:///a.db", ["sqlite:///a.db"], object()])
def test_what_is_no_text(value: Any) -> None:
    with pytest.raises(TypeError, match="must be a string"):
        parse_url(value)
