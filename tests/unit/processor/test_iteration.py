"""An IterationProcessor goes through its items, and begins behind the last one that was done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest

from django_partisan import execution
from django_partisan.attempt import ClaimedTask, Interim
from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import FailTask, PostponeTask, TaskGivenBack
from django_partisan.execution.interims import hearing
from django_partisan.payloads.state import decode_state
from django_partisan.processor import IterationProcessor, iteration
from tests.support.claimed_tasks import claimed_task

TASK = claimed_task(7)


class Heard(list[Interim]):
    """Listens to a task, and wants it back when it has told so much."""

    wants_back_at: float | None = None

    def note(self, interim: Interim) -> None:
        self.append(interim)

    def wants_back(self, task: ClaimedTask) -> bool:
        assert task is TASK
        return self.wants_back_at is not None and self.done >= self.wants_back_at

    @property
    def done(self) -> float:
        return max((one.done for one in self if one.done is not None), default=0)

    @property
    def state(self) -> Any:
        """What the last checkpoint holds."""
        last = [one.checkpoint for one in self if one.checkpoint is not None][-1]
        return decode_state(last)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard = Heard()
    monkeypatch.setattr(hearing, "listener", heard)
    return heard


class Collect(IterationProcessor):
    """Collects its items; an exception among them is raised."""

    done: ClassVar[list[Any]] = []
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(ZeroDivisionError,), retries_count=2, retry_pause=0
    )

    def items(self, cursor: Any) -> Any:
        return self.args[0]

    def each(self, item: Any) -> None:
        if isinstance(item, type):
            raise item
        self.done.append(item)


@pytest.fixture(autouse=True)
def done() -> list[Any]:
    Collect.done.clear()
    return Collect.done


def bound(processor: IterationProcessor, state: Any = None) -> IterationProcessor:
    processor.bind(TASK)
    if state is not None:
        vars(processor)["_state"] = state
    return processor


def outcome_of(processor: IterationProcessor, task: ClaimedTask = TASK) -> Any:
    try:
        processor.run()
    except BaseException as error:  # noqa: BLE001 - judged, as by a worker
        return execution.judge(task, processor, error, 0.0, processor.retry_delay)
    return None


def test_each_item_is_done_and_told(heard: Heard, done: list[Any]) -> None:
    bound(Collect(["a", "b", "c"])).run()
    assert done == ["a", "b", "c"]
    assert heard.state == {"cursor": 3, "done": 3, "total": None}
    assert [one.done for one in heard if one.done is not None] == [1, 2, 3]


def test_it_begins_behind_what_was_done_before(heard: Heard, done: list[Any]) -> None:
    bound(Collect(["a", "b", "c"]), {"cursor": 2, "done": 2, "total": 3}).run()
    assert done == ["c"]
    assert heard.state == {"cursor": 3, "done": 3, "total": 3}


def test_other_iterables_say_themselves_where_they_go_on(heard: Heard, done: list[Any]) -> None:
    class Lines(Collect):
        def items(self, cursor: Any) -> Any:
            assert cursor == {"byte": 10}
            for number in (1, 2):
                yield f"line {number}", {"byte": 10 + number}

    bound(Lines(), {"cursor": {"byte": 10}, "done": 4, "total": None}).run()
    assert done == ["line 1", "line 2"]
    assert heard.state == {"cursor": {"byte": 12}, "done": 6, "total": None}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (None, "must return a query set, a list, or an iterator over pairs"),
        ("text", "must return a query set"),
        ({"a": 1}, "must return a query set"),
        (iter([1]), "must give pairs of an item and the cursor to go on from behind it"),
        (iter([(1, 2, 3)]), "must give pairs"),
    ],
)
def test_what_is_no_items_is_refused_in_a_sentence(items: Any, words: str, heard: Heard) -> None:
    class Wrong(Collect):
        def items(self, cursor: Any) -> Any:
            return items

    with pytest.raises(TypeError, match=r"^Wrong.items\(\) ") as refused:
        bound(Wrong()).run()
    assert words in str(refused.value)


def test_the_total_is_counted_once_or_given(heard: Heard) -> None:
    class Counted(Collect):
        COUNT = True

    class Given(Counted):
        def total(self) -> int:
            return 50

    bound(Counted([1, 2])).run()
    assert {one.total for one in heard if one.done is not None} == {2}
    heard.clear()
    bound(Given([1, 2])).run()
    assert {one.total for one in heard if one.done} == {50}
    heard.clear()
    bound(Given([1, 2]), {"cursor": 1, "done": 1, "total": 40}).run()
    assert {one.total for one in heard if one.done} == {40}


def test_whoever_is_wanted_back_stops_between_two_items(heard: Heard, done: list[Any]) -> None:
    heard.wants_back_at = 2
    outcome = outcome_of(bound(Collect([1, 2, 3, 4])))
    assert (outcome.kind, outcome.delay_seconds, outcome.error) == ("released", None, None)
    assert done == [1, 2]
    assert heard.state["cursor"] == 2


def test_whoever_is_wanted_back_before_the_first_item_does_none(
    heard: Heard, done: list[Any]
) -> None:
    heard.wants_back_at = 0
    assert outcome_of(bound(Collect([1]))).kind == "released"
    assert not done


def test_after_its_time_it_gives_its_worker_back_behind_the_others(
    heard: Heard, done: list[Any]
) -> None:
    class Brief(Collect):
        MAX_RUNTIME_SECONDS = 1e-6

    # One item is done in each turn, so that it comes to an end.
    for count in (1, 2, 3):
        state = {"cursor": count - 1, "done": count - 1, "total": None}
        outcome = outcome_of(bound(Brief([1, 2, 3, 4]), state))
        assert (outcome.kind, outcome.delay_seconds) == ("released", 0.0)
        assert done == list(range(1, count + 1))
    assert outcome_of(bound(Brief([1, 2, 3, 4]), heard.state)) is None


@pytest.mark.parametrize(("pause", "seconds"), [(5, 5.0), (0.5, 0.5), (timedelta(minutes=1), 60.0)])
def test_a_throttle_gives_the_worker_back_for_so_long(
    heard: Heard, pause: Any, seconds: float
) -> None:
    class Throttled(Collect):
        def throttle(self) -> Any:
            return pause

    outcome = outcome_of(bound(Throttled([1])))
    assert (outcome.kind, outcome.delay_seconds) == ("released", seconds)


@pytest.mark.parametrize("pause", ["soon", True, -1, float("nan"), 1e12])
def test_what_is_no_pause_is_refused_in_a_sentence(heard: Heard, pause: Any) -> None:
    class Throttled(Collect):
        def throttle(self) -> Any:
            return pause

    with pytest.raises((TypeError, ValueError), match=r"Throttled.throttle\(\) must return"):
        bound(Throttled([1])).run()


def test_a_throttle_is_asked_no_more_than_once_a_second(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(iteration, "_THROTTLE_SECONDS", 1e9)

    class Throttled(Collect):
        def throttle(self) -> None:
            asked.append(1)

    bound(Throttled(range(1000))).run()
    assert asked == [1]


def test_an_error_after_progress_costs_none_of_the_retries_before(heard: Heard) -> None:
    processor = bound(Collect([1, ZeroDivisionError]))
    outcome = outcome_of(processor, TASK._replace(retries=2))
    assert (outcome.kind, heard[-1].resumptions) == ("resumed", 1)
    assert heard.state == {"cursor": 1, "done": 1, "total": None}


def test_an_error_without_progress_is_counted_as_ever(heard: Heard) -> None:
    state = {"cursor": 1, "done": 1, "total": None}
    for retries, kind in ((0, "retried"), (1, "retried"), (2, "failed")):
        processor = bound(Collect([1, ZeroDivisionError]), state)
        assert outcome_of(processor, TASK._replace(retries=retries)).kind == kind
    assert not any(one.checkpoint for one in heard)


class Strict(Collect):
    RESUME_AFTER_PROGRESS = False


class Slow(Collect):
    MIN_PROGRESS = 3


class Never(Collect):
    MAX_RESUMPTIONS = 0


@pytest.mark.parametrize("kind", [Strict, Slow, Never])
def test_where_that_is_not_wanted_every_error_is_counted(heard: Heard, kind: type[Collect]) -> None:
    processor = bound(kind([1, 2, ZeroDivisionError]))
    assert outcome_of(processor, TASK._replace(retries=2)).kind == "failed"


def test_resumptions_come_to_an_end(heard: Heard) -> None:
    processor = bound(Collect([1, ZeroDivisionError]))
    vars(processor)["_resumptions"] = Collect.MAX_RESUMPTIONS
    assert outcome_of(processor, TASK._replace(retries=2)).kind == "failed"


def test_an_error_that_earns_no_retry_earns_none_after_progress_either(heard: Heard) -> None:
    for error, kind in ((KeyError, "failed"), (FailTask, "failed"), (PostponeTask, "postponed")):
        assert outcome_of(bound(Collect([1, error]))).kind == kind


def test_a_run_without_a_task_does_all_of_it(heard: Heard, done: list[Any]) -> None:
    class Brief(Collect):
        MAX_RUNTIME_SECONDS = 1e-6

        def throttle(self) -> float:
            return 5.0

    Brief([1, 2, 3]).run_now()
    assert done == [1, 2, 3]
    assert not heard


def test_to_give_a_worker_back_is_no_ordinary_error() -> None:
    assert not issubclass(TaskGivenBack, Exception)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"EACH_ATOMIC": 1}, "EACH_ATOMIC is True or False, got 1"),
        ({"COUNT": "yes"}, "COUNT is True or False, got 'yes'"),
        ({"BATCH": 0}, "BATCH must be 1 or more, got 0"),
        ({"BATCH": 1.5}, "BATCH takes a whole number, got 1.5"),
        ({"MIN_PROGRESS": True}, "MIN_PROGRESS takes a whole number, got True"),
        ({"MAX_RESUMPTIONS": -1}, "MAX_RESUMPTIONS must be 0 or more, got -1"),
        ({"MAX_RUNTIME_SECONDS": 0}, "MAX_RUNTIME_SECONDS must be more than 0 seconds"),
        ({"MAX_RUNTIME_SECONDS": "5"}, "MAX_RUNTIME_SECONDS takes seconds or None, got '5'"),
        ({"ATOMIC": True}, "set EACH_ATOMIC = True instead"),
    ],
)
def test_rules_that_cannot_be_are_refused_when_the_class_is_made(
    attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        type("Wrong", (Collect,), attributes)
    assert "Wrong." in str(refused.value)
    assert words in str(refused.value)


def test_each_has_to_do_its_work_before_it_returns() -> None:
    with pytest.raises(TypeError, match=r"\.each must be a plain method"):

        class Awaits(Collect):
            async def each(self, item: Any) -> None:  # type: ignore[override]
                """Do nothing."""

    with pytest.raises(TypeError, match=r"\.each must be a plain method"):

        class Yields(Collect):
            def each(self, item: Any) -> Any:
                yield item
