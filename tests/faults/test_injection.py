"""Hostile names in every place that a user's key can reach: refused, or the same statement as for a harmless one."""

from __future__ import annotations

import enum
import json
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from oxyde import (
    AsyncDatabase,
    Check,
    Coalesce,
    Concat,
    DataError,
    F,
    Field,
    FieldError,
    FieldLookupError,
    Index,
    Lower,
    ManagerError,
    Model,
    NotFoundError,
    NotSupportedError,
    Q,
    Unique,
    Value,
    atomic,
    create_tables,
    drop_tables,
    unregister_connection,
)
from oxyde.models import unregister_table
from oxyde.queries.scope import scope_of
from oxyde.schema import describe
from oxyde_core._core import create_ddl

from .harness import SERVERS, Where, outside, scaled
from .hostile import corpus, texts
from .programs.common import database_at

REFUSALS = (FieldError, FieldLookupError, ValueError, TypeError)
DIALECTS = ("postgres", "mysql", "mariadb", "sqlite")
PARSED_AS = {"mariadb": "mysql"}
SEED = 20_261


class Person(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(max_length=10_100)
    age: int | None = None
    tags: list[str] = []

    class Meta:
        is_table = True
        table_name = "faults_person"


COLUMNS = {"id", "name", "age", "tags"}
NAMED = re.compile(r"(?:id|name|age|tags|pk)\Z")
ORDERED = re.compile(r"-?(?:id|name|age|tags|pk)\Z")
# The lookups that the guide lists.
TEXT = "(?:i?exact|ne|in|not_in|gte?|lte?|between|range|isnull|i?contains|i?startswith|i?endswith|i?like|i?regex)"
LOOKED_UP = re.compile(
    rf"(?:id|name|age|pk)(?:__{TEXT})?\Z|tags(?:__(?:{TEXT}|contained_by|overlaps?|length|[a-z_]+|\d+)(?:__{TEXT})?)?\Z"
)


# ---------------------------------------------------------------------------------------------------------- the queries

PLACES: dict[str, tuple[Callable[[str], Any], re.Pattern[str]]] = {
    "filter(key=)": (lambda name: Person.objects.filter(**{name: "x"}), LOOKED_UP),
    "filter(key=1)": (lambda name: Person.objects.filter(**{name: 1}), LOOKED_UP),
    "filter(key=[…])": (lambda name: Person.objects.filter(**{name: ["1", "2"]}), LOOKED_UP),
    "filter().exclude(key=)": (lambda name: Person.objects.filter(age=1).exclude(**{name: "x"}), LOOKED_UP),
    "Q(key=)": (lambda name: Person.objects.filter(Q(**{name: "x"}) | Q(age=1)), LOOKED_UP),
    "~Q(key=)": (lambda name: Person.objects.filter(~Q(**{name: "x"})), LOOKED_UP),
    "order_by()": (lambda name: Person.objects.order_by(name), ORDERED),
    "values()": (lambda name: Person.objects.values(name), NAMED),
    "values_list()": (lambda name: Person.objects.values_list("id", name), NAMED),
    "values_list(flat)": (lambda name: Person.objects.values_list(name, flat=True), NAMED),
    "only()": (lambda name: Person.objects.only(name), NAMED),
    "defer()": (lambda name: Person.objects.defer(name), NAMED),
    "F() as a value": (lambda name: Person.objects.filter(name=F(name)), NAMED),
    "F() as a field": (lambda name: Person.objects.filter(F(name) == F("age")), NAMED),
    "F() in arithmetic": (lambda name: Person.objects.filter(age__gt=F(name) + 1), NAMED),
    "F() as an order": (lambda name: Person.objects.order_by(F(name).desc(nulls="last")), NAMED),
    "Lower()": (lambda name: Person.objects.filter(Lower(name) == "x"), NAMED),
    "Concat()": (lambda name: Person.objects.order_by(Concat("name", name)), NAMED),
    "Coalesce()": (lambda name: Person.objects.filter(Coalesce(name, "name") == "x"), NAMED),
    "sql(dialect=)": (lambda name: Person.objects.sql(dialect=name), re.compile("(?:postgres(?:ql)?|mysql|sqlite)\\Z")),
    "validate()": (lambda name: Person.objects.validate(name), re.compile("full|needed|off")),  # type: ignore[arg-type]
}


def parsed(text: str, dialect: str) -> exp.Expression:
    """The tree of the one statement that a text is; it has no comments."""
    # sqlglot knows no E'…' there; without backslashes' meaning it ends at the same place, since quotes are doubled.
    text = re.sub(r"""^(COMMENT ON \w+ (?:\.?"(?:[^"]|"")*+")++ IS )E(?=')""", r"\1", text)
    # Nor the character set of a column of JSON_TABLE.
    text = text.replace(" LONGTEXT CHARACTER SET utf8mb4 PATH ", " LONGTEXT PATH ")
    statements = sqlglot.parse(text, dialect=PARSED_AS.get(dialect, dialect))
    assert len(statements) == 1, text
    (tree,) = statements
    assert isinstance(tree, exp.Expression), text
    assert not isinstance(tree, exp.Command), text
    assert not any(node.comments for node in tree.walk()), text
    return tree


def check_harmless(query: Any, where: str) -> None:
    """A SELECT of the model's own columns of its own table, whatever it was made of."""
    for dialect in DIALECTS:
        try:
            text, _ = query.sql(dialect=dialect)
        except (NotSupportedError, *REFUSALS):
            continue
        tree = parsed(text, dialect)
        assert isinstance(tree, exp.Select), (where, text)
        tables = {table.name for table in tree.find_all(exp.Table)} - {"JSON_TABLE", ""}
        assert tables <= {"faults_person", "one", "item", "items", "value", "json_each"}, (where, text)
        known = COLUMNS | {"faults_person", "item", "items", "one", "value", "atom", "type", "key", "n"}
        # Collations are identifiers, too.
        named = {node.this for node in tree.find_all(exp.Identifier)}
        assert {name for name in named - known if not name.startswith(("utf8mb4_", "und-x-icu"))} == set(), (
            where,
            text,
        )
        # Values are parameters.
        assert not any(node.is_string and node.this == "x" for node in tree.find_all(exp.Literal)), (where, text)


def test_keys_of_queries() -> None:
    """2,000 names and more in 21 places; what is left of them are fields and lookups, as statements of their own."""
    names = corpus(scaled(2_500), SEED)
    assert len(names) >= 2_000
    refused: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for place, (build, valid) in PLACES.items():
        for name in names:
            try:
                query = build(name)
            except REFUSALS:
                refused[place] += 1
                continue
            assert valid.match(name), (place, name)
            taken[place] += 1
            if not isinstance(query, tuple):
                check_harmless(query, f"{place} {name!r}")
    assert all(refused[place] >= 2_000 for place in PLACES), refused
    # The places are real ones: each takes what belongs there.
    for place, (build, _) in PLACES.items():
        build(belongs(place))
    print(f"{len(names)} names, {len(PLACES)} places: {refused.total()} refused, {taken.total()} taken")


def belongs(place: str) -> str:
    other = {"sql(dialect=)": "sqlite", "validate()": "off", "filter(key=[…])": "name__in"}
    wants_number = ("filter(key=1)", "F() in arithmetic", "F() as a field", "defer()")
    return "age" if place in wants_number else other.get(place, "name")


def test_what_was_looked_up_is_not_kept_for_ever() -> None:
    """Keys of requests do not fill the memory: a model does not remember as many as it was sent."""
    for number in range(5_000):
        Person.objects.filter(**{f"tags__{number}": "x"})
    assert len(scope_of(Person)._lookups) < 2_000


CONTROLS = (
    "using",
    "client",
    "timeout",
    "nulls",
    "returning",
    "instance",
    "defaults",
    "limit",
    "dialect",
    "mode",
    "flat",
)


@pytest.mark.parametrize("name", CONTROLS)
def test_filter_has_no_control_arguments(name: str) -> None:
    for value in ("default", None, True, 5, {}, []):
        request = json.loads(json.dumps({name: value}))
        for build in (Person.objects.filter, Person.objects.query().filter, Q):
            with pytest.raises(FieldError):
                Person.objects.filter(build(**request)) if build is Q else build(**request)


# ------------------------------------------------------------------------------------------------------- the statements


@pytest.fixture
async def people(where: Where) -> AsyncIterator[AsyncDatabase]:
    async with database_at(where.url, max_connections=2) as database:
        await create_tables(models=[Person])
        await Person.objects.bulk_create([Person(name=f"person-{n}", age=n, tags=["a", "b"]) for n in range(3)])
        yield database


async def writes(name: str, person: Person) -> AsyncIterator[tuple[str, Any, re.Pattern[str]]]:
    """What a user's key can reach in statements that run, and the names that belong there."""
    none = re.compile(r"(?!)")
    yield "get", lambda: Person.objects.get(**{name: "nobody"}), LOOKED_UP
    yield "get_or_none", lambda: Person.objects.filter(age=-1).get_or_none(**{name: "nobody"}), LOOKED_UP
    yield "update", lambda: Person.objects.filter(age=-1).update(**{name: 1}), NAMED
    yield "create", lambda: Person.objects.create(**{"name": "n", name: {}}), none
    yield "bulk_create", lambda: Person.objects.bulk_create([{"name": "n", name: {}}]), none
    yield (
        "conflict_fields",
        lambda: Person.objects.bulk_create([], on_conflict="ignore", conflict_fields=["id", name]),
        NAMED,
    )
    yield (
        "update_fields",
        lambda: Person.objects.bulk_create([], on_conflict="update", update_fields=["age", name]),
        NAMED,
    )
    yield "on_conflict", lambda: Person.objects.bulk_create([], on_conflict=name), none  # type: ignore[arg-type]
    yield "save", lambda: person.save(update_fields=["age", name]), NAMED
    yield "refresh", lambda: person.refresh("age", name), NAMED
    yield "all(mode=)", lambda: Person.objects.all(mode=name), none  # type: ignore[call-overload]
    yield "using", lambda: Person.objects.count(using=name), re.compile(r"default\Z")
    yield "isolation", lambda: enter(isolation=name), none
    yield "atomic(using=)", lambda: enter(using=name), re.compile(r"default\Z")


async def enter(**options: Any) -> None:
    async with atomic(**options):
        pass


async def test_keys_of_statements(people: AsyncDatabase, where: Where) -> None:
    """On the real database: refused before anything is sent, and nothing has changed."""
    names = corpus(2_500, SEED)
    if where.kind in SERVERS:
        names = names[:: max(1, round(10 / scaled(1)))]
    look = ("SELECT id, name, age FROM faults_person ORDER BY id",)
    before = outside(where, *look)
    person = await Person.objects.get(age=1)
    refused = 0
    for name in names:
        async for place, run, valid in writes(name, person):
            try:
                await run()
            except (*REFUSALS, KeyError):
                refused += 1
            except ManagerError as error:
                # The names of the control arguments of terminals, and no row with this key.
                ours = name in ("using", "client", "instance") or (
                    isinstance(error, NotFoundError) and valid.match(name)
                )
                unable = isinstance(error, NotSupportedError | DataError) and valid.match(name)
                assert ours or unable, (place, name, error)
            else:
                assert valid.match(name), (place, name)
    assert refused > 11 * len(names)
    assert outside(where, *look) == before
    assert people.stats()["in_use"] == 0


async def test_values_are_values(people: AsyncDatabase, where: Where) -> None:
    """Every hostile text goes in and comes out as it is, by every way in which a value can be given."""
    names = texts(corpus(2_500, SEED))
    made = await Person.objects.bulk_create([Person(name=name, tags=[name[:200], "b"]) for name in names])
    assert len(made) == len(names)
    for name in names[:: max(1, round(12 / scaled(1)))]:
        same = [stored for stored in names if stored == name]
        assert await Person.objects.filter(name=name).values_list("name", flat=True) == same
        assert await Person.objects.filter(name__in=[name, "nobody"]).count() == len(same)
        alike = sum(text[:200] == name[:200] for text in names)
        assert await Person.objects.filter(tags__0=name[:200]).count() == alike
        assert await Person.objects.filter(tags=[name[:200], "b"]).count() == alike
        found = await Person.objects.filter(name__contains=name).values_list("name", flat=True)
        assert sorted(found) == sorted(text for text in names + PEOPLE if name in text), name
        found = await Person.objects.filter(name__startswith=name).values_list("name", flat=True)
        assert sorted(found) == sorted(text for text in names + PEOPLE if text.startswith(name)), name
        assert await Person.objects.filter(name=name).update(name=Concat("name", Value(MARK))) == len(same)
        assert await Person.objects.filter(name=name + MARK).update(name=name) == len(same)
    stored = (
        await Person.objects.filter(id__in=[person.id for person in made]).order_by("id").values_list("name", "tags")
    )
    assert stored == [(name, [name[:200], "b"]) for name in names]


PEOPLE = [f"person-{n}" for n in range(3)]
MARK = " ☃'"


# ------------------------------------------------------------------------------------------------- tables of any name


@contextmanager
def table_called(name: str, other: str = "other") -> Iterator[type[Any]]:
    """A model whose names in the database are all this one; ValueError or TypeError if that cannot be."""

    class Called(Model):
        id: int | None = Field(default=None, db_pk=True, db_comment=name or None)
        value: str = Field(default=name, db_column=name, max_length=10_100)
        more: int = Field(default=0, db_index=True, db_index_name=name + " i")

        class Meta:
            is_table = True
            table_name = name
            comment = name
            indexes = [Index(["more", "id"], name=name + " j")]
            constraints = [
                Check(Q(value__ne=name + "!"), name=name + " c"),
                Unique(["id", "more"], name=name + " u"),
            ]

    try:
        yield Called
    finally:
        unregister_table(Called)


def structure(text: str, dialect: str, names: dict[str, str]) -> exp.Expression:
    """The tree with the hostile names as harmless ones, and without what its literals hold."""

    def plain(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Identifier):
            return exp.to_identifier(names.get(node.this, node.this), quoted=True)
        if isinstance(node, exp.ByteString) or (isinstance(node, exp.Literal) and node.is_string):
            return exp.Literal.string("text")
        return node

    return parsed(text, dialect).transform(plain)


def documents(model: type[Any]) -> list[tuple[str, str]]:
    """Dialect and statement: everything of its DDL that sqlglot reads, and two queries."""
    found = []
    document = json.dumps(describe([model]))
    for dialect in DIALECTS:
        for statement in create_ddl(document, dialect):
            # Table options, which sqlglot does not know all.
            found.append((dialect, statement.partition(" ENGINE=")[0]))
        for query in (
            model.objects.filter(value="x", more=1).order_by("-value"),
            model.objects.exclude(value__contains="x").values("value").distinct(),
        ):
            found.append((dialect, query.sql(dialect=dialect)[0]))
    return found


def test_names_in_the_database() -> None:
    """Tables, columns, indexes, constraints, comments and defaults of any name: the statements are as for another."""
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    with table_called("benign") as model:
        benign = documents(model)
        suffixes = [name.removeprefix("benign") for name in schema_names(model)]
    every = max(1, round(25 / scaled(1)))
    names = [name for name in dict.fromkeys(corpus(2_500, SEED)[::every]) if name not in ("id", "more", "pk")]
    checked = refused = 0
    for name in names:
        try:
            with table_called(name) as model:
                found = documents(model)
                mapped = dict(zip(schema_names(model), (f"benign{suffix}" for suffix in suffixes), strict=True))
        except (*REFUSALS, NotSupportedError, UnicodeEncodeError):
            assert not plain(name), name
            refused += 1
            continue
        assert len(found) == len(benign), name
        for (dialect, text), (_, harmless) in zip(found, benign, strict=True):
            assert structure(text, dialect, mapped) == structure(harmless, dialect, {}), (name, text)
        checked += 1
    print(f"{checked} names are the same statements as a harmless one, {refused} are refused")
    assert checked > 50


def plain(name: str) -> bool:
    """Whether every database has to take it."""
    return bool(re.fullmatch(r"[A-Za-z_'\"`;(),.#?$@%/* -]{1,40}", name)) and not name.endswith(" ")


def schema_names(model: type[Any]) -> list[str]:
    """What the table, its column, its indexes and its constraints are called, cut to the limits."""
    (table,) = describe([model])["tables"]
    parts = [table["indexes"], table["checks"], table["uniques"]]
    return [table["name"], table["fields"][1]["name"], *(item["name"] for part in parts for item in part)]


async def test_tables_of_any_name(where: Where) -> None:
    """On the real database: made, written, read and dropped, and nothing else is touched."""
    async with database_at(where.url) as database:
        await create_tables(models=[Person])
        await Person.objects.create(name="witness")
        checked = 0
        for name in texts(corpus(2_500, SEED)[:: max(1, round(80 / scaled(1)))]):
            if where.kind == "mysql" and len(name) > 40:
                continue  # a file is called like the table, with five letters for each that is none
            try:
                with table_called(name) as model:
                    await create_tables(models=[model])
            except (*REFUSALS, NotSupportedError):
                assert not plain(name), name
                continue
            checked += 1
            tables = {row[0] for row in outside(where, TABLES[where.kind])[0]}
            assert tables == {"faults_person", model.__oxyde__.table}
            row = await model.objects.create(more=1)
            assert await model.objects.filter(value=name, more=1).order_by("-value").values_list("value") == [(name,)]
            assert await model.objects.filter(id=row.id).update(value=name + "'") == 1
            assert (await model.objects.get(value=name + "'")).more == 1
            assert await model.objects.filter(value__contains="'").delete() == 1
            await drop_tables(models=[model])
            assert outside(where, TABLES[where.kind]) == [[["faults_person"]]]
        assert await Person.objects.values_list("name", flat=True) == ["witness"]
        assert checked > 15
        assert database.stats()["in_use"] == 0


async def test_enums_of_any_name(where: Where) -> None:
    """Types, their members and defaults: on PostgreSQL a type of its own, elsewhere a list or a CHECK."""
    async with database_at(where.url):
        await create_tables(models=[Person])
        checked = 0
        for name in texts(name for name in corpus(2_500, SEED)[:: max(1, round(40 / scaled(1)))] if len(name) < 28):
            members = enum.Enum(name or "empty", {"one": name, "two": name + "'", "three": "\\" + name})  # type: ignore[misc]

            class Kinds(Model):
                id: int | None = Field(default=None, db_pk=True)
                kind: members = members.three  # type: ignore[valid-type]

                class Meta:
                    is_table = True
                    table_name = "faults_kinds"

            try:
                await create_tables(models=[Kinds])
            except NotSupportedError:
                assert not plain(name), name
                continue
            finally:
                unregister_table(Kinds)
            await Kinds.objects.bulk_create([Kinds(), *(Kinds(kind=member) for member in members)])
            for member, count in zip(members, (1, 1, 2), strict=True):
                assert await Kinds.objects.filter(kind=member).values_list("kind", flat=True) == [member] * count
            await drop_tables(models=[Kinds])
            checked += 1
        assert checked > 20
        assert outside(where, TABLES[where.kind]) == [[["faults_person"]]]


async def test_databases_of_any_name() -> None:
    """An alias is a key of a dict, and stays one."""
    for name in filter(None, texts(corpus(2_500, SEED)[:: max(1, round(40 / scaled(1)))])):
        async with AsyncDatabase("sqlite://:memory:", name=name) as database:
            await create_tables(name, models=[Person])
            async with atomic(using=name) as outer, outer.savepoint() as inner:
                assert re.fullmatch(r"[a-z_0-9]+", inner.savepoint_name or "")
                await Person.objects.create(name=name, using=name)
            assert await Person.objects.using(name).count() == 1
            assert database.name == name
        unregister_connection(name)


TABLES = {
    "file": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    "postgres": "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    "mysql": "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
}
