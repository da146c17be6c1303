"""How a connection to a server is made: host, address, socket, TLS and login, on the event loop that will own it.

The compiled core calls this once per connection, so what is easy to read in Python is written in Python; from the
login on, bytes go between the loop's transport and the compiled core. The socket is our own (``sock=``): its options
are set before it connects, and it can be closed without the loop.

Nothing here lets an exception out or puts a secret into a message: failures are collected as words and end in one
``ConnectError`` of whoever waits for the connection.

=================  ====================================================================================
``procedure``      the way through hosts, attempts and deadlines that all servers share
``postgres``       what is PostgreSQL's own of it: the request for TLS, refusals, the request to cancel
``mysql``          the same for MySQL and MariaDB: the greeting, the request for TLS, the killing of a query
``sockets``        hosts, addresses, sockets and transports
``tls``            when and how TLS is spoken
``secret``         passwords
``ends``           what becomes of the connections of an event loop that ends
``core``           what the compiled core hands over
=================  ====================================================================================
"""

from __future__ import annotations

from typing import Any

from .ends import discard, watch
from .mysql import MysqlConnector
from .postgres import PostgresConnector
from .procedure import Connector
from .sockets import Place

__all__ = ["Connector", "Place", "connector", "discard", "watch"]

_CONNECTORS: dict[str, type[Connector]] = {
    "postgres": PostgresConnector,
    "mysql": MysqlConnector,
    "mariadb": MysqlConnector,
}


def connector(config: dict[str, Any]) -> Connector:
    """Return the connector for the settings that ``AsyncDatabase`` hands over."""
    return _CONNECTORS[config.get("backend", "postgres")](config)
