"""Arguments, results and errors of a task as the admin shows them: without its secrets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Max, TextField
from django.db.models.functions import Cast, Left

from django_partisan.models import Attempt, Task
from django_partisan.payloads.masking import MASK, masked, may_have_secrets, scrubbed, secrets_in

MAX_READ: Final = 4_000
"""Characters of one text that a list reads."""
_MAX_SHORT: Final = 100


class InShort(NamedTuple):
    """A task's arguments and its last error on one line each; empty where there are none."""

    arguments: str
    error: str


def shown_in_short(tasks: Sequence[Task]) -> dict[int, InShort]:
    """Return by their ids what a list shows of tasks, in two statements for all of them."""
    arguments, errors = _beginnings_of_arguments(tasks), _last_errors(tasks)
    return {
        task.pk: InShort(
            _arguments_in_short(task.processor_class, arguments.get(task.pk, "")),
            _error_in_short(task.processor_class, arguments.get(task.pk, ""), *error)
            if (error := errors.get(task.pk))
            else "",
        )
        for task in tasks
    }


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
    return _secrets_in(task.processor_class, _stored_text(task, "arguments") or "")


def _secrets_in(processor: str, arguments: str) -> list[str] | None:
    try:
        return secrets_in(processor, json.loads(arguments))
    except (ValueError, RecursionError):
        return None


def _stored_text(task: Task, column: str) -> str | None:
    """Return a JSON column as the database holds it, even where it cannot be decoded."""
    rows = Task.objects.filter(pk=task.pk).annotate(text=Cast(column, TextField()))
    text: str | None = rows.values_list("text", flat=True).first()
    return text


def _beginnings_of_arguments(tasks: Sequence[Task]) -> dict[int, str]:
    """Return the arguments as the database holds them; one character too many where they go on."""
    beginning = Left(Cast("arguments", TextField()), MAX_READ + 1)
    rows = Task.objects.filter(pk__in=[task.pk for task in tasks])
    return dict(rows.annotate(text=beginning).values_list("pk", "text"))


def _last_errors(tasks: Sequence[Task]) -> dict[int, tuple[str, str]]:
    """Return type and message of what went wrong last with those that it still matters for."""
    ids = [task.pk for task in tasks if _has_failed(task)]
    if not ids:
        return {}
    attempts = Attempt.objects.filter(task_id__in=ids).order_by().values("task_id")
    last = Attempt.objects.filter(pk__in=attempts.annotate(last=Max("pk")).values("last"))
    found = last.values_list("task_id", "error_type", Left("message", MAX_READ + 1))
    return {pk: (error_type, message) for pk, error_type, message in found}


def _has_failed(task: Task) -> bool:
    # A requeued task keeps its attempts, with its counters at zero.
    is_over = task.status in (Task.STATUS_ERROR, Task.STATUS_CANCELLED)
    return is_over or (task.status != Task.STATUS_FINISHED and bool(task.retries or task.rescues))


def _arguments_in_short(processor: str, text: str) -> str:
    try:
        return _short(_as_called(masked(processor, json.loads(text))))
    except (ValueError, RecursionError):
        return MASK if may_have_secrets(processor) else _short(text)


def _as_called(arguments: Any) -> str:
    """Return arguments as they stand between the parentheses of a call."""
    match arguments:
        case {"args": list(args), "kwargs": dict(kwargs)}:
            named = (f"{name}={_as_json(value)}" for name, value in kwargs.items())
            return ", ".join([*map(_as_json, args), *named])
    return _as_json(arguments)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _error_in_short(processor: str, arguments: str, error_type: str, message: str) -> str:
    secrets = _secrets_in(processor, arguments) if may_have_secrets(processor) else []
    # What is left of a secret that was cut off would not be recognised.
    is_telling = len(message) > MAX_READ and secrets != []
    shown = MASK if is_telling else scrubbed(message, secrets)
    first = next((line for line in shown.splitlines() if line.strip()), "")
    return _short(": ".join(filter(None, (error_type.rpartition(".")[2], first))))


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHORT else f"{text[:_MAX_SHORT]}…"
