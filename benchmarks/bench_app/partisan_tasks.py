"""Tasks that do as good as nothing, so that a measure shows the engine's own cost."""

from __future__ import annotations

import time

from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import register
from tools.ledger import own_runs


@register
class Noop(BaseTaskProcessor):
    """Counts in shared memory that it ran: its argument is its number."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        """Count."""
        own_runs().count(self.args[0])


@register
class UniqueNoop(Noop):
    """The same with uniqueness, which is what a processor class gets when it says nothing."""

    UNIQUE_FOR_PARAMS = True


@register
class Compute(UniqueNoop):
    """Takes five milliseconds of a CPU."""

    def run(self) -> None:
        """Compute, and count."""
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass
        super().run()


@register
class Stamp(BaseTaskProcessor):
    """Tells when it began to run."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> int:
        """Return the time in nanoseconds since 1970."""
        return time.time_ns()
