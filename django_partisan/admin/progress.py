"""How far tasks are, by their own account, as the admin shows it."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_partisan.admin.rendering import NOTHING, json_block, natural
from django_partisan.admin.stored import secrets_of
from django_partisan.models import Progress, Task, TaskProgress
from django_partisan.payloads.masking import may_have_secrets, scrubbed

_MOST_THAT_COUNT = 1e15


def progress_of(tasks: Sequence[Task]) -> dict[int, Progress]:
    """Return what tasks have told, by their ids, in one statement for all of them."""
    return Progress.objects.defer("checkpoint").in_bulk([task.pk for task in tasks])


def progress_in_short(task: Task, progress: Progress | None) -> str | SafeString:
    """Return a bar for a list; nothing where the task has told nothing.

    What may hold a secret is left to the task's own page, which can look for it.
    """
    told = None if progress is None else progress.told
    if told is None:
        return ""
    is_open = told.message and not may_have_secrets(task.processor_class)
    return _bar(told, told.message if is_open else "")


def progress_in_full(task: Task, progress: Progress) -> str | SafeString:
    """Return a bar, what the task has said with it, and when that was."""
    told = progress.told
    if told is None:
        return NOTHING
    message = told.message and scrubbed(told.message, secrets_of(task))
    return format_html("{}, {}", _bar(told, message), natural(told.at))


def checkpoint_in_full(task: Task, progress: Progress) -> str | SafeString:
    """Return the checkpoint as indented JSON, without the task's secrets."""
    text = progress.checkpoint
    if text is None:
        return NOTHING
    return json_block(scrubbed(text, secrets_of(task)))


def _bar(told: TaskProgress, message: str) -> SafeString:
    done = _number(told.done)
    if told.total is None or told.fraction is None:
        said = f"{done} done"
        bar = format_html('<progress class="partisan-progress"></progress> {}', said)
    else:
        said = f"{int(told.fraction * 100)} % ({done} of {_number(told.total)})"
        bar = format_html(
            '<progress class="partisan-progress" value="{}" max="1">{}</progress> {}',
            f"{told.fraction:.4f}",
            said,
            said,
        )
    return format_html("{}: {}", bar, message) if message else bar


def _number(number: float) -> str:
    return f"{number:,}" if number < _MOST_THAT_COUNT else f"{number:g}"
