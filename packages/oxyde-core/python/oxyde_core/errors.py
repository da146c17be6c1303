"""Every error that Oxyde raises, drawn once.

::

    OxydeError
    ├─ FieldError                       an unknown field, with "did you mean"
    ├─ FieldLookupError                 a lookup that the field does not have
    │  └─ FieldLookupValueError         a value that the lookup cannot take
    ├─ NotLoadedError                   a relation or column that was not loaded (not an AttributeError)
    └─ ManagerError
       ├─ NotFoundError
       ├─ MultipleObjectsReturned
       └─ DatabaseError                 what a database, its connection or its transaction reported
          ├─ IntegrityError
          │  ├─ UniqueViolationError
          │  ├─ ForeignKeyViolationError
          │  ├─ NotNullViolationError
          │  ├─ CheckViolationError
          │  └─ ExclusionViolationError
          ├─ DataError
          ├─ ProgrammingError
          ├─ NotSupportedError
          ├─ InternalError
          ├─ OperationalError
          │  ├─ ConnectionLostError
          │  ├─ ConnectError
          │  ├─ PoolTimeoutError        also a TimeoutError
          │  ├─ QueryTimeoutError       also a TimeoutError
          │  ├─ LockTimeoutError
          │  ├─ DeadlockError
          │  └─ SerializationError
          └─ TransactionError
             ├─ TransactionBrokenError
             ├─ TransactionClosedError
             ├─ TransactionTaskError
             ├─ TransactionRolledBackError
             ├─ CommitUnknownError      outcome "unknown", never retryable
             └─ TransactionTimeoutError also a TimeoutError

The compiled core raises these classes, and ``oxyde.exceptions`` re-exports them; they live here because the core may
not know ``oxyde``. Which class an error code becomes, and whether it is ``retryable``, is decided by one table in the
engine.

A message never holds a password or a bound value: both would end in logs. ``query`` is SQL text with placeholders;
``detail`` is what the server said and may quote a stored value, so it is an attribute and not part of the message.

All errors pickle and copy: the message is the only positional argument and everything else lives in the instance's
dict.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "CheckViolationError",
    "CommitUnknownError",
    "ConnectError",
    "ConnectionLostError",
    "DataError",
    "DatabaseError",
    "DeadlockError",
    "ExclusionViolationError",
    "FieldError",
    "FieldLookupError",
    "FieldLookupValueError",
    "ForeignKeyViolationError",
    "IntegrityError",
    "InternalError",
    "LockTimeoutError",
    "ManagerError",
    "MultipleObjectsReturned",
    "NotFoundError",
    "NotLoadedError",
    "NotNullViolationError",
    "NotSupportedError",
    "OperationalError",
    "OxydeError",
    "PoolTimeoutError",
    "ProgrammingError",
    "QueryTimeoutError",
    "SerializationError",
    "TransactionBrokenError",
    "TransactionClosedError",
    "TransactionError",
    "TransactionRolledBackError",
    "TransactionTaskError",
    "TransactionTimeoutError",
    "UniqueViolationError",
]

Outcome = Literal["not_applied", "unknown"]


class OxydeError(Exception):
    """Base of every error that Oxyde raises; only invalid input raises Pydantic's ``ValidationError`` instead.

    ``retryable`` says that the same work may succeed when it is run again; ``outcome`` is ``"not_applied"`` when
    nothing was changed and ``"unknown"`` when the answer of the database was lost.
    """

    retryable: bool = False
    outcome: Outcome = "not_applied"


class FieldError(OxydeError):
    """A name that is no field, relation or annotation of the model."""


class FieldLookupError(OxydeError):
    """A lookup or transform that the field's type does not have."""


class FieldLookupValueError(FieldLookupError):
    """A value that the field or the lookup cannot take, for example ``None`` inside ``in``."""


class NotLoadedError(OxydeError):
    """A relation or column was read that the query did not load.

    Deliberately no ``AttributeError``: Pydantic's ``from_attributes`` would swallow that and put ``None`` in its place.
    """


