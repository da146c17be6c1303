"""Statements in the log.

``oxyde.statements`` gets every operation at level DEBUG, ``oxyde.slow`` those that took longer than the threshold at
level WARNING. A record's attributes say the same as its message, for handlers that write structured logs::

    db_alias      "default"                      db_seconds    0.0123, the wait for a connection included
    db_operation  "SELECT"                       db_waited     seconds of it until there was a connection, or None
    db_table      "users" or None                db_rows       3, or None where that is not known
    db_statement  'SELECT … WHERE "id" = $1'     db_outcome    "ok", "cancelled", or the class of the error
    db_sqlstate   "23505" or None                db_place      "app/views.py:31", or None
    db_values     the parameters, only with PoolSettings(log_values=True)

Nothing of an error is logged but its class and its SQLSTATE: what servers say about a row quotes its values.
"""

from __future__ import annotations

import logging
from typing import Any

from .observed import Operation

__all__ = ["StatementLog"]

statements = logging.getLogger("oxyde.statements")
slow = logging.getLogger("oxyde.slow")

# Longer texts are cut in messages; the attribute has all of it.
_SHOWN = 2_000


class StatementLog:
    """Writes operations of one database to the log."""

    def __init__(self, alias: str, *, every: bool, threshold: float | None, values: bool) -> None:
        self._alias = alias
        self._every = every
        self._threshold = threshold
        self._values = values
        self.wants_origin = threshold is not None

    def begin(self, operation: Operation) -> None:
        """Nothing: what is to be told is known at the end."""

    def end(self, operation: Operation, token: Any) -> None:
        """Write it to the logs that want it."""
        if self._every and statements.isEnabledFor(logging.DEBUG):
            self._write(statements, logging.DEBUG, operation, "")
        if self._threshold is not None and operation.seconds >= self._threshold:
            self._write(slow, logging.WARNING, operation, "slow: ")

    def _write(self, logger: logging.Logger, level: int, operation: Operation, prefix: str) -> None:
        parts = [f"{operation.seconds * 1000:.1f} ms"]
        if operation.waited is not None and operation.waited >= 0.001:
            parts.append(f"{operation.waited * 1000:.1f} ms of it waiting for a connection")
        if operation.rows is not None:
            parts.append(f"{operation.rows} row{'' if operation.rows == 1 else 's'}")
        if operation.error is not None:
            parts.append(operation.outcome)
        place = operation.place
        if place is not None:
            parts.append(f"at {place}")
        text = operation.text if len(operation.text) <= _SHOWN else operation.text[:_SHOWN] + " …"
        extra: dict[str, Any] = {
            "db_alias": self._alias,
            "db_operation": operation.name,
            "db_table": operation.table,
            "db_statement": operation.text,
            "db_seconds": operation.seconds,
            "db_waited": operation.waited,
            "db_rows": operation.rows,
            "db_outcome": operation.outcome,
            "db_sqlstate": getattr(operation.error, "sqlstate", None),
            "db_place": place,
        }
        if not self._values or operation.values is None:
            logger.log(level, "%s[%s] %s (%s)", prefix, self._alias, text, ", ".join(parts), extra=extra)
            return
        extra["db_values"] = operation.values
        logger.log(
            level, "%s[%s] %s %r (%s)", prefix, self._alias, text, operation.values, ", ".join(parts), extra=extra
        )
