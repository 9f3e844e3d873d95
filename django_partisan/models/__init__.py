"""The tables: what a task, one of its attempts and a running manager look like as rows."""

from django_partisan.models.attempt import Attempt
from django_partisan.models.manager_process import ManagerProcess
from django_partisan.models.task import Task, TasksManager

__all__ = ["Attempt", "ManagerProcess", "Task", "TasksManager"]
