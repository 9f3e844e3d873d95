"""The keywords of `.delay()`, as one type for all that hand them on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from django.db.models import Model

from django_partisan.models import Task


class DelayOptions(TypedDict, total=False):
    """What :meth:`BaseTaskProcessor.delay` and its kin take; what they mean is said there."""

    priority: int | None
    execute_after: datetime | timedelta | float | None
    repeat: timedelta | float | None
    repeat_until: datetime | None
    expires: datetime | timedelta | float | None
    verbose_name: str | None
    creator: Model | None
    tags: Sequence[str]
    after: Iterable[Task] | None
    on_dependency_failure: str
