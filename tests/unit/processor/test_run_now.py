"""`.run_now()` runs a processor as a worker would, without a task.

No test here may touch the database: pytest-django raises when one does.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from django_partisan.exceptions import CancelTask, FailTask, PostponeTask
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import claimed_task


class Echo(BaseTaskProcessor):
    """Returns what it finds of itself; nobody has registered it."""

    def run(self) -> Any:
        return self.args, self.kwargs, self.task_obj


class Raising(BaseTaskProcessor):
    def __init__(self, error: str) -> None:
        self.error = error

    def run(self) -> Any:
        raise {"value": ValueError, "fail": FailTask, "cancel": CancelTask, "later": PostponeTask}[
            self.error
        ]


class Generating(BaseTaskProcessor):
    def run(self) -> Any:
        return self.numbers()

    def numbers(self) -> Iterator[int]:
        yield 1


def test_it_returns_what_run_returns_and_there_is_no_task() -> None:
    assert Echo("ü", number=4).run_now() == (("ü",), {"number": 4}, None)


def test_what_is_returned_need_not_be_json() -> None:
    class Price(BaseTaskProcessor):
        def run(self) -> Any:
            return Decimal(self.args[0])

    assert Price("1.50").run_now() == Decimal("1.50")


def test_arguments_arrive_as_a_worker_gets_them() -> None:
    given: Any = {"pair": (1, 2)}
    args, kwargs, _ = Echo((3, (4,)), **given).run_now()
    assert (args, kwargs) == (([3, [4]],), {"pair": [1, 2]})
    args[0].append(5)
    assert given == {"pair": (1, 2)}


def test_arguments_that_could_not_be_stored_are_refused() -> None:
    with pytest.raises(TypeError, match="argument 1 of Echo: Decimal objects are not JSON"):
        Echo(Decimal(1)).run_now()
    with pytest.raises(ValueError, match="nan is not JSON"):
        Echo(float("nan")).run_now()


@pytest.mark.parametrize(
    ("error", "kind"),
    [("value", ValueError), ("fail", FailTask), ("cancel", CancelTask), ("later", PostponeTask)],
)
def test_it_raises_what_run_raises(error: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        Raising(error).run_now()


def test_a_processor_can_be_run_again() -> None:
    processor = Echo([1])
    assert processor.run_now() == processor.run_now()


def test_work_that_was_not_done_is_refused_as_in_a_worker() -> None:
    with pytest.raises(TypeError, match="whose code has not run"):
        Generating().run_now()


def test_a_processor_bound_to_a_task_is_not_run_beside_it() -> None:
    processor = Echo()
    processor.bind(claimed_task(processor))
    with pytest.raises(TypeError, match="Echo is bound to a task, so it cannot be enqueued or run"):
        processor.run_now()
