"""Passwords."""

from __future__ import annotations

import inspect
from typing import Any

from .failure import Failure

__all__ = ["Secret"]


class Secret:
    """A password that no repr and no traceback with local variables shows."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "<secret>"

    async def read(self) -> str | bytes | None:
        """Return the password now: a function is asked for every connection anew, because tokens expire."""
        value = self._value
        if callable(value):
            try:
                value = value()
                if inspect.isawaitable(value):
                    value = await value
            except Exception as error:
                # Its words may hold whatever the password was made of.
                raise Failure(f"the function that gives the password raised {type(error).__name__}") from None
        if value is not None and not isinstance(value, str | bytes):
            raise Failure(f"the function that gives the password returned {type(value).__name__}, not str")
        return value
