"""How many tasks a manager may still start."""

from __future__ import annotations


class StartLimit:
    """Counts starts up to ``most``, exactly: what workers have in hand counts as if it had begun.

    A task that comes back from a worker unstarted leaves its place to another one.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._ended = 0

    def ended(self, count: int = 1) -> None:
        """Take note of tasks that have started and are in nobody's hand any more."""
        self._ended += count

    def left(self, held: int) -> int:
        """Return how many more tasks may be taken while so many are held that will start."""
        return max(0, self.most - self._ended - held)
