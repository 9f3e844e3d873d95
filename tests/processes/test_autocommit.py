"""Under options of DATABASES that commit nothing by themselves, what a manager writes is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.db import connection, transaction

from django_partisan.models import Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import AtomicNote, Fail, Note
from tests.processes.conftest import StartManager
from tests.support.harness import SETTINGS_VARIABLE
from tests.support.helpers import command_environment, wait_until
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db(transaction=True)


def database(**changes: Any) -> dict[str, Any]:
    """Return the settings of a project whose database is this test's, with other options."""
    names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    own = {name: connection.settings_dict[name] for name in names}
    return {"DATABASES": {"default": {**own, "NAME": str(own["NAME"]), **changes}}}


def is_done(*tasks: Task) -> bool:
    rows = Task.objects.filter(pk__in=[task.pk for task in tasks])
    return not rows.filter(status__in=["new", "in_process"]).exists()


def test_without_autocommit_a_manager_records_all_the_same(start_manager: StartManager) -> None:
    plain, atomic, failing = Note().delay(), AtomicNote().delay(), Fail().delay()
    manager = start_manager(settings=database(AUTOCOMMIT=False))
    wait_until(lambda: is_done(plain, atomic, failing))
    assert manager.stop() == 0
    statuses = dict(Task.objects.values_list("pk", "status"))
    assert statuses == {plain.pk: "finished", atomic.pk: "finished", failing.pk: "error"}
    assert Ledger.objects.filter(task_id=atomic.pk, note="done").count() == 1


def test_what_an_atomic_task_finds_committed_the_next_one_does_not(
    start_manager: StartManager,
) -> None:
    tasks = [AtomicNote(1).delay(), Note(2).delay(), AtomicNote(3).delay()]
    manager = start_manager(queue={"WORKERS_COUNT": 1}, settings=database(AUTOCOMMIT=False))
    wait_until(lambda: is_done(*tasks))
    manager.stop()
    noted = set(Ledger.objects.values_list("task_id", flat=True))
    assert noted == {tasks[0].pk, tasks[2].pk}, "to commit is the plain task's own business"


@pytest.mark.sqlite
def test_a_transaction_begun_by_an_init_command_keeps_nothing_back(
    start_manager: StartManager,
) -> None:
    task = Note().delay()
    manager = start_manager(settings=database(OPTIONS={"init_command": "BEGIN"}))
    wait_until(lambda: is_done(task))
    assert manager.stop() == 0


@pytest.mark.sqlite
@pytest.mark.skipif(sys.version_info < (3, 12), reason="an option of Python 3.12")
def test_the_option_of_pythons_own_driver_keeps_nothing_back(start_manager: StartManager) -> None:
    task = Note().delay()
    manager = start_manager(settings=database(OPTIONS={"autocommit": False}))
    wait_until(lambda: is_done(task))
    assert manager.stop() == 0


def test_verbs_commit_what_they_say_they_did() -> None:
    import json

    make_task("finished", ended_ago=100)
    environment = command_environment(**{SETTINGS_VARIABLE: json.dumps(database(AUTOCOMMIT=False))})
    command = [sys.executable, "-m", "django", "partisan", "prune", "--keep-finished", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Deleted 1 task" in done.stdout, done.stderr
    assert not Task.objects.exists()


@pytest.fixture
def without_autocommit() -> Any:
    """Use this process's own connection as the option makes it."""
    connection.settings_dict["AUTOCOMMIT"] = False
    connection.set_autocommit(False)
    yield
    connection.rollback()
    connection.settings_dict["AUTOCOMMIT"] = True
    connection.set_autocommit(True)


def test_delay_is_stored_by_the_projects_own_commit(without_autocommit: None) -> None:
    Note(1).delay()
    connection.rollback()
    kept = Note(2).delay()
    connection.commit()
    with transaction.atomic():
        batch = Note.delay_many([(3,), (4,)])
    connection.commit()
    kept.cancel()
    connection.commit()
    assert set(Task.objects.values_list("pk", flat=True)) == {kept.pk, *(t.pk for t in batch)}
    assert connection.run_on_commit == [], "hooks that nobody would ever call"
