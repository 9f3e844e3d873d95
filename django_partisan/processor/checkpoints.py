"""The checkpoints of a processor: from where its task goes on when it is tried again."""

from __future__ import annotations

import itertools
import time
from typing import Any, Final

from django.db import connections

from django_partisan import lifecycle
from django_partisan.attempt import Interim
from django_partisan.execution.interims import hearing
from django_partisan.lifecycle.rows import database
from django_partisan.payloads.state import decode_state, encode_state
from django_partisan.processor.calls import note
from django_partisan.processor.telling import Telling

_NOT_READ: Final = object()
_numbers: Final = itertools.count(1)
"""Of one process: an attempt is made in one, so of its checkpoints the highest is the last."""


class Resumable(Telling):
    """The part of a processor by which a task goes on where an attempt before it has ended."""

    has_come_further: bool = False
    """Whether an error of this attempt costs none of the retries that were used before it."""
    _state: Any = _NOT_READ
    _text: str | None = None
    _resumptions: int = 0

    def checkpoint(self, state: Any, durable: bool = False) -> None:
        """Save from where the task goes on when it is tried again, as :attr:`checkpointed`.

        ``state`` may be whatever arguments may be, and takes 64 KiB as JSON at most. It costs next
        to nothing, however often it is called: the worker passes the last one on, once a second and
        with the end of the attempt. Who is killed in between does the work of that second again.

        With ``durable`` it is committed when this returns. In a transaction on the tasks' database
        it is part of that: so each step's effects and its checkpoint commit together, and the step
        is done exactly once. Call it last then; the task's row stays locked until the commit. Both
        use this process's own connection.

        It is kept over retries, rescues, postpones and releases, and forgotten once the task has
        finished. Without a task, as in ``run_now()``, nothing is saved.

        Raises TypeError and ValueError for what cannot be stored, and LeaseLost, in those two cases
        only, when the task is somebody else's by now: the transaction is rolled back then.
        """
        text = encode_state(state, type(self).__name__)
        bound = self._claimed or self._task_obj
        if bound is None:
            self._keep(text)
            return
        version, now = getattr(type(self), "SCHEMA_VERSION", 1), time.monotonic()
        # By position, in the order of the fields: this may be called for each of a million.
        told = (bound.id, bound.lease, now, None, None, "", next(_numbers), text, version)
        interim = Interim(*told, self._resumptions)
        connection = connections[database()]
        if durable or connection.in_atomic_block or self._claimed is None:
            lifecycle.write_checkpoint(interim)
            self._tell_of_checkpoint()
            if connection.in_atomic_block:
                connection.on_commit(lambda: self._keep(text))
                return
        else:
            hearing.listener.note(interim)
        self._keep(text)

    @property
    def checkpointed(self) -> Any:
        """The state that was saved last, of whichever attempt; None before there is any.

        The first look in an attempt reads it from the database, but for a task that was never
        claimed before. What an open transaction has saved counts once that has committed.
        """
        if self._text is not None:
            note(self, "_state", decode_state(self._text))
            note(self, "_text", None)
        elif self._state is _NOT_READ:
            note(self, "_state", self._read())
        return self._state

    @classmethod
    def upgrade_checkpoint(cls, version: int, state: Any) -> Any:  # noqa: ARG003
        """Return what a state of another ``SCHEMA_VERSION`` of this class means for this one.

        It is asked with the first look at a checkpoint that was saved by another version. Unless a
        class says otherwise, the state is taken as it is; None has the task begin anew.
        """
        return state

    def _keep(self, text: str) -> None:
        # As the next attempt gets it, and whatever becomes of what was given.
        note(self, "_text", text)

    def _read(self) -> Any:
        bound = self._claimed or self._task_obj
        if bound is None or bound.lease == 1:
            return None
        stored = lifecycle.stored_checkpoint(bound.id)
        if stored is None:
            return None
        note(self, "_resumptions", stored.resumptions)
        self._tell_of_checkpoint()
        state = decode_state(stored.text)
        if stored.version == getattr(type(self), "SCHEMA_VERSION", 1):
            return state
        return self.upgrade_checkpoint(stored.version, state)

    def _tell_of_checkpoint(self) -> None:
        """Let it be known that there is one, to be forgotten once the task has finished."""
        if self._claimed is not None:
            told = Interim(self._claimed.id, self._claimed.lease, time.monotonic())
            hearing.listener.note(told._replace(number=next(_numbers)))
        else:
            self._note_on_task()
