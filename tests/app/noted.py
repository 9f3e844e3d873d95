"""What most processors of the tests are: they note in the ledger what they do."""

from __future__ import annotations

import os
from typing import Any

from django_partisan.processor import BaseTaskProcessor
from tests.app.models import Ledger


class Noted(BaseTaskProcessor):
    """Writes "started" and "done" into the ledger around what a subclass does.

    Its result holds the lease it ran under, so that a test can tell which execution was recorded.
    """

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        self.write("started")
        result = self.work(*self.args, **self.kwargs)
        self.write("done")
        return self.proof() if result is None else result

    def work(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def write(self, note: str) -> None:
        Ledger.objects.create(task_id=self.task.id, note=note, **self.proof())

    def proof(self) -> dict[str, int]:
        return {"lease": self.task.lease, "attempt": self.task.attempts, "pid": os.getpid()}

    @property
    def task(self) -> Any:
        assert self._claimed is not None
        return self._claimed
