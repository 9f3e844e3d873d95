"""A manager continues chains that managers of an earlier version have let end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import connection

from django_partisan.config.const import NEVER
from django_partisan.database import dialect_for
from django_partisan.lifecycle.transitions import updates_of
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.chains import Chains
from django_partisan.models import Task
from tests.support.factories import claim, ended_attempt
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    made = WorkersManager()
    made.heartbeat.register()
    yield made
    made.link.end()
    made.selector.close()


def leave_a_link() -> None:
    """Record a link as a version does that knows no repeats."""
    Plain().delay(repeat=3600)
    updates = updates_of([ended_attempt(task) for task in claim()])
    dialect_for().record(connection, updates)


def waiting() -> int:
    return Task.objects.filter(status="new").count()


def test_chains_are_taken_up_at_the_start_and_once_a_minute_beside_peers(
    manager: WorkersManager,
) -> None:
    chains, now = Chains(manager.heartbeat, manager.standing), time.monotonic()
    leave_a_link()
    chains.turn(now)
    assert waiting() == 1
    leave_a_link()
    chains.turn(now + 59)
    assert waiting() == 1
    chains.turn(now + 60)
    assert waiting() == 2


def test_who_is_alone_looks_no_more(manager: WorkersManager) -> None:
    chains, now = Chains(manager.heartbeat, manager.standing), time.monotonic()
    manager.heartbeat.has_peers = False
    assert chains.next_deadline() <= now
    chains.turn(now)
    assert chains.next_deadline() == NEVER
    manager.heartbeat.has_peers = True
    assert chains.next_deadline() == now + 60
