"""The figures as a picture: one group of bars per row, as long as the time relative to the slowest of the group.

Made by hand as SVG, without a background, in colours that can be read on a light and on a dark page.
"""

import statistics
from html import escape
from typing import Any

from contenders import TITLES
from report import microseconds
from rows import HEADLINE, ROWS

COLOURS = {
    "oxyde": "#e4572e",
    "aiosqlite-cursor": "#9aa5b1",
    "aiosqlite-fetchall": "#7b8794",
    "sqlite3": "#4c8bb5",
    "asyncpg-pool": "#9aa5b1",
    "asyncpg-tuned": "#7b8794",
    "asyncpg-queue": "#5f6b7a",
    "psycopg": "#4c8bb5",
    "asyncmy": "#9aa5b1",
    "aiomysql": "#4c8bb5",
}
WIDTH, LABEL, BAR, GAP, FONT = 860, 190, 15, 22, "font-family='system-ui, sans-serif' font-size='12' fill='#8a8f98'"
ROOM = 430  # the longest bar


def draw(document: dict[str, Any]) -> str:
    parts: list[str] = []
    y = 34
    for cell in document["cells"]:
        if cell["shape"] != HEADLINE[cell["row"]]:
            continue
        times = {
            name: statistics.geometric_mean([mode[name]["us"] for mode in cell["modes"].values()])
            for name in cell["ratios"]
        }
        longest = max(times.values())
        parts.append(f"<text x='0' y='{y}' {FONT} font-weight='600'>{escape(title(cell))}</text>")
        y += 7
        for name, value in times.items():
            width = max(2.0, ROOM * value / longest)
            note = microseconds(value) + " µs" + ("" if name == "oxyde" else f"   {cell['ratios'][name]:.1f}×")
            middle = y + BAR - 4
            parts += [
                f"<text x='{LABEL - 8}' y='{middle}' {FONT} text-anchor='end'>{escape(TITLES[name])}</text>",
                f"<rect x='{LABEL}' y='{y}' width='{width:.1f}' height='{BAR - 3}' rx='2' fill='{COLOURS[name]}'/>",
                f"<text x='{LABEL + width + 8:.1f}' y='{middle}' {FONT}>{escape(note)}</text>",
            ]
            y += BAR
        y += GAP
    legend = "Time per operation, shorter is better; behind a bar: how many times longer than Oxyde."
    head = f"<text x='0' y='12' {FONT}>{legend}</text>"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' role='img' "
        f"aria-label='Time per operation of Oxyde and of drivers used by hand'>{head}{''.join(parts)}</svg>\n"
    )


def title(cell: dict[str, Any]) -> str:
    shape = {"model": " → models", "value": ""}.get(cell["shape"], f" → {cell['shape']}")
    return ROWS[cell["row"]].title + shape
