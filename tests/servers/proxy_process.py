"""The process behind ``proxy.Proxy``: two pumps per connection, and the rules that they obey."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from .child import serve

CHUNK = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time left: closing sends RST


@dataclass
class Rules:
    """What holds for one direction. A new object for every change: a counter belongs to the rule it was made with."""

    blackhole: bool = False
    deaf: bool = False
    refuse: bool = False
    delay: float = 0
    slice: int = 0
    cut_after: int | None = None
    cut_on: bytes = b""
    forward: bool = False
    drop_reply: bytes = b""
    then: str = "cut"
    mutate: int | None = None
    rate: float = 0
    number: int = 0


@dataclass(eq=False)
class Line:
    """One client with its connection to the server."""

    proxy: ProxyProcess
    client: socket.socket
    server: socket.socket | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    dropping: str = ""
    """The reply is being dropped; what comes then."""
    finishing: bool = False
    """The pumps have been stopped in favour of `drain`, which ends the line."""

    async def run(self) -> None:
        try:
            await self.proxy.passable("up")
            self.server = await self.proxy.dial()
            pumps = (Pump(self, "up", self.client, self.server), Pump(self, "down", self.server, self.client))
            self.tasks = [asyncio.create_task(pump.run()) for pump in pumps]
            await asyncio.gather(*self.tasks)
        except OSError:
            self.reset()
        finally:
            if not self.finishing:
                self.end()

    def reset(self) -> None:
        for side in (self.client, self.server):
            if side is not None and side.fileno() >= 0:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.end()

    async def fin(self) -> None:
        """The end of the stream for the client, whose own bytes are still read: a reset would be another fault."""
        self.finishing = True
        pumping = [task for task in (*self.tasks, self.proxy.running.pop(self, None)) if task is not None]
        for task in pumping:
            task.cancel()
        if pumping:
            await asyncio.wait(pumping)
        if self.server is not None:
            self.server.close()
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
        self.proxy.running[self] = asyncio.create_task(self.drain())

    async def drain(self) -> None:
        with contextlib.suppress(OSError):
            while await asyncio.get_running_loop().sock_recv(self.client, CHUNK):
                pass
        self.end()

    def end(self) -> None:
        self.proxy.lines.discard(self)
        current = asyncio.current_task()
        for task in (*self.tasks, self.proxy.running.pop(self, None)):
            if task is not None and task is not current:
                task.cancel()
        for side in (self.client, self.server):
            if side is not None:
                # The loop may still watch the descriptor, whose number the next connection gets.
                if side.fileno() >= 0:
                    loop = asyncio.get_running_loop()
                    loop.remove_reader(side.fileno())
                    loop.remove_writer(side.fileno())
                side.close()


@dataclass(eq=False)
class Pump:
    """One direction of a line."""

    line: Line
    direction: str
    source: socket.socket
    sink: socket.socket
    seen: bytes = b""
    passed: int = 0
    number: int = -1
    random: random.Random = field(default_factory=random.Random)

    async def run(self) -> None:
        loop, proxy = asyncio.get_running_loop(), self.line.proxy
        while True:
            await proxy.passable(self.direction)
            data = await loop.sock_recv(self.source, CHUNK)
            # The rule may have come while nothing was sent.
            await proxy.passable(self.direction)
            if not data:
                with contextlib.suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)
                return
            rules = proxy.rules[self.direction]
            if rules.number != self.number:
                self.number, self.passed, self.seen = rules.number, 0, b""
                self.random = random.Random(rules.mutate)
            if not await self.obey(rules, data):
                return

    async def obey(self, rules: Rules, data: bytes) -> bool:
        """Forward under these rules; False: the line has been cut."""
        proxy = self.line.proxy
        if self.direction == "down" and self.line.dropping:
            if self.line.dropping == "cut":
                return self.cut()
            return True
        if rules.delay:
            await asyncio.sleep(rules.delay)
        if rules.deaf and self.direction == "up":
            return True
        if rules.mutate is not None:
            data = bytes(self.random.randrange(256) if self.random.random() < rules.rate else byte for byte in data)
        if self.found(rules.cut_on, data):
            if rules.forward:
                await self.send(rules, data)
            return self.cut()
        if self.found(rules.drop_reply, data):
            self.line.dropping = rules.then
        # A pattern may lie across two chunks.
        longest = max(len(rules.cut_on), len(rules.drop_reply))
        self.seen = (self.seen + data)[-(longest - 1) :] if longest > 1 else b""
        if rules.cut_after is not None and self.passed + len(data) >= rules.cut_after:
            await self.send(rules, data[: rules.cut_after - self.passed])
            # A reset overtakes what the other side has not read yet.
            await asyncio.sleep(0.02)
            return self.cut()
        self.passed += len(data)
        await self.send(rules, data)
        proxy.bytes[self.direction] += len(data)
        return True

    def found(self, pattern: bytes, data: bytes) -> bool:
        if pattern and pattern in self.seen + data:
            self.line.proxy.matched += 1
            return True
        return False

    async def send(self, rules: Rules, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        step = rules.slice or max(len(data), 1)
        for start in range(0, len(data), step):
            await loop.sock_sendall(self.sink, data[start : start + step])
            if rules.slice:
                await asyncio.sleep(0)

    def cut(self) -> bool:
        self.line.proxy.cuts += 1
        self.line.reset()
        return False


class ProxyProcess:
    """The listener and what it has accepted."""

    def __init__(self) -> None:
        self.rules = {"up": Rules(), "down": Rules()}
        self.changed = asyncio.Event()
        self.lines: set[Line] = set()
        self.running: dict[Line, asyncio.Task[None]] = {}
        self.bytes = {"up": 0, "down": 0}
        self.accepted = self.matched = self.cuts = 0
        self.address = ("127.0.0.1", 0)
        self.listener: socket.socket | None = None
        self.accepting: asyncio.Task[None] | None = None
        self.target: dict[str, Any] = {}

    async def dial(self) -> socket.socket:
        unix = self.target.get("socket")
        made = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, unix or (self.target["host"], self.target["port"]))
        except BaseException:
            made.close()
            raise
        if not unix:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    async def passable(self, direction: str) -> None:
        while self.rules[direction].blackhole:
            await self.changed.wait()

    def listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.address)
        listener.listen(512)
        listener.setblocking(False)
        self.address, self.listener = listener.getsockname(), listener
        self.accepting = asyncio.create_task(self.accept(listener))

    async def accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            line = Line(self, client)
            self.lines.add(line)
            self.running[line] = asyncio.create_task(line.run())

    async def refuse(self) -> None:
        if self.accepting is not None and self.listener is not None:
            self.accepting.cancel()
            await asyncio.wait([self.accepting])
            self.listener.close()
            self.accepting = self.listener = None

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        match command.pop("do"):
            case "listen":
                self.target = command
                self.listen()
                return {"port": self.address[1]}
            case "stats":
                counts = {"accepted": self.accepted, "open": len(self.lines), "matched": self.matched, "cut": self.cuts}
                return counts | self.bytes
            case "cut":
                self.cuts += len(self.lines)
                for line in list(self.lines):
                    line.reset()
            case "fin":
                for line in list(self.lines):
                    await line.fin()
            case "reset":
                self.change(("up", "down"), None)
                if self.listener is None:
                    self.listen()
            case "rule":
                rule = command["rule"]
                for name in rule.keys() & {"cut_on", "drop_reply"}:
                    rule[name] = bytes.fromhex(rule[name])
                self.change(command["directions"], rule)
                if rule.get("refuse"):
                    await self.refuse()
        return {}

    def change(self, directions: Any, rule: dict[str, Any] | None) -> None:
        for direction in directions:
            old = self.rules[direction]
            kept = {} if rule is None else vars(old) | rule
            self.rules[direction] = Rules(**(kept | {"number": old.number + 1}))
        self.changed.set()
        self.changed.clear()


async def main() -> None:
    await serve(ProxyProcess().handle)


if __name__ == "__main__":
    asyncio.run(main())
