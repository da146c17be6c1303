"""The rows of the benchmark and what is asked of Oxyde in each.

A target is "times faster than": than aiosqlite in one of its two forms, or than `sqlite3`, the synchronous
driver called inline. `aiosqlite` means each of its forms.

Writing is measured twice. The targets are about what the library costs, so those rows do without the disk
(`synchronous = OFF`, for everybody); the rows called "synced" repeat them as databases are configured by default, where
every contender waits for the same disk.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    shapes: tuple[str, ...] = ("model",)
    per_operation: int = 1  # rows or queries in one operation, to show the cost of each
    targets: dict[str, float] = field(default_factory=dict)
    synchronous: str | None = None  # of the rows that write; None: Oxyde's default

    @property
    def operation(self) -> str:
        """The name of the row without its variant and its number: what a contender has a method for."""
        return self.name.removesuffix("-synced").rstrip("0123456789")


ANY = "aiosqlite"

ROWS = {
    row.name: row
    for row in (
        Row(
            "pk", "one row by primary key", ("tuple", "dict", "model"),
            targets={"aiosqlite-cursor": 8, "aiosqlite-fetchall": 4, "sqlite3": 1},
        ),
        Row("rows", "949 of 1,000 rows × 10 columns", ("tuple", "dict", "model"), 949, {ANY: 4.5}),
        Row("concurrent", "100 concurrent reads by primary key", ("model",), 100, {ANY: 1.6}),
        Row("count", "count(*)", ("value",), targets={ANY: 1.1}),
        Row("insert", "insert one", ("model",), targets={ANY: 2.5}, synchronous="OFF"),
        Row("update", "update one by primary key", ("value",), targets={ANY: 2.5}, synchronous="OFF"),
        Row("bulk100", "insert 100 at once", ("model", "dict"), 100, {ANY: 4}, synchronous="OFF"),
        Row("bulk10000", "insert 10,000 at once", ("model", "dict"), 10_000, {ANY: 4}, synchronous="OFF"),
        Row("insert-synced", "insert one, synced", ("model",), synchronous="NORMAL"),
        Row("update-synced", "update one by primary key, synced", ("value",), synchronous="NORMAL"),
        Row("bulk100-synced", "insert 100 at once, synced", ("model",), 100, synchronous="NORMAL"),
        Row("bulk10000-synced", "insert 10,000 at once, synced", ("model",), 10_000, synchronous="NORMAL"),
    )
}  # fmt: skip

# The shape whose figures the targets are about.
HEADLINE = {name: "model" if "model" in row.shapes else row.shapes[0] for name, row in ROWS.items()}
