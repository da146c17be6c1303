"""Runs the Python blocks of Markdown files, so that what the documentation shows is what the code does.

The blocks of one page run in order, in one module and an empty folder of their own, as a reader would type them;
`await` works at the top level, as in `python -m asyncio`. What a block prints is compared with the comments that
follow the printing statement:

    print(1 + 1)
    #> 2

A block that is there to fail names the error in its first line: `#! raises FieldError`. A fence `python` is run; `py`
is only shown (for files that another program owns, such as settings).
"""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import traceback
import types
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```python\b[^\n]*\n(?P<body>.*?)^(?P=indent)```\s*?$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"^\s*#> ?(.*)$")
RAISES = re.compile(r"^#! raises (\w+)")


@dataclass
class Block:
    page: Path
    line: int
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, match.start("body")) + 1, textwrap.dedent(match["body"]))
        for match in FENCE.finditer(text)
    ]


async def run_page(page: Path) -> list[str]:
    """Run the blocks of a page in order; return what went wrong (at most one thing: later blocks build on it)."""
    module = types.ModuleType("__main__")
    module.__file__ = str(page)
    sys.modules["__main__"] = module
    for block in blocks(page):
        at = f"{block.page}:{block.line}"
        raises = RAISES.search(block.code)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                await execute(block, module)
        except Exception as error:
            if raises and type(error).__name__ == raises[1]:
                if (wrong := compare(block.code, printed.getvalue() + f"{error}\n")) is not None:
                    return [f"{at}: {wrong}"]
                continue
            return [f"{at}: the block failed\n{''.join(traceback.format_exception(error, limit=-6))}"]
        if raises:
            return [f"{at}: {raises[1]} was not raised"]
        if (wrong := compare(block.code, printed.getvalue())) is not None:
            return [f"{at}: {wrong}"]
    return []


async def execute(block: Block, module: types.ModuleType) -> None:
    # Empty lines before it make the line numbers of a traceback those of the page.
    source = "\n" * (block.line - 1) + block.code
    code = compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    # A program that calls asyncio.run() itself cannot do so inside this loop: it gets a thread of its own.
    if "asyncio.run(" in block.code:
        await asyncio.to_thread(exec, code, module.__dict__)
    else:
        result = eval(code, module.__dict__)  # with top-level await the code object evaluates to a coroutine
        if inspect.isawaitable(result):
            await result


def compare(code: str, printed: str) -> str | None:
    """Compare with the `#>` comments; a block without any may print what it likes."""
    expected = [match[1].rstrip() for line in code.splitlines() if (match := EXPECTED.match(line))]
    actual = [line.rstrip() for line in printed.splitlines()]
    if not expected or expected == actual:
        return None
    return "\n  ".join(["printed", *actual, "but the page says", *expected])


def main(paths: list[str]) -> None:
    if paths[:1] == ["--page"]:
        problems = asyncio.run(run_page(Path(paths[1])))
        sys.exit("\n".join(problems) or 0)
    pages = [page for path in map(Path, paths) for page in ([path] if path.is_file() else sorted(path.rglob("*.md")))]
    count = failed = 0
    for page in pages:
        if not (found := blocks(page)):
            continue
        count += len(found)
        with tempfile.TemporaryDirectory(
            prefix="oxyde-docs-"
        ) as folder:  # a process each: pages define the same models
            command = [sys.executable, "-W", "error", __file__, "--page", str(page.resolve())]
            failed += subprocess.run(
                command, cwd=folder, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, timeout=300
            ).returncode
        print(f"{page}: {len(found)} blocks", flush=True)
    print(f"docs: {count} blocks ran on {len(pages)} pages, {failed} pages failed")
    sys.exit(failed or not count)


if __name__ == "__main__":
    main(sys.argv[1:])
