"""Another process that commits to an SQLite file when it is told to."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SCRIPT: Final = """
import sqlite3, sys
path, synchronous = sys.argv[1:]
connection = sqlite3.connect(path, timeout=60, isolation_level=None)
connection.execute("PRAGMA synchronous = " + synchronous)
for line in sys.stdin:
    for statement in line.strip().split(";"):
        connection.execute(statement).fetchall()
    print("done", flush=True)
connection.close()
"""


def a_write() -> str:
    """Return a statement that changes the file and nothing that anybody reads.

    Never the same one twice: SQLite writes nothing where nothing would change.
    """
    return f"PRAGMA user_version = {time.time_ns() % 2**31}"


class OtherWriter:
    """Runs statements on a connection of its own, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, statements: str | None = None) -> None:
        """Run statements, separated by semicolons, or a write; return once they are done."""
        self.begin(statements)
        self.finish()

    def begin(self, statements: str | None = None) -> None:
        """Have them run and return at once."""
        assert self._process.stdin is not None
        print(statements or a_write(), file=self._process.stdin, flush=True)

    def is_done(self) -> bool:
        """Say whether what was begun is done."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def finish(self) -> None:
        """Wait for what was begun."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def other_writer(path: object, synchronous: str = "NORMAL") -> Iterator[OtherWriter]:
    """Start the process; it closes its connection and ends with the block."""
    command = [sys.executable, "-c", _SCRIPT, str(path), synchronous]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield OtherWriter(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
