"""The tables: what tasks, attempts, flows, schedules, pauses and managers look like as rows."""

from django_partisan.models.attempt import Attempt
from django_partisan.models.flow import Dependency, Flow, FlowProgress, Untold
from django_partisan.models.manager_process import ManagerProcess
from django_partisan.models.pause import Pause
from django_partisan.models.progress import Progress, TaskProgress
from django_partisan.models.schedule import StoredSchedule
from django_partisan.models.task import Task, TasksManager

__all__ = [
    "Attempt",
    "Dependency",
    "Flow",
    "FlowProgress",
    "ManagerProcess",
    "Pause",
    "Progress",
    "StoredSchedule",
    "Task",
    "TaskProgress",
    "TasksManager",
    "Untold",
]
