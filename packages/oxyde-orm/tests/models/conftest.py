"""A registry of its own for each test, and the core's loader in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oxyde.exceptions import OxydeError
from oxyde.models import clear_registry, register_table, registered_tables


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    before = registered_tables()
    clear_registry()
    yield
    clear_registry()
    for table in before.values():
        register_table(table)


def _load(plan: Any, row: dict[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for name, _, converter, _ in plan.outputs:
        value = row[name]
        try:
            if value is None:
                if name in plan.null_refused:
                    raise plan.explain(row, name, None)
                values[name] = converter(None) if name in plan.null_converted else None
            elif converter is None:
                values[name] = value
            else:
                values[name] = converter[value] if isinstance(converter, dict) else converter(value)
        except OxydeError:
            raise
        except Exception as error:
            raise plan.explain(row, name, error)  # noqa: B904 - it has its cause
    if plan.kind == "dict":
        return values
    if plan.kind != "model":
        return tuple(values.values()) if plan.kind == "tuple" else next(iter(values.values()))
    cls, state, slot, post, private_init, extra = plan.model
    if post is None:
        instance = cls.__new__(cls)
        object.__setattr__(instance, "__dict__", values)
        object.__setattr__(instance, "__pydantic_extra__", {} if extra else None)
        object.__setattr__(instance, "__pydantic_private__", None)
        slot.__set__(instance, state)
        if private_init is not None:
            private_init(instance)
        return instance
    try:
        instance = post(values)
    except Exception as error:
        raise plan.explain(row, None, error)  # noqa: B904 - it has its cause
    slot.__set__(instance, state)
    return instance


@pytest.fixture
def load() -> Callable[..., Any]:
    """`load(Model, row)`: an instance made as the core makes it from decoded values; see `oxyde.models.loading`."""

    def run(model: Any, row: dict[str, Any], **options: Any) -> Any:
        plan = model.__oxyde__.plan_loader(options.pop("names", tuple(row)), **options)
        return _load(plan, row)

    return run
