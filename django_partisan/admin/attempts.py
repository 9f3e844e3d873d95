"""The attempts of a task, as its page in the admin shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.utils.safestring import SafeString

from django_partisan.admin.rendering import badge, block, duration, exact, folded
from django_partisan.admin.stored import secrets_of
from django_partisan.models import Attempt, Task
from django_partisan.payloads.masking import scrubbed

MAX_ATTEMPTS: Final = 50
"""Attempts that a page shows."""


@dataclass(frozen=True, kw_only=True)
class ShownAttempt:
    """One attempt of a task, ready for its page."""

    number: str
    outcome: SafeString
    error_type: str
    facts: str
    message: str | SafeString
    traceback: str | SafeString


def shown_attempts(task: Task) -> tuple[list[ShownAttempt], bool]:
    """Return the newest attempts of a task, newest first, and whether there are more."""
    newest = Attempt.objects.filter(task_id=task.pk).order_by("-pk")
    attempts = list(newest[: MAX_ATTEMPTS + 1])
    # What is told of a processor that is gone was masked when it was recorded.
    secrets = (attempts and secrets_of(task)) or []
    shown = [_shown(attempt, secrets) for attempt in attempts[:MAX_ATTEMPTS]]
    return shown, len(attempts) > MAX_ATTEMPTS


def _shown(attempt: Attempt, secrets: list[str]) -> ShownAttempt:
    # A traceback ends with its message; then that need not stand there twice.
    has_own_message = attempt.message and attempt.message not in attempt.traceback
    message, traceback = (scrubbed(text, secrets) for text in (attempt.message, attempt.traceback))
    return ShownAttempt(
        number=str(attempt.number),
        outcome=badge(attempt.get_outcome_display().lower(), _kind(attempt)),
        error_type=attempt.error_type,
        facts=", ".join(_facts(attempt)),
        message=block(message) if has_own_message else "",
        traceback=folded(traceback) if traceback else "",
    )


def _kind(attempt: Attempt) -> str:
    return "error" if attempt.outcome == Attempt.Outcome.FAILED else "cancelled"


def _facts(attempt: Attempt) -> list[str]:
    facts = [f"recorded {exact(attempt.created_at)}"]
    if attempt.duration_seconds is not None:
        facts.append(f"took {duration(timedelta(seconds=attempt.duration_seconds))}")
    if attempt.worker_pid is not None:
        facts.append(f"worker process {attempt.worker_pid}")
    if attempt.node_name:
        facts.append(f"on {attempt.node_name}")
    return facts
