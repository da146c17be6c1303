"""MySQL or MariaDB: every copy is a database of its own, filled from one template.

Whether a commit waits for the disk is a setting of the whole server (`innodb_flush_log_at_trx_commit`, `sync_binlog`):
it is set for the rows that write, and put back at the end.
"""

import json
import os
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

import people

DURABLE = {"innodb_flush_log_at_trx_commit": (1, 0), "sync_binlog": (1, 0)}


def parts(place: str) -> dict[str, Any]:
    """Where a database is, as asyncmy and aiomysql want to be told; they use TLS only when they are given a context."""
    url = urlsplit(place)
    return {
        "host": url.hostname or "127.0.0.1",
        "port": url.port or 3306,
        "user": unquote(url.username or "root"),
        "password": unquote(url.password or ""),
        "db": unquote(url.path.removeprefix("/")),
        "charset": "utf8mb4",
    }


def connect(place: str) -> Any:
    """A connection past all contenders."""
    import pymysql

    told = parts(place)
    return pymysql.connect(database=told.pop("db"), **told, autocommit=True, ssl_disabled=True)


class Mysql:
    name, title = "mysql", "MySQL"
    settings: ClassVar = {
        **{name: f"SELECT @@{name}" for name in DURABLE},
        "isolation": "SELECT @@session.tx_isolation",
        "autocommit": "SELECT @@session.autocommit",
        "TLS": "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'",
    }

    def __init__(self, url: str) -> None:
        self.server = urlsplit(url)
        self.prefix = f"oxyde_bench_{os.getpid()}"
        self.template, self.copies = f"{self.prefix}_template", 0
        self.admin = connect(url)
        self.mariadb = "MariaDB" in self.ask("SELECT version()")
        if self.mariadb:
            self.title = "MariaDB"
        else:  # where these things are called otherwise
            self.settings = self.settings | {
                "isolation": "SELECT @@session.transaction_isolation",
                "TLS": self.settings["TLS"].replace("information_schema", "performance_schema"),
            }
        self.before = {name: self.ask(f"SELECT @@{name}") for name in DURABLE}

    def url(self, database: str) -> str:
        """TLS off everywhere: the others have to be told to use it."""
        return urlunsplit(self.server._replace(path=f"/{database}", query="ssl_mode=disable"))

    def ask(self, sql: str) -> Any:
        with self.admin.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return row and row[0]

    def prepare(self) -> None:
        self.ask(f"CREATE DATABASE {self.template}")
        connection = connect(self.url(self.template))
        with connection.cursor() as cursor:
            for statement in ddl("mariadb" if self.mariadb else "mysql"):
                cursor.execute(statement)
            values = [[fields[name] for name in people.WRITTEN] for fields in people.everybody()]
            cursor.executemany(people.INSERT.replace("?", "%s"), values)
        connection.close()

    def copy(self, durable: bool | None) -> str:
        self.copies += 1
        name = f"{self.prefix}_{self.copies}"
        source, target = f"{self.template}.{people.TABLE}", f"{name}.{people.TABLE}"
        self.ask(f"CREATE DATABASE {name}")
        self.ask(f"CREATE TABLE {target} LIKE {source}")
        self.ask(f"INSERT INTO {target} SELECT * FROM {source}")
        self.ask(f"ANALYZE TABLE {target}")
        for setting, (yes, no) in DURABLE.items():
            self.set(setting, self.before[setting] if durable is None else yes if durable else no)
        return self.url(name)

    def set(self, name: str, value: Any) -> None:
        if self.ask(f"SELECT @@{name}") != value:
            self.ask(f"SET GLOBAL {name} = {value}")

    def options(self, contender: str, durable: bool | None, learned: dict[str, Any]) -> dict[str, Any]:
        return {}

    def drop(self, place: str) -> None:
        self.ask(f"DROP DATABASE {parts(place)['db']}")

    def contents(self, place: str) -> list[tuple[Any, ...]]:
        connection = connect(place)
        with connection.cursor() as cursor:
            cursor.execute(f"{people.SELECT} ORDER BY id")
            rows = cursor.fetchall()
        connection.close()
        return list(rows)

    def close(self) -> None:
        with self.admin.cursor() as cursor:
            cursor.execute("SHOW DATABASES")
            made = [name for (name,) in cursor.fetchall() if name.startswith(self.prefix)]
        for name in made:
            self.ask(f"DROP DATABASE {name}")
        for setting, value in self.before.items():
            self.set(setting, value)
        self.admin.close()


def ddl(dialect: str) -> list[str]:
    """The statements with which Oxyde makes the table."""
    from contenders.oxyde_orm import OxydePerson

    from oxyde.schema import describe
    from oxyde_core import create_ddl

    return create_ddl(json.dumps(describe([OxydePerson])), dialect)
