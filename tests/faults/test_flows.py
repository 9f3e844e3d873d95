"""Whoever records and tells is killed before and after telling; the server of flows crashes."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from django_partisan import lifecycle
from django_partisan.flows import Flow, chain, group
from django_partisan.models import Task, Untold
from tests.app.partisan_tasks import SleepQuietly
from tests.faults.conftest import StartRemote
from tests.faults.own_server import OwnServer
from tests.faults.striker import Strike
from tests.support.dependents import assert_all_ended_once, assert_in_order
from tests.support.harness import SHORT_LIVES
from tests.support.helpers import HANG_SECONDS, command_environment, wait_until
from tests.support.ledger import Book
from tests.support.processors import Plain

BEFORE, AFTER = "manager.recorded_before_telling", "manager.told_dependents"
KILLS = [20, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(300)])]
TASKS_PER_KILL = 4

# One process after another claims, records and tells, and is killed at the point, or is not.
RECORDERS = """
import os, django
django.setup()
from django.db import connections
from django_partisan import lifecycle, registry
from django_partisan.attempt import FAILED, FINISHED
with registry.registry.discovering():
    from tests.support.factories import claim, ended_attempt, record
from django_partisan.models import Task, Untold

def record_and_tell():
    tasks = claim(3)
    lifecycle.mark_started(tasks)
    kinds = [FAILED if task.id % 7 == 0 else FINISHED for task in tasks]
    record(*map(ended_attempt, tasks, kinds))
    while lifecycle.tell_dependents().has_more:
        pass

while Task.objects.exclude(status__in=Task.TERMINAL_STATUSES).exists():
    connections.close_all()
    child = os.fork()
    if not child:
        record_and_tell()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most", KILLS)
@pytest.mark.parametrize("point", [BEFORE, AFTER])
def test_dependents_run_in_order_and_once_whatever_is_killed_around_telling(
    tmp_path: Path, point: str, most: int
) -> None:
    chance = random.Random(most)
    tasks: list[Task] = []
    for number in range(most * TASKS_PER_KILL):
        newest = tasks[-12:]
        after = chance.sample(newest, chance.randrange(min(4, len(newest) + 1)))
        policy = chance.choice(["cancel", "run", "run"])
        tasks.append(Plain(number).delay(after=after, on_dependency_failure=policy))
    strike = Strike(point=point, action="kill", directory=str(tmp_path), most=most, probability=0.6)
    subprocess.run(
        [sys.executable, "-c", RECORDERS],
        env=command_environment(**strike.variables),
        check=True,
        timeout=4 * HANG_SECONDS,
    )
    assert len(strike.struck()) > most / 4
    while lifecycle.tell_dependents().has_more:  # the last one may have been killed before it told
        pass
    assert_in_order()
    assert_all_ended_once()


@pytest.mark.postgresql
def test_flows_lose_nothing_and_start_nothing_early_while_their_server_crashes(
    own: OwnServer, start_remote: StartRemote, book: Book
) -> None:
    # A server that is slow to recover must not make the manager close its fence.
    manager = start_remote(settings={**SHORT_LIVES, "PARTISAN_DEAD_AFTER_SECONDS": 30})
    flows = [_flow() for _ in range(8)]
    book.faults = 3
    for crash in range(book.faults):
        wait_until(partial(_have_ended, 40 * (crash + 1)), message=lambda: manager.log)
        own.restart(immediate=crash != 1)
    wait_until(lambda: all(flow.progress.is_done for flow in flows), message=lambda: manager.log)
    assert {task.status for flow in flows for task in flow.tasks} == {"finished"}
    wait_until(lambda: not Untold.objects.exists())
    assert_in_order()


def _flow() -> Flow:
    # None of them needs the database itself, so none fails with it.
    steps = iter([SleepQuietly(0.005) for _ in range(28)])
    take = partial(islice, steps)
    return chain(
        group(take(12)),
        group(take(8)),
        group(chain(next(steps), next(steps)) for _ in range(3)),
        next(steps),
    ).delay(on_complete=next(steps))


def _have_ended(count: int) -> bool:
    return Task.objects.exclude(finished_at=None).count() >= count
