"""What an instance knows about the row that it came from.

Rows of one result share one `LoadState`; it lives in a slot of its own (`Model._oxyde_state`), so that an instance
pays nothing per field for being persisted, deferred or not loaded.  A state is never changed: what happens to one
instance (it is saved, a deferred column is fetched) gives that instance another state.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["LoadState", "set_state", "state_of"]


class LoadState:
    """Where a row came from: the database alias, the columns that were loaded, and whether the row exists."""

    __slots__ = ("alias", "columns", "persisted")

    alias: str | None
    columns: frozenset[str]
    persisted: bool

    def __init__(self, alias: str | None, columns: frozenset[str], persisted: bool = True) -> None:
        self.alias = alias
        self.columns = columns
        self.persisted = persisted

    def __reduce__(self) -> tuple[type[LoadState], tuple[str | None, frozenset[str], bool]]:
        return LoadState, (self.alias, self.columns, self.persisted)

    def __repr__(self) -> str:
        columns = ", ".join(sorted(self.columns))
        return f"LoadState(alias={self.alias!r}, columns={{{columns}}}, persisted={self.persisted})"


_set: Final = object.__setattr__


def state_of(instance: Any) -> LoadState | None:
    """The load state of an instance; None for one that was made by its constructor."""
    state: LoadState | None = instance._oxyde_state
    return state


def set_state(instance: Any, state: LoadState | None) -> None:
    """Give an instance another load state."""
    _set(instance, "_oxyde_state", state)
