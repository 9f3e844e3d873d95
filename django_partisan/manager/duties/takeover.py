"""Taking over what a dead predecessor of this manager left unfinished."""

from __future__ import annotations

import logging

from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.config.wording import counted
from django_partisan.fault_points import reach
from django_partisan.lifecycle import managers
from django_partisan.manager.duties.rescue import give_back
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.queue_choice import QueueChoice
from django_partisan.manager.round_trip import RoundTrip
from django_partisan.manager.standing import Standing
from django_partisan.settings import ProcessSettings

logger = logging.getLogger(__name__)


class Takeover:
    """Makes the unfinished tasks of dead predecessors this manager's own.

    They go before all others, so nothing is claimed until it is done; if it fails, claims go on
    meanwhile, and it is tried again.
    """

    def __init__(
        self,
        choice: QueueChoice,
        settings: ProcessSettings,
        heartbeat: Heartbeat,
        standing: Standing,
        round_trip: RoundTrip,
    ) -> None:
        self._choice = choice
        self._max_rescues = settings.MAX_RESCUES
        self._heartbeat = heartbeat
        self._standing = standing
        self._round_trip = round_trip

    def next_deadline(self) -> float:
        """Return at once while there are predecessors, and room for what they held.

        What this process itself still knows of such tasks, after it has lost a registration of its
        own, is recorded before.
        """
        is_due = self._heartbeat.predecessors and self._standing.may_take_over
        return 0.0 if is_due and not len(self._round_trip.recorder) and self._room() else NEVER

    def turn(self, now: float) -> None:
        """Take over as many tasks as there is room for; forget the predecessors after the last."""
        if now < self.next_deadline():
            return
        try:
            self._take_over(self._room())
        except BaseException:
            self._standing.owes_takeover = False  # Claims need not wait for it to succeed.
            raise

    def _room(self) -> int:
        return self._round_trip.room()

    def _take_over(self, limit: int) -> None:
        assert self._heartbeat.manager_id is not None
        orphans = managers.orphans_of(self._heartbeat.predecessors)
        taken = lifecycle.take_over(
            orphans,
            self._heartbeat.manager_id,
            queues=self._choice.condition(),
            limit=limit,
            max_rescues=self._max_rescues,
        )
        reach("manager.took_over")
        if taken:
            # What is left to do comes with the next call: an error of it must not lose these.
            tasks = counted(len(taken), "task")
            logger.warning("took over %s that a former manager left unfinished", tasks)
            self._round_trip.queue.put_first(taken)
            return
        # What they held of other queues goes back there.
        give_back(orphans, self._max_rescues)
        managers.forget(self._heartbeat.predecessors)
        self._heartbeat.predecessors = []
        self._standing.owes_takeover = False
