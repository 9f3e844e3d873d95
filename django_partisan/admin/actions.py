"""The admin's actions on selected tasks: requeue, cancel, delete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin import ModelAdmin, action, actions
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from django_partisan import lifecycle
from django_partisan.lifecycle import request_cancel
from django_partisan.lifecycle.cancel import CancelRequest
from django_partisan.models import Task

MAX_REQUEUED: Final = 10_000
# Each task is a field of the confirmation page, and Django accepts 1,000 fields.
MAX_DELETED: Final = 900
_CHUNK: Final = 500
_RUN_AGAIN: Final = (
    "The task goes back to its queue and runs as soon as a worker is free, with its counters at"
    " zero. Whatever its former attempts have done outside, such as mails they sent, is done once"
    " more."
)
_CANCEL: Final = (
    "If the task waits, it will never run. If it runs, its code is stopped wherever it just is, and"
    " what it has done outside stays done."
)
_IN_PROCESS: Final = ": a task in process cannot be deleted."
_KEPT: Final = ", because something points at them."


@action(permissions=["requeue"], description="Put selected tasks back in their queue")
def requeue(
    model_admin: ModelAdmin[Task], request: HttpRequest, queryset: QuerySet[Task]
) -> HttpResponseBase | None:
    """Run ended tasks again, with their counters reset, and say how many could not be moved."""
    if question := _question(model_admin, request, queryset, "Run again", _RUN_AGAIN):
        return question
    ids = _selected(model_admin, request, queryset, MAX_REQUEUED)
    moved: list[int] = []
    for chunk in _chunks(ids):
        moved += lifecycle.requeue(chunk)
    _log(request, moved, "Put back in its queue.")
    if moved:
        told = f"Put {_tasks(len(moved))} back in {'its' if len(moved) == 1 else 'their'} queue."
        model_admin.message_user(request, told, messages.SUCCESS)
    why = ": only finished, failed or cancelled ones can be put back."
    _tell_left(model_admin, request, len(ids) - len(moved), why)
    return _way_back(request, ids)


@action(permissions=["cancel"], description="Cancel selected tasks")
def cancel(
    model_admin: ModelAdmin[Task], request: HttpRequest, queryset: QuerySet[Task]
) -> HttpResponseBase | None:
    """Cancel what waits, have what runs stopped, and say how many had ended before."""
    if question := _question(model_admin, request, queryset, "Cancel this task", _CANCEL):
        return question
    ids = _selected(model_admin, request, queryset, MAX_REQUEUED)
    done = CancelRequest([], [])
    for chunk in _chunks(ids):
        cancelled, requested = request_cancel(chunk)
        done.cancelled.extend(cancelled)
        done.requested.extend(requested)
    _log(request, done.cancelled, "Cancelled.")
    _log(request, done.requested, "Asked to stop.")
    for count, told in ((len(done.cancelled), "Cancelled"), (len(done.requested), "Stopping")):
        if count:
            model_admin.message_user(request, f"{told} {_tasks(count)}.", messages.SUCCESS)
    left = len(ids) - len(done.cancelled) - len(done.requested)
    _tell_left(model_admin, request, left, ", which had ended before.")
    return _way_back(request, ids)


@action(permissions=["delete"], description="Delete selected tasks (not those in process)")
def delete_selected(
    model_admin: ModelAdmin[Task], request: HttpRequest, queryset: QuerySet[Task]
) -> HttpResponseBase | None:
    """Ask, then delete the tasks that are not in process, and say how many those are."""
    ids = _selected(model_admin, request, queryset, MAX_DELETED)
    if request.POST.get("post"):
        _delete(model_admin, request, ids)
        return None
    deletable = queryset.filter(pk__in=ids).exclude(status=Task.STATUS_IN_PROCESS)
    count = deletable.count()
    _tell_left(model_admin, request, len(ids) - count, _IN_PROCESS)
    response: HttpResponseBase | None = None
    if count:
        response = actions.delete_selected(model_admin, request, deletable)
    return response


def _question(
    model_admin: ModelAdmin[Task],
    request: HttpRequest,
    queryset: QuerySet[Task],
    title: str,
    question: str,
) -> HttpResponseBase | None:
    """Return the page that asks first, for a button on a task's own page; None once it was asked.

    In the list, the choice of an action and its button are two steps already.
    """
    task = queryset.first() if "_from_page" in request.POST else None
    if task is None or request.POST.get("post"):
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "question": question,
        "action": request.POST["action"],
        "task": task,
        "page": f"{request.path}{task.pk}/change/",
        "opts": model_admin.opts,
    }
    return TemplateResponse(request, "admin/django_partisan/task/confirm_action.html", context)


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    """Yield ids in pieces, so that no statement takes too many of them."""
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def _delete(model_admin: ModelAdmin[Task], request: HttpRequest, ids: Sequence[int]) -> None:
    tasks = {task.pk: task for task in model_admin.get_queryset(request).filter(pk__in=ids)}
    deleted, kept = lifecycle.delete_or_keep(tasks)
    if deleted:
        gone: Any = [tasks[pk] for pk in deleted]
        model_admin.log_deletions(request, gone)
        model_admin.message_user(request, f"Deleted {_tasks(len(deleted))}.", messages.SUCCESS)
    _tell_left(model_admin, request, len(kept), _KEPT)
    _tell_left(model_admin, request, len(tasks) - len(deleted) - len(kept), _IN_PROCESS)


def _selected(
    model_admin: ModelAdmin[Task], request: HttpRequest, queryset: QuerySet[Task], limit: int
) -> list[int]:
    ids = list(queryset.order_by("-pk").values_list("pk", flat=True)[: limit + 1])
    if len(ids) > limit:
        told = f"Only the newest {limit:,} of the selected tasks are taken at a time."
        model_admin.message_user(request, told, messages.WARNING)
    return ids[:limit]


def _tell_left(model_admin: ModelAdmin[Task], request: HttpRequest, count: int, why: str) -> None:
    if count:
        model_admin.message_user(request, f"Left {_tasks(count)} alone{why}", messages.WARNING)


def _way_back(request: HttpRequest, ids: Sequence[int]) -> HttpResponseBase | None:
    # The button on a task's own page leads back there.
    is_from_page = "_from_page" in request.POST and len(ids) == 1
    return redirect(f"{request.path}{ids[0]}/change/") if is_from_page else None


def _log(request: HttpRequest, ids: Sequence[int], message: str) -> None:
    tasks: Any = Task.objects.filter(pk__in=ids).only("pk", "processor_class", "status")
    if tasks and request.user.pk is not None:
        LogEntry.objects.log_actions(request.user.pk, tasks, CHANGE, change_message=message)


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"
