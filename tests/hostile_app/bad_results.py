"""Deeds that return what cannot be kept as it is."""

from __future__ import annotations

import os
from typing import Any

from tests.hostile_app.deeds import OddText, deed


class Returned:
    """Neither JSON, nor picklable, nor printable."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")


@deed
def return_itself_in_itself() -> Any:
    loop: list[Any] = []
    loop.append({"again": loop})
    return loop


@deed
def return_a_lambda() -> Any:
    return lambda: None


@deed
def return_an_open_file() -> Any:
    return open(os.devnull)  # noqa: PTH123


@deed
def return_what_cannot_be_printed() -> Any:
    return Returned()


@deed
def return_a_hundred_thousand_levels() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


@deed
def return_a_generator() -> Any:
    return (number for number in range(3))


@deed
def return_odd_text() -> Any:
    return OddText("odd")
