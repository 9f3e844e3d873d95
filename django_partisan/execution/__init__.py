"""One attempt, run and judged; knows no database."""

from django_partisan.execution.end_log import log_end, task_exc_info
from django_partisan.execution.error_report import report
from django_partisan.execution.execute import execute, initialized_processor
from django_partisan.execution.execute_async import execute_async
from django_partisan.execution.host import Host, PlainHost
from django_partisan.execution.judge import finished_outcome, judge, killed_outcome, unreportable
from django_partisan.execution.processor import Processor, may_share
from django_partisan.execution.refusal import refusal_of
from django_partisan.execution.returned import done, run_here

__all__ = [
    "Host",
    "PlainHost",
    "Processor",
    "done",
    "execute",
    "execute_async",
    "finished_outcome",
    "initialized_processor",
    "judge",
    "killed_outcome",
    "log_end",
    "may_share",
    "refusal_of",
    "report",
    "run_here",
    "task_exc_info",
    "unreportable",
]
