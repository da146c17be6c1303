"""What becomes of data, transactions and waits under faults, side by side: `nox -s bench -- promises --url …`.

Each contender meets each fault in a process of its own, through a proxy of its own, on the server of ``--url``. The
table goes to the terminal and to `results/promises-DATABASE.md`.
"""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DISTRIBUTIONS = {"psycopg 3": "psycopg", "SQLAlchemy 2": "sqlalchemy"}
SPELLED = {"postgres": ("postgresql", "sslmode=disable"), "mysql": ("mysql", "ssl_mode=disable")}
"""Schemes and options that all contenders of a server understand."""
PATIENCE = 60
"""Seconds for one contender in one scenario; all of them have shorter limits of their own."""


def main(url: str, family: str, out: Path) -> None:
    for path in (HERE, ROOT):
        sys.path.insert(0, str(path))
    from asked import CONTENDERS
    from scenarios import SCENARIOS

    from tests.servers import mysql_wire, wire

    place = f"oxyde_promises_{os.getpid()}"
    names = {name: kind.title for name, kind in CONTENDERS.items() if kind.family == family}
    with (wire if family == "postgres" else mysql_wire).Connection(url) as admin:
        version = admin.query("SELECT version()")[0][0] or ""
        admin.query(f"CREATE DATABASE {place}")
        try:
            # Without TLS: the proxy looks for COMMIT in what passes.
            scheme, query = SPELLED[family]
            inside = urlunsplit(urlsplit(url)._replace(scheme=scheme, path=f"/{place}", query=query))
            lines = [table_row("", *(f"{title} {released(title)}" for title in names.values()))]
            lines.append(table_row(*["---"] * (len(names) + 1)))
            for scenario, (title, _) in SCENARIOS.items():
                if scenario == "deadlock" and family == "postgres":
                    continue  # like any other error there
                answers = [ask(name, scenario, inside) for name in names]
                lines.append(table_row(title, *map(marked, answers)))
                print(lines[-1], flush=True)
        finally:
            admin.query(f"DROP DATABASE {place}" + (" WITH (FORCE)" if family == "postgres" else ""))
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"promises-{family}.md"
    written.write_text(f"On {server(version)}:\n\n" + "\n".join(lines) + "\n", "utf-8")
    print(f"written to {written}")


def ask(name: str, scenario: str, url: str) -> str:
    command = [sys.executable, str(HERE / "one.py"), name, scenario, url]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"! nothing after {PATIENCE} s"
    if done.returncode or not done.stdout.strip():
        raise SystemExit(f"{name} in {scenario} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def marked(answer: str) -> str:
    """What a program cannot notice, or has to wait for, in bold."""
    parts = [f"**{part[2:]}**" if part.startswith("! ") else part for part in answer.split("; ")]
    return "; ".join(parts)


def table_row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def released(title: str) -> str:
    if title == "Oxyde":
        import oxyde

        return oxyde.__version__
    return importlib.metadata.version(DISTRIBUTIONS.get(title, title))


def server(version: str) -> str:
    return version.partition(" (")[0] if version.startswith("PostgreSQL") else version
