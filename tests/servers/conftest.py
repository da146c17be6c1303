from __future__ import annotations

from collections.abc import Iterator

import pytest

from .postgres import PostgresServer


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A private server for the tests that do not stop it."""
    with PostgresServer() as server:
        yield server
