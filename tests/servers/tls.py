"""TLS in front of a PostgreSQL server that has none. It runs in a process of its own (``tls_process``).

::

    with TLSFront(server.url()) as front:
        front.url("verify-full")                       # a good server
        front.url("verify-full", case="expired")       # one to refuse

The cases, each on a port of its own:

``good`` · ``expired`` · ``wrong_host`` · ``client_cert`` (only for clients with a certificate of the same authority) ·
``old`` (nothing newer than TLS 1.1) · ``refused`` (answers N: no TLS here) · ``closed`` (closes when asked for TLS) ·
``garbage`` (answers with a byte that is neither) · ``injected`` (sends plain text behind its S, which a client must not
take for something that came encrypted) · ``required`` (closes a connection that does not ask for TLS).

Plain connections get through where not said otherwise, and so does a CancelRequest, encrypted or not.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

from .certificates import Certificates
from .child import Child
from .wire import Address

CASES = ("good", "expired", "wrong_host", "client_cert", "old", "refused", "closed", "garbage", "injected", "required")


class TLSFront(Child):
    """In front of the server at ``target``, every case at once."""

    def __init__(self, target: str) -> None:
        self._address = address = Address.of(target)
        # The process removes it when it ends.
        folder = Path(tempfile.mkdtemp(prefix="oxyde-tls-"))
        try:
            self.certificates = made = Certificates.create(folder, address.user)
            where = {"socket": address.unix} if address.unix else {"host": address.host, "port": address.port}
            files = {name: str(getattr(made, name)) for name in ("ca", "server", "expired", "wrong_host")}
            first = {"do": "listen", "target": where, "folder": str(folder), "files": files, "cases": CASES}
            super().__init__("tls_process", first)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.ports: dict[str, int] = self.ready["ports"]

    def url(
        self,
        mode: str = "verify-full",
        case: str = "good",
        *,
        host: str = "localhost",
        ca: Path | None = None,
        client: tuple[Path, Path] | None = None,
        database: str | None = None,
    ) -> str:
        """The server behind this case. ``ca`` and ``client`` (certificate, key) are the good ones unless given."""
        address, options = self._address, {"ssl_mode": mode}
        if mode.startswith("verify-"):
            options["ssl_root_cert"] = str(ca or self.certificates.ca)
        if client is None and case == "client_cert":
            client = (self.certificates.client, self.certificates.client_key)
        if client is not None:
            options |= {"ssl_client_cert": str(client[0]), "ssl_client_key": str(client[1])}
        secret = f":{quote(address.password, safe='')}" if address.password else ""
        user, name = quote(address.user, safe=""), quote(database or address.database, safe="")
        return f"postgres://{user}{secret}@{host}:{self.ports[case]}/{name}?{urlencode(options, safe='/')}"

    def stats(self) -> dict[str, int]:
        """Connections ``plain`` and ``encrypted``, ``failed`` handshakes, and ``cancelled`` requests passed on."""
        return self.tell({"do": "stats"})
