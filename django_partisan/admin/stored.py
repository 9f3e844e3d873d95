"""Arguments, results and errors of a task as the admin shows them: without its secrets."""

from __future__ import annotations

import json

from django.db.models import TextField
from django.db.models.functions import Cast

from django_partisan.models import Task
from django_partisan.payloads.masking import MASK, masked, may_have_secrets, scrubbed, secrets_in


def shown_arguments(task: Task) -> str | None:
    """Return the arguments as JSON; as the database holds them, where they cannot be decoded."""
    text = _stored_text(task, "arguments")
    if text is None or not may_have_secrets(task.processor_class):
        return text
    try:
        return json.dumps(masked(task.processor_class, json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return json.dumps(MASK)


def shown_result(task: Task) -> str | None:
    """Return the result as JSON; masked altogether when nobody can tell what is secret in it."""
    text = _stored_text(task, "result")
    return text and scrubbed(text, secrets_of(task))


def secrets_of(task: Task) -> list[str] | None:
    """Return the secret values of a task as texts, None when they cannot be known."""
    if not may_have_secrets(task.processor_class):
        return []
    try:
        return secrets_in(task.processor_class, json.loads(_stored_text(task, "arguments") or ""))
    except (ValueError, RecursionError):
        return None


def _stored_text(task: Task, column: str) -> str | None:
    """Return a JSON column as the database holds it, even where it cannot be decoded."""
    rows = Task.objects.filter(pk=task.pk).annotate(text=Cast(column, TextField()))
    text: str | None = rows.values_list("text", flat=True).first()
    return text
