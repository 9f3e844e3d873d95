"""PostgreSQL: the notifications that have arrived on a connection of either driver."""

from __future__ import annotations

import select
from typing import Any


def watch_notifications(raw: Any) -> None:
    """Collect psycopg 3's notifications: else one that arrives with a result is lost."""
    if hasattr(raw, "add_notify_handler"):
        raw.partisan_notifications = []
        raw.add_notify_handler(lambda notify: raw.partisan_notifications.append(notify.payload))


def drain_notifications(raw: Any) -> list[str]:
    """Return the payloads that a driver's connection has received, without waiting."""
    if raw is None:
        return []
    if hasattr(raw, "add_notify_handler"):
        return _drain_psycopg3(raw)
    raw.poll()
    payloads = [notify.payload for notify in raw.notifies]
    raw.notifies.clear()
    return payloads


def _drain_psycopg3(raw: Any) -> list[str]:
    readable = select.poll()
    readable.register(raw.fileno(), select.POLLIN)
    if readable.poll(0):
        raw.pgconn.consume_input()
    payloads: list[str] = raw.partisan_notifications
    while (notify := raw.pgconn.notifies()) is not None:
        payloads.append(notify.extra.decode())
    raw.partisan_notifications = []
    return payloads
