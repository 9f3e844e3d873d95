"""A manager learns from the kernel that somebody else has committed to its SQLite file."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from django_partisan.config.const import NEVER
from django_partisan.manager import WorkersManager
from django_partisan.manager.claiming import file_events
from django_partisan.manager.claiming.file_events import FileEvents
from django_partisan.manager.claiming.wakeup import Wakeup
from tests.support.helpers import HANG_SECONDS, wait_until
from tests.support.other_writer import OtherWriter, other_writer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sqlite,
    pytest.mark.skipif(sys.platform != "linux", reason="needs inotify"),
]
MakeManager = Callable[[], WorkersManager]


@pytest.fixture
def make_manager() -> Iterator[MakeManager]:
    """Return the function that makes a connected manager, registered and with nothing to do."""
    with contextlib.ExitStack() as stack:

        def make() -> WorkersManager:
            made = WorkersManager()
            stack.callback(made.link.close)
            stack.callback(made.selector.close)
            assert made.link.ready(time.monotonic())
            made.heartbeat.register()
            return made

        yield make


@pytest.fixture
def wakeup(make_manager: MakeManager) -> Wakeup:
    """Return the wake-up of a manager to whom nothing has happened for a while."""
    made = make_manager().claimer.wakeup
    _come_to_rest(made)
    assert made.mode == "inotify"
    return made


@pytest.fixture
def writer(db: None) -> Iterator[OtherWriter]:
    with other_writer(connection.settings_dict["NAME"]) as started:
        yield started


def test_a_commit_of_another_process_is_seen_without_looking_by_the_clock(
    wakeup: Wakeup, writer: OtherWriter
) -> None:
    for _ in range(3):
        _come_to_rest(wakeup)
        wakeup.may_have_cancels = False
        writer.run()
        _wait_until_noticed(wakeup)
        assert wakeup.may_have_cancels, "it may have been about a task to cancel"


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_a_commit_is_seen_whose_event_comes_before_it(wakeup: Wakeup, synchronous: str) -> None:
    with other_writer(connection.settings_dict["NAME"], synchronous) as writer:
        for _ in range(100):
            wakeup.claimed(time.monotonic())
            writer.begin()
            # The event of the write wakes us while the commit is under way.
            while not writer.is_done():
                _attend(wakeup, seconds=0.01)
            writer.finish()
            _wait_until_noticed(wakeup)


def test_nobody_looks_while_nothing_is_written(wakeup: Wakeup) -> None:
    with _counted_looks() as looks:
        assert wakeup.next_check() == NEVER
        _attend(wakeup, seconds=1)
    # As often as it is attended to, but not by the clock of twenty times a second.
    assert len(looks) <= 1


def test_the_managers_own_writes_are_nobody_elses(make_manager: MakeManager) -> None:
    manager = make_manager()
    wakeup = manager.claimer.wakeup
    _come_to_rest(wakeup)
    assert manager.heartbeat.beat("running", {"written": time.time()})
    _attend(wakeup, seconds=HANG_SECONDS)
    assert not wakeup.is_notified(time.monotonic())
    _come_to_rest(wakeup)
    assert wakeup.mode == "inotify"


@pytest.mark.parametrize(
    "between",
    [
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(RESTART)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "BEGIN IMMEDIATE;PRAGMA user_version = 1;ROLLBACK",
        "VACUUM",
    ],
)
def test_commits_after_a_checkpoint_or_a_rollback_are_seen(
    wakeup: Wakeup, writer: OtherWriter, between: str
) -> None:
    for _ in range(3):
        writer.run()
        writer.run(between)
        _come_to_rest(wakeup)
        writer.run()
        _wait_until_noticed(wakeup)
    assert wakeup.mode == "inotify"


def test_commits_are_seen_after_the_last_other_connection_has_closed(wakeup: Wakeup) -> None:
    for _ in range(3):
        with other_writer(connection.settings_dict["NAME"]) as writer:
            writer.run()
        _come_to_rest(wakeup)
        with other_writer(connection.settings_dict["NAME"]) as writer:
            writer.run()
            _wait_until_noticed(wakeup)
    assert wakeup.mode == "inotify"


def test_where_a_write_raises_no_event_the_file_is_looked_at(
    make_manager: MakeManager,
    writer: OtherWriter,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "silent").touch()
    add = FileEvents._add

    def add_silent(self: FileEvents) -> int:
        path, self._path = self._path, tmp_path / "silent"
        try:
            return add(self)
        finally:
            self._path = path

    monkeypatch.setattr(FileEvents, "_add", add_silent)
    with caplog.at_level(logging.WARNING):
        wakeup = make_manager().claimer.wakeup
        _attend(wakeup, seconds=0)
        assert wakeup.mode == "data_version"
        _assert_looks_by_the_clock(wakeup, writer)
    assert caplog.text.count("a write raised no event") == 1


def test_a_change_that_no_event_announced_ends_the_trust_in_events(
    wakeup: Wakeup,
    writer: OtherWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(FileEvents, "take", lambda self: False)
    writer.run()
    # No deadline is needed: the loop comes by at each poll, each beat.
    wait_until(lambda: _has_noticed(wakeup))
    assert wakeup.mode == "data_version"
    _assert_looks_by_the_clock(wakeup, writer)
    assert caplog.text.count("a write raised no event") == 1


def test_without_a_descriptor_for_it_the_file_is_looked_at(
    make_manager: MakeManager, writer: OtherWriter, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        manager.claimer.connected()
        manager.claimer.connected()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert manager.claimer.wakeup.mode == "data_version"
    assert caplog.text.count(os.strerror(errno.EMFILE)) == 1, "told once"
    _assert_looks_by_the_clock(manager.claimer.wakeup, writer)
    manager.claimer.connected()
    assert manager.claimer.wakeup.mode == "inotify", "tried anew with each connection"


def test_without_a_watch_left_the_file_is_looked_at(
    make_manager: MakeManager,
    writer: OtherWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileEvents, "_add", refuse)
    wakeup = make_manager().claimer.wakeup
    assert wakeup.mode == "data_version"
    _assert_looks_by_the_clock(wakeup, writer)
    assert caplog.text.count(os.strerror(errno.ENOSPC)) == 1


def test_where_there_is_no_inotify_the_file_is_looked_at_without_a_word(
    make_manager: MakeManager,
    writer: OtherWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(file_events, "IS_AVAILABLE", False)
    wakeup = make_manager().claimer.wakeup
    assert wakeup.mode == "data_version"
    _assert_looks_by_the_clock(wakeup, writer)
    assert not caplog.text


def _attend(wakeup: Wakeup, seconds: float) -> None:
    """Wait as the loop does, once at most for so long, and take in what there is."""
    fd = wakeup.file_descriptor()
    pause = min(seconds, max(0.0, wakeup.next_check() - time.monotonic()))
    select.select([] if fd is None else [fd], [], [], pause)
    wakeup.check(time.monotonic())


def _come_to_rest(wakeup: Wakeup) -> None:
    """Attend until there is no reason left to look at the file."""

    def is_at_rest() -> bool:
        _attend(wakeup, seconds=0.05)
        wakeup.claimed(time.monotonic())
        return wakeup.next_check() == NEVER

    wait_until(is_at_rest, interval=0)


def _wait_until_noticed(wakeup: Wakeup) -> None:
    """Attend until somebody else's commit is noticed; fail where only a clock could tell of it."""
    while not wakeup.is_notified(time.monotonic()):
        fd = wakeup.file_descriptor()
        is_readable = fd is not None and select.select([fd], [], [], 0)[0]
        assert is_readable or wakeup.next_check() != NEVER, "nothing would wake the loop"
        _attend(wakeup, seconds=5)


def _has_noticed(wakeup: Wakeup) -> bool:
    wakeup.check(time.monotonic())
    return wakeup.is_notified(time.monotonic())


def _assert_looks_by_the_clock(wakeup: Wakeup, writer: OtherWriter) -> None:
    for _ in range(2):
        wakeup.claimed(time.monotonic())
        assert wakeup.file_descriptor() is None
        assert wakeup.next_check() <= time.monotonic() + 0.05
        writer.run()
        wait_until(lambda: _has_noticed(wakeup))


@contextlib.contextmanager
def _counted_looks() -> Iterator[list[str]]:
    looks: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        if "data_version" in sql:
            looks.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        yield looks
