"""Tasks that do the work that every queue is measured with."""

from __future__ import annotations

from benchmarks.peers.drivers import work
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import register


@register
class Mark(BaseTaskProcessor):
    """What a processor class gets when it says nothing: its tasks are unique."""

    def run(self) -> int:
        """Do the work."""
        return work(self.args[0])


@register
class FreeMark(Mark):
    """The same without uniqueness."""

    UNIQUE_FOR_PARAMS = False
