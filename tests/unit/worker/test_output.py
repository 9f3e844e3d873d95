"""Borders between what tasks print: none for a silent task, and never in the wrong place."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from django_partisan.attempt import FINISHED, ClaimedTask, Outcome
from django_partisan.config.const import NEVER
from django_partisan.logs import running
from django_partisan.manager.pool.launcher_client import LauncherClient
from django_partisan.manager.pool.output import OutputPipes, WorkerOutput
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.wire.channel import BlockingChannel
from django_partisan.wire.messages import message_of
from django_partisan.worker.output import ChannelOutput, PipeOutput
from tests.support.claimed_tasks import claimed_task

FIRST, SECOND, THIRD = (claimed_task(id=number, lease=7) for number in (1, 2, 3))


class Pair:
    """Both ends of one worker's output, in this process, whose own streams stay what they are."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.pipes = OutputPipes(self.selector)
        self.forwarded = os.memfd_create("forwarded")
        vars(self.pipes.forwarder)["_fd"] = self.forwarded
        self.manager: WorkerOutput = self.pipes.make()
        self.worker = PipeOutput([os.dup(fd) for fd in self.manager.descriptors], names_tasks=True)
        self.manager.close_theirs()
        self.is_open = True

    def print(self, text: str) -> None:
        """Write as a task would to descriptor 1."""
        os.write(vars(self.worker)["_writer"], text.encode())

    def turn(self) -> None:
        """Let the manager read what there is."""
        while events := self.selector.select(0):
            for key, _ in events:
                key.data()

    def shown(self) -> str:
        """Return everything that was forwarded, and close the manager's end."""
        self.close()
        return os.pread(self.forwarded, 1 << 20, 0).decode()

    def close(self) -> None:
        """Close the manager's end."""
        if self.is_open:
            self.is_open = False
            self.manager.close()
            self.pipes.close()
            self.selector.close()

    def of(self, task: ClaimedTask) -> str | None:
        """Return what is known to be printed by a task."""
        printed = self.manager.take(task)
        return None if printed is None else bytes(printed.head + printed.tail).decode()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr("django_partisan.worker.output._STANDARD", ())
    made = Pair()
    yield made
    made.close()
    for fd in (*made.worker.descriptors, made.forwarded):
        os.close(fd)


def test_a_silent_task_writes_nothing(pair: Pair) -> None:
    for _ in range(3):
        pair.worker.ended(FIRST)
    pair.turn()
    assert pair.manager.done == {}
    assert pair.shown() == ""


@pytest.mark.parametrize("reads", ["never", "in the middle", "always"])
def test_each_task_gets_its_own_whenever_the_manager_reads(pair: Pair, reads: str) -> None:
    def may_read(*moments: str) -> None:
        if reads in moments:
            pair.turn()

    for task, text in ((FIRST, "one\n"), (SECOND, ""), (THIRD, "three\n")):
        for part in (text[:2], text[2:]):
            pair.print(part)
            may_read("in the middle", "always")
        pair.worker.ended(task)
        may_read("always")
    pair.turn()
    assert [pair.of(task) for task in (FIRST, SECOND, THIRD)] == ["one\n", None, "three\n"]


def test_what_comes_after_the_end_of_the_code_is_joined(pair: Pair) -> None:
    pair.print("run ")
    pair.worker.ended(FIRST)
    pair.print("and commit")
    pair.worker.ended(FIRST)
    pair.turn()
    assert pair.of(FIRST) == "run and commit"


def test_what_the_worker_itself_says_is_forwarded_and_nobodys(pair: Pair) -> None:
    pair.print("mine\n")
    pair.worker.ended(FIRST)
    pair.print("task 1 finished\n")
    pair.worker.ended_words()
    pair.worker.ended(SECOND)
    pair.turn()
    assert (pair.of(FIRST), pair.of(SECOND)) == ("mine\n", None)
    assert pair.shown() == "mine\ntask 1 finished\n"


