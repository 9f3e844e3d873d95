"""What a manager does when it is due, one module each; each is a :class:`Duty`."""

from __future__ import annotations

from typing import Protocol


class Duty(Protocol):
    """Something that the manager does when it is due.

    The loop calls :meth:`turn` in every turn and waits no longer than until the least of all
    deadlines, so a duty says in one place when it may act: both methods ask the same condition.
    """

    def next_deadline(self) -> float:
        """Return the moment, of the monotonic clock, at which there is something to do.

        NEVER while there is nothing, or while the manager may not do it.
        """

    def turn(self, now: float) -> None:
        """Do what is due; raises the database's error, and may then be called again."""


__all__ = ["Duty"]
