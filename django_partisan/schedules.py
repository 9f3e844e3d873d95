"""What a project writes into SCHEDULES of a processor."""

from django_partisan.config.schedules import Schedule

__all__ = ["Schedule"]
