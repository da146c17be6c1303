"""Where in a program something was opened, for the warning about what was never closed.

Only a code object and a place in it are kept; the line is looked up when somebody has to read it.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import CodeType
from typing import TypeAlias

__all__ = ["Origin", "origin", "warn_unclosed"]

Origin: TypeAlias = "tuple[CodeType, int] | None"

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def origin() -> Origin:
    """Return the code outside of this package from which the caller was called, and the instruction."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE):
        back = frame.f_back
        if back is None:
            return None
        frame = back
    return frame.f_code, frame.f_lasti


def warn_unclosed(what: str, opened: Origin, source: object) -> None:
    """Warn (``ResourceWarning``) that ``source`` was thrown away without being closed."""
    if opened is None:
        warnings.warn_explicit(f"{what} was never closed", ResourceWarning, "sys", 1, source=source)
        return
    code, instruction = opened
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    line = next(lines, None) or code.co_firstlineno
    message = f"{what} was never closed; it was opened at {code.co_filename}:{line}, in {code.co_qualname}"
    warnings.warn_explicit(message, ResourceWarning, code.co_filename, line, source=source)
