"""What becomes of the connections of an event loop that ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

from .core import Hub

__all__ = ["GOODBYE", "discard", "watch"]

# How long a loop that ends waits for connections to say goodbye; seconds.
GOODBYE = 1.0


def watch(hub: Hub) -> AsyncGenerator[None]:
    """Return a running generator; the loop closes it before it ends, and with it the connections of the loop.

    ``asyncio.run()`` and all the like shut asynchronous generators down while the loop still runs. The caller keeps
    the generator: the loop knows it weakly.
    """
    generator = _until_the_end(hub)
    with contextlib.suppress(StopIteration):
        generator.__anext__().send(None)
    return generator


def discard(transport: Any) -> None:
    """Close a transport of a loop that is closed.

    What asyncio would do in the next turn of the loop is done here, or the transport would be called unclosed when it
    is collected. (uvloop closes all its transports together with the loop.)
    """
    if type(transport).__module__.partition(".")[0] != "asyncio":
        return
    # Under TLS there is one below.
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport
    loop = getattr(below, "_loop", None)
    if loop is None or not loop.is_closed():
        return
    with contextlib.suppress(RuntimeError):
        transport.abort()
    lost = getattr(below, "_call_connection_lost", None)
    if lost is not None:
        with contextlib.suppress(RuntimeError):
            lost(None)


async def _until_the_end(hub: Hub) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await _leave(hub)


async def _leave(hub: Hub) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + GOODBYE

    async def wait_while(busy: Callable[[], int]) -> None:
        pause = 0.0
        while busy() and loop.time() < end:
            await asyncio.sleep(pause)
            pause = min(pause + 0.001, 0.02)

    # All tasks of the program have ended: what the server still does for them is of no use.
    hub.stop()
    await wait_while(lambda: hub.busy)
    # Requests to cancel what loops left behind that ended before.
    await wait_while(lambda: len(hub.tasks))
    for task in hub.tasks.copy():
        task.cancel()
    end = loop.time() + GOODBYE
    hub.leave()
    await wait_while(lambda: hub.connections)
    if hub.connections:
        hub.abort_connections()
        # The transports close their sockets in the next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
