"""How it is written here: the answers to the habits that other queues teach."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from django_partisan.processor.options import DelayOptions

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: Final = frozenset(DelayOptions.__annotations__)
"""What delay() takes."""
_LATER: Final = "execute_after=..., which takes seconds, a timedelta or an aware datetime"
_EXPIRES: Final = "expires=..., which takes seconds, a timedelta or an aware datetime"
_QUEUE: Final = "QUEUE_NAME, an attribute of the class"
_ARGUMENTS: Final = "arguments of the class: YourClass(17, name='x').delay()"
_ELSEWHERE: Final = {
    **dict.fromkeys(("countdown", "eta", "delay", "run_at", "run_after", "schedule"), _LATER),
    **dict.fromkeys(("schedule_in", "schedule_at", "enqueue_at", "enqueue_in", "when"), _LATER),
    **dict.fromkeys(("ttl", "expire", "expires_in", "expires_at", "deadline"), _EXPIRES),
    **dict.fromkeys(("queue", "queue_name", "routing_key"), _QUEUE),
    **dict.fromkeys(("args", "kwargs"), _ARGUMENTS),
    **dict.fromkeys(("retry", "retries", "max_retries"), "RETRY_ON_ERROR_CONFIG, on the class"),
    **dict.fromkeys(("timeout", "time_limit", "job_timeout"), "TIMEOUT_SECONDS, on the class"),
}


def refusing_habits(delay: Callable[P, R]) -> Callable[P, R]:
    """Answer a call of ``delay`` or ``adelay`` as other queues have it with how it is done here."""

    @functools.wraps(delay)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        if len(args) != 1 or not hasattr(args[0], "_called_with"):
            _refuse_arguments(delay.__name__, args)
        if not _OPTIONS.issuperset(options):
            _refuse_option(delay.__name__, next(name for name in options if name not in _OPTIONS))
        return delay(*args, **options)

    return markcoroutinefunction(checked) if iscoroutinefunction(delay) else checked


class Elsewhere:
    """A method that other queues have: it is not there, and says what is."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        raise AttributeError(
            f"{owner.__name__} has no {self._name}(); write "
            f"{owner.__name__}(17, name='x').delay(), and for later {_LATER}"
        )


def _refuse_arguments(delay: str, args: tuple[Any, ...]) -> NoReturn:
    name = type(args[0]).__name__ if args and hasattr(args[0], "_called_with") else "YourClass"
    raise TypeError(
        f"{delay}() takes no arguments of the task, the class does: write "
        f"{name}(17, name='x').{delay}()"
    )


def _refuse_option(delay: str, name: str) -> NoReturn:
    if name in _ELSEWHERE:
        raise TypeError(f"{delay}() takes no {name}=; write {_ELSEWHERE[name]}")
    *others, last = (f"{option}=" for option in DelayOptions.__annotations__)
    raise TypeError(
        f"{delay}() got an unexpected keyword argument {name!r}; it takes {', '.join(others)} and "
        f"{last}. The task's own are {_ARGUMENTS}"
    )
