"""A password never shows, in what fails before anybody asks for it: URLs, settings, addresses where nobody is.

What servers refuse, and what fails behind a login, is in ``test_server_secrets``.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from oxyde import AsyncDatabase, PoolSettings

from .canary import PASSWORDS, QUICK, attempt, check_silent, told
from .harness import scaled

ENCODINGS: dict[str, Callable[[str], str]] = {
    "encoded": lambda text: quote(text, safe=""),
    "half encoded": lambda text: quote(text),
    "as it is": lambda text: text,
}
SCHEMES = ("postgres", "postgresql", "mysql", "mariadb")

# A password may have been put into the place of any of them.
OPTIONS = (
    "ssl_mode", "connect_timeout", "max_connections", "target_session_attrs", "test_before_acquire", "nothing",
    "password", "pgbouncer", "statement_timeout", "min_connections", "idle_timeout", "on_connect",
)  # fmt: skip

# Nobody listens at port 1. {0} is the scheme, {1} the password, {2} the password percent-encoded.
SERVER_URLS = (
    *(
        f"{{0}}://{user}@{hosts}/db?{option}={{1}}"
        for option in OPTIONS
        for user in ("app:{1}", "app")
        for hosts in ("127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2")
    ),
    "{0}://app:{1}@127.0.0.1:1/db",
    "{0}://app:{1}@localhost:1/",
    "{0}://app:{1}@[::1]:1/db",
    "{0}://app:{1}@127.0.0.1:1,127.0.0.1:2/db",
    "{0}://app:{1}@127.0.0.1:99999/db",
    "{0}://app:{1}@127.0.0.1:port/db",
    "{0}://app:{2}@127.0.0.1:{2}/db",
    "{0}://app:{1}@127.0.0.1:1:2/db",
    "{0}://app:{1}@[::1/db",
    "{0}://app:{1}@127.0.0.1:1/%zz",
    "{0}://app:{1}%zz@127.0.0.1:1/db",
    "{0}://app:{1}%00@127.0.0.1:1/db",
    "{0}://app:{1}%ff@127.0.0.1:1/db",
    "{0}://app%ff:{1}@127.0.0.1:1/db",
    "{0}://app:{1}\ud800@127.0.0.1:1/db",
    "{0}://app:{1}\x01@127.0.0.1:1/db",
    "{0}://app:{1}@127.0.0.1:1/db#{1}",
    "{0}://app:{1}",
    "{0}://app:{1}@",
    "{0}:{1}",
    "{0}:/app:{1}@127.0.0.1:1/db",
    "{0}://:{1}@/db?host=/nowhere/at/all",
    "{0}://app:{1}@127.0.0.1:1/db?host=/nowhere/at/all&host=/nowhere",
    "{0}://app:{1}@127.0.0.1:1/db?nonsense=1",
    "{0}://app@127.0.0.1:1/db?pasword={1}&user=app",
    "{0}://app@127.0.0.1:1/db?{1}",
    "{0}://app@127.0.0.1:1/db?{1}=1",
    "{0}://app@127.0.0.1:1/db?mysql_charset={1}&pgbouncer={1}",
    "{0}://app@127.0.0.1:1/db?sqlite_journal_mode={1}",
    "{0}://app:{1}@127.0.0.1:1/db?max_connections=-1",
    "{0}://app:{1}@127.0.0.1:1/db?connect_timeout=0.05&ssl_mode=verify-full&ssl_root_cert=/nowhere/ca.pem",
    "{0}://app:{1}@127.0.0.1:1/db?ssl_mode=require&ssl_client_cert=/nowhere/c.pem&ssl_client_key=/nowhere/k.pem",
    "{0}://app:{1}@127.0.0.1:1/db?ssl_mode=prefer&ssl_mode=require",
    "{0}+driver://app:{1}@127.0.0.1:1/db",
    "{0}x://app:{1}@127.0.0.1:1/db",
    "x{1}://app@127.0.0.1:1/db",
    "{2}://app:{2}@127.0.0.1:1/db",
    "app:{1}@127.0.0.1:1/db",
    "//app:{1}@127.0.0.1:1/db",
    " {0}://app:{1}@127.0.0.1:1/db",
    "sqlite://app:{1}@127.0.0.1/db",
    "sqlite:////nowhere/at/all.db?password={1}",
    "sqlite:////nowhere/at/all.db?mode={1}",
    "sqlite:////nowhere/at/all.db?synchronous={1}",
    "sqlite:////nowhere/at/all.db?{1}",
)

SETTINGS: tuple[Callable[[str], Any], ...] = (
    lambda secret: PoolSettings(ssl_mode=secret),
    lambda secret: PoolSettings(max_connections=secret),  # type: ignore[arg-type]
    lambda secret: PoolSettings(connect_timeout=secret),  # type: ignore[arg-type]
    lambda secret: PoolSettings(sqlite_inline=secret),  # type: ignore[arg-type]
    lambda secret: PoolSettings(mysql_collation=secret + "!"),
    lambda secret: PoolSettings(mysql_charset=secret),
    lambda secret: PoolSettings(pgbouncer=secret),  # type: ignore[arg-type]
    lambda secret: PoolSettings(on_connect=secret),
    lambda secret: PoolSettings(on_connect=[secret.encode()]),  # type: ignore[list-item]
    lambda secret: PoolSettings(sqlite_journal_mode=secret),
    lambda secret: AsyncDatabase(secret),
    lambda secret: AsyncDatabase(secret.encode()),  # type: ignore[arg-type]
    lambda secret: AsyncDatabase("postgres://app@127.0.0.1:1/db", password=secret.encode()),  # type: ignore[arg-type]
    lambda secret: AsyncDatabase("postgres://app@127.0.0.1:1/db", password=[secret]),  # type: ignore[arg-type]
    lambda secret: AsyncDatabase(f"mysql://app:{quote(secret, safe='')}@127.0.0.1:1/db", password=secret),
    lambda secret: AsyncDatabase("sqlite:///x.db", password=secret),
    lambda secret: AsyncDatabase("postgres://app@127.0.0.1:1/db", settings=secret),  # type: ignore[arg-type]
    lambda secret: AsyncDatabase("postgres://app@127.0.0.1:1/db", settings={"password": secret}),  # type: ignore[arg-type]
)


def is_password(form: str, text: str) -> bool:
    """Without another ``@``, what stands behind one is a host, and what stands behind ``host:/`` a database."""
    return "@" in form or not ("@" in text or (form.endswith("//app:{1}") and text.startswith("/")))


async def in_batches(attempts: list[Callable[[], Any]]) -> None:
    for start in range(0, len(attempts), 50):
        async with asyncio.timeout(60):
            await asyncio.gather(*(one() for one in attempts[start : start + 50]))


async def test_urls_and_settings_that_fail(overheard: None) -> None:
    """More than 1,000 configurations that cannot work."""
    chance = random.Random(4_713)
    seen: Counter[str] = Counter()
    urls = []
    for form in SERVER_URLS:
        cases = [
            form.format(scheme, encode(password), quote(password, safe=""))
            for scheme in SCHEMES
            for encode in ENCODINGS.values()
            for password in PASSWORDS
            if is_password(form, encode(password))
        ]
        urls += chance.sample(cases, min(scaled(20), len(cases)))
    settings = (QUICK, PoolSettings(ssl_mode="disable", connect_timeout=0.5))
    await in_batches(
        [partial(attempt, url, seen, settings=settings[n % 2]) for n, url in enumerate(dict.fromkeys(urls))]
    )
    for build in SETTINGS:
        for password in PASSWORDS:
            with pytest.raises((TypeError, ValueError)) as caught:
                build(password)
            check_silent(told(caught.value), "settings")
            seen["settings"] += 1
    print(seen)
    assert "connected" not in seen
    assert seen.total() > 1_000
    # Some got as far as an address at which nobody is.
    assert seen["ConnectError"] > 50
    assert seen["ValueError"] > 200


async def test_passwords_that_are_asked_for(overheard: None) -> None:
    """Functions and coroutine functions that give, or fail to give, a password to servers that are not there."""
    seen: Counter[str] = Counter()

    def sources(secret: str) -> Iterator[Any]:
        async def coroutine() -> str:
            await asyncio.sleep(0)
            return secret

        def raises() -> str:
            raise LookupError(secret)

        def generator() -> Any:
            yield secret

        yield from (secret, lambda: secret, coroutine, raises, generator, lambda: secret.encode(), lambda: [secret])
        yield from (lambda: None, lambda: coroutine, secret + "\0", secret + "\ud800")

    attempts = []
    for scheme in ("postgres", "mysql"):
        for password in PASSWORDS:
            url = f"{scheme}://app@127.0.0.1:1/db"
            attempts += [partial(attempt, url, seen, password=source) for source in sources(password)]
    await in_batches(attempts)
    assert "connected" not in seen
    assert seen.total() > 300
