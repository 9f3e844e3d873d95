"""`manage.py partisan prune` deletes what the settings or its options let go of, and says so."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from django_partisan.config.const import ExitCode
from django_partisan.lifecycle.prune import Pruner
from django_partisan.models import Task
from tests.support.helpers import command_environment
from tests.support.pointing import pointing_models
from tests.support.rows import make_task

DAY = 86_400.0

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def prune(*options: str, stderr: io.StringIO | None = None) -> str:
    stdout = io.StringIO()
    call_command("partisan", "prune", *options, stdout=stdout, stderr=stderr or io.StringIO())
    return stdout.getvalue()


def refusal(*options: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        prune(*options)
    return caught.value


@pytest.fixture
def tasks(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {"KEEP_FINISHED_SECONDS": DAY}, "slow": {}}
    for queue_name in ("default", "mail", "slow"):
        for status in Task.TERMINAL_STATUSES:
            make_task(status, ended_ago=3 * DAY, queue_name=queue_name)
    make_task("finished", ended_ago=10, queue_name="mail")
    make_task("new", queue_name="mail")


def test_the_settings_of_each_queue_decide(tasks: None) -> None:
    output = prune()
    assert "Deleted 2 tasks in" in output
    left = Task.objects.filter(queue_name="mail").values_list("status", flat=True)
    assert sorted(left) == ["error", "finished", "new"]
    assert Task.objects.exclude(queue_name="mail").count() == 6


def test_the_options_go_before_the_settings(tasks: None) -> None:
    prune("--keep-finished", "5s", "--keep-failed", "4d")
    assert sorted(Task.objects.values_list("status", flat=True)) == ["error"] * 3 + ["new"]


def test_only_the_named_queues_are_pruned(tasks: None) -> None:
    prune("--queue_name", "slow", "--queue-name", "default", "--keep-failed", "0")
    assert set(Task.objects.filter(status="error").values_list("queue_name", flat=True)) == {"mail"}


def test_a_dry_run_says_what_would_go_and_deletes_nothing(tasks: None) -> None:
    before = Task.objects.count()
    output = prune("--dry-run", "--keep-failed", "2d")
    assert "Would delete 5 tasks; this was a dry run, nothing was deleted." in output
    assert Task.objects.count() == before


def test_the_table_names_queues_counts_and_ages(tasks: None) -> None:
    lines = prune("--dry-run").splitlines()
    assert lines[0].split() == ["queue", "finished", "cancelled", "error", "kept", "for"]
    assert "mail            1          1      0  finished 1d, failed for ever" in lines


def test_json_is_for_programs(tasks: None) -> None:
    written = json.loads(prune("--format", "json"))
    assert written["total"] == 2
    assert written["dry_run"] is False
    assert written["complete"] is True
    assert written["queues"]["mail"] == {"finished": 1, "cancelled": 1, "error": 0}
    assert written["queues"]["slow"] == {"finished": 0, "cancelled": 0, "error": 0}


def test_a_terminal_sees_progress_and_a_pipe_does_not(tasks: None) -> None:
    pipe, terminal = io.StringIO(), Terminal()
    prune("--queue_name", "mail", stderr=pipe)
    make_task("finished", ended_ago=3 * DAY, queue_name="mail")
    prune("--queue_name", "mail", stderr=terminal)
    assert pipe.getvalue() == ""
    assert "pruning mail [########################] 1 of 1 (100%)" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_more_than_one_batch_goes(tasks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    in_small_batches(monkeypatch)
    assert "Deleted 2 tasks" in prune()


def test_ctrl_c_leaves_a_summary_of_what_was_done(
    tasks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(call: int) -> None:
        if call == 2:
            raise KeyboardInterrupt

    in_small_batches(monkeypatch, interrupt)
    stdout = io.StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("partisan", "prune", "--queue_name", "mail", stdout=stdout)
    assert caught.value.code == 130
    assert "Stopped. Deleted 1 task in" in stdout.getvalue()


def in_small_batches(
    monkeypatch: pytest.MonkeyPatch, before_call: Callable[[int], None] = lambda call: None
) -> None:
    original = Pruner.batch
    calls: list[Pruner] = []

    def prune_one(pruner: Pruner) -> dict[str, int]:
        calls.append(pruner)
        before_call(len(calls))
        return original(pruner, limit=1)

    monkeypatch.setattr(Pruner, "batch", prune_one)


@pytest.mark.django_db(transaction=True)
def test_what_something_points_at_is_kept_and_counted() -> None:
    with pointing_models() as models:
        tasks = [make_task("finished", ended_ago=3 * DAY) for _ in range(4)]
        for task in tasks[:2]:
            models.Protecting.objects.create(task=task)
        told = prune("--keep-finished", "1d")
        assert "Deleted 2 tasks in" in told
        assert "2 tasks are kept, because something points at them." in told
        written = json.loads(prune("--keep-finished", "1d", "--format", "json"))
        assert (written["total"], written["kept"]) == (0, 2)


def test_with_nothing_configured_it_says_how_to() -> None:
    make_task("finished", ended_ago=1000 * DAY)
    error = refusal()
    assert error.returncode == ExitCode.CONFIGURATION
    assert "Nothing is configured to be pruned" in str(error)
    assert "--keep-finished 7d" in str(error)
    assert "'KEEP_FINISHED_SECONDS': 604800" in str(error)
    assert Task.objects.count() == 1


def test_an_unknown_queue_is_refused_with_the_known_ones(tasks: None) -> None:
    error = refusal("--queue_name", "mial")
    assert error.returncode == ExitCode.CONFIGURATION
    assert "did you mean 'mail'" in str(error)


@pytest.mark.parametrize("age", ["soon", "-1", "7 days", "1e3", "99999w", "", "7d 2h"])
def test_a_wrong_age_is_refused_naming_the_option(tasks: None, age: str) -> None:
    before = Task.objects.count()
    assert "--keep-finished" in str(refusal(f"--keep-finished={age}"))
    assert Task.objects.count() == before


def test_missing_migrations_are_named_with_the_remedy(tasks: None) -> None:
    MigrationRecorder(connection).record_unapplied("django_partisan", "0005_indexes")
    error = refusal()
    assert error.returncode == ExitCode.CONFIGURATION
    assert "run `manage.py migrate`" in str(error)


def test_an_unreachable_database_is_one_sentence(
    tasks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise OperationalError("connection refused\n")

    monkeypatch.setattr(Pruner, "batch", fail)
    error = refusal()
    assert error.returncode == ExitCode.ERROR
    assert str(error) == "The database says: connection refused"


@pytest.mark.django_db(transaction=True)
def test_the_real_command_prunes_and_fails_without_a_traceback() -> None:
    make_task("finished", ended_ago=3 * DAY)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "django", "partisan", "prune", *options],
            env=command_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    refused, wrong = run(), run("--keep-finished", "soon")
    assert (refused.returncode, wrong.returncode) == (2, 2)
    assert "Traceback" not in refused.stderr + wrong.stderr
    assert "is no duration" in wrong.stderr
    done = run("--keep-finished", "1d")
    assert done.returncode == 0, done.stderr
    assert "Deleted 1 task in" in done.stdout
    assert "--dry-run" in run("--help").stdout
