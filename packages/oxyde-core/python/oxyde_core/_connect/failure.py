"""Why a host did not work, in words."""

from __future__ import annotations

import errno
import os
import socket
import ssl

__all__ = ["Failure", "words"]


class Failure(Exception):  # noqa: N818 - it never leaves this package
    """Why one host did not work."""

    def __init__(
        self, words: str, *, hint: str | None = None, state: str | None = None, refused: bool = False, tls: bool = False
    ) -> None:
        super().__init__(words)
        self.words = words
        self.hint = hint
        # The server's SQLSTATE, if it was the server that refused.
        self.state = state
        self.refused = refused
        # TLS was not possible; the server itself may be fine.
        self.tls = tls


def words(error: BaseException) -> str:
    """What the system says of an error, without the addresses and numbers that Python puts around it."""
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ssl.SSLError):
        said = os.strerror(error.errno)
        if error.errno == errno.ENOENT and hasattr(socket, "AF_UNIX"):
            said += "; is the server running, and is this its socket?"
        return said
    return str(error) or type(error).__name__
