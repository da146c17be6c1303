"""The only list of commands of this repository.

`python3 noxfile.py -s SESSION …` works on a machine that has nothing but CPython and Rust: run as a script, this file
makes a small private environment with the pinned nox and uv and starts itself again inside it. Where nox and uv are
installed, `nox -s SESSION …` does the same.

How the sessions share work: the compiled core is built **once** per state of its sources, as a release abi3 wheel
under `.nox/wheels/`, and every session installs that wheel. Everything third-party comes from `uv.lock`. Nothing here
names a machine: indexes, caches and proxies are those that pip, uv and cargo are configured with.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PRIVATE = ("nox==2026.10.20", "uv==0.13.9")


def bootstrap() -> None:
    """Run nox in a private environment with the pinned tools. Standard library only; does not return."""
    import hashlib
    import venv

    if sys.version_info < (3, 11):  # noqa: UP036 - this line is what an older Python reads
        sys.exit(
            f"Oxyde needs CPython 3.11 or newer, this is {sys.version.split()[0]}: start noxfile.py with a newer one."
        )
    key = hashlib.sha256(repr((PRIVATE, sys.version, sys.base_prefix)).encode()).hexdigest()[:12]
    home = ROOT / ".nox" / f"private-{key}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "complete").exists():
        print(f"Preparing {', '.join(PRIVATE)} in {home.relative_to(ROOT)} (once).", flush=True)
        try:
            venv.create(home, clear=True, with_pip=True)
        except subprocess.CalledProcessError:
            sys.exit("This Python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv).")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PRIVATE], check=True)
        (home / "complete").touch()
    command = [str(python), "-m", "nox", "-f", str(Path(__file__).resolve()), *sys.argv[1:]]
    if os.name == "nt":  # exec on Windows returns to the shell before the new process ends
        sys.exit(subprocess.run(command).returncode)
    os.execv(python, command)


if __name__ == "__main__":
    bootstrap()

import atexit
import contextlib
import functools
import hashlib
import json
import re
import shutil
import signal
import tempfile
import threading
import typing
from collections.abc import Iterator

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["tests"]
nox.options.error_on_external_run = False

NOX = ROOT / ".nox"
CORE = ROOT / "packages" / "oxyde-core"
ORM = ROOT / "packages" / "oxyde-orm"
SOURCES = (str(CORE / "python" / "oxyde_core"), str(ORM / "src" / "oxyde"))
MINORS = range(11, 16)
# Every lane has to run.
REQUIRED = os.environ.get("CI", "").lower() in ("true", "1")
# A lane that is still running after this long is stopped, with the stacks of all its processes.
LANE_MINUTES = 20
# What `faults -- --long` scales sizes by: 100,000 cancelled tasks, 20,000 transfers under kills, a soak of 10 min
LONG = 50

# ------------------------------------------------------------------------------------------------------------- sessions


@nox.session(venv_backend="none")
def quickstart(session: nox.Session) -> None:
    """Build everything and run the example application (`-- --url …` for another database)."""
    python = environment(session, "run")
    run(session, python, ROOT / "examples" / "quickstart" / "main.py", *session.posargs)


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Make `.venv`: every tool, both packages editable (the core is rebuilt by `uv sync` when its sources changed)."""
    python = ROOT / ".venv"
    uv(session, "sync", "--frozen", "--all-packages", "--all-groups", project_environment=python)
    session.log(f"ready: {python.relative_to(ROOT)} (activate it, or use `uv run`)")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Every test that this machine can run: rust, tests-sqlite, tests-postgres and tests-mysql."""
    failed = False
    on_servers = [functools.partial(server_lane, servers=servers) for servers in (POSTGRES, MYSQL)]
    for lane in (rust_lane, sqlite_lane, *on_servers):
        try:
            lane(session)
        except NoServer:
            failed |= REQUIRED
        except CommandFailed:  # the other lanes still have something to say
            failed = True
    if failed:
        session.error("a lane failed: see the last lines")


@nox.session(name="tests-sqlite", venv_backend="none")
def tests_sqlite(session: nox.Session) -> None:
    """The Python tests on SQLite, on every CPython found (`-- …` goes to pytest)."""
    sqlite_lane(session)


@nox.session(name="tests-postgres", venv_backend="none")
def tests_postgres(session: nox.Session) -> None:
    """All tests on PostgreSQL: the server that OXYDE_TEST_POSTGRES_URL names, else a private one (`-- …` to pytest)."""
    server_lane(session, POSTGRES)


@nox.session(name="tests-mysql", venv_backend="none")
def tests_mysql(session: nox.Session) -> None:
    """All tests on MySQL and on MariaDB: the server that OXYDE_TEST_MYSQL_URL names, else private ones (`-- …`)."""
    server_lane(session, MYSQL)


@nox.session(venv_backend="none")
def faults(session: nox.Session) -> None:
    """tests/faults on SQLite and on private servers (`-- --long`: 50 times the sizes, for hours; `-- …` to pytest)."""
    version, executable = interpreters()[0]
    python = test_environment(session, version, executable)
    command, variables, minutes = [*pytest(python), "tests/faults"], NO_SERVERS.copy(), LANE_MINUTES
    arguments = list(session.posargs)
    if "--long" in arguments:
        arguments.remove("--long")
        # No test hangs for as long as it may take now: the lane's own limit finds those that do.
        command += ["-o", "faulthandler_timeout=0"]
        variables["OXYDE_FAULTS_SCALE"] = str(LONG)
        minutes *= LONG
    command += arguments
    figures = Path(tempfile.mkdtemp()) / "figures"
    variables["OXYDE_FIGURES"] = str(figures)
    kinds = [(None, ""), *((servers, flavour) for servers in (POSTGRES, MYSQL) for flavour in servers.flavours)]
    failed = False
    for servers, flavour in kinds:
        where, own = f"Python {version}, {servers.title if servers else 'SQLite'} {flavour}".strip(), {LANES: "sqlite"}
        try:
            with contextlib.ExitStack() as stack:
                if servers is not None:
                    name, addresses, _ = stack.enter_context(server(python, servers, None, flavour))
                    where = f"Python {version}, {name}"
                    own = {LANES: servers.name, servers.address: addresses[servers.address]}
                report("faults", where, lane(session, command, PYTEST, env=variables | own, minutes=minutes))
        except NoServer as error:
            LAST_LINES.append(f"faults: NOT run — {error}")
            failed |= REQUIRED
        except CommandFailed as error:  # the other databases still have something to say
            report("faults", where, error)
            failed = True
    if figures.exists():
        run(session, python, "-m", "tests.faults.figures", figures)
    shutil.rmtree(figures.parent)
    if failed:
        session.error("a lane failed: see the last lines")


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """New inputs for what takes any bytes, 60 s for each target (`-- --seconds 300`, `-- queries mysql_cells`)."""
    names = [part for part in session.posargs if part != "--seconds" and not part.isdecimal()]
    seconds = next((int(part) for part in session.posargs if part.isdecimal()), 60)
    fuzz_lane(session, names, seconds)


@nox.session(venv_backend="none")
def rust(session: nox.Session) -> None:
    """Formatting, clippy without warnings, unit and documentation tests of the crates."""
    rust_lane(session)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Ruff, layers, generated and locked files, workflows, changelog fragments, licences and origins of packages."""
    # The audit reads the licences of what is installed.
    python = environment(session, "lint", "lint", "test", "servers", "bench")
    tools = python.parent
    run(session, tools / "ruff", "check", ".")
    run(session, tools / "ruff", "format", "--check", ".")
    run(session, tools / "lint-imports", "--no-cache")
    uv(session, "lock", "--check")
    if pending := [str(path) for path in (ROOT / "crates").rglob("*") if path.suffix in {".new", ".pending-snap"}]:
        session.error(f"snapshots that nobody accepted or refused (cargo insta review): {', '.join(pending)}")
    for package in (CORE, ORM):
        config = ("--config", package / "pyproject.toml", "--dir", package)
        run(session, tools / "towncrier", "build", "--draft", "--version", "next", *config, silent=True)
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    run(session, tools / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    run(session, tools / "zizmor", "--offline", "--no-progress", "--config=.ci/zizmor.yml", ".github")
    run(session, python, ROOT / ".ci" / "audit.py")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """mypy --strict and pyright on the packages, typing tests under mypy, pyright and ty, stubtest on the core."""
    python = environment(session, "types", "types", "test")
    tools = python.parent
    at = ("--python-executable", python)
    run(session, tools / "mypy", *at, *SOURCES)
    run(session, tools / "pyright", "--pythonpath", python)
    run(session, python, "-m", "mypy.stubtest", "--mypy-config-file", ROOT / "pyproject.toml", "oxyde_core._core")
    typing_tests = ROOT / "tests" / "typing"
    run(session, tools / "mypy", *at, typing_tests)
    run(session, tools / "pyright", "--pythonpath", python, "-p", typing_tests)
    run(session, tools / "ty", "check", "--error-on-warning", "--python", python, typing_tests)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Run every Python block of the documentation and of the README, then build the site strictly."""
    python = environment(session, "docs", "docs")
    run(session, python, ROOT / ".ci" / "snippets.py", ROOT / "README.md", ROOT / "docs")
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # the theme's advertisement of its successor
    run(session, python, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", ROOT / "site", env=quiet)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Measure side by side against hand-written code (`-- --quick`, `-- --url postgres://…`, `-- profile pk`)."""
    python = environment(session, "bench", "bench")
    run(session, python, ROOT / "benches" / "run.py", *session.posargs)


@nox.session(venv_backend="none")
def wheels(session: nox.Session) -> None:
    """Build the wheels, install them in a clean environment outside the repository, run each package's tests there."""
    out = NOX / "dist"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    core = shutil.copy2(core_wheel(session), out)
    uv(session, "build", "--wheel", "--package", "oxyde-orm", "--out-dir", str(out))
    orm = next(out.glob("oxyde_orm-*.whl"))
    with tempfile.TemporaryDirectory(prefix="oxyde-wheels-") as folder:
        requirements = Path(folder, "requirements.txt")
        third_party = "export --quiet --frozen --all-packages --no-emit-workspace --no-default-groups --group test"
        uv(session, *third_party.split(), "--output-file", str(requirements))
        home = Path(folder, "env")
        uv(session, "venv", "--quiet", "--python", interpreters()[0][1], str(home))
        python = venv_python(home)
        install = ("pip", "install", "--quiet", "--python", str(python))
        uv(session, *install, "-r", str(requirements))
        uv(session, *install, "--no-deps", "--no-index", str(core), str(orm))
        for package in (CORE, ORM):
            shutil.copytree(package / "tests", Path(folder, "tests", package.name))
        shutil.copy2(ROOT / "pyproject.toml", folder)
        command = [python, "-m", "pytest", "-n", str(os.cpu_count()), "tests"]
        report("wheels", f"{Path(core).name}, {orm.name}", lane(session, command, PYTEST, cwd=Path(folder)))


@nox.session(venv_backend="none")
def local(session: nox.Session) -> None:
    """What to run before a push."""
    for name in ("lint", "types", "tests", "docs"):
        session.notify(name)


# ---------------------------------------------------------------------------------------------------------------- lanes


EVERY_CRATE = ("--workspace", "--locked")


def rust_environment() -> dict[str, str | None]:
    return dict(NO_SERVERS) | {"PYO3_PYTHON": interpreters()[0][1], "INSTA_UPDATE": "no"}


def has_nextest() -> bool:
    return subprocess.run(["cargo", "nextest", "--version"], capture_output=True).returncode == 0


def rust_lane(session: nox.Session) -> None:
    env, everything = rust_environment(), EVERY_CRATE
    if has_nextest():
        runner, command = "nextest", ["cargo", "nextest", "run", *everything, "--no-fail-fast"]
    else:
        runner, command = "cargo test", ["cargo", "test", *everything, "--lib", "--bins", "--tests", "--no-fail-fast"]
    where = f"{runner}, {subprocess.run(['rustc', '--version'], capture_output=True, text=True).stdout.strip()}"
    try:
        run(session, "cargo", "fmt", "--all", "--check", env=env)
        run(session, "cargo", "fmt", "--check", "--manifest-path", FUZZ / "fuzz" / "Cargo.toml", env=env)
        run(
            session,
            "cargo",
            "clippy",
            *everything,
            "--all-targets",
            "--features",
            "oxyde-sql/server-tests",
            "--quiet",
            "--",
            "-D",
            "warnings",
            env=env,
        )
        result = lane(session, command, CARGO, env=env)
        run(session, "cargo", "test", *everything, "--doc", "--quiet", env=env)
        report("rust", where, result)
    except CommandFailed as error:
        report("rust", where, error)
        raise


FUZZ = ROOT / "crates" / "oxyde-fuzz"
# Read by Python, so that hypothesis makes their inputs: so many in a second.
URLS, URLS_PER_SECOND = "urls", 100
FUZZ_TOOLS = {
    ("cargo", "+nightly", "--version"): "a nightly compiler: rustup toolchain install nightly --profile minimal",
    ("cargo", "fuzz", "--version"): "cargo-fuzz: cargo install cargo-fuzz --locked",
}


def fuzz_lane(session: nox.Session, names: list[str], seconds: int) -> None:
    """Everything that is made, and what is found, stays under `.nox/fuzz`; corpora grow from run to run."""
    home, env = NOX / "fuzz", rust_environment() | {"ASAN_OPTIONS": "detect_leaks=0"}
    known = [*sorted(path.stem for path in (FUZZ / "fuzz" / "fuzz_targets").glob("*.rs")), URLS]
    if unknown := [name for name in names if name not in known]:
        session.error(f"no target is called {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = names or known
    if chosen != [URLS]:
        for command, missing in FUZZ_TOOLS.items():
            if not shutil.which("cargo") or subprocess.run(command, capture_output=True).returncode:
                session.error(f"fuzzing needs {missing} (without it: `-- {URLS}`, and the replay in `-s rust`)")
        run(
            session,
            "cargo",
            "run",
            "--quiet",
            "--locked",
            "-p",
            "oxyde-fuzz",
            "--bin",
            "seeds",
            home / "seeds",
            env=env,
        )
    failed = []
    for name in chosen:
        try:
            if name == URLS:
                python = test_environment(session, *interpreters()[0])
                tests = ORM / "tests" / "db" / "test_url_properties.py"
                examples = {"OXYDE_FUZZ_EXAMPLES": str(seconds * URLS_PER_SECOND)}
                run(session, python, "-m", "pytest", "-o", "faulthandler_timeout=0", tests, env=examples)
                report("fuzz", name, "nothing was found")
            else:
                report("fuzz", name, fuzz_target(session, name, seconds, home, env))
        except CommandFailed as error:
            report("fuzz", name, error)
            failed.append(name)
    if failed:
        session.error(f"inputs for which something does not hold: {', '.join(failed)} (see docs/contributing)")


def fuzz_target(session: nox.Session, name: str, seconds: int, home: Path, env: "Variables") -> str:
    """Let libFuzzer run for so long; what came of it. Leaks are not looked for: an interpreter never frees all."""
    corpus, findings = home / "corpus" / name, home / "findings" / name
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    limits = (f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=8192", "-detect_leaks=0")
    folders = ("--fuzz-dir", FUZZ / "fuzz", "--target-dir", home / "target")
    inputs = (corpus, home / "seeds" / name)
    words = (f"-dict={home / 'seeds' / name}.dict", f"-artifact_prefix={findings}{os.sep}")
    try:
        run(session, "cargo", "+nightly", "fuzz", "run", *folders, name, *inputs, "--", *words, *limits, env=env)
    except CommandFailed:
        if found := sorted(set(findings.iterdir()) - before):
            raise CommandFailed(f"fails on {', '.join(map(str, found))}") from None
        raise
    return f"nothing was found in {seconds} s; {len(list(corpus.iterdir()))} inputs in its corpus"


CARGO = re.compile(r"tests? run: (?P<passed>\d+) passed|^test result: \w+\. (?P<also>\d+) passed")
PYTEST = re.compile(r"^(?:=+ )?(?:\d+ \w+, )*(?P<passed>\d+) passed\b.* in \d")
# What the core was linked with, not what Python's own sqlite3 module was.
SQLITE_VERSION = """
import asyncio, platform, oxyde
async def main():
    async with oxyde.db.connect("sqlite://:memory:"):
        row, = await oxyde.execute_raw("select sqlite_version() as v")
        print(f"Python {platform.python_version()}, SQLite {row['v']}")
asyncio.run(main())
"""


def sqlite_lane(session: nox.Session) -> None:
    failed = False
    for version, executable in interpreters():
        where = f"Python {version}"
        try:
            python = test_environment(session, version, executable)
            asked = subprocess.run([python, "-c", SQLITE_VERSION], capture_output=True, text=True)
            where = asked.stdout.strip() or where
            # What tests/servers starts belongs to the lanes of the servers.
            command = [*pytest(python), "--ignore", "tests/servers", *session.posargs]
            report("tests-sqlite", where, lane(session, command, PYTEST, env=NO_SERVERS | {LANES: "sqlite"}))
        except CommandFailed as error:
            report("tests-sqlite", where, error)
            failed = True
    if failed:
        raise CommandFailed("tests-sqlite failed")


class NoServer(CommandFailed):
    """The machine has no server for a lane."""


LANES = "OXYDE_TEST_LANES"


class Servers(typing.NamedTuple):
    """PostgreSQL, or MySQL with MariaDB: what `tests/servers` can start, and the variables that name another one."""

    name: str
    title: str
    flavours: tuple[str, ...] = ("",)
    """Those of a private server, the one that has to be there first."""

    @property
    def address(self) -> str:
        return f"OXYDE_TEST_{self.name.upper()}_URL"

    @property
    def also(self) -> str:
        """Further servers, separated by spaces."""
        return f"OXYDE_TEST_{self.name.upper()}_ALSO"

    @property
    def ways(self) -> dict[str, str]:
        """Other ways to the server than its address."""
        return {f"OXYDE_TEST_{self.name.upper()}_{way}": title for way, title in WAYS.items()}

    def places(self) -> list[tuple[str | None, str]]:
        """The servers to run on: an address, or no address and the flavour of a private one."""
        named = [os.environ.get(self.address), *os.environ.get(self.also, "").split()]
        private = [] if named[0] else [(None, flavour) for flavour in self.flavours]
        return private + [(address, "") for address in named if address]


WAYS = {"SOCKET": "unix socket", "TLS_URL": "TLS"}
POSTGRES = Servers("postgres", "PostgreSQL")
MYSQL = Servers("mysql", "MySQL", ("mysql", "mariadb"))
# A caller's address of a server reaches only the lane that is for it.
NO_SERVERS: dict[str, str | None] = dict.fromkeys(
    [LANES, *(name for servers in (POSTGRES, MYSQL) for name in (servers.address, servers.also, *servers.ways))]
)


def server_lane(session: nox.Session, servers: Servers) -> None:
    """On the lowest Python, on the server that is named or on private ones, and on those of OXYDE_TEST_…_ALSO.

    On the first one everything runs on asyncio, over TCP, the unix socket and TLS; then conformance runs on uvloop. On
    the others the tests run over TCP. The engine's own tests run on all of them. With arguments for pytest, nothing
    but these runs.
    """
    version, executable = interpreters()[0]
    python = test_environment(session, version, executable)
    ran, missing, failed = False, [], None
    for n, (address, flavour) in enumerate(servers.places()):
        where = f"Python {version}, {'the named' if address else 'a private'} {flavour or servers.title}"
        try:
            with server(python, servers, address, flavour) as (name, variables, log):
                where, ran = f"Python {version}, {name}", True
                try:
                    result = server_passes(session, python, servers, variables, first=n == 0, private=log is not None)
                except CommandFailed:
                    if log is not None:
                        print(f"The end of the server's log:\n{log.read_text(errors='replace')[-4000:]}", flush=True)
                    raise
            report(f"tests-{servers.name}", where, result)
        except NoServer as error:
            LAST_LINES.append(f"tests-{servers.name}: NOT run — {error}")
            missing.append((flavour, error))
        except CommandFailed as error:
            report(f"tests-{servers.name}", where, error)
            failed = error
    if failed is not None:
        raise failed
    # One of a family does, unless every lane is required; even then MariaDB may be absent.
    for flavour, error in missing:
        if not ran or (REQUIRED and flavour == servers.flavours[0]):
            raise error


@contextlib.contextmanager
def server(
    python: Path, servers: Servers, address: str | None, flavour: str
) -> Iterator[tuple[str, dict[str, str], Path | None]]:
    """What the server is called, the variables that name it, and its log if it was started for this."""
    command = [python, "-m", f"tests.servers.{servers.name}", "serve", *(["--flavour", flavour] if flavour else [])]
    # A caller who names a server may name its socket, too; the others of ALSO have only one address.
    own = {} if address == os.environ.get(servers.address) else dict.fromkeys(servers.ways)
    env = clean_environment({servers.address: address, **own})
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=-1, stdout=-1, text=True) as process:
        try:
            answer = json.loads((process.stdout and process.stdout.readline()) or "{}")
            if "variables" not in answer:
                missing = answer.get("unavailable", f"{servers.title}: the server ended while starting")
                raise CommandFailed(missing) if address else NoServer(missing)
            log = Path(answer["log"]) if answer["log"] else None
            yield answer["version"] + (" (private)" if log else ""), answer["variables"], log
        finally:
            if process.stdin:
                process.stdin.close()


def server_passes(
    session: nox.Session, python: Path, servers: Servers, variables: dict[str, str], *, first: bool, private: bool
) -> str:
    """Run the tests in their ways; what came of each."""
    ways = ", ".join(["TCP", *(title for name, title in servers.ways.items() if name in variables)])
    base = NO_SERVERS | {LANES: servers.name}
    only_tcp = base | {servers.address: variables[servers.address]}
    # Starting servers of its own is what a caller with a server may want to be spared; PostgreSQL's come with a wheel.
    own = [] if first and (private or servers is POSTGRES) else ["--ignore", "tests/servers"]
    passes = [(f"asyncio over {ways}", base | variables, session.posargs or own)]
    if not session.posargs:
        if not first:
            passes = [("asyncio over TCP", only_tcp, own)]
        elif os.name != "nt":  # there is no uvloop
            passes.append(("uvloop", only_tcp | {"OXYDE_TEST_LOOP": "uvloop"}, ["tests/conformance"]))
    commands = [(name, [*pytest(python), *arguments], PYTEST, env) for name, env, arguments in passes]
    if not session.posargs and list((ROOT / "crates").glob(f"*/tests/*{servers.name}*.rs")):
        here = rust_environment() | {servers.address: variables[servers.address]}
        commands.append(("engine", rust_on_server(servers), CARGO, here))
        commands.append(("SQL", sql_on_server(servers), CARGO, here))
    results, failed = [], False
    for name, command, counted, env in commands:
        try:
            results.append(f"{name} {lane(session, command, counted, env=env)}")
        except CommandFailed as error:  # the other ways still have something to say
            results.append(f"{name} {error}")
            failed = True
    if failed:
        raise CommandFailed("; ".join(results))
    return "; ".join(results)


def sql_on_server(servers: Servers) -> list[str]:
    """Every statement of the compiler's case list is prepared, every document created and dropped."""
    only = ("-p", "oxyde-sql", "--features", "server-tests", "--test", servers.name)
    return ["cargo", "test", "--locked", *only]


def rust_on_server(servers: Servers) -> list[str]:
    """The tests of the engine that want a server: without one they are ignored."""
    if has_nextest():
        tests = f"package(oxyde-exec) & binary(~{servers.name})"
        return ["cargo", "nextest", "run", *EVERY_CRATE, "--run-ignored", "all", "-E", tests, "--no-fail-fast"]
    only = ("--package", "oxyde-exec", "--locked", "--test", f"{servers.name}*", "--no-fail-fast")
    return ["cargo", "test", *only, "--", "--include-ignored"]


def test_environment(session: nox.Session, version: str, executable: str) -> Path:
    return environment(session, f"tests-{version.rpartition('.')[0]}", "test", "servers", python=executable)


def pytest(python: Path) -> list[object]:
    return [python, "-m", "pytest", "-n", str(os.cpu_count()), "--dist", "worksteal"]


Variables = dict[str, str | None] | None


def lane(
    session: nox.Session,
    command: list,
    counted: re.Pattern,
    *,
    cwd: Path = ROOT,
    env: Variables = None,
    minutes: float = LANE_MINUTES,
) -> str:
    """Run a test runner, show what it prints, and say how many tests passed; no test is a failure, so is a hang."""
    arguments = [str(part) for part in command]
    session.log(" ".join(arguments))
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(
        arguments, cwd=cwd, env=clean_environment(env), text=True, errors="replace", start_new_session=True, **pipes
    )
    watch = threading.Timer(minutes * 60, stop, (process,))
    watch.start()
    passed = 0
    try:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if found := counted.search(line):
                passed += int(next(filter(None, found.groups())))
        code = process.wait()
    finally:
        watch.cancel()
        if process.poll() is None:
            stop(process)
    if code:
        raise CommandFailed(f"failed with exit code {code} ({passed} passed)")
    if not passed:
        raise CommandFailed("no test was executed")
    return f"{passed} passed"


def stop(process: subprocess.Popen[str]) -> None:
    """End a hanging lane: SIGABRT makes faulthandler print every thread's stack, SIGKILL ends what is left."""
    if os.name == "nt":
        process.kill()
        return
    for number in (signal.SIGABRT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


LAST_LINES: list[str] = []


def report(name: str, where: str, result: str | CommandFailed) -> None:
    """Keep a lane's result for the very last lines of the run."""
    ran = "FAILED on" if isinstance(result, CommandFailed) else "ran on"
    LAST_LINES.append(f"{name}: {ran} {where} — {str(result) or 'failed'}")


@atexit.register
def print_last_lines() -> None:
    sys.stderr.flush()
    for line in LAST_LINES:
        print(line, flush=True)


# --------------------------------------------------------------------------------------------------------- environments


def environment(session: nox.Session, name: str, *groups: str, python: str | None = None) -> Path:
    """Make or refresh `.nox/NAME`: the locked packages of these groups, the shared core wheel, `oxyde` editable."""
    wheel = core_wheel(session)
    home = NOX / name
    selected = [part for group in groups for part in ("--group", group)]
    uv(
        session,
        *("sync", "--quiet", "--frozen", "--all-packages", "--no-install-workspace", "--no-default-groups", *selected),
        *("--python", python or interpreters()[0][1]),
        project_environment=home,
    )
    install = ("pip", "install", "--quiet", "--no-deps", "--no-index", "--python", str(venv_python(home)))
    uv(session, *install, "--reinstall-package", "oxyde-core", str(wheel), "--editable", str(ORM))
    return venv_python(home)


def core_wheel(session: nox.Session) -> Path:
    """The release wheel of the core for the present sources, built if there is none yet."""
    digest = hashlib.sha256(subprocess.run(["rustc", "-vV"], check=True, capture_output=True).stdout)
    for path in core_sources():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    folder = NOX / "wheels" / digest.hexdigest()[:16]
    if not list(folder.glob("*.whl")):
        home = NOX / "build"
        only = ("sync", "--quiet", "--frozen", "--no-install-workspace", "--only-group", "build")
        uv(session, *only, "--python", interpreters()[0][1], project_environment=home)
        with tempfile.TemporaryDirectory(dir=NOX) as fresh:
            command = ("build", "--release", "--locked", "--manifest-path", CORE / "Cargo.toml", "--out", fresh)
            run(session, venv_python(home).parent / "maturin", *command, "--interpreter", venv_python(home))
            shutil.rmtree(folder.parent, ignore_errors=True)  # wheels of sources that are gone
            folder.mkdir(parents=True)
            for wheel in Path(fresh).glob("*.whl"):
                shutil.copy2(wheel, folder)
    return next(folder.glob("*.whl"))


def core_sources() -> list[Path]:
    """Every file that goes into the core's wheel."""
    single = [
        ROOT / "Cargo.toml",
        ROOT / "Cargo.lock",
        CORE / "Cargo.toml",
        CORE / "pyproject.toml",
        CORE / "README.md",
    ]
    trees = [*(ROOT / "crates").rglob("*.rs"), *(ROOT / "crates").rglob("Cargo.toml"), *(CORE / "src").rglob("*.rs")]
    python = [p for p in (CORE / "python").rglob("*") if p.suffix in {".py", ".pyi", ".typed"} or p.name == "py.typed"]
    return sorted(path for path in {*single, *trees, *python} if FUZZ not in path.parents)


def uv(session: nox.Session, *arguments: str, project_environment: Path | None = None) -> None:
    """Run uv: the one beside nox, else the one on PATH."""
    try:
        from uv import find_uv_bin

        executable = find_uv_bin()
    except (ImportError, FileNotFoundError):
        executable = shutil.which("uv") or session.error("uv is missing: use `python3 noxfile.py`, or `pip install uv`")
    env = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    if project_environment is not None:
        env["UV_PROJECT_ENVIRONMENT"] = str(project_environment)
    run(session, executable, *arguments, env=env)


def run(session: nox.Session, *command: object, env: Variables = None, silent: bool = False) -> None:
    session.run(
        *(str(part) for part in command),
        env=clean_environment(env),
        include_outer_env=False,
        external=True,
        silent=silent,
    )


def clean_environment(extra: Variables = None) -> dict[str, str]:
    """The caller's variables without those by which an activated environment would leak in; `None` takes one away."""
    leaks = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"}
    kept = {key: value for key, value in os.environ.items() if key not in leaks} | (extra or {})
    return {key: value for key, value in kept.items() if value is not None}


def venv_python(home: Path) -> Path:
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


# --------------------------------------------------------------------------------------------------------- interpreters

_found: list[tuple[str, str]] = []
PROBE = """
import json, platform, sys, sysconfig
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps([sys.implementation.name, free_threaded, platform.python_version(), sys.executable]))
"""


def interpreters() -> list[tuple[str, str]]:
    """One CPython per minor version from 3.11, as (version, executable), lowest first. Found by starting them."""
    if not _found:
        best: dict[str, tuple[str, str]] = {}
        for candidate in candidates():
            with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
                command, env = [candidate, "-c", PROBE], clean_environment()
                answer = subprocess.run(command, capture_output=True, timeout=30, check=True, env=env)
                implementation, free_threaded, version, executable = json.loads(answer.stdout)
                minor = tuple(map(int, re.findall(r"\d+", version)[:2]))
                if implementation == "cpython" and not free_threaded and minor[0] == 3 and minor[1] in MINORS:
                    best.setdefault("{}.{}".format(*minor), (version, executable))
        _found.extend(sorted(best.values(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])]))
    return _found


def candidates() -> Iterator[str]:
    """Where a CPython may be: on PATH by its versioned name, in pyenv (whose shims may refuse to start), this one."""
    for minor in MINORS:
        if found := shutil.which(f"python3.{minor}"):
            yield found
    if root := os.environ.get("PYENV_ROOT") or (str(Path.home() / ".pyenv") if shutil.which("pyenv") else None):
        yield from map(str, sorted(Path(root, "versions").glob("3.*/bin/python3"), reverse=True))
    yield getattr(sys, "_base_executable", sys.executable)
