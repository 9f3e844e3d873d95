"""The pool of workers: kept at their number, handed tasks, and buried when they die."""

from __future__ import annotations

import logging
import os
import selectors
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import NEVER, STARVED_WORKER
from django_partisan.fault_points import reach
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool import reaping
from django_partisan.manager.pool.chunks import Chunks, SharedChunks
from django_partisan.manager.pool.launcher_client import Exited, Refused, Started, death_reason
from django_partisan.manager.pool.launcher_keeper import LauncherKeeper
from django_partisan.manager.pool.observer import PoolObserver
from django_partisan.manager.pool.output import OutputPipes
from django_partisan.manager.pool.respawn import Respawn
from django_partisan.manager.pool.scarcity import Scarcity
from django_partisan.manager.pool.sharing import Sharing
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.manager.runtimes import CHUNK_SECONDS, CHUNK_TASKS, Runtimes
from django_partisan.manager.start_limit import StartLimit
from django_partisan.shortage import Shortage, is_shortage

logger = logging.getLogger(__name__)
_STATUS_SECONDS: Final = 1.0
_LAST_BREATH_SECONDS: Final = 0.1


class WorkerPool:
    """A fixed number of workers. It waits for nothing: its events come through ``selector``."""

    def __init__(
        self,
        count: int,
        options: dict[str, Any],
        selector: selectors.BaseSelector,
        runtimes: Runtimes,
        sharing: Sharing | None = None,
        pipes: OutputPipes | None = None,
    ) -> None:
        """``pipes`` are to capture what tasks print; None leaves it where it goes by itself."""
        self.pipes = pipes
        self.count = count
        """How many workers there should be."""
        self._selector = selector
        self._runtimes = runtimes
        self._sharing = sharing
        self.launcher = LauncherKeeper(options, selector, self)
        """The process that the workers are forked from."""
        self._respawn = Respawn()
        self._scarcity = Scarcity()
        self._statuses: dict[int, int] = {}
        self._reaped: dict[int, int] = {}
        self._adopted: set[int] = set()
        self._is_stopping = False
        self._last_number = 0
        self.workers: dict[int, WorkerHandle] = {}
        self.start_limit: StartLimit | None = None
        """How many more tasks may be started, where that is limited."""

    def observe(self, observer: PoolObserver) -> None:
        """Tell somebody what becomes of tasks; to be called once, before anything else."""
        self._observer = observer
        if self._sharing is None:
            self._chunks = Chunks(self._runtimes, observer.prove_start)
        else:
            self._chunks = SharedChunks(self._runtimes, observer.prove_start, self._sharing)

    @property
    def places(self) -> int:
        """How many tasks the workers run at once, as far as they have any."""
        if self._sharing is None:
            return self.count
        return sum(worker.places for worker in self.workers.values())

    @property
    def in_hand(self) -> int:
        """How many tasks the workers have in hand, the running ones included."""
        return sum(len(worker.in_hand) for worker in self.workers.values())

    @property
    def has_idle(self) -> bool:
        """Whether a worker has nothing to do."""
        return any(worker.accepts and not worker.in_hand for worker in self.workers.values())

    @property
    def has_enough(self) -> bool:
        """Whether no worker will need anything for the next moments."""
        return bool(self.workers) and all(worker.has_enough for worker in self.workers.values())

    def held_ids(self) -> set[int]:
        """Return the ids of all tasks in hand."""
        return {item.task.id for worker in self.workers.values() for item in worker.in_hand}

    def describe(self, now: float) -> Iterator[str]:
        """Yield a sentence about each worker."""
        return (worker.describe(now) for worker in self.workers.values())

    def turn(self, now: float) -> None:
        """Start what is missing: the launcher, and workers up to their number."""
        if self._is_stopping:
            return
        self._reap()
        if now < self._scarcity.at:
            return
        try:
            self._start_missing(now)
        except (OSError, RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            self.lacks(error)

    def next_deadline(self) -> float:
        """Return when :meth:`turn` has something to do, NEVER while nothing is missing."""
        if self._is_stopping:
            return NEVER
        if self.launcher.client is None:
            return max(self.launcher.at, self._scarcity.at)
        is_short = self.launcher.may_start_workers and len(self.workers) < self.count
        return max(self._respawn.at, self._scarcity.at) if is_short else NEVER

    def hand_out(self, queue: LocalQueue, now: float) -> None:
        """Give waiting tasks to the workers that have too little to do."""
        if not queue.qsize():
            return
        if self._sharing is None:
            self._hand_out_once(queue, now)
        else:
            # One may have room for what another one has none for, beyond its own share.
            while queue.qsize() and self._hand_out_once(queue, now):
                pass

    def _hand_out_once(self, queue: LocalQueue, now: float) -> bool:
        count, limit = len(self.workers), self.start_limit
        has_any = False
        for worker in sorted(self.workers.values(), key=lambda worker: len(worker.in_hand)):
            most = CHUNK_TASKS if limit is None else limit.left(self.in_hand)
            if worker.accepts and (chunk := self._chunks.next(worker, queue, count, most)):
                reach("manager.handing_out")
                if self._sharing is None:
                    worker.hand_out(chunk, now)
                else:
                    worker.hand_out(chunk, now, self._sharing.places(chunk[0][0]))
                reach("manager.handed_out")
                self._watch_writes(worker)
                has_any = True
        return has_any

    def receive(self, worker: WorkerHandle) -> None:
        """Take in what a worker has reported so far."""
        outcomes = worker.receive(time.monotonic())
        if worker.told:
            self._observer.told(worker.told)
            worker.told = []
        for task, outcome in outcomes:
            reach("manager.heard")
            if outcome.started is not None:
                seconds = outcome.ended - outcome.started
                if worker.places > 1:
                    seconds /= worker.places  # What it took of the worker's time.
                self._runtimes.learn(task.processor_class, seconds)
            self._observer.ended(worker, task, outcome)

    def rebalance(self, queue: LocalQueue, now: float) -> float:
        """Take unstarted tasks from behind a slow one while another worker is idle.

        Returns when to look again, NEVER when nobody is idle.
        """
        if self._sharing is not None:
            for worker in self.workers.values():
                if worker.is_sharing and worker.is_stopping and worker.in_hand:
                    queue.put_first(worker.take_back())
        if not self.has_idle or queue.qsize():
            return NEVER
        crowded = [worker for worker in self.workers.values() if worker.is_crowded]
        for worker in crowded:
            if now - worker.changed_at >= CHUNK_SECONDS:
                queue.put_first(worker.take_back())
        return now + CHUNK_SECONDS if crowded else NEVER

    def take_back(self) -> list[ClaimedTask]:
        """Take back everything that has not been started."""
        return [task for worker in self.workers.values() for task in worker.take_back()]

    def stop(self) -> None:
        """Let every worker end after what it runs, or a step of it; start no new ones."""
        self._is_stopping = True
        for worker in self.workers.values():
            worker.ask_back(lambda _: True)
            worker.stop()

    def ask_back(self, is_wanted: Callable[[ClaimedTask], bool]) -> None:
        """Ask that tasks be given back which run, and can be stopped between two steps."""
        for worker in self.workers.values():
            worker.ask_back(is_wanted)

    def kill(self, reason: str) -> None:
        """End all workers now, without blame on their tasks, and take note of each death."""
        for worker in list(self.workers.values()):
            worker.kill(reason)
        for worker in list(self.workers.values()):
            self._bury(worker)

    def close(self) -> None:
        """Kill what is left, end the launcher, and wait for it."""
        self._is_stopping = True
        self.kill("the manager ends")
        self.launcher.drop()
        if self.pipes is not None:
            self.pipes.close()

    # ----- what the launcher tells -----

    def started(self, event: Started) -> None:
        """Take note of a worker's process."""
        worker = self.workers.get(event.number)
        if worker is None:
            # Buried before it was heard of; it ends by itself, its channel is closed.
            if event.pidfd is not None:
                os.close(event.pidfd)
            return
        worker.pid, worker.pidfd = event.pid, event.pidfd
        if worker.is_killed:
            worker.send_kill()
        logger.debug("worker %d started", event.pid)
        if event.pidfd is not None:
            self._selector.register(event.pidfd, selectors.EVENT_READ, lambda: self._bury(worker))

    def refused(self, event: Refused) -> None:
        """Take note that there is no process for a worker."""
        self.lacks(Shortage("a worker could not be started", event.errno))
        worker = self.workers.get(event.number)
        if worker is not None:
            worker.kill_reason = "it could not be started"
            self._statuses[worker.number] = 0  # There is no process that could have another.
            self._bury(worker)

    def exited(self, event: Exited) -> None:
        """Take note of how a worker has ended."""
        self._statuses[event.number] = event.status
        worker = self.workers.get(event.number)
        if worker is not None:
            self._bury(worker)

    def lacks(self, error: BaseException) -> None:
        """Ask for nothing for a while: the machine lacks what it takes."""
        running = sum(worker.pid is not None for worker in self.workers.values())
        self._scarcity.met(error, running, self.count)

    def launcher_ended(self) -> None:
        """Take note that the workers are this process's own children from now on."""
        self._adopted |= {worker.pid for worker in self.workers.values() if worker.pid is not None}

    # ----- starting and burying -----

    def _start_missing(self, now: float) -> None:
        self.launcher.start((worker.launcher.session for worker in self.workers.values()), now)
        if self.launcher.may_start_workers and now >= self._respawn.at:
            self._start_workers(now)

    def _start_workers(self, now: float) -> None:
        if len(self.workers) >= self.count:
            self._scarcity.has_all(now)
        while len(self.workers) < self.count and self._start_worker(now):
            if self._scarcity.is_on:
                self._scarcity.asked(now)
                break

    def _start_worker(self, now: float) -> bool:
        launcher = self.launcher.client
        assert launcher is not None
        self._last_number += 1
        make_output = None if self.pipes is None else self.pipes.make
        worker = WorkerHandle(self._last_number, now, launcher, make_output)
        is_asked = False
        try:
            is_asked = launcher.request_worker(worker.number, worker.descriptors)
        finally:
            if not is_asked:
                worker.close()
        if not is_asked:
            return False
        worker.close_theirs()
        reach("manager.asked_for_a_worker")
        self.workers[worker.number] = worker
        if worker.output is not None:
            lost = "the machine lacks a descriptor for what it prints"
            worker.output.on_loss = partial(worker.kill, lost)
        self._selector.register(worker.channel, selectors.EVENT_READ, self._reader(worker))
        return True

    def _reader(self, worker: WorkerHandle) -> Callable[[], None]:
        def read() -> None:
            if worker.output is not None and worker.output.must_wait(self._listener(worker)):
                # Or its next task would print what nobody can take yet.
                self._selector.unregister(worker.channel)
                return
            if worker.channel.has_unsent:
                worker.channel.flush()
                self._watch_writes(worker)
            self.receive(worker)
            if worker.is_gone:
                self._bury(worker)

        return read

    def _listener(self, worker: WorkerHandle) -> Callable[[], None]:
        """Return what listens to a worker again, unless it is dead by then."""

        def listen() -> None:
            if self.workers.get(worker.number) is worker and not self._hears(worker):
                self._selector.register(worker.channel, selectors.EVENT_READ, self._reader(worker))
                self._watch_writes(worker)

        return listen

    def _hears(self, worker: WorkerHandle) -> bool:
        return worker.channel in self._selector.get_map()

    def _watch_writes(self, worker: WorkerHandle) -> None:
        if not self._hears(worker):
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.channel.has_unsent else 0)
        key = self._selector.get_key(worker.channel)
        if key.events != events:
            self._selector.modify(worker.channel, events, key.data)

    def _bury(self, worker: WorkerHandle) -> None:
        """Take in a dead worker's last reports, its death, and what it had in hand.

        In this order: it has to be dead before its channel is read for the last time; what it has
        reported must be known before its tokens say what it had not started; its status is asked
        for while it is no worker of the pool any more, since that takes in other events; and the
        observer, who may ask the pool, hears of it when everything else is done.
        """
        if self.workers.get(worker.number) is not worker:
            return
        reach("manager.burying")
        # Whoever closes his channel is no use, even if he still breathes.
        is_limited = worker.kill_reason or worker.is_over_limit
        is_cut_off = not is_limited and not worker.wait_until_dead(_LAST_BREATH_SECONDS)
        worker.send_kill()
        self.receive(worker)
        del self.workers[worker.number]
        unstarted = worker.take_back()
        if worker.output is not None and worker.running is not None:
            worker.output.rest_is_of(worker.running)
        status = self._wait_for_status(worker)
        reason = f"worker {worker.pid} {death_reason(status)}"
        if is_cut_off:
            reason += " since its channel was closed or garbled"
        if self._hears(worker):
            self._selector.unregister(worker.channel)
        if worker.pidfd is not None:
            self._selector.unregister(worker.pidfd)
        if self._has_starved(worker, status):
            worker.kill_reason = reason
            self.lacks(Shortage("a worker could not begin", 0))
        if not (worker.is_stopping or worker.is_killed):
            self._respawn.died(reason)
        self._observer.died(worker, unstarted, reason)
        worker.close()

    def _has_starved(self, worker: WorkerHandle, status: int | None) -> bool:
        """Say whether a worker ended for lack of something before it took a task."""
        has_code = status is not None and os.waitstatus_to_exitcode(status) == STARVED_WORKER
        return has_code and not worker.in_hand

    def _wait_for_status(self, worker: WorkerHandle) -> int | None:
        deadline = time.monotonic() + _STATUS_SECONDS
        while worker.number not in self._statuses and worker.launcher is self.launcher.client:
            if not worker.launcher.wait(deadline - time.monotonic()):
                break
            self.launcher.take_events()
        if worker.number in self._statuses:
            return self._statuses.pop(worker.number)
        worker.wait_until_dead(deadline - time.monotonic())
        self._reap()
        return self._reaped.pop(worker.pid or 0, None)

    def _reap(self) -> None:
        """Reap workers whose launcher died before them, and what tasks left running behind."""
        launcher = None if self.launcher.client is None else self.launcher.client.pid
        if ended := reaping.reap(launcher, self._adopted):
            self._adopted -= ended.keys()
            # Bounded: only a worker that is buried right after is ever looked up.
            self._reaped = dict([*self._reaped.items(), *ended.items()][-100:])
