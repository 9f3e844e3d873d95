"""The process that runs tasks, and the one that forks it."""

from django_partisan.worker.process import Worker

__all__ = ["Worker"]
