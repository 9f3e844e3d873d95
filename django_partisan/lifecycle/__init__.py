"""Every change of a task's row, as set-based verbs guarded by status or lease.

Nothing else assigns a status. What is no verb is imported from its module.
"""

from django_partisan.lifecycle.cancel import CancelRequest, request_cancel, requests_to
from django_partisan.lifecycle.claim import claim, mark_started, queue_names, survey
from django_partisan.lifecycle.deletion import delete_completed
from django_partisan.lifecycle.dependencies import (
    After,
    enqueue_after,
    enqueue_many_after,
    tell_dependents,
    tell_dependents_after_commit,
)
from django_partisan.lifecycle.enqueue import enqueue
from django_partisan.lifecycle.enqueue_many import enqueue_many
from django_partisan.lifecycle.expiry import expire
from django_partisan.lifecycle.interims import (
    forget_checkpoints,
    leases_held,
    stored_checkpoint,
    write_checkpoint,
    write_interims,
)
from django_partisan.lifecycle.outputs import delete_outputs, follow_output, store_outputs
from django_partisan.lifecycle.pauses import current_pauses, free_held, pause, resume
from django_partisan.lifecycle.prune import count_prunable, delete, delete_or_keep, prune
from django_partisan.lifecycle.record import record, record_and_claim, still_held
from django_partisan.lifecycle.repeats import take_up
from django_partisan.lifecycle.requeue import requeue
from django_partisan.lifecycle.rescue import lost_claims, rescue, take_over
from django_partisan.lifecycle.schedules import fire_schedules
from django_partisan.lifecycle.uniqueness import regain_uniqueness

__all__ = [
    "After",
    "CancelRequest",
    "claim",
    "count_prunable",
    "current_pauses",
    "delete",
    "delete_completed",
    "delete_or_keep",
    "delete_outputs",
    "enqueue",
    "enqueue_after",
    "enqueue_many",
    "enqueue_many_after",
    "expire",
    "fire_schedules",
    "follow_output",
    "forget_checkpoints",
    "free_held",
    "leases_held",
    "lost_claims",
    "mark_started",
    "pause",
    "prune",
    "queue_names",
    "record",
    "record_and_claim",
    "regain_uniqueness",
    "request_cancel",
    "requests_to",
    "requeue",
    "rescue",
    "resume",
    "still_held",
    "store_outputs",
    "stored_checkpoint",
    "survey",
    "take_over",
    "take_up",
    "tell_dependents",
    "tell_dependents_after_commit",
    "write_checkpoint",
    "write_interims",
]
