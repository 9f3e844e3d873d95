"""Receivers that remember what they were sent, for as long as a test wants them connected."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django_partisan.signals import PartisanSignal
from tests.app.receivers import ALL

__all__ = ["ALL", "Heard", "connected", "listening", "told"]


class Heard(NamedTuple):
    """One sending, as a receiver got it."""

    signal: str
    sender: type[Any] | None
    values: dict[str, Any]

    @property
    def task(self) -> Any:
        """The task that it is about."""
        return self.values["task"]


@contextlib.contextmanager
def connected(receiver: Callable[..., Any], *to: PartisanSignal) -> Iterator[None]:
    """Have a receiver called by some signals, or by all of them."""
    for signal in to or ALL:
        signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        for signal in to or ALL:
            signal.disconnect(receiver)


@contextlib.contextmanager
def listening(*to: PartisanSignal) -> Iterator[list[Heard]]:
    """Yield the list of what is heard of some signals, or of all of them."""
    heard: list[Heard] = []

    def hear(signal: PartisanSignal, sender: type[Any] | None, **values: Any) -> None:
        heard.append(Heard(signal.name, sender, values))

    with connected(hear, *to):
        yield heard


def told(heard: list[Heard]) -> list[tuple[str, int]]:
    """Return signals and tasks of what was heard, in order."""
    return [(each.signal, each.task.pk) for each in heard]
