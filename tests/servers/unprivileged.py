"""Servers refuse to be run by root, so root runs them as `nobody`, from directories that `nobody` can reach."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwd import struct_passwd

# PostgreSQL looks its user up by id: a number without an entry would not do.
ACCOUNTS = ("nobody", "postgres", "daemon")


def account() -> struct_passwd | None:
    """Who runs the servers: `None` is the user of this process."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"root needs an account to run servers with: none of {', '.join(ACCOUNTS)} exists")


def popen_options() -> dict[str, Any]:
    """How subprocess starts a server: in a process group of its own, as the unprivileged account."""
    options: dict[str, Any] = {"start_new_session": True, "cwd": "/"}
    if (user := account()) is not None:
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


def reachable(path: Path) -> bool:
    """Whether the account can read and execute what is at this path."""
    if account() is None:
        return True
    everybody = stat.S_IXOTH | stat.S_IROTH
    ancestors = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
    return ancestors and path.stat().st_mode & everybody == everybody


def directory(prefix: str) -> Path:
    """A new directory of the account: short, for the 107 bytes of a unix socket's path, and open to read."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if os.access(parent, os.W_OK) and len(parent) < 40 and reachable(Path(parent)):
            break
    else:
        raise RuntimeError("no temporary directory with a short path that every user can reach")
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    made.chmod(0o755)
    give(made)
    return made


def give(path: Path) -> None:
    if (user := account()) is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def within_reach(path: Path, folder: Path, *beside: Path) -> Path:
    """The tree at this path, or a copy of it in `folder` if the account cannot get there (a checkout below /root).

    What the tree finds by going up from itself stands `beside` it; copies keep the places to each other.
    """
    if reachable(path):
        return path
    home = Path(os.path.commonpath([path.parent, *(other.parent for other in beside)]))
    for tree in (path, *beside):
        shutil.copytree(tree, folder / tree.relative_to(home), symlinks=True)
    return folder / path.relative_to(home)
