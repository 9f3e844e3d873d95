"""The soak itself: producer, manager, samples, a worker killed now and then, and the ledger."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

import psutil

from benchmarks.engine import ROOT, STOP_SECONDS, Engine, running_engine, wait_until_serving
from benchmarks.figures import BenchError
from benchmarks.machine import describe_database, describe_machine
from benchmarks.soak import ledger
from benchmarks.soak.progress import display
from benchmarks.soak.sampling import Sampler, by_role
from benchmarks.tally import Tally
from django_partisan.models import Task

SAMPLES: Final = 600
"""At most so many: a longer run is sampled less often."""
KILL_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 60
_EXAMPLES: Final = 10


class Soak:
    """One soak; ``stopping`` ends it early."""

    def __init__(self, seconds: float, rate: float, stopping: threading.Event) -> None:
        self._seconds = seconds
        self._rate = rate
        self._stopping = stopping
        self._interval = max(1.0, seconds / SAMPLES)
        self._kill_seconds = min(KILL_SECONDS, seconds / 3)
        self._killed = 0
        self._watched = 0.0
        self._machine: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """Soak, and return the report. Raise BenchError when a process ended by itself."""
        self._machine = {**describe_machine(), **describe_database()}
        ledger.prepare()
        most = int(self._rate * self._seconds)
        with Tally(most + 1) as tally:
            with running_engine() as engine:
                wait_until_serving(engine)
                sampler = Sampler(lambda: engine.processes, self._interval)
                with Producer(self._rate, most) as producer:
                    self._watch(engine, producer, sampler)
                    enqueued = producer.stop()
                _wait_until_drained(engine)
            runs = tally.contents()
        return self._report(sampler, enqueued, runs)

    def _watch(self, engine: Engine, producer: Producer, sampler: Sampler) -> None:
        """Sample and kill until the time is up."""
        kill_at = self._kill_seconds
        with display(self._seconds) as show:
            for moment in self._moments(sampler):
                engine.check()
                producer.check()
                show(sampler.take())
                if moment >= kill_at:
                    kill_at += self._kill_seconds
                    self._kill_a_worker(engine)
        self._watched = sampler.seconds

    def _moments(self, sampler: Sampler) -> Iterator[float]:
        next_at = 0.0
        while sampler.seconds < self._seconds and not self._stopping.is_set():
            yield sampler.seconds
            next_at += self._interval
            self._stopping.wait(max(0.0, min(next_at, self._seconds) - sampler.seconds))

    def _kill_a_worker(self, engine: Engine) -> None:
        workers = by_role(engine.processes)["worker"]
        with contextlib.suppress(psutil.Error, IndexError):
            random.choice(workers).kill()
            self._killed += 1

    def _report(self, sampler: Sampler, enqueued: int, runs: bytes) -> dict[str, Any]:
        left = ledger.left_behind()
        statuses, problems = ledger.problems(ledger.noted_ends(), runs, enqueued, left)
        kinds = [problem.kind for problem in problems]
        return {
            "machine": self._machine,
            "minutes": round(self._watched / 60, 2),
            "rate": self._rate,
            "counts": {
                "enqueued": enqueued,
                **{status: statuses[status] for status in Task.TERMINAL_STATUSES},
                "workers": len(sampler.workers),
                "killed": self._killed,
                "vacuums": sampler.vacuums,
            },
            "problems": {kind: kinds.count(kind) for kind in ledger.ALL},
            "examples": [problem.text for problem in problems[:_EXAMPLES]],
            "series": sampler.columns,
        }


class Producer:
    """The process that enqueues."""

    def __init__(self, rate: float, most: int) -> None:
        self._options = (f"--rate={rate}", f"--most={most}")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak.producer", *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C reaches us, and we stop it in order
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def check(self) -> None:
        """Raise BenchError when it has ended by itself."""
        if self._process.poll() is not None:
            raise BenchError("The producer ended; its own words are above.")

    def stop(self) -> int:
        """End it; return how many tasks it has enqueued."""
        words, _ = self._process.communicate(timeout=STOP_SECONDS)
        if self._process.returncode != 0:
            raise BenchError("The producer failed; its own words are above.")
        return int(words)


def _wait_until_drained(engine: Engine) -> None:
    """Give every task the time to end; what has not ended then is found by the ledger."""
    unended = Task.objects.exclude(status__in=Task.TERMINAL_STATUSES)
    deadline = time.monotonic() + DRAIN_SECONDS
    engine.wait_until(
        lambda: not unended.exists() or time.monotonic() > deadline,
        "the last tasks",
        seconds=2 * DRAIN_SECONDS,
        pause=0.1,
    )
