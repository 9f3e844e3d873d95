"""What a project subclasses or decorates: a processor, its rules, what `.delay()` makes of it."""

from django_partisan.processor.base import BaseTaskProcessor
from django_partisan.processor.decorator import processor
from django_partisan.processor.iteration import IterationProcessor

__all__ = ["BaseTaskProcessor", "IterationProcessor", "processor"]
