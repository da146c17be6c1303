"""Where in the user's code something was asked for."""

from __future__ import annotations

import sys
from types import CodeType, FrameType

__all__ = ["Origin", "caller", "line_of", "origin"]

Origin = tuple[CodeType, int]
"""A code object and the instruction in it: made in no time, and read by `line_of` only if somebody wants to know."""

_OURS = __name__.partition(".")[0]


def caller() -> FrameType | None:
    """Return the frame that called into Oxyde; None where that is the event loop, because a task runs nothing else."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package != _OURS:
            return None if package == "asyncio" else frame
        frame = frame.f_back
    return None


def origin() -> Origin | None:
    """Return the place that called into Oxyde."""
    frame = caller()
    return None if frame is None else (frame.f_code, frame.f_lasti)


def line_of(origin: Origin) -> str:
    """Return ``file:line``."""
    code, instruction = origin
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    return f"{code.co_filename}:{line}"