def test_a_line_for_the_log_alone_stands_in_its_place_and_is_not_forwarded(pair: Pair) -> None:
    pair.print("before\n")
    pair.worker.write_line(FIRST, "logged " + "x" * 1000)
    pair.print("after\n")
    pair.worker.ended(FIRST)
    pair.turn()
    assert pair.of(FIRST) == "before\nlogged " + "x" * 1000 + "\nafter\n"
    assert pair.shown() == "before\nafter\n"


def test_with_names_each_line_begins_with_its_task(pair: Pair) -> None:
    pair.worker.began(FIRST)
    pair.print("one\ntwo")
    pair.turn()
    pair.print(" goes on\n")
    pair.worker.ended(FIRST)
    pair.print("nobody\n")
    pair.worker.ended_words()
    pair.worker.began(SECOND)
    pair.print("three\n")
    pair.worker.ended(SECOND)
    pair.turn()
    assert pair.of(FIRST) == "one\ntwo goes on\n"
    assert pair.shown() == "[task 1] one\n[task 1] two goes on\nnobody\n[task 2] three\n"


def test_what_a_dead_worker_has_left_is_of_the_task_that_ran(pair: Pair) -> None:
    pair.print("one\n")
    pair.worker.ended(FIRST)
    pair.print("last words")
    pair.manager.catch_up()
    pair.manager.rest_is_of(SECOND)
    assert (pair.of(FIRST), pair.of(SECOND)) == ("one\n", "last words")


def test_a_child_that_stays_keeps_its_pipe_and_the_worker_gets_others(pair: Pair) -> None:
    """More of them than the shared memory has words, before the manager reads any."""
    children = [os.dup(vars(pair.worker)["_writer"])]
    pair.print("one\n")
    running.task = FIRST
    try:
        pair.worker.must_move(True)
    finally:
        running.task = None
    pair.worker.ended(FIRST)
    os.write(children[0], b"late\n")
    for number in range(1200):
        task = claimed_task(id=1000 + number, lease=1)
        pair.print(f"{number}\n")
        running.task = task
        try:
            pair.worker.must_move(True)
        finally:
            running.task = None
        pair.worker.ended(task)
        if number % 100 == 0:
            pair.turn()
    pair.print("two\n")
    pair.worker.ended(SECOND)
    pair.turn()
    os.write(children[0], b"later\n")
    pair.turn()
    os.close(children[0])
    pair.turn()
    assert pair.of(FIRST) == "one\n"
    assert pair.of(SECOND) == "two\n"
    for number in range(1200):
        assert pair.of(claimed_task(id=1000 + number, lease=1)) == f"{number}\n"
    assert not pair.pipes.leftovers
    shown = pair.shown()
    assert shown.count("late\n") == shown.count("later\n") == 1


def test_lines_are_taken_while_a_task_runs_and_the_rest_at_its_end(pair: Pair) -> None:
    pair.print("one\ntwo\nthr")
    pair.turn()
    assert bytes(pair.manager.take_lines(FIRST, is_first=True).head) == b"one\ntwo\n"
    assert not pair.manager.take_lines(FIRST, is_first=True)
    pair.print("ee\n")
    pair.worker.ended(FIRST)
    pair.turn()
    assert pair.of(FIRST) == "three\n"


def test_a_child_is_noticed_while_it_runs_and_after_somebody_has_waited_for_it(
    pair: Pair,
) -> None:
    worker = pair.worker
    worker.has_had_children()
    assert not worker.has_had_children()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert worker.has_had_children()
    child.communicate()
    assert worker.has_had_children()
    assert not worker.has_had_children()


def test_what_is_handed_back_is_mended_with_what_it_was(pair: Pair, tmp_path: Path) -> None:
    with (tmp_path / "own").open("w+b") as own, (tmp_path / "other").open("w+b") as other:
        stream, spare = os.dup(other.fileno()), os.dup(other.fileno())
        vars(pair.worker)["_spares"] = {stream: own.fileno()}
        pair.worker.spares_are([spare])
        pair.worker.hand_back()
        for fd in (stream, spare):
            os.write(fd, b"x")
            os.close(fd)
        assert (tmp_path / "own").read_bytes() == b"xx"


