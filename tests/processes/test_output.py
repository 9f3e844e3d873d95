"""What tasks print: in the log of their own try, whatever prints it and however they end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from django_partisan.models import Follower, Output, Task
from django_partisan.payloads.printed import HEAD_BYTES, TAIL_BYTES
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note
from tests.app.printing import LogBySelf, PrintAtomically, PrintBy, PrintUnkept
from tests.processes.conftest import StartManager
from tests.settings import INSTALLED_APPS
from tests.support.harness import Manager, kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

ONE = {"WORKERS_COUNT": 1}
BUFFERED = {"PYTHONUNBUFFERED": ""}
"""As it is outside of containers, and as a pipe has it by itself."""
PLAIN = ("-v1",)
"""Without the names of tasks, for which each task would write something."""


@pytest.fixture
def start(start_manager: StartManager) -> StartManager:
    """Return the function that starts a manager whose workers' streams have buffers."""

    def started(**options: object) -> Manager:
        return start_manager(**{"environment": BUFFERED, "queue": ONE, **options})

    return started


def log_of(task_id: int) -> str:
    """Return what a task has printed."""
    return Task.objects.get(pk=task_id).log


def run(book: Book, *processors: PrintBy) -> list[int]:
    """Enqueue tasks, wait for their end, and return their ids."""
    ids = book.enqueue(*processors)
    wait_until(lambda: all_are(ids, "finished"), message=lambda: str(statuses(ids)))
    return ids


@pytest.mark.parametrize(
    "way",
    ["by_print", "without_newline", "to_stderr", "by_descriptor", "by_c", "by_child", "by_thread"],
)
def test_what_is_printed_stands_in_the_log_of_its_task(
    start: StartManager, book: Book, way: str
) -> None:
    manager = start()
    ids = run(book, PrintBy("silence"), PrintBy(way), PrintBy("silence"))
    assert [log_of(pk).strip() for pk in ids] == ["", f"{way} of task {ids[1]}", ""]
    assert Output.objects.count() == 1
    wait_until(lambda: f"[task {ids[1]}] {way} of task {ids[1]}" in manager.log)


def test_what_a_daemon_prints_later_is_in_nobodys_log(start: StartManager, book: Book) -> None:
    manager = start(arguments=PLAIN)
    first, *others = run(book, PrintBy("by_daemon"), *[PrintBy("by_print")] * 3)
    late = f"late by_daemon of task {first}"
    wait_until(lambda: manager.log.count(late) > 5)
    last = run(book, PrintBy("by_print"))
    wait_until(lambda: manager.log.count(late) == 50)
    assert log_of(first).startswith(f"by_daemon of task {first}\n")
    for pk in (*others, *last):
        assert log_of(pk) == f"by_print of task {pk}\n"


def test_neither_is_what_a_program_in_the_background_prints(
    start: StartManager, book: Book
) -> None:
    manager = start(arguments=PLAIN)
    gate = Path(manager.log_path.parent / "gate")
    [first] = run(book, PrintBy("by_shell_in_background"))
    [second] = book.enqueue(PrintBy("then_wait", str(gate)))
    wait_until(lambda: f"late by_shell_in_background of task {first}" in manager.log)
    gate.touch()
    wait_until(lambda: all_are([second], "finished"))
    assert log_of(first) == f"by_shell_in_background of task {first}\n"
    assert log_of(second) == "waiting\nwent on\n"


@pytest.mark.parametrize(
    ("way", "lines"),
    [("then_exit", ["{}"]), ("then_crash", ["C: {}", "{}"])],
)
def test_last_words_before_a_crash_are_kept_of_each_try(
    start: StartManager, book: Book, way: str, lines: list[str]
) -> None:
    start(arguments=PLAIN)
    [pk] = book.enqueue(PrintBy(way))
    wait_until(lambda: all_are([pk], "error"))
    said = "".join(f"{line.format(f'{way} of task {pk}')}\n" for line in lines)
    attempts = list(Task.objects.get(pk=pk).attempt_set.order_by("pk"))
    assert [attempt.log for attempt in attempts] == [said] * 4
    assert log_of(pk) == "".join(f"--- attempt {n}\n{said}" for n in (1, 2, 3, 4))
    assert log_of(*run(book, PrintBy("by_print"))) == f"by_print of task {book.ids[-1]}\n"


