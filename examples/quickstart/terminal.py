"""How the program speaks: headings, a progress line on a terminal, aligned tables. Nothing here knows the database."""

import sys
import time
from collections.abc import Iterable, Sequence

COLOUR = sys.stdout.isatty()


def bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if COLOUR else text


def dim(text: str) -> str:
    return f"\x1b[2m{text}\x1b[0m" if COLOUR else text


def heading(text: str) -> None:
    print(f"\n{bold(text)}")


def say(text: str = "") -> None:
    print(f"  {text}")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their content; numbers to the right."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    right = [all(map(is_number, column)) for column in zip(*cells, strict=True)]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        return "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True))

    say(dim(line(header)))
    for row in cells:
        say(line(row))


def is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").lstrip("-").isdigit()


class Progress:
    """A line that fills while rows go in; where nobody watches (a log, a pipe) only its end is printed."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self.began = time.perf_counter()

    def advance(self, rows: int) -> None:
        self.done += rows
        if COLOUR:
            filled = 24 * self.done // self.total
            print(f"\r  {self.what:<10} {'█' * filled}{'░' * (24 - filled)} {self.done:>7,}", end="", flush=True)

    def finish(self) -> None:
        seconds = time.perf_counter() - self.began
        rate = f"{self.done / seconds:,.0f} rows/s"
        start = "\r" if COLOUR else ""  # over the bar
        print(f"{start}  {self.what:<10} {self.done:>7,} rows in {seconds * 1000:6.1f} ms  {dim(rate):<24}", flush=True)
