"""The verbs of `manage.py partisan`, by name."""

from __future__ import annotations

from typing import Final

from django_partisan.management.verbs.base import Verb
from django_partisan.management.verbs.cancel import Cancel
from django_partisan.management.verbs.check_payloads import CheckPayloads
from django_partisan.management.verbs.pause import Pause, Resume
from django_partisan.management.verbs.prune import Prune
from django_partisan.management.verbs.schedules import Schedules

__all__ = ["VERBS", "Verb"]

VERBS: Final[dict[str, Verb]] = {
    "cancel": Cancel(),
    "check-payloads": CheckPayloads(),
    "pause": Pause(),
    "prune": Prune(),
    "resume": Resume(),
    "schedules": Schedules(),
}
"""What ``manage.py partisan`` can do."""