def test_what_the_worker_itself_says_of_an_error_is_in_nobodys_log(
    start: StartManager, book: Book
) -> None:
    manager = start(arguments=PLAIN)
    ids = book.enqueue(PrintBy("then_fail"), PrintBy("silence"), PrintBy("by_print"))
    wait_until(lambda: not Task.objects.filter(status__in=("new", "in_process")).exists())
    said = [f"then_fail of task {ids[0]}\n", "", f"by_print of task {ids[2]}\n"]
    assert [log_of(pk) for pk in ids] == said
    assert [attempt.log for attempt in Task.objects.get(pk=ids[0]).attempt_set.all()] == said[:1]
    wait_until(lambda: "what it is about" in manager.log)


def test_a_task_that_is_cancelled_while_it_runs_keeps_what_it_printed(
    start: StartManager, book: Book, gate: Path
) -> None:
    manager = start()
    [pk] = book.enqueue(PrintBy("then_wait", str(gate)))
    wait_until(lambda: f"[task {pk}] waiting" in manager.log)
    Task.objects.get(pk=pk).cancel()
    wait_until(lambda: all_are([pk], "cancelled"))
    assert log_of(pk) == "waiting\n"


def test_a_killed_workers_last_lines_are_kept(start: StartManager, book: Book, gate: Path) -> None:
    manager = start()
    [pk] = book.enqueue(PrintBy("then_wait", str(gate)))
    wait_until(lambda: f"[task {pk}] waiting" in manager.log)
    kill(manager.workers()[0].pid)
    wait_until(lambda: Output.objects.filter(task_id=pk).exists())
    gate.touch()
    wait_until(lambda: all_are([pk], "finished"))
    assert [output.text for output in Output.objects.filter(task_id=pk)] == [
        "waiting\n",
        "waiting\nwent on\n",
    ]


def test_c_code_that_holds_the_lock_of_python_prints_ten_megabytes(
    start: StartManager, book: Book
) -> None:
    start()
    pk, after = run(book, PrintBy("with_the_lock_held"), PrintBy("by_print"))
    output = Output.objects.get(task_id=pk)
    assert set(output.text.replace("x" * 999 + "\n", "")) <= set("x\n… 9.7MBlefout")
    kept = len(output.head.encode()) + len(output.tail.encode())
    assert kept + output.left_out == 10_000_000
    assert log_of(after) == f"by_print of task {after}\n"


def test_of_much_output_head_and_tail_are_kept_and_the_manager_stays_small(
    start: StartManager, book: Book
) -> None:
    # To a file, every byte; what it holds then is no matter of memory.
    manager = start()
    run(book, PrintBy("much", "10"))
    before = manager.process.memory_info().rss
    [pk] = run(book, PrintBy("much", "1000"))
    grown = manager.process.memory_info().rss - before
    output = Output.objects.get(task_id=pk)
    assert output.head.startswith("first line\n")
    assert output.tail.endswith("last line\n")
    assert len(output.head.encode()) <= HEAD_BYTES
    assert len(output.tail.encode()) <= TAIL_BYTES
    assert output.left_out > 99_000_000
    assert "… 99.7 MB left out …" in output.text
    assert grown < 6 << 20


def test_bytes_that_are_no_text_are_stored_and_forwarded_as_they_are(
    start: StartManager, book: Book
) -> None:
    manager = start(arguments=PLAIN)
    [pk] = run(book, PrintBy("rubbish"))
    text = log_of(pk)
    assert "half \ufffd\nnul \ufffd\n" in text
    assert "\x1b[31mred\x1b[0m\n" in text
    printed = b"half \xc3\nnul \0\n" + bytes(range(256)) + b"\x1b[31mred\x1b[0m\n\xc3"
    wait_until(lambda: printed in manager.log_path.read_bytes())


