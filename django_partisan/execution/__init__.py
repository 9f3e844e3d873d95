"""One attempt, run and judged; knows no database."""

from django_partisan.execution.error_report import report
from django_partisan.execution.execute import Runner, execute, initialized_processor
from django_partisan.execution.judge import finished_outcome, judge, killed_outcome, unreportable

__all__ = [
    "Runner",
    "execute",
    "finished_outcome",
    "initialized_processor",
    "judge",
    "killed_outcome",
    "report",
    "unreportable",
]
