"""``python -m tests.servers.postgres ACTION``: the servers for a command of a shell, and for the sessions of nox.

``run -- COMMAND``  run the command with a server's addresses in its environment
``serve``           print the addresses as one line of JSON and keep the server until standard input ends, or print
                    why there is none
``describe URL``    print what the server at this URL calls itself

The server is the one that OXYDE_TEST_POSTGRES_URL names, else a private one. The variables: OXYDE_TEST_POSTGRES_URL,
OXYDE_TEST_POSTGRES_SOCKET (the same through its unix socket) and OXYDE_TEST_POSTGRES_TLS_URL (the same through TLS,
with the certificate checked in full).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from . import wire
from .postgres import PostgresServer
from .unavailable import Unavailable

URL, SOCKET, TLS = "OXYDE_TEST_POSTGRES_URL", "OXYDE_TEST_POSTGRES_SOCKET", "OXYDE_TEST_POSTGRES_TLS_URL"
NO_SERVER = 3
NOT_THERE = (Unavailable, OSError, wire.ServerError)


@contextmanager
def servers() -> Iterator[tuple[str, dict[str, str], PostgresServer | None]]:
    """What the server is called, the variables, and the server itself if it is a private one."""
    with ExitStack() as stack:
        given = {name: os.environ[name] for name in (URL, SOCKET, TLS) if os.environ.get(name)}
        private = None
        if URL not in given:
            private = stack.enter_context(PostgresServer())
            given = {URL: private.url(), SOCKET: private.socket_url()}
        address = wire.Address.of(given[URL])
        if TLS not in given and address.ssl_mode in ("disable", "allow", "prefer"):
            from .tls import TLSFront  # `describe` does with the standard library

            given[TLS] = stack.enter_context(TLSFront(given[URL])).url()
        yield wire.version(given[URL]), given, private


def run(command: list[str]) -> int:
    with servers() as (_, variables, private):
        code = subprocess.run(command, env=os.environ | variables, check=False).returncode
        if code and private is not None:
            print(f"\nThe end of the server's log:\n{private.tail()}", file=sys.stderr)
        return code


def serve() -> int:
    try:
        with servers() as (version, variables, private):
            log = str(private.log) if private else None
            print(json.dumps({"version": version, "variables": variables, "log": log}), flush=True)
            sys.stdin.read()
    except NOT_THERE as error:
        print(json.dumps({"unavailable": str(error)}), flush=True)
        return NO_SERVER
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.postgres", description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("run").add_argument("command", nargs="+")
    actions.add_parser("serve")
    actions.add_parser("describe").add_argument("url")
    chosen = parser.parse_args()
    try:
        match chosen.action:
            case "run":
                return run(chosen.command)
            case "serve":
                return serve()
        print(wire.version(chosen.url))
    except NOT_THERE as error:
        print(error, file=sys.stderr)
        return NO_SERVER
    return 0
