"""Oxyde: an async ORM whose models are Pydantic models and whose engine is Rust.

>>> from oxyde import Field, Model, create_tables, db
>>> class User(Model):
...     id: int | None = Field(default=None, db_pk=True)
...     name: str = Field(max_length=80)
...     class Meta:
...         is_table = True
>>> await db.init(default="sqlite:///app.db")
>>> await create_tables()
>>> await User.objects.create(name="Ada")
"""

# ruff: noqa: E402
from __future__ import annotations

import warnings
from typing import Any

import oxyde_core

from . import _contract

# Before anything is taken from it, because another package of that name exists; hence the E402 above.
_contract.check(oxyde_core)

from . import db
from .db import (
    AsyncConnection,
    AsyncDatabase,
    AsyncTransaction,
    Notification,
    PoolSettings,
    advisory_lock,
    atomic,
    create_tables,
    disconnect_all,
    drop_tables,
    get_active_transaction,
    get_connection,
    outside_transaction,
    register_connection,
    unregister_connection,
)
from .exceptions import (
    CheckViolationError,
    CommitUnknownError,
    ConnectError,
    ConnectionLostError,
    DatabaseError,
    DataError,
    DeadlockError,
    ExclusionViolationError,
    FieldError,
    FieldLookupError,
    FieldLookupValueError,
    ForeignKeyViolationError,
    IntegrityError,
    InternalError,
    LockTimeoutError,
    ManagerError,
    MultipleObjectsReturned,
    NotFoundError,
    NotLoadedError,
    NotNullViolationError,
    NotSupportedError,
    OperationalError,
    OxydeError,
    PoolTimeoutError,
    ProgrammingError,
    QueryTimeoutError,
    SerializationError,
    TransactionBrokenError,
    TransactionClosedError,
    TransactionError,
    TransactionRolledBackError,
    TransactionTaskError,
    TransactionTimeoutError,
    UniqueViolationError,
)
from .models import (
    Check,
    Field,
    Index,
    Model,
    OxydeFieldInfo,
    Range,
    Unique,
)
from .queries import (
    Abs,
    Coalesce,
    ColumnRef,
    Concat,
    Condition,
    Expr,
    F,
    Length,
    Lower,
    Now,
    Ordering,
    Q,
    Query,
    QueryManager,
    RawSQL,
    Upper,
    Value,
    ValuesQuery,
    col,
    execute_raw,
    iterate_raw,
    not_,
    sql,
)

__version__ = "0.1.0"

__all__ = [
    "Abs",
    "AsyncConnection",
    "AsyncDatabase",
    "AsyncTransaction",
    "Check",
    "CheckViolationError",
    "Coalesce",
    "ColumnRef",
    "CommitUnknownError",
    "Concat",
    "Condition",
    "ConnectError",
    "ConnectionLostError",
    "DataError",
    "DatabaseError",
    "DeadlockError",
    "ExclusionViolationError",
    "Expr",
    "F",
    "Field",
    "FieldError",
    "FieldLookupError",
    "FieldLookupValueError",
    "ForeignKeyViolationError",
    "Index",
    "IntegrityError",
    "InternalError",
    "Length",
    "LockTimeoutError",
    "Lower",
    "ManagerError",
    "Model",
    "MultipleObjectsReturned",
    "NotFoundError",
    "NotLoadedError",
    "NotNullViolationError",
    "NotSupportedError",
    "Notification",
    "Now",
    "OperationalError",
    "Ordering",
    "OxydeError",
    "OxydeFieldInfo",
    "PoolSettings",
    "PoolTimeoutError",
    "ProgrammingError",
    "Q",
    "Query",
    "QueryManager",
    "QueryTimeoutError",
    "Range",
    "RawSQL",
    "SerializationError",
    "TransactionBrokenError",
    "TransactionClosedError",
    "TransactionError",
    "TransactionRolledBackError",
    "TransactionTaskError",
    "TransactionTimeoutError",
    "Unique",
    "UniqueViolationError",
    "Upper",
    "Value",
    "ValuesQuery",
    "__version__",
    "advisory_lock",
    "atomic",
    "col",
    "create_tables",
    "db",
    "disconnect_all",
    "drop_tables",
    "execute_raw",
    "get_active_transaction",
    "get_connection",
    "iterate_raw",
    "not_",
    "outside_transaction",
    "register_connection",
    "sql",
    "unregister_connection",
]


def __getattr__(name: str) -> Any:
    if name == "OxydeModel":
        warnings.warn("oxyde.OxydeModel is called oxyde.Model now", DeprecationWarning, stacklevel=2)
        return Model
    raise AttributeError(f"module 'oxyde' has no attribute {name!r}")
