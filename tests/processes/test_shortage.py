"""The machine lacks processes, threads or descriptors: an outage, not an end."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from django_partisan.config.const import ExitCode
from django_partisan.models import Attempt, Task
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.support.harness import Manager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2) is of Linux"),
]
WORKERS = 6
PLENTY = 4096
FULL = Path("/dev/full")


def limit(process: psutil.Process, kind: int, soft: int) -> None:
    """Set a soft limit of a process that runs."""
    hard = resource.prlimit(process.pid, kind)[1]
    resource.prlimit(process.pid, kind, (soft, hard))


def open_descriptors(process: psutil.Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def told(manager: Manager) -> int:
    return manager.log.count("the machine lacks what all workers need")


def kill_workers(manager: Manager) -> None:
    for worker in manager.workers():
        worker.kill()


def test_without_descriptors_in_the_manager_it_goes_on_with_the_workers_it_has(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": WORKERS})
    process = psutil.Process(manager.pid)
    limit(process, resource.RLIMIT_NOFILE, 3)
    # First the limit: what the dead leave would do for a successor.
    for worker in manager.workers()[2:]:
        worker.kill()
    wait_until(lambda: told(manager) == 1, message=lambda: manager.log)
    tasks = book.enqueue(*[Note()] * 20)
    limit(process, resource.RLIMIT_NOFILE, PLENTY)
    wait_until(lambda: all_are(tasks, "finished"))
    wait_until(lambda: len(manager.workers()) == WORKERS, message=lambda: manager.log)
    assert told(manager) == 1
    assert "Traceback" not in manager.log


def test_without_descriptors_in_the_launcher_no_task_is_charged(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": WORKERS})
    [launcher] = manager.launchers()
    limit(launcher, resource.RLIMIT_NOFILE, open_descriptors(launcher))
    kill_workers(manager)
    wait_until(lambda: told(manager) == 1, message=lambda: manager.log)
    tasks = book.enqueue(*[Note()] * 20)
    limit(launcher, resource.RLIMIT_NOFILE, PLENTY)
    wait_until(lambda: all_are(tasks, "finished"))
    wait_until(lambda: len(manager.workers()) == WORKERS, message=lambda: manager.log)
    assert not Attempt.objects.exists()
    assert not Task.objects.exclude(attempts=1).exists()
    assert "Traceback" not in manager.log


def test_a_launcher_that_cannot_be_started_is_started_later(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 2})
    process = psutil.Process(manager.pid)
    [launcher] = manager.launchers()
    limit(process, resource.RLIMIT_NOFILE, 3)
    launcher.kill()
    kill_workers(manager)
    wait_until(lambda: told(manager) >= 1, message=lambda: manager.log)
    assert process.is_running()
    limit(process, resource.RLIMIT_NOFILE, PLENTY)
    book.run(*[Note()] * 5)
    assert "Traceback" not in manager.log


# ----- as a user whose limits bind -----

ALONE = 51_000
"""No user of the machine: whatever runs under this number belongs to these tests."""
can_change_user = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root becomes another user"
)


@pytest.fixture
def as_user() -> list[str]:
    """Return what runs a command as a user of its own, who may read what root may."""
    user = ALONE + os.getpid() % 10_000
    rights = [f"--{kind}-caps=-all,+dac_override" for kind in ("inh", "ambient")]
    return ["setpriv", f"--reuid={user}", "--clear-groups", *rights]


@can_change_user
def test_what_the_limit_of_processes_allows_is_used(
    start_manager: StartManager, book: Book, as_user: list[str]
) -> None:
    # Threads count, too: some of the manager, one of the launcher, three of each worker.
    prefix = [*as_user, "prlimit", f"--nproc=14:{PLENTY}"]
    manager = start_manager(is_waiting=False, prefix=prefix, queue={"WORKERS_COUNT": 8})
    tasks = book.enqueue(*[Note()] * 30)
    wait_until(lambda: all_are(tasks, "finished"), message=lambda: manager.log)
    wait_until(lambda: 2 <= len(manager.workers()) < 8, message=lambda: manager.log)
    assert told(manager) >= 1
    assert not Attempt.objects.exists()
    for process in (manager.process, *manager.launchers()):
        raised = ["prlimit", f"--pid={process.pid}", f"--nproc={PLENTY}"]
        subprocess.run([*as_user, *raised], check=True)
    wait_until(lambda: len(manager.workers()) == 8, message=lambda: manager.log)
    book.run(*[Note()] * 10)
    assert manager.stop() == ExitCode.CLEAN
    assert "Traceback" not in manager.log


@can_change_user
def test_without_any_process_to_spare_it_waits_and_can_be_stopped(
    start_manager: StartManager, book: Book, as_user: list[str]
) -> None:
    manager = start_manager(is_waiting=False, prefix=[*as_user, "prlimit", f"--nproc=1:{PLENTY}"])
    book.waiting.update(book.enqueue(Note()))
    wait_until(lambda: told(manager) >= 1, message=lambda: manager.log)
    assert manager.stop() == ExitCode.CLEAN
    assert Task.objects.get().status == "new"
    assert "Traceback" not in manager.log


# ----- where logs go -----


@pytest.mark.skipif(not FULL.exists(), reason="no device that is full")
def test_a_full_disk_for_logs_stops_nothing(start_manager: StartManager, book: Book) -> None:
    with FULL.open("wb") as full:
        manager = start_manager(is_waiting=False, stderr=full)
        book.run(*[Note()] * 10)
        assert manager.stop() == ExitCode.CLEAN


def test_logs_that_nobody_reads_any_more_stop_nothing(
    start_manager: StartManager, book: Book
) -> None:
    reader, writer = os.pipe()
    manager = start_manager(is_waiting=False, stderr=writer)
    os.close(writer)
    os.close(reader)
    book.run(*[Note()] * 10)
    assert manager.stop() == ExitCode.CLEAN
