"""What a manager may do at this moment, and the registration that it depends on."""

from __future__ import annotations

import logging
from typing import Any

from django_partisan.config.wording import counted, listed
from django_partisan.fault_points import reach
from django_partisan.lifecycle import managers
from django_partisan.logs import say
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.heartbeat import Fence, Heartbeat
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.models import ManagerProcess
from django_partisan.registry.registry import registry

logger = logging.getLogger(__name__)


class Standing:
    """Answers who may act, in one place, and keeps the manager registered.

    It is a duty itself: it registers and beats. Its errors are those of the database, which
    claiming and recording meet as well, so it has no error boundary of its own.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        link: DatabaseLink,
        pool: WorkerPool,
        queue: LocalQueue,
        queues: Queues,
    ) -> None:
        self._heartbeat = heartbeat
        self._link = link
        self._pool = pool
        self._launcher = pool.launcher
        self._queue = queue
        self._queues = queues
        self.is_stopping = False
        """Whether the shutdown has begun: nothing new is begun any more."""
        self._known_connects = 0
        self.owes_takeover = False
        """Whether unfinished tasks of a dead predecessor go before all others."""
        self.is_behind = False
        """Whether more signals wait to be sent than should: receivers take too long."""

    # ----- who may act -----

    @property
    def may_begin_work(self) -> bool:
        """Whether anything may be begun that other managers must know of."""
        return not self.is_stopping and self._heartbeat.fence() is Fence.OPEN

    @property
    def may_hand_out(self) -> bool:
        """Whether workers may be given tasks: what they do can be recorded, as it seems."""
        return self._link.is_up and self.may_begin_work

    @property
    def may_take_over(self) -> bool:
        """Whether tasks may be made one's own: there will be workers for them."""
        return self._launcher.has_booted and self.may_begin_work

    @property
    def may_claim(self) -> bool:
        """Whether waiting tasks may be claimed."""
        return not (self.owes_takeover or self.is_behind) and self.may_take_over

    # ----- the registration -----

    def next_deadline(self) -> float:
        """Return when the next beat is due, or at once where the row is not what it should be.

        At once as well on a fresh connection: what it leads to may know nothing of this manager.
        """
        is_known = self._known_connects == self._link.connects
        is_due = not is_known or self._launcher.has_new_session
        return 0.0 if is_due else self._heartbeat.next_deadline()

    def turn(self, now: float) -> None:
        """Register where that is not done, and beat when it is time to."""
        if self._heartbeat.manager_id is None:
            self._register()
        elif self._launcher.has_new_session:
            self._note_launchers(self._heartbeat.manager_id)
        if now >= self.next_deadline():
            self._beat(now)
            reach("manager.beaten")

    def abandon(self) -> None:
        """Give up every task and the registration; outcomes at hand are still tried to record."""
        self._heartbeat.lose()
        self._queue.take_all()
        self._pool.kill("the manager lost its standing")
        self._queue.take_all()

    def _beat(self, now: float) -> None:
        """Beat; what is idle is looked at in the same breath, which saves a poll."""
        states = ManagerProcess.State
        state = states.STOPPING if self.is_stopping else states.RUNNING
        idle = self._queues.to_survey(now) if self.may_claim else ()
        pulse = self._heartbeat.beat(state, self._snapshot(now), idle)
        if pulse is None:
            logger.error("this manager's registration is gone: stopping what runs")
            self.abandon()
            self._register()
        else:
            self._queues.surveyed(pulse.found, now)
        self._known_connects = self._link.connects

    def _register(self) -> None:
        sessions = self._launcher.sessions
        self._heartbeat.register(sessions)
        self._launcher.sessions_are_noted(sessions)
        self._known_connects = self._link.connects
        self.owes_takeover = bool(self._heartbeat.predecessors)
        reach("manager.registered")
        say(
            logger,
            "manager %d%s on %s serves %s with %s (%s, %s)",
            self._heartbeat.manager_id,
            f" ({self._heartbeat.label})" if self._heartbeat.label else "",
            self._heartbeat.identity.node_name,
            self._queues.choice,
            counted(self._pool.count, "worker"),
            self._link.connection.display_name,
            self._queues.listener.mode,
        )
        _say_which_processors()

    def _note_launchers(self, manager_id: int) -> None:
        sessions = self._launcher.sessions
        managers.note_launchers(manager_id, sessions)
        self._launcher.sessions_are_noted(sessions)

    def _snapshot(self, now: float) -> dict[str, Any]:
        workers = [worker.snapshot(now) for worker in self._pool.workers.values()]
        return {"workers": workers, "waiting": self._queue.qsize()}


def _say_which_processors() -> None:
    names = registry.names()
    if names:
        say(logger, "it knows %s: %s", counted(len(names), "processor"), listed(names))
    else:
        logger.warning(
            "no processor is registered, so every task will fail: decorate classes with"
            " @registry.register in the module partisan_tasks of an app in INSTALLED_APPS"
        )
