"""The machine of rival managers finds a bug that is planted into the lifecycle's statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.test_state_machine import RivalManagers

# What is replaced, by database: the guard or the step that a careless change could lose.
BUGS: dict[str, dict[str, tuple[str, str]]] = {
    "an outcome is recorded under any lease": {
        "postgresql": (" AND lease = o.lease", ""),
        "sqlite": (" AND django_partisan_task.lease = x.x_lease", ""),
    },
    "an outcome is recorded twice": {
        "postgresql": ("AND status = 'in_process' FOR UPDATE", "FOR UPDATE"),
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


@pytest.mark.django_db
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    plant = Plant(*BUGS[bug][connection.vendor])
    with connection.execute_wrapper(plant), pytest.raises(AssertionError):
        run_state_machine_as_test(
            RivalManagers,
            settings=settings(
                max_examples=5000,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                # That there is a failing example is enough; the shortest one costs minutes.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert plant.count, "the statements were changed: plant the bug anew"
