"""A server that sends every byte back, for looking at the proxy without a database in the way."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """Its address as a database URL. It remembers nothing and ends with the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    clients: list[socket.socket] = []

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while data := client.recv(65536):
                client.sendall(data)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            clients.append(client)
            threads.append(threading.Thread(target=answer, args=(client,)))
            threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield f"postgres://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres"
    finally:
        # Closing alone does not wake a thread that waits in accept().
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
