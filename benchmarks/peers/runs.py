"""One run of one variant of a queue: a drain, or single tasks for idle workers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from benchmarks.figures import BenchError
from benchmarks.peers.catalogue import Peer, Variant, Work
from benchmarks.peers.child import WARM_UP
from benchmarks.peers.drivers import OPTIONS_VARIABLE
from benchmarks.peers.stores import Stores
from tools.ledger import Runs, not_once

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHONS: Final = "3.11 3.12 3.13 3.14"
DRAIN_SECONDS: Final = 90
STOP_SECONDS: Final = 10


def install(peer: Peer) -> dict[str, str]:
    """Make a queue's environment unless it is there; return its versions."""
    command = ["tools/environment.sh", str(_directory(peer)), PYTHONS, *peer.requirements]
    done = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise BenchError(f"cannot be installed: {_last_line(done.stderr)}")
    place = _Place(peer, peer.variants[0], {}, "nothing")
    versions: dict[str, str] = place.ask("versions", *peer.distributions)
    return versions


def drain(peer: Peer, variant: Variant, stores: Stores, tasks: int, work: Work) -> dict[str, float]:
    """Let two workers empty a queue in which ``tasks`` tasks wait; check that each ran once.

    Return tasks per second, without the start of any process: ``recorded`` from the first start of
    a task until the queue knew every task as done, ``bulk`` enqueued.
    """
    with Runs.create(tasks) as runs, stores.empty(variant.store) as urls:
        place = _Place(peer, variant, urls, work)
        filled = place.ask("fill", tasks)
        stores.settle(variant.store)
        with place.working(variant, tasks) as moments:
            pass
        _check(runs, tasks)
        if work == "orm" and place.ask("written") != tasks:
            raise BenchError("not every task has written its row")
    return {
        "tasks": tasks,
        "recorded": tasks / (moments["recorded"] - moments["first"]) * 1e9,
        "bulk": tasks / filled,
    }


def singles(
    peer: Peer, variant: Variant, stores: Stores, calls: int, pickups: int
) -> dict[str, Any]:
    """Enqueue ``calls`` tasks one by one, then ``pickups`` for workers that wait for them.

    Return how many were ``enqueued`` per second, and the ``waits`` in milliseconds.
    """
    tasks = calls + WARM_UP + pickups
    with Runs.create(tasks) as runs, stores.empty(variant.store) as urls:
        place = _Place(peer, variant, urls, "nothing")
        place.ask("fill", 0)
        seconds = place.ask("singles", calls)
        with place.working(variant, calls):
            waits = place.ask("pickups", calls, pickups, variant.poll_seconds)
        _check(runs, tasks)
    return {"enqueued": calls / seconds, "waits": waits}


def _check(runs: Runs, tasks: int) -> None:
    if texts := [problem.text for problem in not_once(runs.times(tasks), recorded=tasks)]:
        raise BenchError(f"not every task ran exactly once: {'; '.join(texts)}")


def _directory(peer: Peer) -> Path:
    short = re.sub(r"\W+", "-", peer.name.lower()).strip("-")
    return ROOT / ".cache" / f"venv-peer-{short}"


class _Place:
    """The environment of a queue, and what its driver is told in one run."""

    def __init__(self, peer: Peer, variant: Variant, urls: dict[str, str], work: Work) -> None:
        self._peer = peer
        told: dict[str, Any] = {
            **urls,
            "settings": peer.settings,
            "options": variant.options,
            "work": work,
        }
        # At their best, all of them keep Django's connections open.
        told["max_age"] = 0 if variant.name.startswith("default") else 600
        self._variables = {
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            "PYTHONPATH": str(ROOT),
            "PEER_DRIVER": peer.driver,
            OPTIONS_VARIABLE: json.dumps(told),
        }
        if peer.settings or work == "orm":
            self._variables["DJANGO_SETTINGS_MODULE"] = "benchmarks.peers.drivers.django_settings"

    def ask(self, *words: object) -> Any:
        """Run the child to its end; return its answer, raise BenchError when it fails."""
        with tempfile.NamedTemporaryFile(prefix="partisan-bench-") as log:
            process = self._child(log, *words)
            try:
                output, _ = process.communicate(timeout=300)
            except subprocess.TimeoutExpired as error:
                raise BenchError(f"{words[0]} took more than 300 s") from error
            finally:
                process.kill()
            if process.returncode != 0:
                raise BenchError(f"{words[0]} failed: {_said(log)}")
        return json.loads(output.splitlines()[-1])

    @contextlib.contextmanager
    def working(self, variant: Variant, tasks: int) -> Iterator[dict[str, int]]:
        """Have workers run ``tasks`` tasks; yield begin and end, with workers idle."""
        with (
            tempfile.NamedTemporaryFile(prefix="partisan-bench-") as log,
            tempfile.NamedTemporaryFile(prefix="partisan-bench-") as other_log,
            contextlib.ExitStack() as stack,
        ):
            # Workers start when it waits for them: so nothing slows their start.
            watcher = self._child(other_log, "watch", tasks, DRAIN_SECONDS)
            stack.callback(_stop, watcher)
            if not (watcher.stdout and watcher.stdout.readline()):
                raise BenchError(f"its driver does not run: {_said(other_log)}")
            for _ in range(self._peer.copies):
                worker = self._start(log, log, *self._peer.worker, *variant.arguments)
                stack.callback(_stop, worker)
            output, _ = watcher.communicate()
            if watcher.returncode != 0:
                raise BenchError(f"not done after {DRAIN_SECONDS} s: {_said(log)}")
            yield json.loads(output)

    def _child(self, log: IO[bytes], *words: object) -> subprocess.Popen[str]:
        command = ("python", "-m", "benchmarks.peers.child", *map(str, words))
        return self._start(log, subprocess.PIPE, *command)

    def _start(self, log: IO[bytes], out: Any, *command: str) -> subprocess.Popen[str]:
        program, *arguments = command
        return subprocess.Popen(
            [_directory(self._peer) / "bin" / program, *arguments],
            cwd=ROOT,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[str]) -> None:
    """Stop a process in order; after a while at once, whatever it has started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(log: IO[bytes]) -> str:
    return _last_line(Path(log.name).read_text(errors="replace"))[-200:]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
