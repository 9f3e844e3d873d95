"""Fixtures for every test, and the rule that no process may outlive the suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from django.db import connection

from tests.helpers import wait_until
from tests.leftovers import describe, find_leftovers, mark_this_run
from tests.scenarios import SCENARIOS, print_summary

LEFTOVERS = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")
    parser.addoption(
        "--no_own_server",
        action="store_true",
        help="leave out the tests that start a PostgreSQL of their own: another run has them",
    )


def pytest_configure(config: pytest.Config) -> None:
    mark_this_run()
    config.stash[LEFTOVERS] = []
    config.stash[SCENARIOS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.long:
        _deselect(config, items, lambda item: item.get_closest_marker("long") is not None)
    if config.option.no_own_server:
        _deselect(config, items, lambda item: "own_server" in getattr(item, "fixturenames", ()))
    for item in items:
        kind = Path(item.path).parent.name
        if kind in {"processes", "faults", "browser"}:
            item.add_marker("browser" if kind == "browser" else "processes")
        for vendor in ("postgresql", "sqlite"):
            if item.get_closest_marker(vendor) and connection.vendor != vendor:
                item.add_marker(
                    pytest.mark.skip(reason=f"needs {vendor}, this is {connection.vendor}")
                )


def pytest_report_header() -> str:
    entry = connection.settings_dict
    return f"database: {connection.vendor} {entry['NAME']} {entry['HOST']}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    try:
        wait_until(lambda: not find_leftovers(), seconds=5)
    except AssertionError:
        leftovers = find_leftovers()
        session.config.stash[LEFTOVERS] = [describe(process) for process in leftovers]
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for process in leftovers:
            _kill(process)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash[LEFTOVERS]:
        terminalreporter.write_line(f"LEFT OVER (killed now): {line}", red=True)
    if config.option.long:
        print_summary(config.stash[SCENARIOS])


def _deselect(
    config: pytest.Config, items: list[pytest.Item], is_unwanted: Callable[[pytest.Item], bool]
) -> None:
    unwanted = {item for item in items if is_unwanted(item)}
    if unwanted:
        config.hook.pytest_deselected(items=list(unwanted))
        items[:] = [item for item in items if item not in unwanted]


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(5)
    except psutil.Error:
        pass
