"""Measures Oxyde beside what one would write by hand, side by side in one run.

    nox -s bench                          every row on SQLite, asyncio, pinned to one processor and free
    nox -s bench -- --url postgres://…    on PostgreSQL (`--database postgres`: the server of OXYDE_TEST_POSTGRES_URL)
    nox -s bench -- --url mysql://…       on MySQL or MariaDB (`--database mysql`: that of OXYDE_TEST_MYSQL_URL)
    nox -s bench -- --quick               shorter rounds, in a few minutes
    nox -s bench -- --row pk --row rows   some rows
    nox -s bench -- --loop uvloop         on uvloop
    nox -s bench -- profile pk            where Oxyde's time goes, phase by phase
    nox -s bench -- promises --url …      what becomes of data and waits under faults, here and elsewhere

Method. Each contender of a row is a process of its own with its own copy of the same table (a file; a database of the
server) and the same settings. Before any clock runs, all contenders do the row's operation once: results and what is
then stored must be equal, else the run stops. Then come at least seven rounds; in each the contenders take turns in
shuffled order, one at a time. A round's figure is the median of its batches, the row's figure the median of the
rounds. Everything is done twice: with each process pinned to one processor, and free. A ratio is the geometric mean
of both.

Written to `benches/results/`: the figures as JSON, a Markdown table, and a chart.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import chart
import report
from contenders import OF, TITLES, make
from databases import SERVERS, Database, database, family
from rows import ROWS, Row

HERE = Path(__file__).resolve().parent


class Process:
    """A running worker."""

    def __init__(self, contender: str, place: str, cell: tuple[str, str], pin: int | None, loop: str, settings: dict):
        self.contender, self.place = contender, place
        row, shape = cell
        command = [sys.executable, str(HERE / "worker.py"), contender, place, "--row", row, "--shape", shape]
        command += ["--settings", json.dumps(settings), "--loop", loop]
        command += [] if pin is None else ["--pin", str(pin)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.listen()

    def ask(self, do: str, **rest: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **rest}) + "\n")
        self.process.stdin.flush()
        return self.listen()

    def listen(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.contender} ended in the middle of a row (its message is above)")
        return json.loads(line)

    def end(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # one that has failed says so below
            self.process.stdin.write('{"do": "end"}\n')
            self.process.stdin.close()
        if self.process.wait(30):
            raise SystemExit(f"{self.contender} ended with exit code {self.process.returncode}")


class Bench:
    def __init__(self, options: argparse.Namespace, database: Database) -> None:
        self.options, self.database = options, database
        self.names = tuple(name for name in OF[database.name] if name in (options.contender or OF[database.name]))
        self.seconds = 0.05 if options.quick else 0.3
        self.settings: dict[str, Any] = {}
        self.versions: dict[str, dict[str, str]] = {}

    def prepare(self) -> None:
        """Make what all copies come from, and learn the settings of the first contender's connections."""
        self.database.prepare()
        place = self.database.copy(None)
        process = Process(self.names[0], place, ("pk", "model"), None, "asyncio", {})
        self.settings = process.ask("settings", sql=self.database.settings)
        process.end()
        self.database.drop(place)

    def cell(self, row: Row, shape: str) -> dict[str, Any]:
        """Measure one row in one shape, pinned and free."""
        able = [name for name in self.names if row.name not in make(name).cannot]
        result: dict[str, Any] = {"row": row.name, "shape": shape, "per_operation": row.per_operation, "modes": {}}
        result["cannot"] = {name: make(name).cannot[row.name] for name in self.names if name not in able}
        for mode in ("pinned", "free") if hasattr(os, "sched_setaffinity") else ("free",):
            pin = max(os.sched_getaffinity(0)) if mode == "pinned" else None
            processes: list[Process] = []
            try:
                for name in able:
                    settings = self.database.options(name, row.durable, self.settings)
                    where = (row.name, shape), pin, self.options.loop
                    processes.append(Process(name, self.database.copy(row.durable), *where, settings))
                self.compare(processes, f"{row.name} → {shape}")
                result["modes"][mode] = self.measure(
                    processes, 2 if row.long and self.options.quick else self.options.rounds
                )
            finally:
                for process in processes:
                    process.end()
                    self.database.drop(process.place)
        return result

    def compare(self, processes: list[Process], what: str) -> None:
        """Stop unless everybody runs with the same settings, gives the same result and leaves the same rows."""
        for process in processes:
            self.versions.setdefault(process.contender, process.ask("about"))
        seen = {
            "settings": {p.contender: str(p.ask("settings", sql=self.database.settings)) for p in processes},
            "result": {p.contender: p.ask("answer")["result"] for p in processes},
            "stored rows": {p.contender: repr(self.database.contents(p.place)) for p in processes},
        }
        for kind, values in seen.items():
            first, reference = next(iter(values.items()))
            for contender, value in values.items():
                if value != reference:
                    at = next(i for i, (a, b) in enumerate(zip(value + "\0", reference + "\1", strict=False)) if a != b)
                    excerpts = f"{value[max(0, at - 60) : at + 60]!r} and {reference[max(0, at - 60) : at + 60]!r}"
                    raise SystemExit(f"{what}: {kind} of {contender} and {first} differ: {excerpts}")

    def measure(self, processes: list[Process], turns: int) -> dict[str, Any]:
        loops = {p.contender: p.ask("calibrate", seconds=self.seconds)["loops"] for p in processes}
        rounds: dict[str, list[dict[str, Any]]] = {p.contender: [] for p in processes}
        for _ in range(turns):
            for process in random.sample(processes, len(processes)):
                answer = process.ask("round", loops=loops[process.contender], seconds=self.seconds)
                rounds[process.contender].append(answer)
        figures = {}
        for process in processes:
            taken = rounds[process.contender]
            figures[process.contender] = {
                "us": statistics.median(r["seconds"] for r in taken) * 1e6,
                "us_rounds": [round(r["seconds"] * 1e6, 3) for r in taken],
                "cpu_us": statistics.median(r["cpu"] for r in taken) * 1e6,
                "switches": statistics.median(r["switches"] for r in taken),
                "peak_mib": process.ask("memory")["peak_kib"] / 1024,
                "operations": sum(r["operations"] for r in taken),
            }
        return figures