def test_secrets_are_masked_before_anything_is_stored(start: StartManager, book: Book) -> None:
    start(settings={"INSTALLED_APPS": [*INSTALLED_APPS, "tests.secret_app"]})
    name = "tests.secret_app.partisan_tasks.Tell"
    arguments = {"args": [], "kwargs": {"password": "hunter2 & more"}}
    pk = Task.objects.create(processor_class=name, arguments=arguments).pk
    book.ids.append(pk)
    wait_until(lambda: all_are([pk], "finished"))
    assert log_of(pk) == "logging in with ********, as ever\n"


def test_a_processor_that_is_not_captured_prints_on_and_leaves_nothing(
    start: StartManager, book: Book
) -> None:
    manager = start()
    [pk] = run(book, PrintUnkept("by_print"))
    wait_until(lambda: f"by_print of task {pk}" in manager.log)
    assert not Output.objects.exists()


def test_without_capturing_workers_print_to_where_the_manager_does(
    start: StartManager, book: Book
) -> None:
    manager = start(settings={"PARTISAN_CAPTURE_OUTPUT": False})
    [pk] = run(book, PrintBy("by_descriptor"))
    wait_until(lambda: f"by_descriptor of task {pk}\n" in manager.log)
    [worker] = manager.workers()
    opened = {Path(f"/proc/{each.pid}/fd/1").readlink() for each in (worker, manager.process)}
    assert opened == {manager.log_path}
    assert not Output.objects.exists()


LINES = ["before", "INFO    said at INFO", "WARNING said at WARNING", "after"]


@pytest.mark.parametrize("handler", ["logging.StreamHandler", "logging.FileHandler", None])
def test_lines_of_the_own_logger_stand_once_in_the_log_in_their_order(
    start: StartManager, book: Book, tmp_path: Path, handler: str | None
) -> None:
    formatter = {"format": "%(levelname)-7s %(message)s (task %(task_id)s)"}
    options = {"filename": str(tmp_path / "file")} if handler == "logging.FileHandler" else {}
    handlers = {"one": {"class": handler, "formatter": "plain", **options}} if handler else {}
    logging = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": formatter},
        "handlers": handlers,
        "loggers": {"tests": {"handlers": [*handlers], "level": "INFO", "propagate": False}},
    }
    start(settings={"LOGGING": logging})
    [pk] = book.enqueue(LogBySelf())
    wait_until(lambda: all_are([pk], "finished"))
    lines = log_of(pk).splitlines()
    assert len(lines) == len(LINES)
    for line, expected in zip(lines, LINES, strict=True):
        assert expected in line
    if handler == "logging.FileHandler":
        assert f"said at WARNING (task {pk})" in (tmp_path / "file").read_text()


def test_a_follower_sees_a_line_while_its_task_runs(
    start: StartManager, book: Book, gate: Path
) -> None:
    start()
    [pk] = book.enqueue(PrintBy("then_wait", str(gate)))
    followed = Task.objects.get(pk=pk).follow_log()
    assert _first(followed) == "waiting\n"
    assert Task.objects.get(pk=pk).status == "in_process"
    gate.touch()
    assert "".join(followed) == "went on\n"
    assert not Follower.objects.exists()
    assert log_of(pk) == "waiting\nwent on\n"


def _first(texts: Iterator[str]) -> str:
    return next(text for text in texts if text)


def test_nothing_is_stored_of_a_running_task_that_nobody_follows(
    start: StartManager, book: Book, gate: Path
) -> None:
    manager = start()
    [pk, other] = book.enqueue(PrintBy("then_wait", str(gate)), PrintBy("silence"))
    wait_until(lambda: f"[task {pk}] waiting" in manager.log)
    assert not Output.objects.exists()
    gate.touch()
    wait_until(lambda: all_are([pk, other], "finished"))
    assert Output.objects.get().task_id == pk


