"""Certificates made for one run: good ones, and the ones that a client has to refuse."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. A server's file holds its key, too."""

    ca: Path
    other_ca: Path
    """Signed none of the servers."""
    server: Path
    """For localhost and 127.0.0.1."""
    expired: Path
    wrong_host: Path
    client: Path
    client_key: Path
    foreign_client: Path
    """By the other authority, which no server knows."""
    foreign_client_key: Path

    @classmethod
    def create(cls, folder: Path, user: str = "postgres") -> Certificates:
        """Write them to this folder; the client's certificate names the database user, as PostgreSQL wants it."""
        ca, other = trustme.CA(), trustme.CA()
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=30)

        def authority(name: str, made: trustme.CA) -> Path:
            made.cert_pem.write_to_path(path := folder / f"{name}.pem")
            return path

        def server(name: str, made: trustme.LeafCert) -> Path:
            made.private_key_and_cert_chain_pem.write_to_path(path := folder / f"{name}.pem")
            return path

        def client(name: str, made: trustme.LeafCert) -> tuple[Path, Path]:
            certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
            made.cert_chain_pems[0].write_to_path(certificate)
            key.touch(mode=0o600)
            made.private_key_pem.write_to_path(key)
            return certificate, key

        own, foreign = (
            client(name, by.issue_cert(common_name=user)) for name, by in (("client", ca), ("foreign", other))
        )
        return cls(
            ca=authority("ca", ca),
            other_ca=authority("other_ca", other),
            server=server("server", ca.issue_cert(*NAMES)),
            expired=server("expired", ca.issue_cert(*NAMES, not_before=past, not_after=past + dt.timedelta(days=1))),
            wrong_host=server("wrong_host", ca.issue_cert("elsewhere.example")),
            client=own[0],
            client_key=own[1],
            foreign_client=foreign[0],
            foreign_client_key=foreign[1],
        )
