"""The example that the README starts, on every database: its own check is that a failed sale leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from oxyde import AsyncDatabase, execute_raw

from .lanes import Lane

PROGRAM = Path(__file__).parents[2] / "examples" / "quickstart" / "main.py"


async def test_quickstart(lane: Lane, database: AsyncDatabase, tmp_path: Path) -> None:
    url = lane.url(tmp_path, "default")
    ran = subprocess.run([sys.executable, PROGRAM, "--url", url], capture_output=True, text=True, encoding="utf-8")
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
    assert f"Oxyde on {database.backend}" in ran.stdout
    assert "rolled back, nothing of it is left: yes" in ran.stdout
    assert ran.stdout.split("Order     ")[-1].strip() == "20,000"
    # The tables are gone again.
    catalogue = "sqlite_master" if lane.family == "sqlite" else "information_schema.tables"
    column = "name" if lane.family == "sqlite" else "table_name"
    assert await execute_raw(f"SELECT {column} FROM {catalogue} WHERE {column} LIKE 'quickstart%'") == []
