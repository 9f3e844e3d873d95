"""The lifeline: a thread that ends a worker whose manager is gone."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Callable
from typing import NoReturn

logger = logging.getLogger(__name__)


class Lifeline:
    """Ends a worker at once when its manager is gone, with all that its task has started.

    How the task ends could not be recorded any more, and it may run again at any moment. Mostly
    the launcher is faster: it does the same, even while a task keeps Python from running a thread.
    """

    def __init__(self, tokens: int, hand_back: Callable[[], None]) -> None:
        """Take the pipe of tokens, whose only writer is the manager.

        ``hand_back`` has what is printed go elsewhere than to the manager.
        """
        self._tokens = tokens
        self._hand_back = hand_back

    def start(self) -> None:
        """Begin to watch, in a thread."""
        threading.Thread(target=self._watch, daemon=True, name="lifeline").start()

    def is_cut(self) -> bool:
        """Say whether the manager is gone."""
        return self._has_hung_up(wait=0)

    def _has_hung_up(self, wait: int | None) -> bool:
        hang_up = select.poll()
        # No event asked for: only the hang-up of the pipe's last writer ends a wait.
        hang_up.register(self._tokens, 0)
        return any(event & select.POLLHUP for _, event in hang_up.poll(wait))

    def _watch(self) -> None:
        if not self._has_hung_up(wait=None):
            return  # The task has closed the pipe; its worker ends after it.
        self.end()

    def end(self) -> NoReturn:
        """End the worker, and what its tasks have started."""
        self._hand_back()
        logger.error("the manager is gone; worker %d ends", os.getpid())
        logging.shutdown()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
