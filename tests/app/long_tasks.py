"""Processors that tell of themselves while they run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.db import OperationalError, transaction

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import PostponeTask
from django_partisan.processor import IterationProcessor
from django_partisan.registry import registry
from tests.app.models import Ledger
from tests.app.noted import Noted


@registry.register
class TellProgress(Noted):
    """Tells many times how far it is, and at each gate waits for a file to be there."""

    def work(self, times: int, *gates: str) -> None:
        for gate in ("", *gates):
            while gate and not Path(gate).exists():
                time.sleep(0.01)
            for number in range(times + 1):
                self.progress(number, times, Path(gate).name)


@registry.register
class TellAtomically(TellProgress):
    ATOMIC = True


class Stop(Exception):
    """Ends an attempt in the middle."""


@registry.register
class GoOn(Noted):
    """Does so many steps, notes each, and saves how many are done; at ``stop_at`` it ends once."""

    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(Stop, OperationalError), retries_count=1, retry_pause=0
    )

    def work(self, steps: int, how: str = "error", stop_at: int = -1, gate: str = "") -> None:
        first = (self.checkpointed or {"done": 0})["done"]
        self.write(f"from {first}")
        for number in range(first, steps):
            if number == stop_at and first == 0:
                self.stop(how, gate)
            self.step(number)

    def step(self, number: int) -> None:
        self.write(f"step {number}")
        self.checkpoint({"done": number + 1})

    def stop(self, how: str, gate: str) -> None:
        if how == "error":
            raise Stop
        if how == "postpone":
            raise PostponeTask(0)
        while not Path(gate).exists():
            time.sleep(0.01)


@registry.register
class GoOnDurably(GoOn):
    def step(self, number: int) -> None:
        self.write(f"step {number}")
        self.checkpoint({"done": number + 1}, durable=True)


@registry.register
class GoOnAtomically(GoOn):
    def step(self, number: int) -> None:
        with transaction.atomic():
            self.write(f"step {number}")
            self.checkpoint({"done": number + 1})


@registry.register
class SaveOften(Noted):
    """Saves many checkpoints, and tells how long that took."""

    def work(self, times: int) -> Any:
        began = time.monotonic()
        for number in range(times):
            self.checkpoint({"place": number})
        return time.monotonic() - began


@registry.register
class Iterate(IterationProcessor):
    """Notes each of so many items; each takes so many seconds."""

    UNIQUE_FOR_PARAMS = False
    COUNT = True
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(Exception,), retries_count=3, retry_pause=0
    )

    def items(self, cursor: Any) -> Any:
        return range(self.args[0])

    def each(self, item: int) -> None:
        if len(self.args) > 1:
            time.sleep(self.args[1])
        self.write(f"item {item}")

    def write(self, word: str) -> None:
        assert self._claimed is not None
        Ledger.objects.create(task_id=self._claimed.id, lease=self._claimed.lease, note=word)


@registry.register
class IterateAtomically(Iterate):
    EACH_ATOMIC = True


@registry.register
class IterateInTurns(Iterate):
    MAX_RUNTIME_SECONDS = 1


@registry.register
class FailAtItem(Iterate):
    """Fails at the item that its second argument names, each time."""

    def each(self, item: int) -> None:
        if item == self.args[1]:
            self.write(f"failure {item}")
            raise Stop
        self.write(f"item {item}")


@registry.register
class IterateThrottled(Iterate):
    """Is throttled as long as a file is not there."""

    def throttle(self) -> float | None:
        return None if Path(self.args[2]).exists() else 0.1


@registry.register
class SaveAtomically(Noted):
    """Saves a checkpoint within the transaction that records its end."""

    ATOMIC = True

    def work(self) -> None:
        self.checkpoint("of no use")
