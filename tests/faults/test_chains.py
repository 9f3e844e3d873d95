"""Chains of repeats whose recorder is killed between outcome and follower: exact all the same."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from django_partisan.models import Task
from tests.app.partisan_tasks import AtomicNote, Note
from tests.faults.striker import Strike
from tests.processes.conftest import StartManager
from tests.support.harness import SHORT_LIVES
from tests.support.helpers import HANG_SECONDS, command_environment, wait_until
from tests.support.ledger import Book

pytestmark = pytest.mark.django_db(transaction=True)

POINT = "manager.recorded_without_followers"
KILLS = [20, pytest.param(200, marks=pytest.mark.long)]

# One process after another claims and records a link, and is killed at the point, or is not.
RECORDERS = """
import os, sys, django
django.setup()
from django.db import connections
from django.db.models.functions import Now
from django_partisan import registry
with registry.registry.discovering():
    from tests.support.factories import claim, finish, rescue
from django_partisan.models import Task

def record_a_link():
    Task.objects.filter(status="new").update(execute_after=Now())
    rescue()
    [task] = claim()
    finish(task)

for _ in range(int(sys.argv[1])):
    connections.close_all()
    child = os.fork()
    if not child:
        record_a_link()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("most", KILLS)
def test_a_chain_is_exact_whatever_is_killed_between_outcome_and_follower(
    tmp_path: Path, most: int
) -> None:
    first = Note().delay(repeat=3600)
    strike = Strike(point=POINT, action="kill", directory=str(tmp_path), most=most, probability=0.6)
    recorders = 2 * most
    subprocess.run(
        [sys.executable, "-c", RECORDERS, str(recorders)],
        env=command_environment(**strike.variables),
        check=True,
        timeout=4 * HANG_SECONDS,
    )
    kills = len(strike.struck())
    assert kills > most / 4
    links = Task.objects.order_by("pk")
    assert [link.status for link in links][:-1] == ["finished"] * (recorders - kills)
    steps = [(link.repeat_slot - first.execute_after) / timedelta(hours=1) for link in links]
    assert steps == list(range(recorders - kills + 1)), "each slot once, none left out"


@pytest.mark.parametrize("processor", [Note, AtomicNote])
def test_a_chain_goes_on_where_managers_and_workers_are_killed(
    start_manager: StartManager, book: Book, tmp_path: Path, processor: type[Note]
) -> None:
    kills = 2
    strike = Strike(point=POINT, action="kill", directory=str(tmp_path / "strikes"), most=kills)
    Path(strike.directory).mkdir()
    book.faults = kills
    book.ids.append(processor().delay(repeat=0.05).pk)
    # It may be killed before it serves.
    start = partial(
        start_manager, is_waiting=False, settings=SHORT_LIVES, environment=strike.variables
    )
    manager = start()
    for number in range(kills):
        wait_until(partial(_has_struck, strike, number))
        if strike.struck()[number][1] == manager.pid:
            manager.wait_for_exit()
            manager = start()
    wait_until(lambda: _finished() > 5, message=lambda: manager.log)
    wait_until(_has_been_cancelled, message=lambda: manager.log)
    assert manager.stop() == 0
    rows = Task.objects.order_by("pk").values_list("repeat_slot", flat=True)
    slots = [slot for slot in rows if slot is not None]
    assert all(before < after for before, after in pairwise(slots))
    assert not Task.objects.filter(status__in=["new", "in_process", "error"]).exists()


def _has_struck(strike: Strike, number: int) -> bool:
    return len(strike.struck()) > number


def _finished() -> int:
    return Task.objects.filter(status="finished").count()


def _has_been_cancelled() -> bool:
    """Cancel the link of now; say whether the chain is at its end."""
    alive = Task.objects.filter(status__in=["new", "in_process"])
    for link in alive:
        link.cancel()
    return not alive.exists()
