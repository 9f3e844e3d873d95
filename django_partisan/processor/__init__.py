"""What a project subclasses: a processor, its rules, and what `.delay()` makes of it."""

from django_partisan.processor.base import BaseTaskProcessor

__all__ = ["BaseTaskProcessor"]
