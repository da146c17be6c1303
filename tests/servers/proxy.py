"""A TCP proxy for one server that misbehaves on command. It runs in a process of its own (``proxy_process``).

::

    with Proxy(server.url()) as proxy:
        database = AsyncDatabase(proxy.url)
        proxy.drop_reply(b"COMMIT")

Every command has taken effect when its method returns. Directions are seen from the client: ``up`` is what it sends,
``down`` what it receives. A rule holds for the connections that are open and for those to come, until ``reset``.
"""

from __future__ import annotations

import time
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from .child import Child
from .wire import Address

Direction = Literal["up", "down"]


class Proxy(Child):
    """In front of the server at ``target`` (its TCP address or its unix socket)."""

    def __init__(self, target: str) -> None:
        address = Address.of(target)
        where = {"socket": address.unix} if address.unix else {"host": address.host, "port": address.port}
        super().__init__("proxy_process", {"do": "listen", **where})
        self.port: int = self.ready["port"]
        self._target = target

    @property
    def url(self) -> str:
        """The target's URL with the proxy in place of its host."""
        return self.of(self._target)

    def of(self, target: str) -> str:
        """Another URL of the same server (another database, another user) through the proxy."""
        parts = urlsplit(target)
        user = parts.netloc.rpartition("@")[0]
        options = "&".join(
            part for part in parts.query.split("&") if part and not part.startswith(("host=", "socket="))
        )
        return urlunsplit(
            parts._replace(netloc=f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}", query=options)
        )

    # ------------------------------------------------------------------------------------------- once, on what is open

    def cut(self) -> None:
        """Reset every connection: the client's next read or write fails."""
        self.tell({"do": "cut"})

    def fin(self) -> None:
        """Close every connection in an orderly way: the client reads the end of the stream."""
        self.tell({"do": "fin"})

    # --------------------------------------------------------------------------------------------------- until reset()

    def reset(self) -> None:
        """Forward everything again. What a rule has held back is forwarded, what it threw away is lost."""
        self.tell({"do": "reset"})

    def blackhole(self) -> None:
        """Accept connections, read nothing and forward nothing: what the client sends piles up in the sockets."""
        self._rule(blackhole=True)

    def deaf(self) -> None:
        """Read what the client sends and throw it away; what the server sends still gets through."""
        self._rule(deaf=True)

    def refuse(self) -> None:
        """Listen no more, so that new connections are refused; open ones stay."""
        self._rule(refuse=True)

    def delay(self, milliseconds: float, direction: Direction | None = None) -> None:
        """Forward every chunk so much later."""
        self._rule(direction, delay=milliseconds / 1000)

    def slice(self, size: int, direction: Direction | None = None) -> None:
        """Forward in pieces of so many bytes, each in a packet of its own."""
        self._rule(direction, slice=size)

    def cut_after(self, size: int, direction: Direction = "down") -> None:
        """Reset a connection when so many further bytes have gone through it in this direction."""
        self._rule(direction, cut_after=size)

    def cut_on(self, pattern: bytes, direction: Direction = "up", *, forward: bool = False) -> None:
        """Reset a connection on which these bytes pass; ``forward``: the other side still gets them."""
        self._rule(direction, cut_on=pattern.hex(), forward=forward)

    def drop_reply(self, pattern: bytes, *, then: Literal["hang", "cut"] = "cut") -> None:
        """Forward the request that holds these bytes and drop its reply, then fall silent or reset the connection.

        With "cut" the reset comes when the server *has* replied: the request is known to have been carried out.
        """
        self._rule("up", drop_reply=pattern.hex(), then=then)

    def mutate(self, seed: int, rate: float = 0.001, direction: Direction = "down") -> None:
        """Replace this share of the bytes with others; the same seed and the same stream give the same damage."""
        self._rule(direction, mutate=seed, rate=rate)

    # ------------------------------------------------------------------------------------------------------ observation

    def stats(self) -> dict[str, int]:
        """``accepted``, ``open`` and ``cut`` connections, bytes ``up`` and ``down``, ``matched`` patterns."""
        return self.tell({"do": "stats"})

    def wait(self, what: str, count: int, timeout: float = 10) -> None:
        """Until this number of the statistics is reached."""
        deadline = time.monotonic() + timeout
        while (seen := self.stats())[what] < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the proxy has seen {seen}, not {count} {what}")
            time.sleep(0.005)

    def _rule(self, direction: Direction | None = None, **rule: Any) -> None:
        self.tell({"do": "rule", "directions": [direction] if direction else ["up", "down"], "rule": rule})
