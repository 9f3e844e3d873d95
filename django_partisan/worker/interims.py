"""What running tasks tell of themselves, sent to the manager at most once a second."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from django_partisan.attempt import ClaimedTask, Interim

SEND_SECONDS: Final = 1.0
"""How far apart the reports of a worker are on tasks that go on."""


class Interims:
    """Keeps the last that each task has told, and sends it from a thread of its own.

    Whoever tells only leaves a value behind: an interruption may be raised at any line of that, and
    must not tear a message in two. What is told between two reports replaces what was told before.
    Nothing is lost by that: :meth:`settle` sends the last word before the end is reported.

    ``wanted_back`` holds ids and leases of the tasks that the manager would have back.
    """

    def __init__(
        self, send: Callable[[Interim], None], wanted_back: set[tuple[int, int]] | None = None
    ) -> None:
        self._send = send
        self._wanted_back = set() if wanted_back is None else wanted_back
        self._told: dict[tuple[int, int], Interim] = {}
        self._sending = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()
        self._is_awake = False
        self.tellers: set[tuple[int, int]] = set()
        """The ids and leases of the tasks that have told anything and are not settled."""

    def start(self) -> None:
        """Begin to send, in a thread."""
        threading.Thread(target=self._serve, daemon=True, name="interims").start()

    def note(self, interim: Interim) -> None:
        """Take in what a task tells; the thread sends it soon."""
        key = interim[:2]
        self._told[key] = interim.over(self._told.get(key))
        self.tellers.add(key)
        if not self._is_awake:
            self._is_awake = True
            # A lock, and no pipe, which a task might close; nobody else can have released it but
            # another thread that tells at this very moment.
            with contextlib.suppress(RuntimeError):
                self._wake.release()

    def has_heard(self, task: ClaimedTask) -> bool:
        """Say whether a task has told anything in this attempt."""
        return bool(self.tellers) and task[:2] in self.tellers

    def wants_back(self, task: ClaimedTask) -> bool:
        """Say whether the manager would have a task back that can stop between two steps."""
        return bool(self._wanted_back) and task[:2] in self._wanted_back

    def settle(self, task: ClaimedTask) -> None:
        """Send the last that a task has told, if that has not been sent; its end comes next."""
        key = task[:2]
        if key in self.tellers:
            with self._sending:
                self._send_of(key)
            self.tellers.discard(key)

    # ----- in the thread -----

    def _serve(self) -> None:
        while True:
            self._wake.acquire()
            while self._send_all():
                time.sleep(SEND_SECONDS)

    def _send_all(self) -> bool:
        """Send what there is; say whether to look again in a while."""
        if not self._told:
            self._is_awake = False
            # Who has told since and has found it awake is heard now.
            if not self._told:
                return False
            self._is_awake = True
        for key in list(self._told):
            with self._sending, contextlib.suppress(OSError):
                self._send_of(key)
        return True

    def _send_of(self, key: tuple[int, int]) -> None:
        told = self._told.pop(key, None)
        if told is not None:
            self._send(told)
