"""The registered tables, and the tables that wait for a name they refer to.

A table is registered when its class is defined.  It is complete, and has its `ModelInfo`, once every annotation could
be evaluated; until then it waits, and each further table, and each call of `finalize_pending()`, tries again.  Names in
annotations are looked up where Pydantic does, and then among the registered tables, so that two models may refer to
each other by name, across modules too.  While the module of a waiting table is still being executed, a table of another
module is only taken when the waiting one is used: its own module may yet define one of that name.

The registry is the only thing that keeps a model class alive: what is unregistered or redefined can be collected.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from oxyde.models.info import ModelInfo
from oxyde.models.pydantic_bridge import is_complete, rebuild, set_assignment
from oxyde.models.relations import assignment_handlers, plan_of
from oxyde.models.tableoptions import table_options

if TYPE_CHECKING:
    from oxyde.models.model import Model

__all__ = [
    "assert_no_pending_models",
    "clear_registry",
    "finalize_pending",
    "iter_tables",
    "register_table",
    "registered_tables",
    "unregister_table",
]

_tables: Final[dict[str, type[Model]]] = {}
_pending: Final[dict[str, type[Model]]] = {}
_lock: Final = RLock()
_finalizing = False


def _key(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def register_table(cls: type[Model]) -> None:
    """Register a table; a class of the same module and qualified name is replaced.

    Raises TypeError for a class that is no table, ValueError if another class has the same table name.
    """
    options = table_options(cls)
    if not options.is_table:
        raise TypeError(f"{cls.__name__} is no table: put is_table = True into its class Meta")
    key = _key(cls)
    with _lock:
        for other_key, other in _tables.items():
            theirs = table_options(other)
            if other_key != key and (theirs.schema, theirs.table_name) == (options.schema, options.table_name):
                raise ValueError(
                    f"{key} and {other_key} are both called {options.table_name!r} in the database; "
                    "set Meta.table_name (or Meta.schema) of one of them"
                )
        _tables.pop(key, None)
        _pending.pop(key, None)
        _tables[key] = cls
        if "__oxyde_info__" not in cls.__dict__:
            _pending[key] = cls


def unregister_table(cls: type[Model]) -> None:
    """Forget a table; raises KeyError if this very class is not registered."""
    key = _key(cls)
    with _lock:
        if _tables.get(key) is not cls:
            raise KeyError(key)
        del _tables[key]
        _pending.pop(key, None)


def registered_tables() -> dict[str, type[Model]]:
    """The registered tables by `"module.QualifiedName"`, in the order of their definition; a copy."""
    with _lock:
        return dict(_tables)


def iter_tables() -> Iterator[type[Model]]:
    """The registered tables in the order of their definition."""
    yield from registered_tables().values()


def clear_registry() -> None:
    """Forget all tables (for tests)."""
    with _lock:
        _tables.clear()
        _pending.clear()


def finalize_pending(*, defining: bool = False) -> None:
    """Complete the tables whose missing names have appeared; `defining`: none is used yet.

    What is still missing is no error here (`assert_no_pending_models` lists it); a definition that can never become a
    table is, and the FieldError names the field.
    """
    global _finalizing
    with _lock:
        if _finalizing:
            return
        _finalizing = True
        try:
            progress = True
            while progress:
                progress = False
                for key, cls in list(_pending.items()):
                    if _pending.get(key) is cls and complete(cls, defining=defining):
                        _pending.pop(key, None)
                        progress = True
        finally:
            _finalizing = False


def completed(cls: type[Model]) -> None:
    """Pydantic finished a class by itself, on its first use: its table may be complete now."""
    if _pending.get(_key(cls)) is cls:
        finalize_pending()


def restore(tables: dict[str, type[Model]], cls: type[Model]) -> None:
    """Take back the registration of a class whose definition failed; `tables` are those from before."""
    with _lock:
        _pending.pop(_key(cls), None)
        _tables.clear()
        _tables.update(tables)


def complete(cls: type[Model], *, defining: bool = False) -> bool:
    """Try to finish one table; False while a name is missing."""
    if not is_complete(cls):
        rebuild(cls, _namespace(cls, near=defining and _is_running(cls.__module__)))
    if not is_complete(cls):
        return False
    if "__oxyde_info__" not in cls.__dict__:
        plan = plan_of(cls)
        info = ModelInfo(cls, cls.__dict__.get("__oxyde_settle__"))
        for name, handler in assignment_handlers(cls, plan).items():
            set_assignment(cls, name, handler)
        type.__setattr__(cls, "__oxyde_info__", info)
    return True


def _namespace(cls: type[Model], *, near: bool = False) -> dict[str, Any]:
    """The registered tables by class name, for annotations; a name that means two of them is left out.

    A class of the same module goes before one of another (left out with `near`), and a global of the module before
    both.
    """
    own = getattr(sys.modules.get(cls.__module__), "__dict__", {})
    found: dict[str, Any] = {}
    mine: set[str] = set()
    twice: set[str] = set()
    for table in _tables.values():
        name = table.__name__
        if table.__module__ == cls.__module__:
            found[name] = table
            mine.add(name)
        elif name not in mine and not near:
            if name in found:
                twice.add(name)
            found[name] = table
    return {name: table for name, table in found.items() if name not in own and (name in mine or name not in twice)}


def _is_running(module: str) -> bool:
    """Whether the statements of a module are being executed, on this thread."""
    names = getattr(sys.modules.get(module), "__dict__", None)
    frame = sys._getframe(1) if names is not None else None
    while frame is not None:
        if frame.f_globals is names and frame.f_code.co_name == "<module>":
            return True
        frame = frame.f_back
    return False


def assert_no_pending_models() -> None:
    """Raise RuntimeError that lists every table that still waits, and the name that it waits for."""
    with _lock:
        finalize_pending()
        waiting = [f"{key} (missing: {_missing(cls)})" for key, cls in _pending.items()]
    if waiting:
        raise RuntimeError(f"Models with unresolved references: {'; '.join(waiting)}")


def _missing(cls: type[Model]) -> str:
    try:
        cls.model_rebuild(_types_namespace=_namespace(cls))
    except PydanticUndefinedAnnotation as error:
        return error.name or str(error)
    except PydanticUserError as error:
        return str(error)
    return "nothing"