class ManagerError(OxydeError):
    """A manager or query was used in a way that has no meaning, for example with both ``using`` and ``client``."""


class NotFoundError(ManagerError):
    """``get()`` found no row, or ``save()`` had no row to update."""


class MultipleObjectsReturned(ManagerError):  # noqa: N818 - the name that Django users know
    """``get()`` found more than one row."""


class DatabaseError(ManagerError):
    """What a database, its connection or its transaction reported.

    ``sqlstate`` (PostgreSQL, MySQL) and ``code`` (MySQL errno, SQLite extended result code) are the database's own;
    ``table``, ``column`` and ``constraint`` are names where it gave them; ``query`` is the SQL text without values.
    """

    def __init__(
        self,
        message: str = "",
        *,
        sqlstate: str | None = None,
        code: int | str | None = None,
        table: str | None = None,
        column: str | None = None,
        constraint: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        query: str | None = None,
        retryable: bool | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.code = code
        self.table = table
        self.column = column
        self.constraint = constraint
        self.detail = detail
        self.hint = hint
        self.query = query
        cls = type(self)
        self.retryable = cls.retryable if retryable is None else retryable
        self.outcome = cls.outcome if outcome is None else outcome


class IntegrityError(DatabaseError):
    """A constraint of the database refused the statement."""


class UniqueViolationError(IntegrityError):
    """A unique constraint, unique index or primary key already holds the value."""


class ForeignKeyViolationError(IntegrityError):
    """A foreign key has no target, or a row that is still referenced was to go."""


class NotNullViolationError(IntegrityError):
    """NULL for a column that is NOT NULL."""


class CheckViolationError(IntegrityError):
    """A CHECK constraint refused the row."""


class ExclusionViolationError(IntegrityError):
    """An exclusion constraint (PostgreSQL) refused the row."""


class DataError(DatabaseError):
    """A value that the column cannot hold, or a stored value that Python or the field's type cannot hold."""


class ProgrammingError(DatabaseError):
    """The statement itself is wrong: syntax, an unknown table or column, a missing right."""


class NotSupportedError(DatabaseError):
    """The database, its version or this build cannot do what was asked; raised before anything is sent."""


class InternalError(DatabaseError):
    """A fault inside Oxyde or the database, not in the program that uses it; please report it."""


class OperationalError(DatabaseError):
    """The database could not do its work: connection, resources, time, locks."""


class ConnectionLostError(OperationalError):
    """The connection ended while it was in use; ``outcome`` says whether the statement may have run."""


class ConnectError(OperationalError):
    """No connection could be made: address, authentication, TLS, unknown database, unreadable file."""


class PoolTimeoutError(OperationalError, TimeoutError):
    """No connection became free within ``acquire_timeout``."""


class QueryTimeoutError(OperationalError, TimeoutError):
    """A statement ran longer than ``statement_timeout`` and was stopped."""


class LockTimeoutError(OperationalError):
    """A lock was not granted in time (``lock_timeout``, SQLite's busy timeout, NOWAIT)."""


class DeadlockError(OperationalError):
    """The database ended a deadlock by refusing this statement."""


class SerializationError(OperationalError):
    """A transaction met a concurrent one that its isolation level does not allow; run it again."""


class TransactionError(DatabaseError):
    """A transaction was used in a way, or ended in a way, that the program did not ask for."""


class TransactionBrokenError(TransactionError):
    """An earlier error ended the transaction; only leaving the block remains. The message names that first error."""


class TransactionClosedError(TransactionError):
    """A task used a transaction after its block had ended; the statement was not run in autocommit instead."""


class TransactionTaskError(TransactionError):
    """A transaction was used from another event loop, or two tasks opened nested blocks in it at once."""


class TransactionRolledBackError(TransactionError):
    """The block ended without an exception but the database had rolled the transaction back."""


class CommitUnknownError(TransactionError):
    """The answer to COMMIT was lost: the transaction may be committed or rolled back. Never retried."""

    outcome: Outcome = "unknown"


class TransactionTimeoutError(TransactionError, TimeoutError):
    """The transaction's deadline passed; it was rolled back at once."""
