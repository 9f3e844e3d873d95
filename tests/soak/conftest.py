"""The soak runs on the fixtures of the process tests, and only when it is asked for."""

from __future__ import annotations

import os

import pytest

from tests.processes.conftest import book, database, managers, start_manager
from tests.soak.load import MINUTES_VARIABLE

__all__ = ["book", "database", "managers", "start_manager"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.long or MINUTES_VARIABLE in os.environ:
        return
    if soaks := [item for item in items if item.get_closest_marker("soak")]:
        config.hook.pytest_deselected(items=soaks)
        items[:] = [item for item in items if item not in soaks]