def test_a_descriptor_that_a_task_has_closed_is_not_taken_for_the_pipe(
    pair: Pair, tmp_path: Path
) -> None:
    assert pair.worker.is_whole()
    writer = vars(pair.worker)["_writer"]
    with (tmp_path / "file").open("wb") as file:
        os.dup2(file.fileno(), writer, inheritable=False)
        assert not pair.worker.is_whole()


# ----- by the channel -----


def test_a_worker_of_several_tasks_sends_lines_by_the_channel() -> None:
    pipes = OutputPipes(selectors.DefaultSelector())
    handle = WorkerHandle(1, 0.0, cast("LauncherClient", None), pipes.make)
    channel = BlockingChannel(handle.theirs)
    output = ChannelOutput(channel.send)
    handle.hand_out([(FIRST, None), (SECOND, None)], 0.0)
    for task, line in ((FIRST, "a"), (SECOND, "b\0\ud800"), (FIRST, "c"), (THIRD, "of nobody")):
        output.write_line(task, line)
    channel.send(message_of(Outcome(FIRST.id, FIRST.lease, FINISHED, 1.0, 2.0)))
    assert [task for task, _ in handle.receive(0.0)] == [FIRST]
    assert handle.output is not None
    said = {key: bytes(printed.head).decode() for key, printed in handle.output.done.items()}
    assert said == {FIRST[:2]: "a\nc\n", SECOND[:2]: "b\ufffd\\ud800\n"}
    handle.close()
    pipes.close()


# ----- the manager's stream -----


def test_a_slow_reader_gets_every_byte_and_whoever_has_more_waits(pair: Pair) -> None:
    reader, writer = os.pipe()
    forwarder = pair.pipes.forwarder
    vars(forwarder)["_fd"] = writer
    sent = received = 0
    waits: list[Any] = []
    while sent < 3_000_000:
        if forwarder.is_full and not waits:
            forwarder.when_there_is_room(waits.clear)
            waits.append(True)
        if not forwarder.is_full:
            forwarder.put(b"x" * 50_000)
            sent += 50_000
        else:
            received += len(os.read(reader, 65_536))
        pair.turn()
    while received < sent:
        received += len(os.read(reader, 65_536))
    assert received == 3_000_000
    pair.shown()
    os.close(reader)
    os.close(writer)


def test_a_stopped_reader_is_waited_for_only_so_long_and_told_what_is_missing(pair: Pair) -> None:
    reader, writer = os.pipe()
    forwarder = pair.pipes.forwarder
    vars(forwarder)["_fd"] = writer
    went_on: list[bool] = []
    while not forwarder.is_full:
        forwarder.put(b"x" * 50_000)
    forwarder.when_there_is_room(lambda: went_on.append(True))
    forwarder.turn(forwarder.next_deadline() - 0.001)
    assert went_on == [], "not before its time"
    # Some of it goes until the pipe is full: each time that counts as a new beginning.
    while not went_on:
        forwarder.turn(forwarder.next_deadline())
    assert went_on == [True]
    assert forwarder.next_deadline() == NEVER, "nobody waits for it any more"
    for _ in range(100):
        forwarder.put(b"y" * 50_000)
    os.set_blocking(reader, False)
    data, deadline = b"", time.monotonic() + 60
    while b"left out" not in data and time.monotonic() < deadline:
        try:
            data += os.read(reader, 65_536)
        except BlockingIOError:
            forwarder.put(b"z")
            time.sleep(0.01)
    assert b" MB left out " in data
    pair.shown()
    os.close(reader)
    os.close(writer)


def test_who_hears_of_a_closed_pipe_in_the_same_round_reads_nothing(pair: Pair) -> None:
    pair.print("too late")
    pair.manager.close()
    pair.manager.catch_up(is_last=True)
    assert pair.manager.take(FIRST) is None
    assert pair.shown() == "too late"
