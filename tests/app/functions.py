"""Functions that are processors, and some that are none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.exceptions import PostponeTask
from django_partisan.processor import processor


@processor
def add(first: int, second: int = 0, *, times: int = 1) -> int:
    """Add two numbers."""
    return (first + second) * times


@processor(unique_for_params=False, priority=3)
def touch(path: str) -> dict[str, Any]:
    Path(path).touch()
    return {"path": path, "pid": os.getpid()}


@processor(
    retry_on_error_config=ErrorsHandleConfig(
        retry_on_errors=(FileNotFoundError,), retries_count=3, retry_pause=0.1
    )
)
def count_and_fail(path: str) -> int:
    """Fail at the first two attempts, which a file counts."""
    with Path(path).open("a") as file:
        file.write("x")
    attempts = Path(path).stat().st_size
    if attempts < 3:
        raise FileNotFoundError(attempts)
    return attempts


@processor(postpone_config=PostponeConfig(max_postpones=1))
def postpone_until_there(path: str) -> str:
    if not Path(path).exists():
        Path(path).touch()
        raise PostponeTask(0.1)
    return "there"


@processor(unique_key=("user",))
def charge(user: str, card: dict[str, Any]) -> None:
    raise RuntimeError(f"{user} has no {card['number']}")


def undecorated(path: str) -> None:
    Path(path).touch()


def made_here() -> Callable[[str], None]:
    """Return a function that nobody could find by its name."""

    def local(path: str) -> None:
        Path(path).touch()

    return local
