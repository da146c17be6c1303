"""A program that is started while the database is busy: what descriptors does it find?"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

from common import Account, Entry, arguments, long, prepared, report

from oxyde import execute_raw

LIST = """
import json, os
paths = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
print(json.dumps([os.readlink(path) for path in paths if os.path.exists(path)]))
"""


def ours(targets: list[str], path: str) -> list[str]:
    """The file or the sockets, and what wakes the loop."""
    return [target for target in targets if target.startswith((path, "socket:")) or "eventfd" in target]


async def main() -> None:
    url, _ = arguments()
    path = url.removeprefix("sqlite:///")
    database = await prepared(url, accounts=5)
    await Account.objects.get(id=1)
    work = asyncio.create_task(execute_raw(long(1_000_000)))
    await Entry.objects.create(nonce="x")
    own = [
        os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
    ]
    listed = subprocess.run([sys.executable, "-I", "-S", "-c", LIST], close_fds=False, capture_output=True, check=True)
    await work
    await database.disconnect()
    report(inherited=ours(json.loads(listed.stdout), path), own=len(ours(own, path)))


asyncio.run(main())
