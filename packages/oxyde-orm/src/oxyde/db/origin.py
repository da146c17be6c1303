"""Where in the user's code something was asked for, or opened, for logs and for what was never closed."""

from __future__ import annotations

import os
import sys
import warnings
from types import CodeType, FrameType

__all__ = ["Origin", "called_from", "caller", "line_of", "origin", "warn_unclosed"]

Origin = tuple[CodeType, int]
"""A code object and the instruction in it: made in no time, and read by `line_of` only if somebody wants to know."""


def caller(depth: int = 1) -> FrameType | None:
    """Return the frame that called into Oxyde; None where that is the event loop, because a task runs nothing else.

    The first ``depth`` frames are known to be ours: looking at a frame is what takes time here.
    """
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__", "").startswith("asyncio."):
        return None
    return frame


# As code objects name the files of this package: compared with those of the frames.
_OURS = caller.__code__.co_filename.removesuffix(os.path.join("db", "origin.py"))


def origin() -> Origin | None:
    """Return the place that called into Oxyde."""
    frame = caller()
    return None if frame is None else (frame.f_code, frame.f_lasti)


def called_from() -> tuple[str, int] | None:
    """Return the file and the line that called into Oxyde, for the engine."""
    frame = caller(2)
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def line_of(origin: Origin) -> str:
    """Return ``file:line``."""
    return f"{origin[0].co_filename}:{_line(origin)}"


def _line(origin: Origin) -> int:
    code, instruction = origin
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return next(lines, None) or code.co_firstlineno


def warn_unclosed(what: str, opened: Origin | None, source: object) -> None:
    """Warn (``ResourceWarning``) that ``source`` was thrown away without being closed."""
    if opened is None:
        warnings.warn_explicit(f"{what} was never closed", ResourceWarning, "sys", 1, source=source)
        return
    code, line = opened[0], _line(opened)
    message = f"{what} was never closed; it was opened at {line_of(opened)}, in {code.co_qualname}"
    warnings.warn_explicit(message, ResourceWarning, code.co_filename, line, source=source)
