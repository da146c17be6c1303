"""Database URLs: every accepted spelling, read into one :class:`DatabaseURL`.

Server URLs are ``scheme://user:password@host:port,host2:port/database?option=value``; the parts are percent-encoded,
an IPv6 host stands in brackets, a unix socket is ``?host=/directory`` or (MySQL, MariaDB) ``?socket=/path``.

SQLite URLs name a file. Everything after ``sqlite:`` and up to three slashes is the path, so four slashes make it
absolute: ``sqlite:///app.db``, ``sqlite://app.db`` and ``sqlite:app.db`` are the same relative file,
``sqlite:////srv/app.db`` and ``sqlite:/srv/app.db`` the same absolute one, and ``:memory:`` after any of the prefixes
is a memory database.

A password that is not percent-encoded moves the borders of the parts: a ``?`` in it makes its rest an option name, a
``/`` makes its beginning a port. So no message here quotes a piece of the URL, except the scheme and an option name
that can be nothing else, and an ``@`` behind the place where it belongs is refused before anything else is looked at.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from .settings import OPTIONS

__all__ = ["DatabaseURL", "parse_url"]

DIALECTS = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "sqlite": "sqlite",
}
"""The schemes, with the dialect that each asks for."""


@dataclass(frozen=True, slots=True)
class Family:
    """What the URLs of a database can say, and what is meant where they say nothing.

    Asked by name instead of by brand, so that a new database is a new row here and nothing else.
    """

    aliases: dict[str, str]
    """The names that the database's own tools use for one of our settings."""
    places: frozenset[str]
    """Options that say where the database is, not how its connections are kept."""
    port: int | None = None
    """Where its servers listen; ``None``: it is a file and has no hosts, users and passwords."""
    socket_option: str = "socket"
    """Names a socket file, when the URL is shown."""
    named_like_user: bool = False
    """A URL without a database means the one that is called like the user."""


FAMILIES = {
    "postgres": Family(
        aliases={
            "sslmode": "ssl_mode",
            "sslrootcert": "ssl_root_cert",
            "sslcert": "ssl_client_cert",
            "sslkey": "ssl_client_key",
            "application_name": "pg_application_name",
        },
        places=frozenset({"host", "target_session_attrs"}),
        port=5432,
        socket_option="host",
        named_like_user=True,
    ),
    "mysql": Family(
        aliases={
            "ssl-mode": "ssl_mode",
            "ssl-ca": "ssl_root_cert",
            "ssl-cert": "ssl_client_cert",
            "ssl-key": "ssl_client_key",
            "charset": "mysql_charset",
            "collation": "mysql_collation",
        },
        places=frozenset({"host", "socket", "target_session_attrs"}),
        port=3306,
    ),
    "sqlite": Family(
        aliases={
            "inline": "sqlite_inline",
            "journal_mode": "sqlite_journal_mode",
            "synchronous": "sqlite_synchronous",
            "cache_size": "sqlite_cache_size",
            "busy_timeout": "sqlite_busy_timeout",
        },
        places=frozenset({"mode", "immutable"}),
    ),
}
_FAMILY_OF = {"postgres": "postgres", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite"}

# The words that go with such a name, where they are others than ours.
_WORDS: dict[str, dict[str, str]] = {
    "ssl-mode": {
        "disabled": "disable",
        "preferred": "prefer",
        "required": "require",
        "verify_ca": "verify-ca",
        "verify_identity": "verify-full",
    },
}

_SESSION_ATTRS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")

# Places that the engine itself reads, with the values it knows.
_ENGINE_OPTIONS: dict[str, tuple[str, ...]] = {"mode": ("ro", "rw", "rwc"), "immutable": ("0", "1")}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_OPTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class DatabaseURL:
    """A parsed database URL. ``str()`` and ``repr()`` are masked and safe to log; the password is an attribute."""

    scheme: str
    backend: str
    path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    hosts: tuple[tuple[str, int], ...] = ()
    socket: str | None = None
    target_session_attrs: str | None = None
    database: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    engine_options: dict[str, str] = field(default_factory=dict)

    @property
    def dialect(self) -> str:
        """``"sqlite"``, ``"postgres"``, ``"mysql"`` or ``"mariadb"``: what the scheme asks for."""
        return DIALECTS[self.scheme]

    @property
    def family(self) -> Family:
        """What its URLs can say."""
        return FAMILIES[self.backend]

    @property
    def is_file(self) -> bool:
        """Whether it is a file or in memory, and not a server."""
        return self.family.port is None

    @property
    def in_memory(self) -> bool:
        """Whether it is neither a server nor a file."""
        return self.is_file and self.path is None

    @property
    def namespace(self) -> str | None:
        """The path of a file, the name of a server's database."""
        return self.path if self.is_file else self.database

    def database_for(self, user: str) -> str | None:
        """Return the name of the database that a user means; ``None`` where a session needs none."""
        return user if self.database is None and self.family.named_like_user else self.database

    def __str__(self) -> str:
        if self.is_file:
            base = f"{self.scheme}:///{':memory:' if self.path is None else quote(self.path, errors='surrogateescape')}"
        else:
            base = f"{self.scheme}://{self._authority()}/{quote(self.database or '', safe='')}"
        shown = {self.family.socket_option: self.socket} if self.socket else {}
        shown |= {"target_session_attrs": self.target_session_attrs} if self.target_session_attrs else {}
        options = "&".join(
            f"{name}={quote(_as_text(value))}" for name, value in (shown | self.engine_options | self.settings).items()
        )
        return f"{base}?{options}" if options else base

    def __repr__(self) -> str:
        return f"DatabaseURL({str(self)!r})"

    def _authority(self) -> str:
        user = "" if self.username is None else quote(self.username, safe="")
        if self.password is not None:
            user += ":***"
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{quote(host, safe='')}:{port}" for host, port in self.hosts
        )
        return f"{user}@{hosts}" if user else hosts


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def parse_url(url: str) -> DatabaseURL:
    """Read a database URL.

    Raises ``TypeError`` if it is no string and ``ValueError`` for an unknown scheme or option, a bad port or a bad
    option value; no message holds a secret.
    """
    if not isinstance(url, str):
        raise TypeError(f"a database URL must be a string, not {type(url).__name__}")
    if _UNSAFE.search(url):
        raise ValueError("a database URL must not hold control characters; percent-encode them")
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    dialect = DIALECTS.get(scheme) if colon else None
    backend = None if dialect is None else _FAMILY_OF[dialect]
    is_file = backend is not None and FAMILIES[backend].port is None
    _check_encodable(url, "surrogateescape" if is_file else "strict")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise ValueError("a database URL starts with postgres://, mysql://, mariadb:// or sqlite:///")
    if backend is None:
        raise ValueError(_unknown_scheme(scheme))
    if is_file:
        return _file(scheme, backend, rest)
    if not rest.startswith("//"):
        raise ValueError(f"a {scheme} URL has the form {scheme}://user:password@host:port/database")
    return _server(scheme, backend, rest[2:])


