"""Why an attempt at a task could not even begin, told without beginning one."""

from __future__ import annotations

from django_partisan.attempt import ClaimedTask, ErrorReport
from django_partisan.execution.error_report import report
from django_partisan.execution.execute import initialized_processor


def refusal_of(task: ClaimedTask) -> ErrorReport | None:
    """Return why the task's processor cannot be made of its arguments; None when it can.

    It is made, as a worker makes it, and not run. What the task's processor calls secret is masked.
    """
    try:
        initialized_processor(task)
    except KeyboardInterrupt:  # of whoever asks
        raise
    except BaseException as error:
        return report(error, task)
    return None
