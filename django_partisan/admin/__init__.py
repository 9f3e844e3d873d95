"""The admin of tasks and managers: just enough to see the truth, retry and delete."""

from __future__ import annotations

from django_partisan.admin.managers import ManagerProcessAdmin
from django_partisan.admin.tasks import TaskAdmin

__all__ = ["ManagerProcessAdmin", "TaskAdmin"]