def ratios(cell: dict[str, Any]) -> dict[str, float]:
    """How many times longer each contender takes than the first (Oxyde): the geometric mean over the modes."""
    found = {}
    first, *_ = names = list(next(iter(cell["modes"].values())))
    for name in names:
        logs = [math.log(mode[name]["us"] / mode[first]["us"]) for mode in cell["modes"].values()]
        found[name] = math.exp(statistics.fmean(logs))
    return found


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        lines = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = lines[0] if lines else model
    return {"processor": model, "processors": os.cpu_count(), "system": platform.platform(), "python": sys.version}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("what", nargs="*", help="nothing, `profile ROW`, or `promises`")
    parser.add_argument("--database", choices=list(OF), help="sqlite, or what --url names")
    parser.add_argument(
        "--url", help="a server in which databases can be made (or OXYDE_TEST_POSTGRES_URL, …_MYSQL_URL)"
    )
    parser.add_argument("--quick", action="store_true", help="short rounds")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this row (may be repeated)")
    parser.add_argument("--shape", help="only this shape")
    parser.add_argument("--contender", action="append", choices=list(TITLES), help="only this one (may be repeated)")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if options.rounds < 7:
        parser.error("seven rounds are the least that the median is worth something for")
    options.database = options.database or family(options.url or "")
    if options.database in SERVERS:
        variable = f"OXYDE_TEST_{options.database.upper()}_URL"
        options.url = options.url or os.environ.get(variable)
        if not options.url or family(options.url) != options.database:
            parser.error(f"name a server with --url {options.database}://… or {variable}")
    elif options.database not in OF:
        parser.error(f"--url names a server of {' or '.join(SERVERS)}")
    if options.what == ["promises"]:
        import promises

        if options.database not in SERVERS:
            parser.error("the faults are those of servers and networks: name one with --url")
        promises.main(options.url, options.database, options.out)
        return
    with tempfile.TemporaryDirectory(prefix="oxyde-bench-") as folder:
        place = database(options, Path(folder))
        try:
            if not options.what:
                run(options, place)
            elif options.what[0] != "profile" or len(options.what) != 2 or options.what[1] not in ROWS:
                parser.error(f"expected `promises`, or `profile ROW` with one of {', '.join(ROWS)}")
            else:
                import phases

                phases.main(ROWS[options.what[1]], place, options.loop)
        finally:
            place.close()


def run(options: argparse.Namespace, place: Database) -> None:
    began = time.monotonic()
    bench = Bench(options, place)
    bench.prepare()
    cells = []
    for row in (ROWS[name] for name in options.row or ROWS):
        for shape in row.shapes:
            if options.shape in (None, shape):
                cell = bench.cell(row, shape)
                cell["ratios"] = ratios(cell)
                cells.append(cell)
                print(report.line(cell), flush=True)
    document = {
        "database": place.name,
        "title": place.title,
        "machine": machine(),
        "contenders": bench.names,
        "versions": {TITLES[name]: found for name, found in bench.versions.items()},
        "settings": bench.settings,
        "loop": options.loop,
        "rounds": options.rounds,
        "seconds": round(time.monotonic() - began),
        "cells": cells,
        "targets": report.targets(cells, place.name, options.loop),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = place.name + ("" if options.loop == "asyncio" else f"-{options.loop}")
    (options.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    (options.out / f"{name}.md").write_text(report.markdown(document), "utf-8")
    (options.out / f"{name}.svg").write_text(chart.draw(document), "utf-8")
    print(report.targets_table(document["targets"]))
    print(f"{document['seconds']} s; written to {options.out}/{name}.json, .md and .svg")


if __name__ == "__main__":
    main()
