"""The processors whose tasks the tests of rows enqueue, claim and record."""

from __future__ import annotations

from typing import Any

from django_partisan import registry
from django_partisan.processor import BaseTaskProcessor


@registry.register
class Plain(BaseTaskProcessor):
    """Returns its arguments; may be enqueued any number of times."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        return [list(self.args), self.kwargs] if self.args or self.kwargs else None


@registry.register
class Unique(Plain):
    """Waits once for each set of arguments: what every processor does by default."""

    UNIQUE_FOR_PARAMS = True


@registry.register
class UniqueUntilFinish(Unique):
    """Keeps its duplicates out while it runs, too."""

    UNIQUE_UNTIL = "finish"


@registry.register
class Replacing(Unique):
    """A duplicate changes the time and priority of the task that waits."""

    ON_DUPLICATE = "replace"


@registry.register
class Earliest(Unique):
    """A duplicate can only bring the task that waits forward."""

    ON_DUPLICATE = "earlier"


@registry.register
class ReplacingUntilFinish(UniqueUntilFinish):
    """A duplicate changes the task that waits, and leaves one that runs alone."""

    ON_DUPLICATE = "replace"


@registry.register
class ByAccount(Unique):
    """Is the same task for one account, named or at the first place, whatever else it is given."""

    UNIQUE_KEY = ("account", "0")


@registry.register
class Throttled(Unique):
    """Keeps its duplicates out for an hour after its start."""

    UNIQUE_FOR_SECONDS = 3600


@registry.register
class Debounced(Unique):
    """Waits ten seconds for another call about the same account, a minute at most."""

    UNIQUE_KEY = ("0",)
    DEBOUNCE_SECONDS = 10
    DEBOUNCE_MAX_SECONDS = 60


@registry.register
class InOtherQueue(Plain):
    """Waits in a queue of its own."""

    QUEUE_NAME = "other"


@registry.register
class KeptSinceVersion1(Plain):
    """Has tasks that were stored under its bare name."""
