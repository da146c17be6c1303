"""Databases, transactions and tables.

>>> from oxyde import db
>>> await db.init(default="sqlite:///app.db")
>>> async with db.atomic():
...     await User.objects.create(name="Ada")
>>> await db.close()
"""

from __future__ import annotations

from . import transaction
from .connection import AsyncConnection
from .database import AsyncDatabase
from .lifecycle import close, connect, init, lifespan
from .locks import advisory_lock
from .notifications import Notification
from .registry import (
    disconnect_all,
    get_connection,
    register_connection,
    unregister_connection,
)
from .schema import create_tables, drop_tables
from .settings import PoolSettings
from .transaction import (
    AsyncTransaction,
    AtomicTransactionContext,
    TransactionTimeoutError,
    atomic,
    get_active_transaction,
    outside_transaction,
)

__all__ = [
    "AsyncConnection",
    "AsyncDatabase",
    "AsyncTransaction",
    "AtomicTransactionContext",
    "Notification",
    "PoolSettings",
    "TransactionTimeoutError",
    "advisory_lock",
    "atomic",
    "close",
    "connect",
    "create_tables",
    "disconnect_all",
    "drop_tables",
    "get_active_transaction",
    "get_connection",
    "init",
    "lifespan",
    "outside_transaction",
    "register_connection",
    "transaction",
    "unregister_connection",
]
