"""What must be true of tasks that wait for others, whatever has happened to anybody meanwhile."""

from __future__ import annotations

from collections import defaultdict

from django_partisan.models import Attempt, Dependency, Task, Untold


def assert_in_order() -> None:
    """Nothing has started before all that it waited for had ended, nothing is still to be told."""
    rows = {task.pk: task for task in Task.objects.all()}
    for edge in Dependency.objects.all():
        parent, child = rows[edge.parent_id], rows[edge.child_id]
        if child.started_at is not None:
            assert parent.finished_at is not None
            assert child.claimed_at is not None
            assert parent.finished_at <= child.claimed_at
        if child.started_at is not None and edge.policy == "cancel":
            assert parent.status == "finished", f"{child} ran, though {parent} did not finish"
    assert {task.blocked_by for task in rows.values() if task.started_at} <= {0}
    assert not Untold.objects.exists()


def assert_all_ended_once() -> None:
    """Every task has ended, told each end once; what was cancelled was so for a reason."""
    assert not Task.objects.exclude(status__in=Task.TERMINAL_STATUSES).exists()
    assert set(Task.objects.values_list("blocked_by", flat=True)) <= {0}
    assert set(Task.objects.filter(attempts__gt=1)) == set()
    reasons = _reasons_to_cancel()
    told: dict[int, list[str]] = defaultdict(list)
    for pk, message in Attempt.objects.filter(error_type="DependencyFailed").values_list(
        "task_id", "message"
    ):
        told[pk].append(message)
    cancelled = set(Task.objects.filter(status="cancelled").values_list("pk", flat=True))
    assert told.keys() == cancelled
    for pk, messages in told.items():
        assert len(messages) == 1, f"task {pk} was cancelled more than once: {messages}"
        assert messages[0] in reasons[pk]


def _reasons_to_cancel() -> dict[int, set[str]]:
    """Return what may be told of each task that one of its parents forbade to run."""
    failed = dict(Task.objects.exclude(status="finished").values_list("pk", "status"))
    words = {"error": "ended in error", "cancelled": "was cancelled"}
    reasons: dict[int, set[str]] = defaultdict(set)
    for edge in Dependency.objects.filter(policy="cancel", parent_id__in=failed):
        reasons[edge.child_id].add(f"task {edge.parent_id} {words[failed[edge.parent_id]]}")
    return reasons
