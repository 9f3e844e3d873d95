"""Tasks that write into the journal and do nothing else."""

from __future__ import annotations

from benchmarks.peers.journal import mark
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import register


@register
class Mark(BaseTaskProcessor):
    """What a processor class gets when it says nothing: its tasks are unique."""

    def run(self) -> int:
        """Write the task's number into the journal."""
        return mark(self.args[0])


@register
class FreeMark(Mark):
    """The same without uniqueness."""

    UNIQUE_FOR_PARAMS = False