def test_a_task_whose_manager_is_killed_while_it_prints_has_its_effects_once(
    start: StartManager, book: Book, gate: Path
) -> None:
    first = start()
    [pk] = book.enqueue(PrintAtomically("then_wait", str(gate)))
    wait_until(lambda: f"[task {pk}] waiting" in first.log)
    first.kill()
    gate.touch()
    start()
    wait_until(lambda: all_are([pk], "finished"))
    wait_until(lambda: "went on" in log_of(pk))


def test_thousands_of_tasks_have_their_own_lines_and_no_others(
    start: StartManager, book: Book
) -> None:
    """Also where the manager is slow to read: it is stopped and goes on, again and again."""
    manager = start(queue={"WORKERS_COUNT": 2}, arguments=PLAIN)
    ways = ["silence", "by_print", "silence", "without_newline"] * 750
    ids = book.enqueue(*map(PrintBy, ways))
    process = psutil.Process(manager.pid)
    while not all_are(ids, "finished"):
        process.suspend()
        time.sleep(0.02)
        process.resume()
        time.sleep(0.05)
    printing = ((pk, way) for pk, way in zip(ids, ways, strict=True) if way != "silence")
    expected = {pk: f"{way} of task {pk}" for pk, way in printing}
    stored = {output.task_id: output.text.strip() for output in Output.objects.all()}
    assert stored == expected


def test_a_stopped_reader_of_what_is_printed_does_not_stop_the_manager(
    start: StartManager, book: Book
) -> None:
    reader, writer = os.pipe()
    try:
        manager = start(stderr=writer, is_waiting=False, arguments=("-v0",))
        wait_until(lambda: len(manager.workers()) == 1)
        run(book, PrintBy("much", "20"), PrintBy("by_print"))
        assert log_of(book.ids[-1]) == f"by_print of task {book.ids[-1]}\n"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_slow_reader_of_what_is_printed_gets_every_byte(start: StartManager, book: Book) -> None:
    reader, writer = os.pipe()
    heard = bytearray()

    def read() -> None:
        while data := os.read(reader, 65_536):
            heard.extend(data)
            time.sleep(0.01)  # As journals and terminals do.

    thread = threading.Thread(target=read, daemon=True)
    try:
        thread.start()
        manager = start(stderr=writer, is_waiting=False, arguments=("-v0",))
        wait_until(lambda: len(manager.workers()) == 1)
        run(book, *[PrintBy("a_little")] * 200)
        assert manager.stop() == 0
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
    assert b"left out" not in heard
    assert bytes(heard).count(b"y" * 999 + b"\n") == 50 * 200


def test_output_is_deleted_with_its_task(start: StartManager, book: Book) -> None:
    start()
    [pk] = run(book, PrintBy("by_print"))
    assert Output.objects.filter(task_id=pk).exists()
    Task.objects.get(pk=pk).delete()
    assert not Output.objects.exists()
    book.ids.remove(pk)


def test_a_task_that_closes_its_streams_keeps_what_it_printed(
    start: StartManager, book: Book
) -> None:
    start()
    pk, after = run(book, PrintBy("to_nobody"), PrintBy("by_print"))
    assert log_of(pk) == f"to_nobody of task {pk}\n"
    assert log_of(after) == f"by_print of task {after}\n"
    assert Ledger.objects.count() == 0


def test_what_is_deleted_when_it_has_finished_leaves_no_output(
    start: StartManager, book: Book
) -> None:
    book.is_deleting = True
    start(queue={**ONE, "DELETE_TASKS_ON_COMPLETE": True})
    ids = book.enqueue(PrintBy("by_print"), Note())
    wait_until(lambda: not Task.objects.exists())
    book.ids = [pk for pk in ids if pk != ids[0]]
    assert not Output.objects.exists()
