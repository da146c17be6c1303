"""The compiled core, as far as models need it; it is imported when the first query is built, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxyde.models.loading import LoaderPlan
    from oxyde_core import Loader

__all__ = ["forget_table", "make_loader", "register_table"]


def register_table(
    model_id: int,
    name: str,
    schema: str | None,
    columns: tuple[tuple[Any, ...], ...],
    uniques: tuple[tuple[str, tuple[str, ...]], ...],
) -> None:
    """Tell the core what the fields of a model are called and typed in the database, and which are unique."""
    import oxyde_core

    oxyde_core.register_table(model_id, name, schema, columns, uniques)


def forget_table(model_id: int) -> None:
    """Let the core drop what it keeps for a class that is gone."""
    import oxyde_core

    oxyde_core.forget_table(model_id)


def make_loader(plan: LoaderPlan) -> Loader:
    """Make the core's loader for one kind of result."""
    import oxyde_core

    return oxyde_core.Loader(
        plan.kind,
        plan.outputs,
        model=plan.model,
        null_converted=plan.null_converted,
        null_refused=plan.null_refused,
        explain=plan.explain,
    )
