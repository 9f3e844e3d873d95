"""A million waiting tasks, future ones before them, failed ones beside: row 12 of the faults."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from django_partisan import lifecycle
from django_partisan.database import dialect_for
from tests.faults.own_server import OwnServer

pytestmark = [pytest.mark.postgresql, pytest.mark.long, pytest.mark.timeout(300)]

_FILL = """
INSERT INTO django_partisan_task (status, queue_name, priority, execute_after, created_at,
    updated_at, processor_class, arguments, extra)
SELECT %s, 'queue-' || n %% 20, %s, now() + %s * interval '1 second' + n * interval '1 microsecond',
    now(), now(), 'tests.app.partisan_tasks.Note', '{"args": [], "kwargs": {}}', '{}'
  FROM generate_series(1, %s) AS n
"""
HOUR = 3600


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_a_claim_among_a_million_takes_ten_milliseconds(own: OwnServer, is_analyzed: bool) -> None:
    own.query("ANALYZE django_partisan_task")  # of the time when it was empty
    own.query("ALTER TABLE django_partisan_task SET (autovacuum_enabled = off)")
    own.query(_FILL, ["new", 10, -HOUR, 1_000_000])
    own.query(_FILL, ["new", -10, HOUR, 200_000])
    own.query(_FILL, ["error", 10, -HOUR, 50_000])
    own.query("CHECKPOINT")
    if is_analyzed:
        own.query("VACUUM ANALYZE django_partisan_task")
    dialect_for().prepare_session(connection, is_own=True)
    seconds = sorted(_claim(number) for number in range(400))
    connection.close()
    own.query("ALTER TABLE django_partisan_task RESET (autovacuum_enabled)")
    print(f"claim of 50: median {seconds[200] * 1000:.1f} ms, p99 {seconds[396] * 1000:.1f} ms")
    # The promise is 10 ms; a busy machine may take longer, a scan takes hundreds.
    assert seconds[396] <= 0.03


def _claim(number: int) -> float:
    """Claim from one of the queues, where its tasks are known to wait."""
    queue_name = f"queue-{number % 20}"
    cursors = [
        found.cursor for found in lifecycle.survey([queue_name])[queue_name] if found.has_due
    ]
    started = time.perf_counter()
    assert len(lifecycle.claim(queue_name, 50, 1, cursors)) == 50
    return time.perf_counter() - started
