"""What a test does when a program that it needs is not on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class Unavailable(RuntimeError):
    """A server cannot be had on this machine. The message names it and says how to get it."""


@contextmanager
def named_in_the_summary() -> Iterator[None]:
    """Skip with the name of what is missing, which pytest's summary shows; with CI=true that is a failure."""
    import pytest

    try:
        yield
    except Unavailable as error:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise
        pytest.skip(str(error))