def _check_encodable(url: str, errors: str) -> None:
    """Half of a surrogate pair stands for no character; for a byte of a file's name it does (``os.fsdecode``)."""
    with contextlib.suppress(UnicodeEncodeError):
        url.encode(errors=errors)
        return
    # Raised where the other error, which holds the URL, is over: as its context it would go with this one.
    raise ValueError("a database URL must not hold half of a surrogate pair")


def _unknown_scheme(scheme: str) -> str:
    base = scheme.partition("+")[0]
    if base in DIALECTS:
        return f"a database URL names no driver: write {base}://… in place of {base}+…://…"
    near = difflib.get_close_matches(scheme, DIALECTS, n=1)
    hint = f"; did you mean {near[0]}://" if near else "; known are postgres, postgresql, mysql, mariadb and sqlite"
    return f"unknown database URL scheme{hint}"


def _file(scheme: str, backend: str, rest: str) -> DatabaseURL:
    location, _, query = rest.partition("?")
    before, at, _ = location.partition("@")
    if at and ":" in before.replace(":memory:", ""):
        raise ValueError("a sqlite URL has no user, password or host: sqlite:///file.db")
    for prefix in ("///", "//"):
        if location.startswith(prefix):
            location = location[len(prefix) :]
            break
    path: str | None = _decoded(location, "path")
    if not path:
        raise ValueError("a sqlite URL names a file (sqlite:///file.db) or a memory database (sqlite://:memory:)")
    if "\0" in path:
        raise ValueError("the path of a sqlite URL must not hold a NUL character")
    if path == ":memory:":
        path = None
    settings, places = _options(backend, query)
    if path is None and places:
        raise ValueError(f"the option {next(iter(places))!r} means nothing to a memory database")
    return DatabaseURL(scheme, backend, path=path, settings=settings, engine_options=places)


