"""The server programs of MySQL and MariaDB: those of the machine, else Oracle MySQL unpacked from Debian's packages.

Nothing is installed: the packages of Debian's unstable suite (about 60 MB) are fetched once from the mirror that the
machine's own apt uses, checked by apt, unpacked below the user's cache directory and run with the C library that came
with them. Removing the folder ``oxyde-tests`` from there is all it takes to get rid of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .unavailable import Unavailable

TITLES = {"mysql": "MySQL", "mariadb": "MariaDB"}
OLDEST = {"mysql": (8, 0, 19), "mariadb": (10, 6, 0)}
"""What Oxyde works with."""

# Servers belong to the administrator's programs, which are not on everybody's PATH.
FOLDERS = (
    *("/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/local/mysql/bin"),
    *(f"{brew}/opt/{name}/bin" for brew in ("/opt/homebrew", "/usr/local") for name in ("mysql", "mariadb")),
)
NAME_A_SERVER = "name a server with OXYDE_TEST_MYSQL_URL"


@dataclass(frozen=True)
class Program:
    """A server program that is there."""

    flavour: str
    version: tuple[int, ...]
    command: tuple[str, ...]
    """How it is started; options follow."""
    options: tuple[str, ...] = ()
    """Where an unpacked one has its own files."""


def find(flavour: str) -> Program:
    """The first of this flavour that Oxyde supports; raises `Unavailable` with what stands in the way."""
    too_old = []
    for program in map(ask, candidates()):
        if program is not None and program.flavour == flavour:
            if program.version >= OLDEST[flavour]:
                return program
            too_old.append(".".join(map(str, program.version)))
    if flavour == "mysql":
        return unpacked()
    reason = f"{', '.join(too_old)} is older than 10.6" if too_old else "there is no `mariadbd` on this machine"
    raise Unavailable(f"MariaDB: {reason} (on Debian: apt install mariadb-server-core), or {NAME_A_SERVER}")


def candidates() -> Iterator[tuple[str, ...]]:
    """Commands that may be such a server, whichever name they go by (Debian's `mysqld` may be MariaDB's)."""
    seen = set()
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), *FOLDERS):
        for name in ("mysqld", "mariadbd"):
            found = Path(folder, name)
            if folder and os.access(found, os.X_OK) and (real := found.resolve()) not in seen:
                seen.add(real)
                yield (str(real),)


def ask(command: tuple[str, ...], options: tuple[str, ...] = ()) -> Program | None:
    """What a program says it is."""
    try:
        asked = [*command, "--no-defaults", *options, "--version"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    if (found := re.search(r"Ver (\d+)\.(\d+)\.(\d+)", said)) is None:
        return None
    return Program("mariadb" if "MariaDB" in said else "mysql", tuple(map(int, found.groups())), command, options)


# -------------------------------------------------------------------------------------------------------- Oracle MySQL


def cache() -> Path:
    """The user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "oxyde-tests")


def unpacked() -> Program:
    """The MySQL of the cache, which is filled first if need be."""
    home = cache() / "mysql"
    if not home.exists():
        fill(home)
    try:
        (mysqld,) = home.glob("usr/sbin/mysqld")
        (loader,) = home.glob("usr/lib/*/ld-linux-*")
    except ValueError:
        raise Unavailable(f"MySQL: {home} holds no server any more; remove that folder") from None
    share = home / "usr" / "share" / "mysql"
    options = {
        "lc_messages_dir": share,
        "character_sets_dir": share / "charsets",
        "plugin_dir": home / "usr" / "lib" / "mysql" / "plugin",
        "secure_file_priv": "NULL",
    }
    libraries = f"{loader.parent}{os.pathsep}{home / 'usr' / 'lib' / 'mysql' / 'private'}"
    command = (str(loader), "--library-path", libraries, str(mysqld))
    program = ask(command, tuple(f"--{name}={value}" for name, value in options.items()))
    if program is None:
        raise Unavailable(f"MySQL: what was unpacked to {home} does not run here; {NAME_A_SERVER}")
    return program


def fill(home: Path) -> None:
    """Fetch and unpack, once even if several processes want it at the same time."""
    why = reason_against()
    if why is not None:
        raise Unavailable(f"MySQL: there is no `mysqld` on this machine, and {why}; {NAME_A_SERVER}")
    import fcntl

    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name("mysql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return
        print("Unpacking MySQL for the tests (about 60 MB, once).", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="unpacking-") as folder:
            try:
                unpack(Path(folder))
            except (OSError, subprocess.CalledProcessError) as error:
                said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
                raise Unavailable(f"MySQL: its packages cannot be had ({' '.join(said)}); {NAME_A_SERVER}") from error
            Path(folder, "root").rename(home)


def reason_against() -> str | None:
    if sys.platform != "linux":
        return "Debian's packages of it run on Linux only"
    if missing := [name for name in ("apt-get", "apt-cache", "dpkg") if shutil.which(name) is None]:
        return f"Debian's packages of it cannot be fetched without {missing[0]}"
    if mirror() is None:
        return "this machine's apt does not know a mirror of Debian (on Ubuntu: apt install mysql-server-core)"
    return None


def mirror() -> str | None:
    """Debian's mirror in the machine's own sources."""
    sites = said("apt-get", "indextargets", "--format", "$(SITE)").split()
    return next((site for site in sites if site.rstrip("/").endswith("/debian")), None)


def unpack(folder: Path) -> None:
    """`root` in this folder becomes what the packages hold."""
    for name in ("lists/partial", "archives/partial", "debs", "root"):
        (folder / name).mkdir(parents=True)
    keys = [line for line in said("dpkg", "-L", "debian-archive-keyring").split() if "archive-keyring." in line]
    signed = f" [signed-by={keys[0]}]" if keys else ""
    (folder / "sources.list").write_text(f"deb{signed} {mirror()} sid main\n")
    apart = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder,
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
    }
    options = [f"-o{name}={value}" for name, value in apart.items()]
    said("apt-get", *options, "-qq", "update")
    only = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    closure = said("apt-cache", *options, "depends", "--recurse", *only, "mysql-server-core").splitlines()
    # Perl is for scripts that are not used.
    names = sorted({line for line in closure if line[:1].isalnum() and "perl" not in line})
    said("apt-get", *options, "-qq", "download", *(f"{name}/sid" for name in names), cwd=folder / "debs")
    for package in (folder / "debs").iterdir():
        said("dpkg", "-x", str(package), str(folder / "root"))


def said(*command: str, cwd: Path | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, env=environment)
    return done.stdout
