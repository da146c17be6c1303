"""PostgreSQL: every copy is a database of its own, made from one template.

Whether a commit waits for the disk is a setting of the copy (`ALTER DATABASE … SET synchronous_commit`), so that it is
the same for all without any driver being told. Autovacuum leaves the table alone: it would choose its own moments.
"""

import json
import os
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import people


class Postgres:
    name, title = "postgres", "PostgreSQL"
    settings: ClassVar = {
        "synchronous_commit": "SHOW synchronous_commit",
        "isolation": "SHOW transaction_isolation",
        "TLS": "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        "jit": "SHOW jit",
    }

    def __init__(self, url: str) -> None:
        import psycopg

        self.server = urlsplit(url)
        self.prefix = f"oxyde_bench_{os.getpid()}"
        self.template, self.copies = f"{self.prefix}_template", 0
        self.admin = psycopg.connect(self.url(self.server.path.strip("/") or "postgres"), autocommit=True)

    def url(self, database: str) -> str:
        """TLS off everywhere: the option is spelled the same by libpq, asyncpg and Oxyde."""
        return urlunsplit(self.server._replace(path=f"/{database}", query="sslmode=disable"))

    def connect(self, place: str) -> Any:
        import psycopg

        return psycopg.connect(place, autocommit=True)

    def prepare(self) -> None:
        self.admin.execute(f"CREATE DATABASE {self.template}")
        with self.connect(self.url(self.template)) as connection:
            for statement in ddl():
                connection.execute(statement)
            connection.execute(f"ALTER TABLE {people.TABLE} SET (autovacuum_enabled = off)")
            columns = ", ".join(people.WRITTEN)
            with connection.cursor().copy(f"COPY {people.TABLE} ({columns}) FROM STDIN") as copy:
                for fields in people.everybody():
                    copy.write_row([fields[name] for name in people.WRITTEN])
            connection.execute(f"VACUUM ANALYZE {people.TABLE}")

    def copy(self, durable: bool | None) -> str:
        self.copies += 1
        name = f"{self.prefix}_{self.copies}"
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        if durable is not None:
            self.admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = {'on' if durable else 'off'}")
        return self.url(name)

    def options(self, contender: str, durable: bool | None, learned: dict[str, Any]) -> dict[str, Any]:
        return {}

    def drop(self, place: str) -> None:
        self.admin.execute(f"DROP DATABASE {urlsplit(place).path.strip('/')} WITH (FORCE)")

    def contents(self, place: str) -> list[tuple[Any, ...]]:
        with self.connect(place) as connection:
            return connection.execute(f"{people.SELECT} ORDER BY id").fetchall()

    def close(self) -> None:
        made = self.admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [self.prefix])
        for (name,) in made.fetchall():
            self.admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.admin.close()


def ddl() -> list[str]:
    """The statements with which Oxyde makes the table."""
    from contenders.oxyde_orm import OxydePerson

    from oxyde.schema import describe
    from oxyde_core import create_ddl

    return create_ddl(json.dumps(describe([OxydePerson])), "postgres")
