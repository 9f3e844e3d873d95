"""The tables: tasks, attempts, output, flows, schedules, pauses and managers as rows."""

from django_partisan.models.attempt import Attempt
from django_partisan.models.flow import Dependency, Flow, FlowProgress, Untold
from django_partisan.models.manager_process import ManagerProcess
from django_partisan.models.output import Follower, Output
from django_partisan.models.pause import Pause
from django_partisan.models.progress import Progress, TaskProgress
from django_partisan.models.schedule import StoredSchedule
from django_partisan.models.task import Task, TasksManager

__all__ = [
    "Attempt",
    "Dependency",
    "Flow",
    "FlowProgress",
    "Follower",
    "ManagerProcess",
    "Output",
    "Pause",
    "Progress",
    "StoredSchedule",
    "Task",
    "TaskProgress",
    "TasksManager",
    "Untold",
]
