"""The queues that a manager serves: which of them is claimed from next, and how much."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import NEVER
from django_partisan.database.values import MAX_SURVEYED_QUEUES, Claimed, Survey
from django_partisan.manager.claiming.claimer import Claimer
from django_partisan.manager.claiming.cursors import SurveyBudget
from django_partisan.manager.claiming.listener import Listener
from django_partisan.manager.claiming.prefetch import Pace, Prefetch
from django_partisan.manager.claiming.wakeup import Wakeup
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.queue_choice import QueueChoice
from django_partisan.manager.runtimes import Runtimes
from django_partisan.manager.stride import Stride
from django_partisan.settings import PARTISAN_CONFIG, QueueSettings

FORGET_SECONDS: Final = 300.0
"""How long a queue is served that is not in the settings and has no tasks any more."""
_FRESH_SECONDS: Final = 0.1
"""How long what a survey of several queues has found is worth a claim without another look."""


class Wanted(NamedTuple):
    """A claim to be made: from which queue, of how many tasks at most."""

    claimer: Claimer
    limit: int


class Queues:
    """Has a :class:`Claimer` for each queue, and decides whose turn it is.

    A claim is from one queue. Among those that have something due and room for it, the one that has
    had the least of the workers' time is next, with what waits here counted as if it had been run;
    in strict order, the first one. What is not known to have anything is looked at together with
    the others, in one statement.
    """

    def __init__(
        self,
        choice: QueueChoice,
        settings_of: Callable[[str], QueueSettings],
        link: DatabaseLink,
        local_queue: LocalQueue,
        runtimes: Runtimes,
        stride: Stride | None,
        may_notify: bool,
    ) -> None:
        self.choice = choice
        self.listener = Listener(link, may_notify, self)
        self._settings_of = settings_of
        self._local_queue = local_queue
        self._runtimes = runtimes
        self._stride = stride
        self._budget = SurveyBudget()
        self._claimers: dict[str, Claimer] = {}
        self._short: list[Claimer] = []
        self.is_closed = False
        """Whether nothing is to be claimed any more."""
        self.start_room: Callable[[], int] | None = None
        """Returns how many more tasks may be claimed, where only so many may be started."""
        self._found_at: dict[str, float] = {}
        for name in choice.at_start():
            self._serve(name)
        first = next(iter(self._claimers.values()), None)
        self._only = None if choice.is_several else first
        self._whole = Prefetch(settings_of(choice.first), runtimes)
        """Bounds what waits here of all queues together."""

    @property
    def has_several(self) -> bool:
        """Whether there may be more than one queue."""
        return self._only is None

    @property
    def names(self) -> list[str]:
        """The names of the queues that are served now, in the order in which they were named."""
        return list(self._claimers)

    @property
    def claimers(self) -> Collection[Claimer]:
        """What decides about the claims from each queue."""
        return self._claimers.values()

    def get(self, queue_name: str) -> Claimer | None:
        """Return the claimer of a queue, None where the queue is not served."""
        return self._claimers.get(queue_name)

    def connected(self) -> None:
        """Begin anew on a fresh connection: what was known is void."""
        self.listener.connect()
        for claimer in self._claimers.values():
            claimer.connected()

    # ----- what somebody tells -----

    def serves(self, queue_name: str) -> bool:
        """Say whether a queue is one of those that are served now."""
        return queue_name in self._claimers

    def announced(self, queue_name: str, now: float) -> None:
        """Take note that somebody has announced a task of a queue, of whichever one."""
        claimer = self._claimers.get(queue_name)
        if claimer is None and self.choice.may_find(queue_name):
            self._serve(queue_name)
        elif claimer is not None:
            claimer.wakeup.notified(now)

    def written(self, now: float) -> None:
        """Take note that somebody has written to the file: it may be about any queue."""
        if self._only is not None:
            self._only.wakeup.written(now)
            return
        for claimer in self._claimers.values():
            claimer.wakeup.poll_at(now)

    def found(self, names: Collection[str], now: float) -> None:
        """Serve all queues in which somebody has found tasks, as far as the choice allows it.

        What was found once, has no settings of its own, and has held no task for long is forgotten.
        """
        for name in filter(self.choice.may_find, names):
            if name not in self._claimers:
                self._serve(name)
            self._found_at[name] = now
        for name, found_at in list(self._found_at.items()):
            if found_at < now - FORGET_SECONDS and name not in PARTISAN_CONFIG:
                self._forget(name)

    def expect(self, queue_name: str, moment: float) -> None:
        """Look at a queue again at a moment at the latest: a task of it is due then."""
        claimer = self._claimers.get(queue_name)
        if claimer is not None:
            claimer.wakeup.expect(moment)

    def had_too_many(self, tasks: Iterable[ClaimedTask]) -> None:
        """Take note that tasks have waited here for too long: begin anew with few."""
        self._whole.had_too_many()
        for name in {task.queue_name for task in tasks} & self._claimers.keys():
            self._claimers[name].had_too_many()

    # ----- claims -----

    def room(self, held: int) -> int:
        """Return how many tasks there is room for while so many wait here, of all queues."""
        if self.is_closed:
            return 0
        room = self._whole.limit(held) if self._only is None else self._only.room(held)
        return room if self.start_room is None else min(room, self.start_room())

    def next_deadline(self, held: int) -> float:
        """Return when a claim is due, while so many tasks are held."""
        if not self.room(held):
            return NEVER
        soonest = NEVER
        for claimer in self._in_turn():
            due_at = claimer.due_at()
            if due_at < soonest and claimer.room(self._held(claimer, held)):
                soonest = due_at
                if not due_at:
                    break
        return soonest

    def next_claim(self) -> float:
        """Return when to look for due tasks that nothing is known of yet."""
        awake = (claimer for claimer in self._claimers.values() if not claimer.is_paused)
        return min((claimer.wakeup.at for claimer in awake), default=NEVER)

    def wanted(self, now: float, held: int) -> Wanted | None:
        """Return the claim to make now, while so many tasks are held; None for none."""
        room = self.room(held)
        if not room:
            return None
        due = [claimer for claimer in self._in_turn() if claimer.due_at() <= now]
        for claimer in due:
            claimer.age(now if self._only is not None else now - _FRESH_SECONDS)
        if self._only is None and due:
            due = self._in_order(due, now)
        for claimer in due:
            limit = min(room, claimer.room(self._held(claimer, held)))
            if limit and claimer.is_worth_a_claim(now):
                return Wanted(claimer, limit)
        return None

    def took(
        self, claimer: Claimer, tasks: Claimed, limit: int, now: float, *, was_empty: bool
    ) -> None:
        """Take in what a claim of up to ``limit`` tasks has brought."""
        claimer.took(tasks, limit, now, was_empty=was_empty)
        if claimer.must_look_ahead:
            self._short.append(claimer)

    @property
    def must_look_ahead(self) -> bool:
        """Whether :meth:`look_ahead` has to be called once what was claimed is handed out."""
        return bool(self._short)

    def look_ahead(self, now: float) -> None:
        """Learn what claims have left, and when the next task is due."""
        short = [claimer for claimer in self._short if claimer.must_look_ahead]
        self._short = []
        short = [claimer for claimer in short if claimer.look_ahead(now)]
        if short:
            started = time.monotonic()
            found = lifecycle.survey([claimer.queue_name for claimer in short])
            for claimer in short:
                claimer.looked_ahead(found[claimer.queue_name], started, now)

    def to_survey(self, now: float) -> list[str]:
        """Return the queues that a beat should look at: nothing is known to wait in them."""
        idle = (claimer for claimer in self._claimers.values() if claimer.may_survey(now))
        soonest = sorted(idle, key=attrgetter("wakeup.at"))
        return [claimer.queue_name for claimer in soonest[:MAX_SURVEYED_QUEUES]]

    def surveyed(self, found: Survey, started: float) -> None:
        """Take in what a survey of some queues has found, which was begun at a moment."""
        for name, of_queue in found.items():
            if (claimer := self._claimers.get(name)) is not None:
                claimer.surveyed(of_queue, started)

    def worthwhile_outcomes(self, least: int) -> int:
        """Return how many outcomes make a statement of their own worth it, ``least`` at least."""
        busy = next((claimer for claimer in self._claimers.values() if claimer.has_more), None)
        return least if busy is None else busy.worthwhile_outcomes(least)

    # ----- whose turn it is -----

    def _serve(self, queue_name: str) -> None:
        settings = self._settings_of(queue_name)
        pace: Pace = self._runtimes
        if self._stride is not None:
            pace = self._stride.serve(queue_name, settings.WEIGHT)
        wakeup = Wakeup(self.listener, settings.SLEEP_DELAY_SECONDS)
        self._claimers[queue_name] = Claimer(
            queue_name, settings, wakeup, Prefetch(settings, pace), self._budget
        )

    def _forget(self, queue_name: str) -> None:
        del self._claimers[queue_name], self._found_at[queue_name]
        if self._stride is not None:
            self._stride.forget(queue_name)

    def _in_turn(self) -> Iterator[Claimer]:
        """Yield the queues that may be claimed from; in strict order, no more than it allows."""
        is_strict = self._stride is not None and self._stride.is_strict
        for claimer in self._claimers.values():
            if claimer.is_paused:
                continue
            yield claimer
            if is_strict and claimer.is_known_to_have_more:
                return

    def _held(self, claimer: Claimer, held: int) -> int:
        """Return how many of the tasks that are held count for one queue."""
        return held if self._only is not None else self._local_queue.waiting(claimer.queue_name)

    def _in_order(self, due: list[Claimer], now: float) -> list[Claimer]:
        """Return those of several queues that may be claimed from, the one that is next first.

        What is not known of them is looked at before.
        """
        unknown = [claimer for claimer in due if not claimer.is_known(now)]
        if unknown:
            self._survey(unknown, now)
            due = [c for c in due if c.is_known(now) or c.wakeup.is_expected(now)]
        assert self._stride is not None
        waiting, turn_of = self._local_queue.waiting, self._stride.turn_of
        busy = {name for name, claimer in self._claimers.items() if claimer.has_more}
        self._stride.share_out(busy.union(self._local_queue.queue_names()))
        return sorted(due, key=lambda c: turn_of(c.queue_name, waiting(c.queue_name)))

    def _survey(self, unknown: list[Claimer], now: float) -> None:
        """Look at queues in one statement, and at idle ones along with them."""
        if now < self._budget.allowed_at:
            for claimer in unknown:
                claimer.wakeup.poll_at(self._budget.allowed_at)
            return
        names = [claimer.queue_name for claimer in unknown]
        along = [name for name in self.to_survey(now) if name not in names]
        started = time.monotonic()
        asked = [*names, *along][:MAX_SURVEYED_QUEUES]
        self.surveyed(lifecycle.survey(asked), started)
