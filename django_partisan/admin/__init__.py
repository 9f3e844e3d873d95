"""The admin of tasks, schedules and managers: pages to look at them, and what can be done."""

from __future__ import annotations

from django_partisan.admin.managers import ManagerProcessAdmin
from django_partisan.admin.schedules import ScheduleAdmin
from django_partisan.admin.tasks import TaskAdmin

__all__ = ["ManagerProcessAdmin", "ScheduleAdmin", "TaskAdmin"]
