"""How stored rows become Python objects: what the core's `Loader` is told for one model, one column list and one mode.

`describe_loader` is pure: it decides, for each column, which function the decoded value goes through, and, for whole
instances, how they are made.  `ModelInfo.loader()` hands the description to the core.

For an instance the core makes the object itself (`cls.__new__` without `__init__`), gives it a dict of the columns, its
`__pydantic_extra__` and `__pydantic_private__` and the load state that all rows of the result share, and calls
`private_init` if there is one.  `__pydantic_fields_set__` stays unset; the model makes it when it is first read.
Only where the model must be validated as a whole (`post`) the core hands over a dict of converted values instead and
gets the instance back.

When a converter, `post` or the null rule refuses a row, the core calls `explain(row, name, error)` with the decoded
values of the row (before conversion, by field name), the column at fault (None: `post`) and the exception (None: the
null rule), and raises what it returns: a DataError that names table, key and field, with Pydantic's ValidationError
as its cause — the same one that validating the whole row would have raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast

from pydantic import SecretBytes, SecretStr, ValidationError
from pydantic_core import PydanticCustomError

from oxyde.exceptions import DataError, OxydeError
from oxyde.models.state import LoadState

if TYPE_CHECKING:
    from oxyde.models.columns import Column
    from oxyde.models.info import ModelInfo

__all__ = ["LoaderMode", "LoaderPlan", "Validation", "complete_row", "describe_loader", "renamed"]

LoaderMode: TypeAlias = Literal["model", "dict", "tuple", "scalar", "row"]
"""What a row becomes.  "row" is a dict whose values were validated like an instance's: what a statement returns of a
row that an instance already stands for."""
Validation: TypeAlias = Literal["full", "needed", "off"]

Explain: TypeAlias = "Callable[[dict[str, Any], str | None, BaseException | None], BaseException]"

_set: Final = object.__setattr__


class LoaderPlan(NamedTuple):
    """The arguments of the core's `Loader`.

    `outputs`: (field name, type tag, converter | None, "table.column").  A converter is a function of the decoded
    value, or a dict from decoded value to result; for JSON the decoded value is the text.  NULL becomes None without a
    converter, except for the names in `null_converted`; for those in `null_refused` it is an error.
    `model`: (class, load state, its slot descriptor, post | None, private_init | None, whether extra is a dict).
    """

    kind: Literal["model", "dict", "tuple", "scalar"]
    outputs: tuple[tuple[str, Any, Any, str], ...]
    model: tuple[Any, ...] | None
    null_converted: frozenset[str]
    null_refused: frozenset[str]
    explain: Explain


def describe_loader(
    info: ModelInfo, columns: tuple[Column, ...], mode: LoaderMode, validate: Validation, alias: str
) -> LoaderPlan:
    """Decide how rows with these columns are loaded.

    Rows as dicts, tuples or single values are not validated: they hold the columns' Python types and no instance.
    """
    names = tuple(column.name for column in columns)
    kind: Literal["model", "dict", "tuple", "scalar"] = "dict" if mode == "row" else mode
    if mode not in ("model", "row") or validate == "off":
        outputs = tuple(_output(info, column, column.from_db) for column in columns)
        model = _model(info, names, alias, None) if mode == "model" else None
        return LoaderPlan(kind, outputs, model, frozenset(), frozenset(), _explainer(info, columns))
    elision = info.elision
    complete = len(names) == len(info.columns)
    if elision.whole:
        outputs = tuple(_output(info, column, _decoder(info, column)) for column in columns)
        # A "row" is judged together with the instance's other values, by `complete_row`.
        model = _model(info, names, alias, _whole(info, names, complete)) if mode == "model" else None
        return LoaderPlan(kind, outputs, model, frozenset(), frozenset(), _explainer(info, columns))
    chosen = []
    converted, refused = set(), set()
    for column in columns:
        name = column.name
        if validate == "needed" and name in elision.direct:
            chosen.append(_output(info, column, column.from_db))
            if name not in elision.takes_null:
                refused.add(name)
        else:
            chosen.append(_output(info, column, _validated(info, column)))
            if name not in elision.takes_null:
                converted.add(name)
    model = _model(info, names, alias, None) if mode == "model" else None
    return LoaderPlan(kind, tuple(chosen), model, frozenset(converted), frozenset(refused), _explainer(info, columns))


def renamed(plan: LoaderPlan, keys: tuple[str, ...]) -> LoaderPlan:
    """The same columns in dicts with other keys (`author` for `author_id`)."""
    names = {key: output[0] for key, output in zip(keys, plan.outputs, strict=True)}
    explain = plan.explain

    def explain_renamed(row: dict[str, Any], name: str | None, error: BaseException | None) -> BaseException:
        values = {names[key]: value for key, value in row.items()}
        return explain(values, None if name is None else names[name], error)

    outputs = tuple((key, *output[1:]) for key, output in zip(keys, plan.outputs, strict=True))
    return plan._replace(outputs=outputs, explain=explain_renamed)


def complete_row(info: ModelInfo) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Validation of a whole row as an instance has it, for models that are validated so; None for all others.

    Takes and returns a dict of all columns; raises DataError.
    """
    if not info.elision.whole:
        return None
    run = info.elision.all(tuple(column.name for column in info.columns))
    columns = {column.name: column for column in info.columns}

    def complete(values: dict[str, Any]) -> dict[str, Any]:
        try:
            return cast("dict[str, Any]", run(values).__dict__)
        except OxydeError:
            raise
        except Exception as error:
            found = error if isinstance(error, ValidationError) else None
            raise _refused(info, columns, values, None, found, error)  # noqa: B904 - it has its cause

    return complete


