"""The tables: what tasks, attempts, schedules, pauses and running managers look like as rows."""

from django_partisan.models.attempt import Attempt
from django_partisan.models.manager_process import ManagerProcess
from django_partisan.models.pause import Pause
from django_partisan.models.schedule import StoredSchedule
from django_partisan.models.task import Task, TasksManager

__all__ = ["Attempt", "ManagerProcess", "Pause", "StoredSchedule", "Task", "TasksManager"]
