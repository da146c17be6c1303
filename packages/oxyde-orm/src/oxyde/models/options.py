"""What `Field(db_…=…)` says about a column.

The options travel through Pydantic as one more item of the field's metadata, where Pydantic keeps what it does not
know: so they survive `Annotated`, inheritance, generics and a later rebuild of the class, which all make new
`FieldInfo` objects.  Only what was given is remembered, so that an assigned `Field(…)` can add to an annotated one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from oxyde.models.naming import nearest

__all__ = ["DEFAULTS", "Converter", "DbOptions", "OnAction", "options_of", "parse_options"]

OnAction: TypeAlias = Literal["CASCADE", "RESTRICT", "SET NULL", "SET DEFAULT", "NO ACTION"]
"""What a foreign key does when its target row is deleted or its key changes."""

Converter: TypeAlias = "tuple[Callable[[Any], Any], Callable[[Any], Any]]"
"""`(to_db, from_db)`."""

ACTIONS: Final = frozenset(get_args(OnAction))

DEFAULTS: Final[dict[str, Any]] = {
    "pk": False,
    "index": False,
    "index_name": None,
    "index_method": None,
    "unique": False,
    "column": None,
    "type": None,
    "comment": None,
    "collation": None,
    "nullable": None,
    "default": PydanticUndefined,
    "converter": None,
    "generated": None,
    "stored": None,
    "fk": None,
    "on_delete": "RESTRICT",
    "on_update": "CASCADE",
    "deferrable": None,
    "reverse_fk": None,
    "m2m": False,
    "through": None,
    # Not a parameter: the relation from which Oxyde derived this field.
    "derived_from": None,
}
"""Every option (`db_` left out) and what holds when it is not given."""

_FLAGS: Final = frozenset({"pk", "index", "unique", "m2m"})
_TEXTS: Final = frozenset(
    {"index_name", "index_method", "column", "type", "comment", "collation", "fk", "reverse_fk", "through"}
)


class DbOptions:
    """The `db_*` parameters of one field; attributes are named without the prefix."""

    __slots__ = ("given",)

    given: dict[str, Any]

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given

    def __getattr__(self, name: str) -> Any:
        # Read from the slot by its descriptor: while it is unset (copy, pickle) this method must not call itself.
        if name in DEFAULTS:
            return object.__getattribute__(self, "given").get(name, DEFAULTS[name])
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"DbOptions({', '.join(f'db_{name}={value!r}' for name, value in self.given.items())})"

    @property
    def virtual(self) -> bool:
        """Whether the field is a list of related rows, with no column of its own."""
        return bool(self.reverse_fk or self.m2m)


_NONE: Final = DbOptions({})


def options_of(field: FieldInfo) -> DbOptions:
    """The `db_*` options of a field, those of an assigned `Field(…)` before those in its `Annotated[…]`."""
    found = [item for item in field.metadata if isinstance(item, DbOptions)]
    if not found:
        return _NONE
    if len(found) == 1:
        return found[0]
    merged: dict[str, Any] = {}
    for item in found:
        merged.update(item.given)
    # Pydantic puts the metadata of an assignment first, though it is the more specific one.
    assigned = field._original_assignment
    if isinstance(assigned, FieldInfo):
        for item in assigned.metadata:
            if isinstance(item, DbOptions):
                merged.update(item.given)
    return DbOptions(merged)


def parse_options(parameters: dict[str, Any]) -> dict[str, Any]:
    """Take the `db_*` parameters out of keyword arguments and check what can be checked without the model.

    Raises TypeError for an unknown parameter or a value of the wrong type, ValueError for an unknown action.
    """
    given: dict[str, Any] = {}
    for key in [key for key in parameters if key.startswith("db_")]:
        name = key[3:]
        if name not in DEFAULTS or name == "derived_from":
            known = [f"db_{option}" for option in DEFAULTS if option != "derived_from"]
            raise TypeError(f"Field() has no parameter {key!r}{nearest(key, known)}")
        given[name] = _checked(name, parameters.pop(key))
    _check_together(given)
    return given


def _checked(name: str, value: Any) -> Any:
    if name in _FLAGS and not isinstance(value, bool):
        raise TypeError(f"db_{name} takes True or False, not {value!r}")
    if name in _TEXTS and value is not None and not isinstance(value, str):
        raise TypeError(f"db_{name} takes a string, not {value!r}")
    if name in {"nullable", "stored"} and value is not None and not isinstance(value, bool):
        raise TypeError(f"db_{name} takes True, False or None, not {value!r}")
    if name in {"on_delete", "on_update"}:
        action = value.upper().replace("_", " ") if isinstance(value, str) else value
        if action not in ACTIONS:
            raise ValueError(f"db_{name} is one of {', '.join(sorted(ACTIONS))}, not {value!r}")
        return action
    pair = isinstance(value, tuple) and len(value) == 2 and all(map(callable, value))
    if name == "converter" and value is not None and not pair:
        raise TypeError(f"db_converter takes a pair of functions (to_db, from_db), not {value!r}")
    if name == "deferrable" and value not in (None, True, False, "immediate", "deferred"):
        raise ValueError(f"db_deferrable is True, False, 'immediate' or 'deferred', not {value!r}")
    return value


def _check_together(given: dict[str, Any]) -> None:
    if given.get("m2m") and not given.get("through"):
        raise TypeError("db_m2m needs db_through, the name of the model that holds both foreign keys")
    if given.get("through") and not given.get("m2m"):
        raise TypeError("db_through has no meaning without db_m2m=True")
    if given.get("m2m") and given.get("reverse_fk"):
        raise TypeError("db_m2m and db_reverse_fk exclude each other")
    if given.get("generated") is None and given.get("stored") is not None:
        raise TypeError("db_stored has no meaning without db_generated")
    if given.get("generated") is not None and given.get("default", PydanticUndefined) is not PydanticUndefined:
        raise TypeError("a field cannot have both db_generated and db_default")
    for name in ("index_name", "index_method"):
        if given.get(name) and not given.get("index"):
            raise TypeError(f"db_{name} has no meaning without db_index=True")