def _server(scheme: str, backend: str, rest: str) -> DatabaseURL:
    authority, rest = _cut(rest)
    path, _, query = rest.partition("?")
    # It may be the end of a password that was cut in two, which must not be told as a name.
    if "@" in path or ("@" not in authority and "@" in query):
        raise ValueError("an '@' stands behind the host of the database URL: percent-encode special characters in it")
    if "#" in rest:
        raise ValueError("a '#' in a database URL must be written %23")
    userinfo, at, hosts = authority.rpartition("@")
    user, colon, password = userinfo.partition(":")
    settings, places = _options(backend, query)
    socket = places.get("socket")
    if socket is not None and not socket.startswith(("/", "@")):
        raise ValueError("the option 'socket' of the database URL must be an absolute path")
    if (host := places.get("host")) is not None:
        if host.startswith("/"):
            if socket is not None:
                raise ValueError("the database URL names two socket files: by the options 'host' and 'socket'")
            socket = host
        elif hosts:
            raise ValueError("the database URL names its host twice: before the path and as the option 'host'")
        else:
            hosts = host
    attrs = places.get("target_session_attrs")
    if attrs is not None and attrs not in _SESSION_ATTRS:
        raise ValueError(f"target_session_attrs must be one of {', '.join(_SESSION_ATTRS)}")
    default_port = FAMILIES[backend].port or 0
    return DatabaseURL(
        scheme,
        backend,
        username=_decoded(user, "user") if user else None,
        password=_decoded(password, "password") if at and colon else None,
        hosts=tuple(_host(part, default_port) for part in hosts.split(",")),
        socket=socket,
        target_session_attrs=attrs,
        database=_decoded(path.removeprefix("/"), "database name") or None,
        settings=settings,
    )


def _cut(rest: str) -> tuple[str, str]:
    end = min((at for at in (rest.find("/"), rest.find("?"), rest.find("#")) if at >= 0), default=len(rest))
    return rest[:end], rest[end:]


def _host(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")) or not re.fullmatch(r"[0-9A-Fa-f:.%]+", host):
            raise ValueError("an IPv6 address in a database URL is written [address]:port")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
        if ":" in port:
            raise ValueError("a database URL has two ':' in its host; write an IPv6 address in brackets")
        host = _decoded(host, "host")
        if _UNSAFE.search(host) or ":" in host:
            raise ValueError("the host of the database URL holds a control character or a ':'")
    if not port:
        return host or "localhost", default_port
    # Of a number with more digits than a port has, only the first ones are looked at: int() refuses thousands of them.
    number = int(port.lstrip("0")[:6] or 0) if port.isascii() and port.isdecimal() else 0
    if not 1 <= number <= 65535:
        raise ValueError("the port of the database URL is not a number from 1 to 65535")
    return host or "localhost", number


def _decoded(text: str, part: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ValueError(f"the {part} of the database URL holds a '%' that is no escape; write it %25")
    with contextlib.suppress(UnicodeDecodeError):
        return unquote(text, errors="strict")
    # Raised where the other error, which quotes the bytes, is over.
    raise ValueError(f"the {part} of the database URL is not percent-encoded UTF-8")


def _options(backend: str, query: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Split a query string into settings (checked values under their PoolSettings names) and places."""
    settings: dict[str, Any] = {}
    places: dict[str, str] = {}
    family = FAMILIES[backend]
    for part in query.split("&") if query else ():
        name, equals, text = part.partition("=")
        if not _OPTION_NAME.fullmatch(name):
            raise ValueError("the database URL has an option without a plain name; percent-encode a '?' before it")
        if not equals:
            raise ValueError(f"the option {_shown(backend, name)} of the database URL has no value")
        key = family.aliases.get(name, name)
        if key in settings or key in places:
            raise ValueError(f"the database URL gives the option {key!r} twice")
        value = _decoded(text, "options")
        value = _WORDS.get(name, {}).get(value.lower(), value)
        if key in family.places:
            choices = _ENGINE_OPTIONS.get(key)
            if choices is not None and value not in choices:
                raise ValueError(f"the option {key!r} must be one of {', '.join(choices)}")
            places[key] = value
            continue
        option = OPTIONS.get(key)
        if option is None:
            raise ValueError(_unknown_option(backend, name))
        if backend not in option.databases:
            raise ValueError(f"the option {key!r} means nothing to {backend}")
        settings[key] = option.parse(key, value)
        option.check(key, settings[key])
    return settings, places


def _known(backend: str) -> list[str]:
    own = [name for name, option in OPTIONS.items() if backend in option.databases and option.kind != "statements"]
    return [*own, *FAMILIES[backend].aliases, *FAMILIES[backend].places]


def _shown(backend: str, name: str) -> str:
    # A name that is not ours may be the rest of a password that held a '?'.
    return repr(name) if name in _known(backend) else "name"


def _unknown_option(backend: str, name: str) -> str:
    near = difflib.get_close_matches(name, _known(backend), n=1, cutoff=0.5)
    if near:
        return f"unknown option in the {backend} URL; did you mean {near[0]!r}"
    return f"unknown option in the {backend} URL; known are {', '.join(sorted(_known(backend)))}"
