"""Telling dependents that the tasks they wait for have ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django_partisan import lifecycle
from django_partisan.backoff import Backoff
from django_partisan.config.const import NEVER
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.recorder import Recorder
from django_partisan.manager.standing import Standing

_LOCKED_SECONDS: Final = (0.005, 0.05)
"""The first and the longest wait where somebody has locked a dependent."""


class Dependents:
    """Tells right after a record that has left a mark, and of marks that a beat has found.

    Whose tasks they are does not matter, as with a rescue. ``freed`` is told of the queues in which
    dependents can be claimed.
    """

    def __init__(
        self,
        recorder: Recorder,
        heartbeat: Heartbeat,
        standing: Standing,
        freed: Callable[[str, float], None],
    ) -> None:
        self._recorder = recorder
        self._heartbeat = heartbeat
        self._standing = standing
        self._freed = freed
        self._again_at = NEVER
        self._locked = Backoff(*_LOCKED_SECONDS)

    def next_deadline(self) -> float:
        """Return when there is something to tell; NEVER while nothing is known of."""
        if not self._standing.may_begin_work:
            return NEVER
        return 0.0 if self._recorder.has_untold or self._heartbeat.has_untold else self._again_at

    def turn(self, now: float) -> None:
        """Tell a batch."""
        if now < self.next_deadline():
            return
        told = lifecycle.tell_dependents()
        if told.has_locked:
            self._again_at = now + self._locked.next()
        else:
            self._again_at = NEVER
            self._locked.reset()
        self._recorder.has_untold = told.has_more and not told.has_locked
        self._heartbeat.has_untold = False
        for queue_name in told.queue_names:
            self._freed(queue_name, now)
