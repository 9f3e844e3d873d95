"""A processor with schedules: one that comes often, one by hand, one that runs once at first."""

from __future__ import annotations

from datetime import timedelta

from django_partisan import registry
from django_partisan.processor import BaseTaskProcessor
from django_partisan.schedules import Schedule


@registry.register
class Remind(BaseTaskProcessor):
    UNIQUE_FOR_PARAMS = False
    SCHEDULES = (
        Schedule(every=timedelta(seconds=1), name="often"),
        Schedule(manual=True, name="by hand"),
        Schedule("0 0 1 1 *", name="yearly", timezone="Europe/Paris", run_on_creation=True),
    )

    def run(self) -> None:
        pass
