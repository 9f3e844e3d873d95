"""A manager prunes what its retention settings let go of."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_partisan.lifecycle.prune import PRUNE_BATCH
from django_partisan.models import Task
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.rows import PROCESSOR

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = 3 * PRUNE_BATCH
"""Several batches: with a minute between them, that would take longer than a test waits."""


def test_an_idle_manager_prunes_thousands_of_ended_tasks_without_a_pause(
    start_manager: StartManager,
) -> None:
    moment = timezone.now() - timedelta(days=1)
    Task.objects.bulk_create(
        Task(status="finished", processor_class=PROCESSOR, finished_at=moment) for _ in range(TASKS)
    )
    start_manager(queue={"KEEP_FINISHED_SECONDS": 0})
    wait_until(lambda: not Task.objects.exists())
