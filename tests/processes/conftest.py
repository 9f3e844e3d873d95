"""Fixtures of the process tests; each test ends with the ledger rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Manager
from tests.support.ledger import Book
from tests.support.scenarios import SCENARIOS, Scenario

BUSY = 8
"""Patience with a machine that has other things to do; `make faults` wants a quiet one."""

StartManager = Callable[..., Manager]


@pytest.fixture
def managers() -> list[Manager]:
    """Return the list of the managers that the test has started."""
    return []


@pytest.fixture
def database(transactional_db: None) -> None:
    """Make the tables ready."""


@pytest.fixture
def book(database: None, managers: list[Manager], request: pytest.FixtureRequest) -> Iterator[Book]:
    """Yield the book of tasks; in the end the managers are stopped and the rule is checked."""
    book = Book(patience=1 if request.config.option.long else BUSY)
    try:
        yield book
        for manager in managers:
            manager.stop()
        for manager in managers:
            manager.assert_nothing_left()
        book.check()
    finally:
        request.config.stash[SCENARIOS].append(Scenario.of(request.node.name, book))
        for manager in managers:
            manager.destroy()
            print(f"--- log of manager {manager.pid}\n{manager.log}")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return the file that tasks wait for: they go on when it is touched."""
    return tmp_path / "gate"


@pytest.fixture
def start_manager(tmp_path: Path, book: Book, managers: list[Manager]) -> StartManager:
    """Return the function that starts a manager and waits until it serves."""

    def start(*, is_waiting: bool = True, **options: Any) -> Manager:
        manager = Manager(tmp_path, **options).start()
        managers.append(manager)
        return manager.wait_until_serving() if is_waiting else manager

    return start
