"""Firing schedules at their moments, and storing those of the code when the manager starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import django_partisan
from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.lifecycle.code_schedules import declared_schedules, store_code_schedules
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.standing import Standing

BLOCKED_SECONDS: Final = 5.0
"""How soon to try again a schedule whose task is kept out by an open transaction's."""
UNSETTLED_SECONDS: Final = 60.0
"""How soon to look again at schedules of the code that other live managers have otherwise."""


class Scheduler:
    """Fires what is due, whatever queue its tasks are for; every manager does, without a leader.

    It waits for the exact moment of the next tick. That is told by each beat, so that what somebody
    adds or changes is noticed within a beat, and a manager without schedules sends nothing more for
    them. Raises ConfigurationError where two schedules of the code have one name.
    """

    def __init__(
        self, heartbeat: Heartbeat, standing: Standing, wake: Callable[[set[str], float], None]
    ) -> None:
        self._heartbeat = heartbeat
        self._standing = standing
        self._wake = wake
        """Has this manager look at its queue where that has got tasks."""
        self._declared = declared_schedules()
        self._stored_by: int | None = None
        self._store_at = NEVER
        self._blocked: set[int] = set()
        self._unblock_at = NEVER

    def next_deadline(self) -> float:
        """Return when the next tick is due; NEVER while no work may be begun."""
        if not self._standing.may_begin_work:
            return NEVER
        if self._stored_by != self._heartbeat.manager_id:
            return 0.0
        return min(self._store_at, self._unblock_at, self._heartbeat.schedules_due_at)

    def turn(self, now: float) -> None:
        """Store the code's schedules where that is not done, and fire what is due."""
        if now < self.next_deadline():
            return
        is_first = self._stored_by != self._heartbeat.manager_id
        if is_first or now >= self._store_at:
            self._store(now)
        if now >= self._unblock_at:
            self._blocked, self._unblock_at = set(), NEVER
            self._heartbeat.schedules_due_at = now
        if is_first or now >= self._heartbeat.schedules_due_at:
            fired = lifecycle.fire_schedules(self._blocked)
            due_in = fired.due_in
            if fired.blocked:
                self._blocked |= fired.blocked
                self._unblock_at = min(self._unblock_at, now + BLOCKED_SECONDS)
            self._heartbeat.schedules_due_at = NEVER if due_in is None else now + due_in
            if fired.queue_names:
                self._wake(fired.queue_names, now)

    def _store(self, now: float) -> None:
        manager_id, identity = self._heartbeat.manager_id, self._heartbeat.identity
        assert manager_id is not None
        is_settled = store_code_schedules(
            self._declared,
            manager_id,
            self._heartbeat.dead_after,
            f"manager {manager_id} on {identity.node_name}, {django_partisan.__version__}",
        )
        self._stored_by = manager_id
        self._store_at = NEVER if is_settled else now + UNSETTLED_SECONDS
