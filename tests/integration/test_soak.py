"""A soak runs end to end; its samples and its trigger see what is there."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from django.db import connection

from benchmarks.soak import ledger
from benchmarks.soak.report import load
from benchmarks.soak.sampling import Sampler, by_role, of_processes
from benchmarks.soak.series import SERIES
from django_partisan.models import Task
from tests.app.partisan_tasks import Note
from tests.support.helpers import command_environment
from tools.database_urls import database_url

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.postgresql


def sleeper(title: str) -> str:
    return (
        f"import setproctitle, time; setproctitle.setproctitle({title!r}); "
        "print('ready', flush=True); time.sleep(60)"
    )


@pytest.mark.django_db
def test_every_end_of_a_task_is_noted_and_outlasts_its_row() -> None:
    ledger.prepare()
    tasks = [Note(number).delay() for number in (7, 8)]
    for task in tasks:
        Task.objects.filter(pk=task.pk).update(status="finished")
    Task.objects.filter(pk=tasks[1].pk).update(lease=5)  # a write to a task that has ended
    Task.objects.all().delete()
    assert [(end.number, end.status) for end in ledger.noted_ends()] == [
        *[(7, "finished"), (8, "finished")],
        (8, "finished"),
    ]


@pytest.mark.django_db
def test_what_is_left_behind_is_found() -> None:
    ledger.prepare()
    task = Note(3).delay()
    task.attempt_set.create(number=1, lease=1, outcome="failed")
    left = ledger.left_behind()
    assert (left.waiting, left.attempts, left.managers) == ([3], 0, 0)
    Task.objects.filter(pk=task.pk)._raw_delete(using="default")  # as nobody should
    assert ledger.left_behind().attempts == 1


@pytest.mark.django_db
def test_a_sample_holds_every_series_for_each_role() -> None:
    ledger.prepare()
    Note(1).delay()
    with subprocess.Popen(
        [sys.executable, "-c", sleeper("partisan/worker default idle")], stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        sampler = Sampler(lambda: [psutil.Process(), psutil.Process(worker.pid)], 1)
        sampler.take()
        values = sampler.take()
        worker.kill()
    assert sampler.workers == {worker.pid}
    assert values["processes"] == 2
    assert values["rows"] == values["waiting"] == 1
    assert values["ended_per_second"] == 0
    assert (values["manager_fds"] or 0) > 2
    assert (values["worker_rss"] or 0) > 1
    assert set(sampler.columns) == {"seconds", *(series.name for series in SERIES)}
    assert all(len(column) == 2 for column in sampler.columns.values())


def test_a_process_that_has_ended_is_left_out_of_a_sample() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as ended:
        process = psutil.Process(ended.pid)
        ended.kill()
    assert by_role([psutil.Process(), process])["worker"] == []
    values = of_processes({"manager": [psutil.Process()], "worker": [process]})
    assert "worker_rss" not in values
    assert "manager_rss" in values


def test_a_short_soak_loses_nothing_and_writes_down_what_it_saw(tmp_path: Path) -> None:
    with soaking(tmp_path, minutes=0.1) as soak:
        told, _ = soak.communicate(timeout=100)
    assert soak.returncode == 0, told
    assert "0 lost, 0 stuck, 0 ended twice, 0 ended wrong, 0 left behind" in told
    report = load(tmp_path)
    counts = report["counts"]
    assert counts["killed"] >= 1
    assert counts["enqueued"] == counts["finished"] + counts["error"] + counts["cancelled"] > 0
    assert len(report["series"]["seconds"]) >= 5
    assert ".. list-table::" in (tmp_path / "soak.rst").read_text()
    assert (tmp_path / "soak.png").exists() == (find_spec("matplotlib") is not None)


def test_ctrl_c_ends_a_soak_with_what_it_has_seen(tmp_path: Path) -> None:
    with soaking(tmp_path, minutes=30) as soak:
        assert soak.stdout is not None
        assert "30.0 min left" in soak.stdout.readline()
        soak.send_signal(signal.SIGINT)
        told, _ = soak.communicate(timeout=100)
    assert soak.returncode == 130, told
    assert "0 lost, 0 stuck, 0 ended twice, 0 ended wrong, 0 left behind" in told
    assert load(tmp_path)["minutes"] < 1


@contextlib.contextmanager
def soaking(directory: Path, *, minutes: float) -> Iterator[subprocess.Popen[str]]:
    """Run the command for the length of the block; its output comes in one stream."""
    command = [sys.executable, "-m", "benchmarks.soak", f"--minutes={minutes}", "--rate=250"]
    url = database_url(connection.settings_dict, "postgres")
    with subprocess.Popen(
        [*command, f"--database={url}", f"--output={directory}"],
        cwd=ROOT,
        env={**command_environment(), "COLUMNS": "110"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
