"""Memory: what a manager, the process that starts workers and two workers take, shared out."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from benchmarks.drain import check_once
from benchmarks.engine import ROOT, running_engine, wait_until_serving
from benchmarks.figures import Figure, Target
from benchmarks.pss import is_known, pss_of
from benchmarks.rows import Rows, clear, fill
from benchmarks.tally import Tally

TARGET: Final = Target(bound=1.3, is_maximum=True)
BARE: Final = "import django, sys; django.setup(); print('ready', flush=True); sys.stdin.read()"


def measure(tasks: int) -> Iterator[Figure]:
    """Compare an engine, idle and after ``tasks`` tasks, with bare processes of the project."""
    if not is_known():
        return
    bare, three = _bare(1), _bare(3)
    yield Figure.of_runs("memory, bare django.setup() process", [bare], "MB")
    yield Figure.of_runs("memory, three of them at once", [three], "MB")
    clear()
    with Tally(tasks) as tally:
        with running_engine() as engine:
            wait_until_serving(engine)
            engine.wait_until(lambda: len(engine.processes) == 4, "the start to end")
            yield from _compared("idle", _pss(p.pid for p in engine.processes), bare)
            fill(Rows(count=tasks))
            engine.wait_until(lambda: tally.ran() >= tasks, "the last task")
            name = f"after {tasks:,} tasks"
            yield from _compared(name, _pss(p.pid for p in engine.processes), bare)
        check_once(tally)


def _compared(name: str, pss: float, bare: float) -> Iterator[Figure]:
    yield Figure.of_runs(f"memory, manager + 2 workers, {name}", [pss], "MB")
    ratio = pss / (3 * bare)
    yield Figure.of_runs(f"memory, {name}: / three bare", [ratio], "times", TARGET)


def _bare(count: int) -> float:
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_bare_process()) for _ in range(count)]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        return _pss([process.pid for process in processes])


def _bare_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", BARE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"},
    )


def _pss(pids: Iterable[int]) -> float:
    return sum(pss_of(pid) for pid in pids)
