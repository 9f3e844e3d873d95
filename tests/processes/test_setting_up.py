"""Workers load a project that is set up by something else than DJANGO_SETTINGS_MODULE alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_partisan.config.const import ExitCode
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.support.harness import run_command
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("function", "told"),
    [("before_django", "Django comes next"), ("with_django", "Django is set up")],
)
def test_the_function_is_called_before_workers_set_django_up(
    start_manager: StartManager, book: Book, function: str, told: str
) -> None:
    manager = start_manager(settings={"PARTISAN_SETUP": f"tests.app.setting_up.{function}"})
    ids = book.enqueue(Note())
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert manager.log.count(f"prepared: {told}") == 1


@pytest.mark.parametrize(
    ("function", "told"),
    [("broken", "no .env file here"), ("gone", 'does not define a "gone" attribute')],
)
def test_an_error_of_the_function_ends_the_manager_with_its_text(
    tmp_path: Path, function: str, told: str
) -> None:
    settings = {"PARTISAN_SETUP": f"tests.app.setting_up.{function}"}
    code, output = run_command(tmp_path, settings=settings)
    assert code == ExitCode.WORKER_BOOT, output
    assert told in output
