"""What other queues teach is answered with how it is written here."""

from __future__ import annotations

from typing import Any

import pytest

from django_partisan.processor import BaseTaskProcessor


class Mail(BaseTaskProcessor):
    def run(self) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs"), [((17,), {}), ((17, 18), {}), ((), {}), ((), {"user": 17}), ((Mail,), {})]
)
def test_delay_on_the_class_is_answered(args: Any, kwargs: Any) -> None:
    if args == (Mail,):
        pytest.skip("a class has a call as well")
    with pytest.raises(TypeError, match=r"write YourClass\(17, name='x'\)\.delay\(\)"):
        Mail.delay(*args, **kwargs)


def test_arguments_of_the_task_given_to_delay_are_answered_with_its_class() -> None:
    with pytest.raises(TypeError, match=r"write Mail\(17, name='x'\)\.delay\(\)"):
        Mail().delay(17)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("countdown", "execute_after="),
        ("eta", "execute_after="),
        ("run_after", "execute_after="),
        ("queue", "QUEUE_NAME"),
        ("queue_name", "QUEUE_NAME"),
        ("args", r"YourClass\(17, name='x'\)"),
        ("max_retries", "RETRY_ON_ERROR_CONFIG"),
        ("time_limit", "TIMEOUT_SECONDS"),
        ("user", "unexpected keyword argument 'user'; it takes priority=, execute_after="),
    ],
)
def test_an_option_of_another_queue_is_answered(option: str, remedy: str) -> None:
    options: Any = {option: 5}
    with pytest.raises(TypeError, match=remedy):
        Mail(1).delay(**options)


@pytest.mark.parametrize("name", ["apply_async", "send", "enqueue", "schedule"])
def test_a_method_of_another_queue_is_answered(name: str) -> None:
    for owner in (Mail, Mail(1)):
        with pytest.raises(AttributeError, match=rf"no {name}\(\).*\.delay\(\).*execute_after="):
            getattr(owner, name)
        assert not hasattr(owner, name)


def test_a_method_of_that_name_may_be_the_projects_own() -> None:
    class Sending(Mail):
        def send(self) -> int:
            return 1

        def run(self) -> None:
            self.schedule = "daily"

    sending = Sending()
    sending.run()
    assert (sending.send(), sending.schedule) == (1, "daily")
