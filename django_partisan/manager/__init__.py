"""The process that claims, hands out, records and rescues."""

from django_partisan.manager.loop import WorkersManager

__all__ = ["WorkersManager"]
