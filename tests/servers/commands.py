"""``python -m tests.servers.postgres ACTION`` (or ``mysql``): servers for a command of a shell, and for nox.

``run -- COMMAND``  run the command with a server's addresses in its environment
``serve``           print the addresses as one line of JSON and keep the server until standard input ends, or print
                    why there is none
``describe URL``    print what the server at this URL calls itself

The server is the one that OXYDE_TEST_POSTGRES_URL (OXYDE_TEST_MYSQL_URL) names, else a private one; ``--flavour``
chooses between MySQL and MariaDB. The variables, here for PostgreSQL: OXYDE_TEST_POSTGRES_URL,
OXYDE_TEST_POSTGRES_SOCKET (the same through its unix socket) and OXYDE_TEST_POSTGRES_TLS_URL (the same through TLS,
with the certificate checked in full).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from . import mysql_wire, wire
from .unavailable import Unavailable

NO_SERVER = 3
NOT_THERE = (Unavailable, OSError, wire.ServerError, mysql_wire.ServerError)


class Private(Protocol):
    """A server of our own."""

    @property
    def log(self) -> object: ...
    def tail(self) -> str: ...


Variables = dict[str, str]


@dataclass(frozen=True)
class Family:
    """PostgreSQL, or MySQL with MariaDB."""

    name: str
    version: Callable[[str], str]
    private: Callable[[str], AbstractContextManager[tuple[list[str], Private]]]
    """A private server of a flavour, and its addresses: TCP, socket, and TLS if it has any."""
    flavours: tuple[str, ...] = ("",)

    @property
    def variables(self) -> tuple[str, str, str]:
        url, socket, tls = (f"OXYDE_TEST_{self.name.upper()}_{what}" for what in ("URL", "SOCKET", "TLS_URL"))
        return url, socket, tls


@contextmanager
def private_postgres(_: str) -> Iterator[tuple[list[str], Private]]:
    from .postgres import PostgresServer

    with PostgresServer() as server:
        yield [server.url(), server.socket_url()], server


@contextmanager
def private_mysql(flavour: str) -> Iterator[tuple[list[str], Private]]:
    from .mysql import MySQLServer

    with MySQLServer(flavour=flavour, tls=True) as server:
        yield [server.url(ssl_mode="disable"), server.socket_url(), server.tls_url()], server


POSTGRES = Family("postgres", wire.version, private_postgres)
MYSQL = Family("mysql", mysql_wire.version, private_mysql, ("mysql", "mariadb"))


@contextmanager
def servers(family: Family, flavour: str) -> Iterator[tuple[str, Variables, Private | None]]:
    """What the server is called, the variables, and the server itself if it is a private one."""
    with ExitStack() as stack:
        given = {name: os.environ[name] for name in family.variables if os.environ.get(name)}
        url, _, tls = family.variables
        private = None
        if url not in given:
            addresses, private = stack.enter_context(family.private(flavour))
            given = dict(zip(family.variables, addresses, strict=False))
        plain = wire.Address.of(given[url]).ssl_mode in ("disable", "allow", "prefer")
        if family is POSTGRES and tls not in given and plain:
            from .tls import TLSFront  # `describe` does with the standard library

            given[tls] = stack.enter_context(TLSFront(given[url])).url()
        yield family.version(given[url]), given, private


def run(family: Family, flavour: str, command: list[str]) -> int:
    with servers(family, flavour) as (_, variables, private):
        code = subprocess.run(command, env=os.environ | variables, check=False).returncode
        if code and private is not None:
            print(f"\nThe end of the server's log:\n{private.tail()}", file=sys.stderr)
        return code


def serve(family: Family, flavour: str) -> int:
    try:
        with servers(family, flavour) as (version, variables, private):
            log = str(private.log) if private else None
            print(json.dumps({"version": version, "variables": variables, "log": log}), flush=True)
            sys.stdin.read()
    except NOT_THERE as error:
        print(json.dumps({"unavailable": str(error)}), flush=True)
        return NO_SERVER
    return 0


def main(family: Family) -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.servers.{family.name}", description=__doc__.partition("\n")[0]
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("run", "serve"):
        action = actions.add_parser(name)
        if len(family.flavours) > 1:
            action.add_argument("--flavour", choices=family.flavours, default=family.flavours[0])
        else:
            action.set_defaults(flavour=family.flavours[0])
        if name == "run":
            action.add_argument("command", nargs="+")
    actions.add_parser("describe").add_argument("url")
    chosen = parser.parse_args()
    try:
        match chosen.action:
            case "run":
                return run(family, chosen.flavour, chosen.command)
            case "serve":
                return serve(family, chosen.flavour)
        print(family.version(chosen.url))
    except NOT_THERE as error:
        print(error, file=sys.stderr)
        return NO_SERVER
    return 0
