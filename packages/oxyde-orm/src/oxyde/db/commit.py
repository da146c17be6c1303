"""COMMIT, and what follows it: the answer is always waited for, and callbacks run exactly once.

From the moment COMMIT is handed to the engine, the program has to learn what became of it. So the wait for the answer
does not end when the task is cancelled: it goes on for up to ``commit_timeout``, and then the ``CancelledError`` goes
out with ``commit_outcome`` "committed", "rolled_back" or "unknown". The engine's future is waited *for*, never awaited
directly, because a task that is cancelled cancels the future that it awaits, and the answer would be lost with it.

If nobody can wait any longer (the time is over, or the coroutine was thrown away), a callback on that future does
what is left: rolls back what a failed COMMIT left open, or runs the ``on_commit`` callbacks of one that succeeded
after all.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ..exceptions import (
    CommitUnknownError,
    ConnectionLostError,
    DatabaseError,
    OxydeError,
    TransactionBrokenError,
    TransactionError,
    TransactionRolledBackError,
)
from .scope import Callback, Transaction, describe

if TYPE_CHECKING:
    from oxyde_core import Pending

__all__ = ["commit", "drop_callbacks", "roll_back", "rolled_back"]

logger = logging.getLogger("oxyde.db")

# Seconds; a server that answers at all has rolled back by then, or is at work and does not need us.
SOON = 0.2
_OUT_OF_TIME = (asyncio.CancelledError, TimeoutError, ConnectionLostError)

# asyncio holds tasks weakly; these must live until they are done.
_background: set[asyncio.Task[None]] = set()


async def commit(transaction: Transaction, callbacks: list[Callback]) -> None:
    """Commit, then run the callbacks; raise what the database answered, or the cancellation that came meanwhile."""
    lease, loop = transaction.lease, transaction.loop
    answer = future_of(lease.commit(), loop)
    cancelled: asyncio.CancelledError | None = None
    deadline: float | None = None
    while not answer.done():
        try:
            await _done(answer, loop, deadline)
        except asyncio.CancelledError as error:
            # The first one is raised in the end; a second one must not shorten the wait.
            cancelled = cancelled or error
            if deadline is None and transaction.database.commit_timeout is not None:
                deadline = loop.time() + transaction.database.commit_timeout
        except BaseException as error:
            _finish_later(answer, transaction, callbacks)
            error.commit_outcome = "unknown"  # type: ignore[attr-defined]
            raise
        if deadline is not None and cancelled is not None and not answer.done() and loop.time() >= deadline:
            _finish_later(answer, transaction, callbacks)
            raise _with_outcome(cancelled, "unknown")
    failure = _failure(transaction, answer)
    if failure is None:
        await _deliver(callbacks, loop, cancelled)
        return
    drop_callbacks(callbacks)
    # Whatever a failed COMMIT left open: SQLite keeps the transaction when it finds the database locked.
    lease.abandon()
    if cancelled is not None:
        outcome = "unknown" if isinstance(failure, CommitUnknownError) else "rolled_back"
        raise _with_outcome(cancelled, outcome) from failure
    raise failure


async def _done(answer: asyncio.Future[Any], loop: asyncio.AbstractEventLoop, deadline: float | None) -> None:
    """Wait until the answer is there or the deadline (loop time) has passed; ``asyncio.wait`` takes twice as long."""
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if deadline is None else loop.call_at(deadline, wake)
    answer.add_done_callback(wake)
    try:
        await waiter
    finally:
        answer.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()


def future_of(pending: Pending, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
    """Return the future behind an engine operation.

    Awaiting a ``Pending`` yields its future to the task; taking it from there avoids a task of our own, which the end
    of ``asyncio.run`` would cancel, and the answer with it.
    """
    iterator = pending.__await__()
    try:
        step = next(iterator)
    except StopIteration as stop:
        done: asyncio.Future[Any] = loop.create_future()
        done.set_result(stop.value)
        return done
    if asyncio.isfuture(step):
        # The mark that __await__ leaves for the task; left set, the next `await` of this future would complain.
        step._asyncio_future_blocking = False
        return step
    return loop.create_task(_drain(iterator))


async def _drain(iterator: Any) -> Any:
    while True:
        # A bare yield only asks for a turn of the loop.
        await asyncio.sleep(0)
        try:
            next(iterator)
        except StopIteration as stop:
            return stop.value


def _failure(transaction: Transaction, answer: asyncio.Future[Any]) -> BaseException | None:
    """Return what a COMMIT without success has to raise."""
    if answer.cancelled():
        return CommitUnknownError(
            f"the answer to COMMIT on {transaction.database.name!r} was lost: the event loop is shutting down"
        )
    error = answer.exception()
    if isinstance(error, TransactionBrokenError):
        return rolled_back(transaction, error)
    if isinstance(error, DatabaseError) and error.outcome == "unknown" and not isinstance(error, CommitUnknownError):
        lost = CommitUnknownError(
            f"the answer to COMMIT on {transaction.database.name!r} was lost ({error}); whether the transaction is "
            "committed is unknown",
            sqlstate=error.sqlstate,
            code=error.code,
        )
        lost.__cause__ = error
        return lost
    return error


def rolled_back(transaction: Transaction, cause: BaseException) -> TransactionError:
    """Make the error for a block that ended well although its transaction had ended before.

    That is a ``TransactionRolledBackError``, unless a statement has ended it in a way that may have been a COMMIT.
    """
    if isinstance(cause, DatabaseError) and cause.outcome == "unknown":
        broken = TransactionBrokenError(
            f"the transaction on {transaction.database.name!r} did not end with its block: {describe(cause)}",
            outcome="unknown",
        )
        broken.__cause__ = cause
        return broken
    text = str(cause) if isinstance(cause, TransactionBrokenError) else f"it was broken by {describe(cause)}"
    error = TransactionRolledBackError(
        f"the transaction on {transaction.database.name!r} was rolled back: {text}",
        retryable=cause.retryable if isinstance(cause, OxydeError) else False,
    )
    error.__cause__ = cause
    return error


def _with_outcome(error: asyncio.CancelledError, outcome: str) -> asyncio.CancelledError:
    error.commit_outcome = outcome  # type: ignore[attr-defined]
    return error


def _finish_later(answer: asyncio.Future[Any], transaction: Transaction, callbacks: list[Callback]) -> None:
    def finish(done: asyncio.Future[Any]) -> None:
        if _failure(transaction, done) is None:
            _start(callbacks, transaction.loop)
        else:
            transaction.lease.abandon()
            drop_callbacks(callbacks)

    answer.add_done_callback(finish)


async def roll_back(transaction: Transaction, reason: BaseException | None) -> None:
    """Roll back and wait for it; whatever happens meanwhile, the engine ends the transaction.

    ``reason`` is what ended the block. Whoever is out of time is not kept waiting by a server that may be silent: the
    engine goes on without us after ``SOON``, and after ``commit_timeout`` in all other cases.
    """
    lease, loop = transaction.lease, transaction.loop
    answer = future_of(lease.rollback(), loop)
    answer.add_done_callback(_retrieved)
    patience = SOON if isinstance(reason, _OUT_OF_TIME) else transaction.database.commit_timeout
    if not answer.done():
        try:
            await _done(answer, loop, None if patience is None else loop.time() + patience)
        except BaseException:
            lease.abandon()
            raise
    error = None if not answer.done() or answer.cancelled() else answer.exception()
    if error is not None:
        # The reason for the rollback is what the program has to see; a lost connection has rolled back by itself.
        logger.debug("ROLLBACK on %r failed: %s", transaction.database.name, describe(error))
    if error is not None or not answer.done() or answer.cancelled():
        lease.abandon()


def _retrieved(answer: asyncio.Future[Any]) -> None:
    """Nobody may be left to take the exception."""
    if not answer.cancelled():
        answer.exception()


def drop_callbacks(callbacks: Iterable[Callback]) -> None:
    """Throw away callbacks whose transaction was rolled back, without "coroutine was never awaited" warnings."""
    for callback in callbacks:
        if inspect.iscoroutine(callback):
            callback.close()


async def _deliver(
    callbacks: list[Callback], loop: asyncio.AbstractEventLoop, cancelled: asyncio.CancelledError | None
) -> None:
    task = _start(callbacks, loop)
    try:
        while cancelled is None and task is not None and not task.done():
            await asyncio.wait((task,))
    except asyncio.CancelledError as error:
        cancelled = error
    if cancelled is not None:
        # Callbacks that are not done yet go on in their own task.
        raise _with_outcome(cancelled, "committed")


def _start(callbacks: list[Callback], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
    """Call the callbacks in order; from the first that has to be awaited on, in a task, which is returned."""
    rest = iter(callbacks)
    for callback in rest:
        awaitable = _call(callback, loop)
        if awaitable is not None:
            task = loop.create_task(_await_rest(awaitable, rest, loop), name="oxyde on_commit", context=copy_context())
            _background.add(task)
            task.add_done_callback(_background.discard)
            return task
    return None


def _call(callback: Callback, loop: asyncio.AbstractEventLoop) -> Any:
    try:
        result = callback() if callable(callback) else callback
    except Exception as error:
        _report(error, callback, loop)
        return None
    return result if inspect.isawaitable(result) else None


async def _await_rest(awaitable: Any, rest: Iterable[Callback], loop: asyncio.AbstractEventLoop) -> None:
    callback: Callback = awaitable
    while True:
        try:
            await awaitable
        except (Exception, asyncio.CancelledError) as error:
            _report(error, callback, loop)
        for callback in rest:
            awaitable = _call(callback, loop)
            if awaitable is not None:
                break
        else:
            return


def _report(error: BaseException, callback: object, loop: asyncio.AbstractEventLoop) -> None:
    message = "an on_commit callback failed; the transaction is committed"
    logger.error("%s: %r", message, callback, exc_info=error)
    loop.call_exception_handler({"message": message, "exception": error, "callback": callback})
