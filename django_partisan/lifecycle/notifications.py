"""Notifying managers of new tasks: after the commit, and once per queue and window."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Final

from django.db import Error, connections

from django_partisan.database import dialect_for
from django_partisan.logs import one_line
from django_partisan.settings import get_process_settings

logger = logging.getLogger(__name__)
WINDOW_SECONDS: Final = 0.02
"""A process notifies a queue at most once in this time. A manager that was notified claims again
one window later, which finds every task whose own notification was left out."""
_CANCEL: Final = "!cancel "
PAUSES_PAYLOAD: Final = "!pauses"
"""What is sent for :func:`announce_pauses`; no queue has such a name."""
_last_sent: dict[tuple[str, str], float] = {}


def announce(alias: str, queue_name: str) -> None:
    """Wake the managers of a queue after the current transaction, or now when there is none.

    Never raises for a lost connection: the task is stored, and polling finds it.
    """
    if not dialect_for(alias).can_notify or not get_process_settings().NOTIFY:
        return
    connection = connections[alias]
    # Under AUTOCOMMIT = False there is nobody to call such a hook; the server itself waits then.
    if connection.in_atomic_block and connection.settings_dict["AUTOCOMMIT"]:
        connection.on_commit(partial(_notify, alias, queue_name), robust=True)
    else:
        _notify(alias, queue_name)


def announce_cancel(alias: str, queue_name: str) -> None:
    """Have the managers of a queue look for tasks to stop, once the transaction is committed.

    Each is sent, however many there are: nobody looks again later as with new tasks.
    """
    _send_after_commit(alias, cancel_payload(queue_name))


def announce_pauses(alias: str) -> None:
    """Have all managers look at what is paused, once the transaction is committed."""
    _send_after_commit(alias, PAUSES_PAYLOAD)


def cancel_payload(queue_name: str) -> str:
    """Return what is sent for :func:`announce_cancel`; no queue has such a name."""
    return f"{_CANCEL}{queue_name}"


def cancelled_queue(payload: str) -> str | None:
    """Return the queue that :func:`announce_cancel` is about, None for any other payload."""
    return payload.removeprefix(_CANCEL) if payload.startswith(_CANCEL) else None


def _send_after_commit(alias: str, payload: str) -> None:
    if not dialect_for(alias).can_notify or not get_process_settings().NOTIFY:
        return
    connection = connections[alias]
    if connection.in_atomic_block and connection.settings_dict["AUTOCOMMIT"]:
        connection.on_commit(partial(_send, alias, payload), robust=True)
    else:
        _send(alias, payload)


def _notify(alias: str, queue_name: str) -> None:
    now = time.monotonic()
    if now - _last_sent.get((alias, queue_name), -WINDOW_SECONDS) < WINDOW_SECONDS:
        return
    _last_sent[alias, queue_name] = now
    _send(alias, queue_name)


def _send(alias: str, payload: str) -> None:
    try:
        dialect_for(alias).notify(connections[alias], payload)
    except Error as error:
        logger.warning("queue %s: managers could not be notified: %s", payload, one_line(error))