def _output(info: ModelInfo, column: Column, converter: Any) -> tuple[str, Any, Any, str]:
    return column.name, column.type, converter, f"{info.table}.{column.column}"


def _decoder(info: ModelInfo, column: Column) -> Any:
    """From the decoded value to what validation starts from; for JSON that is validation already."""
    return info.elision.field(column.name).validate_json if info.elision.reads_json(column) else column.from_db


def _validated(info: ModelInfo, column: Column) -> Callable[[Any], Any]:
    """From the decoded value to the valid field value, NULL included."""
    validator = info.elision.field(column.name)
    run = validator.validate_python
    if info.elision.reads_json(column):
        read = validator.validate_json
        return lambda value: run(None) if value is None else read(value)
    back = column.from_db
    if back is None:
        return run
    if isinstance(back, dict):
        members = back
        return lambda value: run(None if value is None else members[value])
    return lambda value: run(None if value is None else back(value))


def _model(info: ModelInfo, names: tuple[str, ...], alias: str, post: Any) -> tuple[Any, ...]:
    from oxyde.models.model import Model

    cls = info.cls
    state = LoadState(alias, frozenset(names), persisted=True)
    private_init = _post_init if cls.__pydantic_post_init__ and post is None else None
    extra = cls.model_config.get("extra") == "allow"
    return cls, state, Model.__dict__["_oxyde_state"], post, private_init, extra


def _post_init(instance: Any) -> None:
    instance.model_post_init(None)


def _whole(info: ModelInfo, names: tuple[str, ...], complete: bool) -> Callable[[dict[str, Any]], Any]:
    if complete:
        return info.elision.all(names)
    return _partial(info, names)


def _partial(info: ModelInfo, names: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
    """Instances with some columns: each is validated, the model as a whole cannot be."""
    cls = info.cls
    if not info.elision.by_field:
        return lambda values: _bare(cls, values)
    run = info.elision.some(names, stored=True)
    return lambda values: _bare(cls, run(values))


def _bare(cls: Any, values: dict[str, Any]) -> Any:
    instance = cls.__new__(cls)
    _set(instance, "__dict__", values)
    _set(instance, "__pydantic_extra__", {} if cls.model_config.get("extra") == "allow" else None)
    _set(instance, "__pydantic_private__", None)
    if cls.__pydantic_post_init__:
        instance.model_post_init(None)
    return instance


def _explainer(info: ModelInfo, columns: tuple[Column, ...]) -> Explain:
    by_name = {column.name: column for column in columns}

    def explain(row: dict[str, Any], name: str | None, error: BaseException | None) -> BaseException:
        if isinstance(error, OxydeError) or not isinstance(error, (Exception, type(None))):
            return error
        judged = error is None or name is None or isinstance(error, ValidationError)
        found = _whole_error(info, by_name, row) if judged else None
        return _refused(info, by_name, row, name, found, error)

    return explain


def _refused(
    info: ModelInfo,
    columns: dict[str, Column],
    row: dict[str, Any],
    name: str | None,
    found: ValidationError | None,
    error: BaseException | None,
) -> DataError:
    """The error for a row: which field, and why, by Pydantic's account of it (`found`) or else by what was raised."""
    fields = sorted({str(item["loc"][0]) for item in found.errors() if item["loc"]}) if found else []
    if name is not None and name not in fields:
        fields = [name]
    column = columns[fields[0]].column if fields and fields[0] in columns else None
    key = ", ".join(f"{item.name}={row[item.name]!r}" for item in info.pk if item.name in row)
    where = f"{info.cls.__name__}.{fields[0]}" if fields else info.cls.__name__
    value = f", found {_shown(row[fields[0]])}" if fields and _may_show(columns, row, fields[0]) else ""
    refused = DataError(
        f"A stored row of table {info.table!r}{f' ({key})' if key else ''} is not valid: {where}: "
        f"{_reason(found or error)}{value}",
        table=info.table,
        column=column,
    )
    refused.__cause__ = found or error
    return refused


def _may_show(columns: dict[str, Column], row: dict[str, Any], name: str) -> bool:
    return name in row and name in columns and columns[name].python_type not in (SecretStr, SecretBytes)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _whole_error(info: ModelInfo, columns: dict[str, Column], row: dict[str, Any]) -> ValidationError | None:
    """Pydantic's account of the whole row."""
    values: dict[str, Any] = {}
    for name, value in row.items():
        try:
            values[name] = value if value is None else _convert(_decoder(info, columns[name]), value)
        except ValidationError as error:
            return ValidationError.from_exception_data(info.cls.__name__, _prefixed(error, name))
        except Exception:  # noqa: S112
            # What could not be read at all is not Pydantic's to judge; the other columns are.
            continue
    try:
        _whole(info, tuple(values), len(values) == len(info.columns))(values)
    except ValidationError as error:
        return error
    except Exception:
        return None
    return None


def _convert(converter: Any, value: Any) -> Any:
    if converter is None:
        return value
    return converter[value] if isinstance(converter, dict) else converter(value)


def _prefixed(error: ValidationError, name: str) -> list[Any]:
    return [
        {
            "type": PydanticCustomError(cast(Any, item["type"]), cast(Any, item["msg"])),
            "loc": (name, *item["loc"]),
            "input": item["input"],
        }
        for item in error.errors(include_url=False)
    ]


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "NULL in a column that has none"
    if isinstance(error, ValidationError):
        return "; ".join(item["msg"] for item in error.errors(include_url=False, include_input=False))
    if isinstance(error, KeyError):
        return "not one of the known values"
    # Converters are the program's own code, and their messages may quote what is stored.
    return f"its converter raised {type(error).__name__}"
