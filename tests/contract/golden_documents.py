"""The golden documents of the query contract: one shape for every node, as the Python side makes it.

Each document in `golden/` is a list of cases `{"name", "shape", "params", "types"}`: tuples are written as JSON
arrays, `params` is the number of parameters and `types` their type tags in order.  `table.json` describes the table
that all of them use, in the order of `register_table`'s arguments.  The core's tests read the same files, so a
constructor and its extractor cannot drift apart.

    python tests/contract/golden_documents.py            # write the documents
    python tests/contract/golden_documents.py --check    # exit 1 if they are not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from oxyde_core import ir
from oxyde_core.types import TypeTag

GOLDEN = Path(__file__).parent / "golden"
MODEL = 1

TABLE: tuple[Any, ...] = (
    MODEL,
    "documents",
    None,
    (
        # field, column, type, nullable, primary key, auto, generated, db_type, collation
        ("id", "id", "big_integer", False, True, True, False, None, None),
        ("title", "title", ("string", 200), False, False, False, False, None, None),
        ("body", "body_text", "text", True, False, False, False, None, None),
        ("pages", "pages", "integer", False, False, False, False, None, None),
        ("rank", "rank", "small_integer", True, False, False, False, None, None),
        ("score", "score", "double", True, False, False, False, None, None),
        ("ratio", "ratio", "real", True, False, False, False, None, None),
        ("price", "price", ("decimal", 10, 2), True, False, False, False, None, None),
        ("amount", "amount", ("decimal", None, None), True, False, False, False, None, None),
        ("public", "public", "boolean", False, False, False, False, None, None),
        ("created", "created", "date_time", False, False, False, False, None, None),
        ("seen", "seen", "date_time_utc", True, False, False, False, None, None),
        ("day", "day", "date", True, False, False, False, None, None),
        ("hour", "hour", "time", True, False, False, False, None, None),
        ("took", "took", "timedelta", True, False, False, False, None, None),
        ("token", "token", "uuid", True, False, False, False, None, None),
        ("raw", "raw", "blob", True, False, False, False, None, None),
        ("meta", "meta", "json", True, False, False, False, None, None),
        (
            "status",
            "status",
            ("enum", "document_status_enum", ("draft", "done")),
            False,
            False,
            False,
            False,
            None,
            None,
        ),
        ("tags", "tags", ("array", "text"), True, False, False, False, None, None),
        ("address", "address", "text", True, False, False, False, "inet", None),
        ("total", "total", "big_integer", True, False, False, True, None, None),
    ),
    # The unique keys beside the primary key: name and fields.
    (("documents_title_key", ("title",)),),
)
TYPES: dict[str, TypeTag] = {field: tag for field, _, tag, *_ in TABLE[3]}


def compare(operator: ir.CompareOperator, field: str) -> ir.Node:
    return ir.compare(operator, ir.column(field), ir.param(TYPES[field]))


def expressions() -> dict[str, ir.Node]:
    """Every expression node, as a condition or a value."""
    title, pages, score = ir.column("title"), ir.column("pages"), ir.column("score")
    text, number = ir.param("text"), ir.param("big_integer")
    cases: dict[str, ir.Node] = {
        "col": ir.column("body"),
        "null": ir.NULL,
        "true": ir.TRUE,
        "false": ir.FALSE,
        "now": ir.NOW,
        "sql": ir.sql("1 + 1"),
        "is_null": ir.is_null(ir.column("body")),
        "is_not_null": ir.is_not_null(ir.column("body")),
        "between": ir.between(pages, ir.param("integer"), ir.param("integer")),
        "and": ir.and_(compare("eq", "title"), compare("gt", "pages"), ir.is_null(ir.column("body"))),
        "or": ir.or_(compare("eq", "title"), compare("gt", "pages")),
        "not": ir.not_(compare("eq", "title")),
        "xor": ir.xor(compare("eq", "title"), compare("gt", "pages")),
        "nested": ir.or_(
            ir.and_(compare("eq", "title"), ir.not_(ir.in_(pages, "integer"))),
            ir.xor(compare("lt", "score"), ir.between(pages, number, ir.arith("add", pages, number))),
        ),
        "neg": ir.neg(pages),
        "excluded": ir.excluded("title"),
        "unknown_is_kept": ir.not_(ir.func("coalesce", compare("lt", "score"), ir.FALSE)),
        "func_lower": ir.func("lower", title),
        "func_upper": ir.func("upper", title),
        "func_length": ir.func("length", title),
        "func_abs": ir.func("abs", score),
        "func_coalesce": ir.func("coalesce", ir.column("body"), title, text),
        "func_concat": ir.func("concat", title, text, ir.column("body")),
        "column_to_column": ir.compare("gte", score, ir.column("ratio")),
    }
    members: tuple[ir.ArrayOperator, ...] = ("contains", "contained_by", "overlap")
    for array in members:
        cases[f"array_{array}"] = ir.array(array, ir.column("tags"), ir.param(TYPES["tags"]))
    cases["item"] = ir.compare("eq", ir.item(ir.column("tags"), number), text)
    for operator in ("eq", "ne", "lt", "lte", "gt", "gte"):
        cases[f"cmp_{operator}"] = compare(operator, "pages")
    for match in ir.MATCH_OPERATORS:
        cases[f"match_{match}"] = ir.match(match, title, text)
    for arith in ("add", "sub", "mul", "div", "floordiv", "mod", "pow"):
        cases[f"arith_{arith}"] = ir.arith(arith, pages, number)
    for field, tag in TYPES.items():
        cases[f"param_{field}"] = compare("eq", field)
        cases[f"in_{field}"] = ir.in_(ir.column(field), tag)
        cases[f"not_in_{field}"] = ir.not_in(ir.column(field), tag)
    return cases


def selects() -> dict[str, ir.Node]:
    """Every part of a SELECT."""
    where = compare("gte", "pages")
    by_id = (ir.order(ir.column("id")),)
    orders = (
        ir.order(ir.column("title"), "desc"),
        ir.order(ir.column("score"), "asc", "last"),
        ir.order(ir.func("lower", ir.column("body")), "desc", "first"),
        ir.order(ir.arith("mul", ir.column("pages"), ir.param("big_integer"))),
    )
    everything = tuple(TYPES)
    return {
        "all": ir.select(MODEL, everything),
        "where": ir.select(MODEL, ("id", "title"), where),
        "computed": ir.select(MODEL, ("id", ir.output("low", ir.func("lower", ir.column("title")), "text")), where),
        "order": ir.select(MODEL, ("id",), where, orders),
        "limit": ir.select(MODEL, ("id",), where, by_id, "l"),
        "offset": ir.select(MODEL, ("id",), where, by_id, "o"),
        "limit_offset": ir.select(MODEL, ("id",), where, (*orders, *by_id), "lo"),
        "distinct": ir.select(MODEL, ("title",), where, (), "", "distinct"),
        "count": ir.select(MODEL, (), where, mode="count"),
        "count_all": ir.select(MODEL, (), mode="count"),
        "count_limited": ir.select(MODEL, ("id",), where, (), "lo", mode="count"),
        "count_distinct": ir.select(MODEL, ("title",), where, (), "", "distinct", mode="count"),
        "exists": ir.select(MODEL, (), where, mode="exists"),
        "exists_limited": ir.select(MODEL, ("id",), where, (), "lo", mode="exists"),
    }


def inserts() -> dict[str, ir.Node]:
    """Every part of an INSERT."""
    fields = ("title", "pages", "price", "public", "created", "status")
    row = ir.values(*(ir.param(TYPES[field]) for field in fields))
    update = ir.upsert(("title",), (("pages", ir.excluded("pages")), ("public", ir.TRUE)))
    counted = ir.upsert(("title",), (("pages", ir.arith("add", ir.column("pages"), ir.param("big_integer"))),))
    return {
        "one": ir.insert(MODEL, fields, row),
        "one_returning": ir.insert(MODEL, fields, row, None, ("id", "total")),
        "one_computed": ir.insert(MODEL, ("title", "created"), ir.values(ir.param(TYPES["title"]), ir.NOW)),
        "defaults": ir.insert(MODEL, (), ir.values(), None, ("id",)),
        "bulk": ir.insert(MODEL, fields, ir.BULK),
        "bulk_returning": ir.insert(MODEL, fields, ir.BULK, None, ("id",)),
        "ignore": ir.insert(MODEL, fields, row, ir.ignore(("title",))),
        "ignore_any": ir.insert(MODEL, fields, ir.BULK, ir.ignore(())),
        "update": ir.insert(MODEL, fields, ir.BULK, update, ("id",)),
        "update_counted": ir.insert(MODEL, fields, row, counted, ("id", "pages")),
    }


def updates() -> dict[str, ir.Node]:
    """Every part of an UPDATE."""
    where = compare("eq", "id")
    more = (("pages", ir.arith("add", ir.column("pages"), ir.param("big_integer"))), ("score", ir.NULL))
    return {
        "one": ir.update(MODEL, (("title", ir.param(TYPES["title"])),), where),
        "all": ir.update(MODEL, (("public", ir.param("boolean")),)),
        "expression": ir.update(MODEL, more, where),
        "returning": ir.update(MODEL, more, where, ("id", "pages", "total")),
    }


def deletes() -> dict[str, ir.Node]:
    """Every part of a DELETE."""
    where = ir.in_(ir.column("id"), "big_integer")
    return {
        "all": ir.delete(MODEL),
        "where": ir.delete(MODEL, where),
        "returning": ir.delete(MODEL, where, ("id", "title")),
    }


def document(cases: dict[str, ir.Node]) -> str:
    """A document: one case on each line."""
    lines = []
    for name, shape in cases.items():
        types = ir.slots(shape)
        lines.append(json.dumps({"name": name, "shape": shape, "params": len(types), "types": types}))
    return "[\n  " + ",\n  ".join(lines) + "\n]\n"


def documents() -> dict[str, str]:
    """All documents by file name."""
    return {
        "table.json": json.dumps(TABLE, indent=1) + "\n",
        "expressions.json": document(expressions()),
        "select.json": document(selects()),
        "insert.json": document(inserts()),
        "update.json": document(updates()),
        "delete.json": document(deletes()),
    }


def outdated() -> list[str]:
    """The documents in the directory that are not what this module makes, and files that nobody makes."""
    wanted = documents()
    present = {path.name: path.read_text() for path in GOLDEN.glob("*.json")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def main(arguments: list[str]) -> int:
    """Write the documents, or check them."""
    if "--check" in arguments:
        stale = outdated()
        for name in stale:
            print(f"tests/contract/golden/{name} is not up to date: run tests/contract/golden_documents.py")
        return 1 if stale else 0
    GOLDEN.mkdir(exist_ok=True)
    for name, text in documents().items():
        (GOLDEN / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
