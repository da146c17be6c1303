"""oxyde-sql writes SQL with functions that SQLite does not have; oxyde-exec registers them. The two must agree."""

import re
from pathlib import Path

from oxyde import db, execute_raw

ROOT = Path(__file__).resolve().parents[2]


async def test_every_function_that_sql_may_use_is_registered() -> None:
    source = (ROOT / "crates/oxyde-sql/src/dialect/sqlite.rs").read_text("utf-8")
    listed = re.search(r"pub const FUNCTIONS: [^=]+= &\[(.*?)\];", source, re.DOTALL)
    assert listed, "dialect/sqlite.rs no longer lists its functions"
    wanted = {(name, int(count)) for name, count in re.findall(r'\("(\w+)", (-?\d+)\)', listed[1])}
    async with db.connect("sqlite://:memory:"):
        rows = await execute_raw("SELECT name, narg FROM pragma_function_list WHERE name LIKE 'oxyde%'")
    registered = {(row["name"], row["narg"]) for row in rows}
    missing = {(name, count) for name, count in wanted if not {(name, count), (name, -1)} & registered}
    assert wanted and not missing
