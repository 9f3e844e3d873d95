"""The network swallows everything and still acknowledges it: row 9 of the faults."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from django_partisan.config.const import ExitCode
from django_partisan.models import ManagerProcess
from tests.app.partisan_tasks import Fail, Note, SleepQuietly, WaitForFile
from tests.faults.conftest import StartRemote
from tests.faults.own_server import OwnServer
from tests.support.harness import Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

pytestmark = [pytest.mark.postgresql, pytest.mark.long]

SILENT = "no answer from the database"
REAL_CLOCKS = {"PARTISAN_HEARTBEAT_SECONDS": 5, "PARTISAN_DEAD_AFTER_SECONDS": 30}
BOTH = pytest.mark.parametrize("only_answers", [False, True])


@BOTH
def test_an_idle_manager_notices_a_silent_connection_and_takes_another(
    own: OwnServer, start_remote: StartRemote, book: Book, only_answers: bool
) -> None:
    manager = start_remote(settings=REAL_CLOCKS, queue={"SLEEP_DELAY_SECONDS": 60})
    own.proxy.cut([manager.pid], only_answers=only_answers)
    watch = Stopwatch()
    ids = book.enqueue(*[SleepQuietly(0.01)] * 20)
    wait_until(lambda: SILENT in manager.log, message=lambda: manager.log)
    book.recovered("silence to its end", watch.seconds, within=15)
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert "the manager lost its standing" not in manager.log


@BOTH
def test_a_busy_manager_loses_nothing_of_what_was_under_way(
    own: OwnServer, start_remote: StartRemote, book: Book, only_answers: bool
) -> None:
    manager = start_remote(settings=REAL_CLOCKS)
    ids = book.enqueue(*[SleepQuietly(0.002)] * 3000)
    wait_until(lambda: statuses(ids)["finished"] > 300, message=lambda: manager.log)
    own.proxy.cut([manager.pid], only_answers=only_answers)
    watch = Stopwatch()
    wait_until(lambda: SILENT in manager.log, message=lambda: manager.log)
    book.recovered("silence to its end", watch.seconds, within=15)
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert "stale" not in manager.log


def test_a_transaction_that_the_silence_interrupted_does_not_keep_its_locks(
    own: OwnServer, start_remote: StartRemote, book: Book
) -> None:
    manager = start_remote(settings=REAL_CLOCKS)
    ids = book.enqueue(*[Fail("for good")] * 600)
    wait_until(lambda: statuses(ids)["error"] > 100, message=lambda: manager.log)
    own.proxy.cut([manager.pid], only_answers=True)
    wait_until(lambda: SILENT in manager.log, message=lambda: manager.log)
    watch = Stopwatch()
    wait_until(lambda: all_are(ids, "error"), message=lambda: manager.log)
    book.recovered("end of the silence to the last outcome", watch.seconds, within=30)


def test_a_worker_whose_idle_connection_fell_silent_takes_another(
    own: OwnServer, start_remote: StartRemote, book: Book
) -> None:
    manager = start_remote(settings=REAL_CLOCKS, queue={"WORKERS_COUNT": 1})
    book.run(Note())
    idle = Stopwatch()
    wait_until(lambda: idle.seconds > 1.5)
    assert own.proxy.cut([worker.pid for worker in manager.workers()]) == 1
    watch = Stopwatch()
    ids = book.enqueue(Note(), Note())
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    book.recovered("silence in a worker's connection to the next outcome", watch.seconds, within=5)


def test_a_manager_finds_back_when_even_new_connections_were_silent(
    own: OwnServer, start_remote: StartRemote, book: Book, tmp_path: Path
) -> None:
    manager = start_remote(settings=REAL_CLOCKS)
    ids = book.enqueue(*[SleepQuietly(0.01)] * 300)
    wait_until(lambda: statuses(ids)["finished"], message=lambda: manager.log)
    own.proxy.cut()
    wait_until(lambda: SILENT in manager.log, message=lambda: manager.log)
    watch = Stopwatch()
    wait_until(lambda: watch.seconds > 20, seconds=21)
    own.proxy.heal()
    watch = Stopwatch()
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    book.recovered("healed network to the last outcome", watch.seconds, within=15)


@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize("is_waiting", [False, True])
def test_a_signal_ends_a_manager_in_the_middle_of_the_silence(
    own: OwnServer,
    start_remote: StartRemote,
    book: Book,
    tmp_path: Path,
    is_complete: bool,
    is_waiting: bool,
) -> None:
    grace = 2
    manager = start_remote(
        settings={**REAL_CLOCKS, "PARTISAN_SHUTDOWN_GRACE_SECONDS": grace},
        queue={"SLEEP_DELAY_SECONDS": 60},
    )
    # Heartbeats are five seconds apart: right after one, or while the next one gets no answer.
    beaten = _wait_for_beat()
    gate = tmp_path / "gate"
    ids = book.begin(*[WaitForFile(str(gate))] * 5, running=2)
    own.proxy.cut(None if is_complete else [manager.pid])
    wait_until(lambda: not is_waiting or beaten.seconds > 5.5)
    watch = Stopwatch()
    manager.send(signal.SIGTERM)
    assert manager.wait_for_exit() in {ExitCode.CLEAN, ExitCode.ERROR}
    book.recovered("SIGTERM in the silence to the exit, grace 2 s", watch.seconds, within=grace + 5)
    gate.touch()
    own.proxy.heal()
    start_remote()
    wait_until(lambda: all_are(ids, "finished"))


def _wait_for_beat() -> Stopwatch:
    """Return a watch that was started with a heartbeat of the only manager."""
    before = ManagerProcess.objects.get().last_seen
    wait_until(lambda: ManagerProcess.objects.get().last_seen != before)
    return Stopwatch()
