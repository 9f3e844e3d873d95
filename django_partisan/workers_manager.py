"""Where 1.6.1 had WorkersManager; the manager itself lives in :mod:`django_partisan.manager`."""

from django_partisan.manager import WorkersManager

__all__ = ["WorkersManager"]
