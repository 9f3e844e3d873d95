"""What `manage.py check` says of the project's processors."""

from __future__ import annotations

import abc
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import ERROR, WARNING, CheckMessage

from django_partisan import checks
from django_partisan.processor import BaseTaskProcessor, review
from django_partisan.registry import Registry


class Sending(BaseTaskProcessor):
    def run(self) -> None: ...


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Registry:
    settings.PARTISAN_MODULES = ["no_such_module"]
    own = Registry()
    monkeypatch.setattr(review, "registry", own)
    return own


@pytest.fixture
def discovered(names: Registry, settings: Any) -> Iterator[None]:
    """Have this module count as one that is discovered in the app `tests`."""
    settings.PARTISAN_MODULES = ["unit.people.test_check_processors"]
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests"]
    yield
    gc.collect()  # a class in a cycle with itself would stay among the subclasses


def found() -> list[CheckMessage]:
    messages = checks.check_processors()
    assert all(message.hint for message in messages)
    return messages


def made(**attributes: Any) -> type[Sending]:
    return type("Made", (Sending,), {"__module__": "shop", "__qualname__": "Made", **attributes})


def test_a_processor_without_a_mistake_is_not_mentioned(names: Registry) -> None:
    names.register(made(PRIORITY=3, LIMIT=5, RETRY_URL="x", queue=[], args_of=1, TIMEOUTS_SEEN=0))
    assert found() == []


@pytest.mark.parametrize(
    ("attribute", "meant"),
    [
        ("PRIORTY", "PRIORITY"),
        ("PRIO_RITY", "PRIORITY"),
        ("priority", "PRIORITY"),
        ("queue_name", "QUEUE_NAME"),
        ("QUEUENAME", "QUEUE_NAME"),
        ("RETRIES", "RETRY_ON_ERROR_CONFIG"),
        ("MAX_RETRIES", "RETRY_ON_ERROR_CONFIG"),
        ("RETRY_ON_ERRORS_CONFIG", "RETRY_ON_ERROR_CONFIG"),
        ("TIMEOUT", "TIMEOUT_SECONDS"),
        ("TIME_LIMIT", "TIMEOUT_SECONDS"),
        ("UNIQUE_FOR_PARAM", "UNIQUE_FOR_PARAMS"),
        ("SENSITIVE", "SENSITIVE_PARAMS"),
        ("POSTPONE_CONFIGS", "POSTPONE_CONFIG"),
        ("ALIAS", "ALIASES"),
        ("ATOMICS", "ATOMIC"),
        ("GRACE", "GRACE_SECONDS"),
        ("ON_DUPLICATES", "ON_DUPLICATE"),
    ],
)
def test_an_attribute_that_does_nothing_gets_the_name_that_was_meant(
    names: Registry, attribute: str, meant: str
) -> None:
    names.register(made(**{attribute: 3}))
    [message] = found()
    assert (message.level, message.id) == (WARNING, "django_partisan.W003")
    assert f"shop.Made.{attribute} does nothing; did you mean {meant}?" in message.msg


def test_unique_alone_is_taken_for_one_of_its_kind(names: Registry) -> None:
    names.register(made(UNIQUE=False))
    [message] = found()
    assert "UNIQUE_FOR_PARAMS" in message.msg


def test_an_attribute_of_a_mixin_is_found_as_well(names: Registry) -> None:
    names.register(type("Mixed", (type("Mixin", (), {"RETRIES": 3}), Sending), {}))
    [message] = found()
    assert "RETRY_ON_ERROR_CONFIG" in message.msg


def test_an_unknown_queue_is_told_with_a_suggestion(names: Registry) -> None:
    names.register(made(QUEUE_NAME="defualt"))
    [message] = found()
    assert (message.level, message.id) == (WARNING, "django_partisan.W006")
    assert "shop.Made.QUEUE_NAME" in message.msg
    assert "did you mean 'default'" in message.msg


def test_a_class_without_run_is_told(names: Registry) -> None:
    names.register(type("NoRun", (BaseTaskProcessor,), {}))
    [message] = found()
    assert (message.level, message.id) == (ERROR, "django_partisan.E003")
    assert "has no run()" in message.msg


@pytest.mark.parametrize(("name", "value"), [("PRIORITY", "high"), ("run", None)])
def test_what_was_set_after_the_class_was_made_is_checked(
    names: Registry, name: str, value: object
) -> None:
    setattr(names.register(made()), name, value)
    [message] = found()
    assert (message.level, message.id) == (ERROR, "django_partisan.E003")
    assert f"Made.{name}" in message.msg


def test_a_class_that_is_no_processor_is_told(names: Registry) -> None:
    names.register(type("Other", (), {}))
    [message] = found()
    assert (message.level, message.id) == (ERROR, "django_partisan.E002")


@pytest.mark.usefixtures("discovered")
def test_a_forgotten_decorator_is_told(names: Registry) -> None:
    class Forgotten(Sending): ...

    class _Base(Sending): ...

    class Abstract(Sending):
        @abc.abstractmethod
        def address(self) -> str: ...

    class Registered(Sending): ...

    names.register(Registered)
    [message] = found()
    assert (message.level, message.id) == (WARNING, "django_partisan.W004")
    assert "Forgotten is not registered" in message.msg
    assert [_Base, Abstract, Forgotten]


def test_a_configured_queue_that_looks_like_a_used_one_is_told(
    names: Registry, settings: Any
) -> None:
    settings.PARTISAN_CONFIG = {"emials": {}, "defualt": {}, "reports": {}}
    names.register(made(QUEUE_NAME="reports"))
    names.register(type("Mail", (Sending,), {"QUEUE_NAME": "emails"}))
    assert sorted(message.id or "" for message in found()) == [
        *("django_partisan.W005",) * 2,
        "django_partisan.W006",
    ]


def test_wrong_settings_are_not_told_a_second_time(names: Registry, settings: Any) -> None:
    settings.PARTISAN_CONFIG = ["default"]
    names.register(made())
    assert found() == []


@pytest.mark.parametrize("name", ["MIN_QUEUE_SIZES", "WORKER_COUNT", "SLEEP_DELAY_SECOND"])
def test_a_mistyped_plain_setting_is_told(settings: Any, name: str) -> None:
    setattr(settings, name, 5)
    [message] = checks.check_unused_settings()
    assert message.id == "django_partisan.W001"
    assert f"{name}: nobody reads it; did you mean" in message.msg


@pytest.mark.parametrize("name", ["QUEUE_SIZE", "WORKERS", "MAX_SIZE"])
def test_a_plain_setting_of_the_project_is_left_alone(settings: Any, name: str) -> None:
    setattr(settings, name, 5)
    assert checks.check_unused_settings() == []


def test_a_function_is_refused_when_it_is_registered(names: Registry) -> None:
    def send_mail() -> None: ...

    with pytest.raises(TypeError, match=r"class SendMail\(BaseTaskProcessor\)"):
        names.register(send_mail)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("args", "options"),
    [((), {}), ((), {"queue": "mail"}), (("mail",), {}), ((Sending,), {"a": 1})],
)
def test_arguments_of_the_decorator_are_refused(
    names: Registry, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="takes no arguments and no parentheses"):
        names.register(*args, **options)
    assert names.names() == []
