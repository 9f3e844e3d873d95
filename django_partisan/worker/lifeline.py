"""The lifeline: a thread that ends a worker whose manager is gone."""

from __future__ import annotations

import logging
import os
import select
import threading
import time

logger = logging.getLogger(__name__)


def watch_manager(tokens: int, orphan_seconds: float) -> None:
    """End the process once the manager is gone and the running task has had its time."""
    thread = threading.Thread(
        target=_end_without_manager, args=(tokens, orphan_seconds), daemon=True, name="lifeline"
    )
    thread.start()


def _end_without_manager(tokens: int, orphan_seconds: float) -> None:
    hang_up = select.poll()
    # No event asked for: only the hang-up of the pipe's last writer, the manager, ends the wait.
    hang_up.register(tokens, 0)
    while not hang_up.poll():
        pass
    time.sleep(orphan_seconds)
    logger.error("the manager has been gone for %g s; worker %d ends", orphan_seconds, os.getpid())
    logging.shutdown()
    os._exit(1)
