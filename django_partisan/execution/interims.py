"""Where running tasks tell of themselves: whoever hosts the attempts of a process listens there."""

from __future__ import annotations

from typing import Protocol

from django_partisan.attempt import ClaimedTask, Interim


class Listener(Protocol):
    """Who takes in what the running tasks of this process tell; may be called from any thread."""

    def note(self, interim: Interim) -> None:
        """Take in what a task tells, on top of what it has told before; costs next to nothing."""

    def has_heard(self, task: ClaimedTask) -> bool:
        """Say whether a task has told anything in this attempt."""

    def wants_back(self, task: ClaimedTask) -> bool:
        """Say whether a task that can stop between two steps should do so now."""


class _Nobody:
    """Listens where no host does."""

    def note(self, interim: Interim) -> None:
        """Let it go."""

    def has_heard(self, task: ClaimedTask) -> bool:  # noqa: ARG002
        """Say that it has not."""
        return False

    def wants_back(self, task: ClaimedTask) -> bool:  # noqa: ARG002
        """Say that it may go on."""
        return False


class Hearing:
    """Has the listener of this process: one for all of its tasks, each of which names itself."""

    listener: Listener = _Nobody()


hearing = Hearing()
"""Of this process."""
