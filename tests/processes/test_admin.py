"""What the admin shows of tasks that a real manager has in process."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User
from django.test import Client

from tests.app.partisan_tasks import WaitForFile
from tests.processes.conftest import StartManager
from tests.support.admin_pages import LIST
from tests.support.harness import HOARDING
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are


def test_the_list_tells_what_runs_from_what_waits_in_a_local_queue(
    start_manager: StartManager, book: Book, gate: Path, client: Client
) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    manager = start_manager(queue={"WORKERS_COUNT": 1, **HOARDING})
    (running,) = book.begin(WaitForFile(str(gate)))
    waiting = book.enqueue(*[WaitForFile(str(gate))] * 2)

    def told() -> tuple[int, int]:
        page = client.get(LIST).content.decode()
        return page.count(">runs for "), page.count(">in a local queue<")

    wait_until(lambda: told() == (1, 2), message=lambda: manager.log)
    page = client.get(f"{LIST}{running}/change/").content.decode()
    assert "runs for " in page
    gate.touch()
    wait_until(lambda: all_are([running, *waiting], "finished"), message=lambda: manager.log)
    assert told() == (0, 0)
