"""JSON columns: values are written and read through the field's own Pydantic type.

So `bytes`, `Decimal`, dates and keys come back as they went.  What JSON cannot hold is refused before it is sent, where
Pydantic would write something else: NaN and infinity (Pydantic: null) and, wherever the type is `Any`, values that
would come back as something else (a tuple, a date, an int as key).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

from pydantic import TypeAdapter

from oxyde.exceptions import DataError
from oxyde.models.options import DbOptions

__all__ = ["json_codec"]

# Leaves that serialise to one JSON value which their own validator takes back.
_FAITHFUL: Final = frozenset(
    {
        "bool",
        "bytes",
        "date",
        "datetime",
        "decimal",
        "enum",
        "int",
        "literal",
        "none",
        "str",
        "time",
        "timedelta",
        "uuid",
    }
)


def json_codec(
    where: str, annotation: Any, metadata: tuple[Any, ...]
) -> tuple[Callable[[Any], bytes | str], Callable[[Any], Any], Callable[[Any], Any]]:
    """`to_db`, `from_db` and `coerce` of a JSON column; `where` is how errors call the field."""
    kept = tuple(item for item in metadata if not isinstance(item, DbOptions))
    annotated: Any = Annotated
    adapter: TypeAdapter[Any] = TypeAdapter(annotated[(annotation, *kept)] if kept else annotation)
    plain: TypeAdapter[Any] = TypeAdapter(annotation)
    leaves = set(_leaves(adapter.core_schema))
    dump = _strict_dump(where, adapter, "any" in leaves) if leaves - _FAITHFUL else adapter.dump_json

    def to_db(value: Any) -> bytes | str:
        text = dump(value)
        escaped = b"\\u0000" in text if isinstance(text, bytes) else "\\u0000" in text
        if escaped and _has_nul(json.loads(text)):
            raise DataError(f"{where}: JSON cannot be stored with a NUL character in it")
        return text

    return to_db, adapter.validate_json, plain.validate_python


def _strict_dump(where: str, adapter: TypeAdapter[Any], compare: bool) -> Callable[[Any], str]:
    def dump(value: Any) -> str:
        tree = adapter.dump_python(value, mode="json")
        try:
            text = json.dumps(tree, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        except ValueError:
            raise DataError(f"{where}: JSON cannot hold NaN or infinity") from None
        if not _is_unicode(text):
            raise DataError(f"{where}: the JSON holds a lone surrogate, which has no UTF-8 form")
        if compare and adapter.validate_json(text) != value:
            raise DataError(
                f"{where}: the value would not come back from JSON as it is; where the type is Any, only dict with str "
                "keys, list, str, int, finite float, bool and None can be stored"
            )
        return text

    return dump


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_nul(tree: Any) -> bool:
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def _leaves(node: Any) -> Iterator[str]:
    """The types of all nodes of a core schema that are no containers of others."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, dict):
            kind = item.get("type")
            below = [value for key, value in item.items() if key not in {"metadata", "serialization", "config"}]
            nested = [value for value in below if isinstance(value, (dict, list, tuple))]
            if isinstance(kind, str) and kind not in _CONTAINERS:
                yield kind
            if isinstance(item.get("serialization"), dict):
                yield "serialization"
            stack.extend(nested)


_CONTAINERS: Final = frozenset(
    {
        "dataclass",
        "dataclass-args",
        "dataclass-field",
        "default",
        "definition-ref",
        "definitions",
        "dict",
        "list",
        "model",
        "model-field",
        "model-fields",
        "nullable",
        "tuple",
        "typed-dict",
        "typed-dict-field",
        "union",
        "tagged-union",
    }
)
