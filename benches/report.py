"""The figures as text: a line while measuring, Markdown tables, and the targets with reached or missed."""

from collections.abc import Callable
from typing import Any

from contenders import TITLES
from rows import HEADLINE, ROWS

Cell = dict[str, Any]


def microseconds(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def times(cell: Cell, name: str) -> str:
    return " / ".join(microseconds(mode[name]["us"]) for mode in cell["modes"].values())


def line(cell: Cell) -> str:
    """One measured cell, for the person who waits."""
    parts = [
        f"{TITLES[name]} {times(cell, name)} µs" + ("" if ratio == 1 else f" ({ratio:.2f}×)")
        for name, ratio in cell["ratios"].items()
    ]
    return f"{cell['row']} → {cell['shape']}: " + "; ".join(parts)


def targets(cells: list[Cell], database: str, loop: str) -> list[dict[str, Any]]:
    """What was asked for beside what was measured, for the headline shape of each row."""
    return [
        target(cell, name, wanted)
        for cell in cells
        if cell["shape"] == HEADLINE[cell["row"]] and "oxyde" in cell["ratios"]
        for against, wanted in ROWS[cell["row"]].targets(database, loop).items()
        for name in cell["ratios"]
        if name.startswith(against)
    ]


def target(cell: Cell, against: str, wanted: float) -> dict[str, Any]:
    measured = cell["ratios"][against]
    asked = {"row": cell["row"], "shape": cell["shape"], "against": against, "target": wanted}
    apart = {mode: round(figures[against]["us"] / figures["oxyde"]["us"], 3) for mode, figures in cell["modes"].items()}
    return asked | {"measured": round(measured, 3), **apart, "reached": measured >= wanted}


def targets_table(found: list[dict[str, Any]]) -> str:
    lines = ["| row | against | target | pinned / free | geometric mean | |", "|---|---|---:|---:|---:|---|"]
    for entry in found:
        row, against = f"{ROWS[entry['row']].title} ({entry['shape']})", TITLES[entry["against"]]
        said = "reached" if entry["reached"] else "missed"
        apart = " / ".join(f"{entry[mode]:.2f}×" for mode in ("pinned", "free") if mode in entry)
        lines.append(f"| {row} | {against} | ≥ {entry['target']:g}× | {apart} | {entry['measured']:.2f}× | {said} |")
    return "\n".join(lines)


def figures_table(document: dict[str, Any], show: Callable[[Cell, str], str]) -> list[str]:
    """One line per row and shape, one column per contender; what a contender cannot do is said in its place."""
    names = document["contenders"]
    lines = [f"| row | result | {' | '.join(TITLES[name] for name in names)} |", "|---|---|" + "---:|" * len(names)]
    for cell in document["cells"]:
        columns = [f"– ({cell['cannot'][name]})" if name in cell["cannot"] else show(cell, name) for name in names]
        lines.append(f"| {ROWS[cell['row']].title} | {cell['shape']} | " + " | ".join(columns) + " |")
    return lines


def time_and_ratio(cell: Cell, name: str) -> str:
    return times(cell, name) if name == "oxyde" else f"{times(cell, name)} (**{cell['ratios'][name]:.2f}×**)"


def cost(cell: Cell, name: str) -> str:
    free = cell["modes"]["free"][name]
    return f"{microseconds(free['cpu_us'])} µs, {free['switches']:.2f}, {free['peak_mib']:.0f} MiB"


def markdown(document: dict[str, Any]) -> str:
    machine = document["machine"]
    where = f"{machine['processors']} × {machine['processor']}, Python {machine['python'].split()[0]}"
    how = f"{document['loop']}, {document['rounds']} shuffled rounds, {document['seconds']} s"
    versions = (
        f"{title}: " + ", ".join(f"{name} {number}" for name, number in found.items())
        for title, found in document["versions"].items()
    )
    settings = ", ".join(f"{name} {value}" for name, value in document["settings"].items())
    return "\n".join(
        [
            f"# {document['title']}, side by side",
            "",
            f"{where}; {how}. {'; '.join(versions)}. The same settings for all: {settings}.",
            "",
            "## Targets",
            "",
            targets_table(document["targets"]),
            "",
            "## Figures",
            "",
            "Microseconds per operation (pinned to one processor / free), and how many times longer than Oxyde.",
            "",
            *figures_table(document, time_and_ratio),
            "",
            "## What it costs",
            "",
            "Per operation, free: processor time of all threads, voluntary context switches, its peak memory.",
            "",
            *figures_table(document, cost),
            "",
        ]
    )
