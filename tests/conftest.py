"""Fixtures for every test, and the rule that no process may outlive the suite.

With pytest-xdist, each of its workers has a database of its own, looks for what it has left over,
and hands that and its scenarios to the process that prints.
"""

from __future__ import annotations

import os
import signal
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection

from tests.support import hesitation
from tests.support.emptying import empty_used_tables_alone
from tests.support.helpers import wait_until
from tests.support.leftovers import describe, find_leftovers, mark_this_run
from tests.support.scenarios import SCENARIOS, Scenario, print_summary
from tools.run_tests import DEAR

TESTS = Path(__file__).parent
OTHER_DATABASE = "this is"
TURNS = {"even": 0, "odd": 1}
LEFTOVERS = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")
    parser.addoption(
        "--hesitant",
        action="store_true",
        help="have started processes wait at random: a test that fails depends on their speed",
    )
    parser.addoption(
        "--turn",
        choices=list(TURNS),
        help="of the tests that start processes, only this half: another run has the others",
    )
    parser.addoption(
        "--alone",
        action="store_true",
        help="no other run has this database: keep what needs it, whatever its turn; what uses the"
        " whole package takes turns as well",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Whoever runs the tests by nohup has it ignored, and managers would inherit that.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    empty_used_tables_alone()
    if config.option.hesitant:
        os.environ.setdefault(hesitation.VARIABLE, hesitation.CHOICE)
    mark_this_run(getattr(config, "workerinput", {}).get("workerid", ""))
    config.stash[LEFTOVERS] = []
    config.stash[SCENARIOS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.long:
        _deselect(config, items, lambda item: item.get_closest_marker("long") is not None)
    if config.option.turn:
        _deselect(config, items, lambda item: _has_another_turn(config, item))
    # They take longest: whoever is free at the end should find short ones.
    items.sort(key=lambda item: _kind_of(item) not in DEAR)
    for item in items:
        kind = _kind_of(item)
        if kind in DEAR:
            item.add_marker("browser" if kind == "browser" else "processes")
        for vendor in ("postgresql", "sqlite"):
            if item.get_closest_marker(vendor) and connection.vendor != vendor:
                reason = f"needs {vendor}, {OTHER_DATABASE} {connection.vendor}"
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_report_header() -> str:
    entry = connection.settings_dict
    return f"database: {connection.vendor} {entry['NAME']} {entry['HOST']}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    stash = session.config.stash
    stash[LEFTOVERS] += _killed_leftovers()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["leftovers"] = stash[LEFTOVERS]
        session.config.workeroutput["scenarios"] = [asdict(each) for each in stash[SCENARIOS]]
    elif stash[LEFTOVERS]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    output = getattr(node, "workeroutput", {})  # a worker that crashed has none
    node.config.stash[LEFTOVERS] += output.get("leftovers", [])
    node.config.stash[SCENARIOS] += [Scenario(**each) for each in output.get("scenarios", [])]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash[LEFTOVERS]:
        terminalreporter.write_line(f"LEFT OVER (killed now): {line}", red=True)
    for reason, count in _remarkable_skips(terminalreporter).items():
        terminalreporter.write_line(f"{count} skipped: {reason}", yellow=True)
    if config.option.long:
        print_summary(config.stash[SCENARIOS])


def _remarkable_skips(terminalreporter: pytest.TerminalReporter) -> Counter[str]:
    """Count the skipped tests by their reason, without those of another database."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    return Counter({each: count for each, count in reasons.items() if OTHER_DATABASE not in each})


def _has_another_turn(config: pytest.Config, item: pytest.Item) -> bool:
    if _kind_of(item) not in (*DEAR, *["integration"] * config.option.alone):
        return False
    if config.option.alone and item.get_closest_marker(connection.vendor):
        return False
    return zlib.crc32(item.nodeid.encode()) % 2 != TURNS[config.option.turn]


def _kind_of(item: pytest.Item) -> str:
    """Return the folder of tests/ that a test stands in."""
    return item.path.relative_to(TESTS).parts[0]


def _deselect(
    config: pytest.Config, items: list[pytest.Item], is_unwanted: Callable[[pytest.Item], bool]
) -> None:
    unwanted = {item for item in items if is_unwanted(item)}
    if unwanted:
        config.hook.pytest_deselected(items=list(unwanted))
        items[:] = [item for item in items if item not in unwanted]


def _killed_leftovers() -> list[str]:
    """Kill what outlives the tests, and return a line about each."""
    try:
        wait_until(lambda: not find_leftovers(), seconds=5)
    except AssertionError:
        leftovers = find_leftovers()
        lines = [describe(process) for process in leftovers]
        for process in leftovers:
            _kill(process)
        return lines
    return []


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(5)
    except psutil.Error:
        pass
