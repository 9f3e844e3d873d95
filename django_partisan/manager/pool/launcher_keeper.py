"""The process that workers are forked from: kept running, and replaced when it has ended."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Iterable
from typing import Any, Final, Protocol

from django_partisan.backoff import Backoff
from django_partisan.exceptions import WorkerBootError
from django_partisan.manager.pool.launcher_client import (
    BootFailed,
    Event,
    Exited,
    Gone,
    LauncherClient,
    Ready,
    Refused,
    Started,
)
from django_partisan.process_groups import Session, own_session
from django_partisan.shortage import Shortage

logger = logging.getLogger(__name__)
_BOOTS: Final = 5
"""So many times it may be killed before it has loaded the project."""
_LAUNCH_SECONDS: Final = (0.2, 30.0)
"""The first and the longest wait before one that has ended is replaced."""


class LauncherObserver(Protocol):
    """What is told of a launcher: what becomes of its workers, what it lacks, its end."""

    def started(self, event: Started) -> None:
        """Take note that a worker was forked."""

    def refused(self, event: Refused) -> None:
        """Take note that a worker could not be forked."""

    def exited(self, event: Exited) -> None:
        """Take note that a worker has ended."""

    def lacks(self, error: BaseException) -> None:
        """Take note that the machine lacks what it takes."""

    def launcher_ended(self) -> None:
        """Take note that the workers are this process's own children from now on."""


class LauncherKeeper:
    """Keeps one launcher. It waits for nothing: what happens comes through ``selector``."""

    def __init__(
        self,
        options: dict[str, Any],
        selector: selectors.BaseSelector,
        observer: LauncherObserver,
    ) -> None:
        self._options = options
        # Linux shares a CPU out by sessions: of one, manager and workers get what they need of it.
        self._session = own_session()
        self._selector = selector
        self._observer = observer
        self.client: LauncherClient | None = None
        """The process; None while it is to be replaced."""
        self.at = 0.0
        """When another one may be started (monotonic)."""
        self.has_booted = False
        """Whether the project has been loaded once."""
        self.sessions: list[Session] = []
        """Those that workers belong to; another list whenever there is another launcher."""
        self._noted: list[Session] = self.sessions
        self._killed_boots = 0
        self._backoff = Backoff(*_LAUNCH_SECONDS)

    @property
    def has_new_session(self) -> bool:
        """Whether there is a session that a successor of this manager would not know of."""
        return self._noted is not self.sessions

    @property
    def may_start_workers(self) -> bool:
        """Whether workers can be asked for, and whoever takes over would find them."""
        return self.client is not None and self.client.is_ready and not self.has_new_session

    def sessions_are_noted(self, sessions: list[Session]) -> None:
        """Take note that whoever takes over will know these: they may have workers from now on."""
        self._noted = sessions

    def start(self, in_use: Iterable[Session], now: float) -> None:
        """Start one where there is none and it is time; ``in_use`` are the workers' sessions.

        A worker may outlive its launcher. Raises the error when the machine lacks what it takes.
        """
        if self.client is not None or now < self.at:
            return
        self.client = LauncherClient(self._options, self._session)
        self._selector.register(self.client, selectors.EVENT_READ, self.take_events)
        self.sessions = [*{*in_use, self.client.session}]

    def take_events(self) -> None:
        """Take in what it has reported."""
        if self.client is not None:
            for event in self.client.events():
                self._take(event)

    def drop(self) -> None:
        """Let it end, if there is one."""
        if self.client is not None:
            self._selector.unregister(self.client)
            self.client.close()
            self.client = None

    def _take(self, event: Event) -> None:
        match event:
            case Ready():
                self.has_booted = True
                self._backoff.reset()
            case Started():
                self._observer.started(event)
            case Refused(0, lacking):
                what = "the process that starts workers could not begin"
                self._observer.lacks(Shortage(what, lacking))
                self.drop()
            case Refused():
                self._observer.refused(event)
            case Exited():
                self._observer.exited(event)
            case BootFailed():
                self._boot_failed(event.text)
            case Gone():
                self._gone()

    def _boot_failed(self, text: str) -> None:
        if not self.has_booted:
            raise WorkerBootError(f"The project could not be loaded:\n{text}")
        logger.error("the project could not be loaded for new workers:\n%s", text)

    def _gone(self) -> None:
        if self.client is None:
            return
        if not self.has_booted and not self._may_boot_again(self.client):
            raise WorkerBootError("The process that starts workers ended unexpectedly")
        self.drop()
        self._observer.launcher_ended()
        wait = self._backoff.next()
        self.at = time.monotonic() + wait
        logger.error("the process that starts workers is gone; starting a new one in %.1f s", wait)

    def _may_boot_again(self, client: LauncherClient) -> bool:
        """Say whether it was killed from outside, and not time after time."""
        self._killed_boots += 1
        return client.was_killed and self._killed_boots < _BOOTS
