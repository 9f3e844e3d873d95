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
from tests.support.duties import Ears
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
def ears(make_manager: MakeManager) -> Ears:
    """Return the wake-up of a manager to whom nothing has happened for a while."""
    made = Ears.of(make_manager())
    _come_to_rest(made)
    assert made.listener.mode == "inotify"
    return made


@pytest.fixture
def writer(db: None) -> Iterator[OtherWriter]:
    with other_writer(connection.settings_dict["NAME"]) as started:
        yield started


def test_a_commit_of_another_process_is_seen_without_looking_by_the_clock(
    ears: Ears, writer: OtherWriter
) -> None:
    for _ in range(3):
        _come_to_rest(ears)
        ears.listener.may_have_cancels = False
        writer.run()
        _wait_until_noticed(ears)
        assert ears.listener.may_have_cancels, "it may have been about a task to cancel"


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_a_commit_is_seen_whose_event_comes_before_it(ears: Ears, synchronous: str) -> None:
    with other_writer(connection.settings_dict["NAME"], synchronous) as writer:
        for _ in range(100):
            ears.wakeup.claimed(time.monotonic())
            writer.begin()
            # The event of the write wakes us while the commit is under way.
            while not writer.is_done():
                _attend(ears, seconds=0.01)
            writer.finish()
            _wait_until_noticed(ears)


def test_nobody_looks_while_nothing_is_written(ears: Ears) -> None:
    with _counted_looks() as looks:
        assert ears.listener.next_check() == NEVER
        _attend(ears, seconds=1)
    # As often as it is attended to, but not by the clock of twenty times a second.
    assert len(looks) <= 1


def test_the_managers_own_writes_are_nobody_elses(make_manager: MakeManager) -> None:
    manager = make_manager()
    ears = Ears.of(manager)
    _come_to_rest(ears)
    assert manager.heartbeat.beat("running", {"written": time.time()})
    _attend(ears, seconds=HANG_SECONDS)
    assert not ears.wakeup.is_notified(time.monotonic())
    _come_to_rest(ears)
    assert ears.listener.mode == "inotify"


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
    ears: Ears, writer: OtherWriter, between: str
) -> None:
    for _ in range(3):
        writer.run()
        writer.run(between)
        _come_to_rest(ears)
        writer.run()
        _wait_until_noticed(ears)
    assert ears.listener.mode == "inotify"


def test_commits_are_seen_after_the_last_other_connection_has_closed(ears: Ears) -> None:
    for _ in range(3):
        with other_writer(connection.settings_dict["NAME"]) as writer:
            writer.run()
        _come_to_rest(ears)
        with other_writer(connection.settings_dict["NAME"]) as writer:
            writer.run()
            _wait_until_noticed(ears)
    assert ears.listener.mode == "inotify"


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
        ears = Ears.of(make_manager())
        _attend(ears, seconds=0)
        assert ears.listener.mode == "data_version"
        _assert_looks_by_the_clock(ears, writer)
    assert caplog.text.count("a write raised no event") == 1


def test_a_change_that_no_event_announced_ends_the_trust_in_events(
    ears: Ears,
    writer: OtherWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(FileEvents, "take", lambda self: False)
    writer.run()
    # No deadline is needed: the loop comes by at each poll, each beat.
    wait_until(lambda: _has_noticed(ears))
    assert ears.listener.mode == "data_version"
    _assert_looks_by_the_clock(ears, writer)
    assert caplog.text.count("a write raised no event") == 1


def test_without_a_descriptor_for_it_the_file_is_looked_at(
    make_manager: MakeManager, writer: OtherWriter, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        manager.queues.connected()
        manager.queues.connected()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert manager.queues.listener.mode == "data_version"
    assert caplog.text.count(os.strerror(errno.EMFILE)) == 1, "told once"
    _assert_looks_by_the_clock(Ears.of(manager), writer)
    manager.queues.connected()
    assert manager.queues.listener.mode == "inotify", "tried anew with each connection"


def test_without_a_watch_left_the_file_is_looked_at(
    make_manager: MakeManager,
    writer: OtherWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileEvents, "_add", refuse)
    ears = Ears.of(make_manager())
    assert ears.listener.mode == "data_version"
    _assert_looks_by_the_clock(ears, writer)
    assert caplog.text.count(os.strerror(errno.ENOSPC)) == 1


def test_where_there_is_no_inotify_the_file_is_looked_at_without_a_word(
    make_manager: MakeManager,
    writer: OtherWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(file_events, "IS_AVAILABLE", False)
    ears = Ears.of(make_manager())
    assert ears.listener.mode == "data_version"
    _assert_looks_by_the_clock(ears, writer)
    assert not caplog.text


def _attend(ears: Ears, seconds: float) -> None:
    """Wait as the loop does, once at most for so long, and take in what there is."""
    fd = ears.listener.file_descriptor()
    pause = min(seconds, max(0.0, ears.listener.next_check() - time.monotonic()))
    select.select([] if fd is None else [fd], [], [], pause)
    ears.listener.check(time.monotonic())


def _come_to_rest(ears: Ears) -> None:
    """Attend until there is no reason left to look at the file."""

    def is_at_rest() -> bool:
        _attend(ears, seconds=0.05)
        ears.wakeup.claimed(time.monotonic())
        return ears.listener.next_check() == NEVER

    wait_until(is_at_rest, interval=0)


def _wait_until_noticed(ears: Ears) -> None:
    """Attend until somebody else's commit is noticed; fail where only a clock could tell of it."""
    while not ears.wakeup.is_notified(time.monotonic()):
        fd = ears.listener.file_descriptor()
        is_readable = fd is not None and select.select([fd], [], [], 0)[0]
        assert is_readable or ears.listener.next_check() != NEVER, "nothing would wake the loop"
        _attend(ears, seconds=5)


def _has_noticed(ears: Ears) -> bool:
    ears.listener.check(time.monotonic())
    return ears.wakeup.is_notified(time.monotonic())


def _assert_looks_by_the_clock(ears: Ears, writer: OtherWriter) -> None:
    for _ in range(2):
        ears.wakeup.claimed(time.monotonic())
        assert ears.listener.file_descriptor() is None
        assert ears.listener.next_check() <= time.monotonic() + 0.05
        writer.run()
        wait_until(lambda: _has_noticed(ears))


@contextlib.contextmanager
def _counted_looks() -> Iterator[list[str]]:
    looks: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        if "data_version" in sql:
            looks.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        yield looks
