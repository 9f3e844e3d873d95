"""The admin of tasks, flows, schedules, managers and pauses: pages to look at them and to act."""

from __future__ import annotations

from django_partisan.admin.flows import FlowAdmin
from django_partisan.admin.managers import ManagerProcessAdmin
from django_partisan.admin.pauses import PauseAdmin
from django_partisan.admin.schedules import ScheduleAdmin
from django_partisan.admin.tasks import TaskAdmin

__all__ = ["FlowAdmin", "ManagerProcessAdmin", "PauseAdmin", "ScheduleAdmin", "TaskAdmin"]
