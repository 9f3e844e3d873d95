"""The machine of rival managers finds a bug that is planted into the lifecycle's statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.test_state_machine import RivalManagers

# What is replaced, by database: the guard or the step that a careless change could lose.
BUGS: dict[str, dict[str, tuple[str, str]]] = {
    "an outcome is recorded under any lease": {
        "postgresql": (" AND lease = o.lease", ""),
        "sqlite": (" AND django_partisan_task.lease = x.x_lease", ""),
    },
    "an outcome is recorded twice": {
        "postgresql": ("AND status = 'in_process' FOR NO KEY", "FOR NO KEY"),
        "sqlite": (" AND django_partisan_task.status = 'in_process'", ""),
    },
    "a claim keeps the lease": {
        "postgresql": ("lease = t.lease + 1", "lease = t.lease"),
        "sqlite": ("lease = lease + 1", "lease = lease"),
    },
    "a rescue keeps the lease": {
        "postgresql": ("lease = t.lease + h.leases", "lease = t.lease"),
        "sqlite": ("lease = lease + x.x_leases", "lease = lease"),
    },
    "a crash is not counted": {
        "postgresql": ("crashes = t.crashes + h.crashes", "crashes = t.crashes"),
        "sqlite": ("crashes = crashes + x.x_crashes", "crashes = crashes"),
    },
}


class Plant:
    """Replaces a part of every statement that has it."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new, self.count = old, new, 0

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        self.count += self.old in sql
        return execute(sql.replace(self.old, self.new), params, many, context)


def _finish(index: int, machine: RivalManagers) -> None:
    machine.record(indexes=[index], kinds=["finished"] * 5, is_future=False)


Step = Callable[[RivalManagers], object]

# Everything that one of the bugs makes different, in the fewest steps.
STORY: list[Step] = [
    lambda machine: machine.enqueue(priority=0, is_future=False),
    lambda machine: machine.claim(owner=1, limit=1),
    lambda machine: machine.start(indexes=[0]),
    lambda machine: machine.rescue(owner=1),
    lambda machine: machine.claim(owner=2, limit=1),
    # Of the claim that was rescued, then of the one that holds, then of the same once more.
    *[partial(_finish, index) for index in (1, 0, 0)],
]


@pytest.mark.django_db
def test_the_story_of_the_bugs_is_true_without_them() -> None:
    _tell()


@pytest.mark.django_db
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_seen_in_the_rows(bug: str) -> None:
    with _planted(bug), pytest.raises(AssertionError):
        _tell()


# What the machine does by chance is the same on each database, and quicker on this one.
@pytest.mark.sqlite
@pytest.mark.django_db
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_by_chance(bug: str) -> None:
    with _planted(bug), pytest.raises(AssertionError):
        run_state_machine_as_test(
            RivalManagers,
            settings=settings(
                max_examples=5000,  # chance depends on the version of Hypothesis
                stateful_step_count=150,  # the longer a story, the likelier it is to meet one
                deadline=None,
                derandomize=True,
                database=None,
                # That there is a failing example is enough; the shortest one costs minutes.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )


@contextmanager
def _planted(bug: str) -> Iterator[None]:
    plant = Plant(*BUGS[bug][connection.vendor])
    with connection.execute_wrapper(plant):
        yield
    assert plant.count, "the statements were changed: plant the bug anew"


def _tell() -> None:
    machine = RivalManagers()
    try:
        for step in STORY:
            step(machine)
            machine.every_row_is_as_the_model_says()
            machine.every_attempt_worth_telling_is_told_once()
    finally:
        machine.teardown()
