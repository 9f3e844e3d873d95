"""Deeds that end in error, with errors that are hard to tell."""

from __future__ import annotations

import sys
from typing import Any

from django_partisan.exceptions import PostponeTask
from tests.hostile_app.deeds import OddText, deed


@deed
def exit_as_a_program_does() -> None:
    sys.exit("as a program does")


@deed
def raise_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


@deed
def raise_generator_exit() -> None:
    raise GeneratorExit


@deed
def raise_a_group() -> None:
    raise BaseExceptionGroup("several", [ValueError("first"), KeyboardInterrupt(), _deep_group()])


def _deep_group() -> ExceptionGroup[Any]:
    group: ExceptionGroup[Any] = ExceptionGroup("deepest", [ValueError("x" * 100_000)])
    for level in range(50):
        group = ExceptionGroup(f"level {level}", [group])
    return group


class TextRaises(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class TextExits(Exception):
    def __str__(self) -> str:
        return sys.exit("while the error is told")

    __repr__ = __str__


class TextIsNoText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307


class TextIsHuge(Exception):
    def __str__(self) -> str:
        return "\0\ud800" * (2 << 20)

    __repr__ = __str__


class TextIsOdd(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class OddName(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in {"__qualname__", "__name__"}:
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class NameRaises(Exception, metaclass=OddName):
    pass


@deed
def raise_text_raises() -> None:
    raise TextRaises


@deed
def raise_text_exits() -> None:
    raise TextExits


@deed
def raise_text_is_no_text() -> None:
    raise TextIsNoText


@deed
def raise_text_is_huge() -> None:
    raise TextIsHuge


@deed
def raise_text_is_odd() -> None:
    raise TextIsOdd


@deed
def raise_name_raises() -> None:
    raise NameRaises


@deed
def raise_in_a_circle() -> None:
    error = ValueError("in a circle")
    error.__cause__ = KeyError("the other half")
    error.__cause__.__context__ = error
    raise error


@deed
def raise_with_notes_that_are_none() -> None:
    error = ValueError("with notes")
    error.__notes__ = 7  # type: ignore[assignment]
    raise error


@deed
def postpone_by_no_number() -> None:
    postpone = PostponeTask(1)
    postpone.postpone_for_seconds = object()  # type: ignore[assignment]
    raise postpone


@deed
def postpone_by_text() -> None:
    postpone = PostponeTask(1)
    postpone.postpone_for_seconds = "soon"  # type: ignore[assignment]
    raise postpone


@deed
def raise_five_megabytes_in_a_thousand_frames() -> None:
    _raise_deep(900)


def _raise_deep(levels: int) -> None:
    if not levels:
        raise ValueError("x" * (5 << 20))
    try:
        _raise_deep(levels - 1)
    except ValueError as error:
        error.add_note("y" * 10_000)
        raise
