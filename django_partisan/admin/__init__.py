"""The admin of tasks and managers: pages to look at them, and actions on tasks."""

from __future__ import annotations

from django_partisan.admin.managers import ManagerProcessAdmin
from django_partisan.admin.tasks import TaskAdmin

__all__ = ["ManagerProcessAdmin", "TaskAdmin"]
