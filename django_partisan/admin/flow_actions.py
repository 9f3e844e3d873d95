"""What can be done with flows in the admin, after a question: cancel them, retry what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin, action
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from django_partisan.config.wording import counted
from django_partisan.models import Flow

MAX_FLOWS: Final = 100
"""Flows that are taken at a time."""


class ReasonForm(forms.Form):
    """Asks why."""

    reason = forms.CharField(
        required=False,
        max_length=1_000,
        help_text="Kept with each task that waited, and in the history of the flow.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )


@dataclass(frozen=True, kw_only=True)
class _Deed:
    """One thing to do with a flow: what is asked before, what is done, and what is told then."""

    name: str
    title: str
    question: str
    done: str
    do: Callable[[Flow, str], int]
    has_reason: bool = False


_CANCEL: Final = _Deed(
    name="cancel",
    title="Cancel",
    question="Of its tasks, those that wait will never run. The code of those that run is stopped"
    " wherever it just is, and what it has done outside stays done.",
    done="Cancelled",
    do=lambda flow, reason: flow.cancel(reason),
    has_reason=True,
)
_RETRY: Final = _Deed(
    name="retry_failed",
    title="Retry what failed",
    question="Its tasks in error go back to their queues, with their counters at zero. What was"
    " cancelled because of them stays cancelled.",
    done="Put back",
    do=lambda flow, reason: flow.retry(),  # noqa: ARG005
)
_RETRY_ON: Final = _Deed(
    name="retry_from_there",
    title="Retry from there on",
    question="Its tasks in error go back to their queues, with their counters at zero. What was"
    " cancelled because of them waits for them again.",
    done="Put back",
    do=lambda flow, reason: flow.retry(only_failed=False),  # noqa: ARG005
)


@action(permissions=["act"], description="Cancel selected flows")
def cancel(
    model_admin: ModelAdmin[Flow], request: HttpRequest, queryset: QuerySet[Flow]
) -> HttpResponseBase | None:
    """Cancel all that has not ended."""
    return _asked_and_done(model_admin, request, queryset, _CANCEL)


@action(permissions=["act"], description="Retry what failed in selected flows")
def retry_failed(
    model_admin: ModelAdmin[Flow], request: HttpRequest, queryset: QuerySet[Flow]
) -> HttpResponseBase | None:
    """Put tasks in error back into their queues."""
    return _asked_and_done(model_admin, request, queryset, _RETRY)


@action(permissions=["act"], description="Retry selected flows from what failed on")
def retry_from_there(
    model_admin: ModelAdmin[Flow], request: HttpRequest, queryset: QuerySet[Flow]
) -> HttpResponseBase | None:
    """Put tasks in error back, and what was cancelled because of them."""
    return _asked_and_done(model_admin, request, queryset, _RETRY_ON)


def _asked_and_done(
    model_admin: ModelAdmin[Flow], request: HttpRequest, queryset: QuerySet[Flow], deed: _Deed
) -> HttpResponseBase | None:
    flows = list(queryset.order_by("-pk")[:MAX_FLOWS])
    form = ReasonForm(request.POST if request.POST.get("post") else None)
    if not form.is_valid():
        return _question(model_admin, request, flows, deed, form)
    for flow in flows:
        count = deed.do(flow, form.cleaned_data["reason"])
        _tell(model_admin, request, flow, count, deed, form.cleaned_data["reason"])
    is_from_page = "_from_page" in request.POST and len(flows) == 1
    return redirect(f"{request.path}{flows[0].pk}/change/") if is_from_page else None


def _question(
    model_admin: ModelAdmin[Flow],
    request: HttpRequest,
    flows: Sequence[Flow],
    deed: _Deed,
    form: ReasonForm,
) -> HttpResponseBase:
    is_from_page = "_from_page" in request.POST and len(flows) == 1
    context = {
        **model_admin.admin_site.each_context(request),
        "title": deed.title,
        "question": deed.question,
        "action": deed.name,
        "form": form if deed.has_reason else None,
        "flows": flows,
        "is_from_page": is_from_page,
        "back": f"{request.path}{flows[0].pk}/change/" if is_from_page else request.path,
        "opts": model_admin.opts,
    }
    return TemplateResponse(request, "admin/django_partisan/flow/confirm_action.html", context)


def _tell(
    model_admin: ModelAdmin[Flow],
    request: HttpRequest,
    flow: Flow,
    count: int,
    deed: _Deed,
    reason: str,
) -> None:
    """Say what was done with a flow, and keep it in Django's log."""
    if not count:
        model_admin.message_user(
            request, f"There was no task for that in {flow}.", messages.WARNING
        )
        return
    told = f"{deed.done}: {counted(count, 'task')}"
    model_admin.message_user(request, f"{told} of {flow}.", messages.SUCCESS)
    why = f", {reason}" if reason and deed.has_reason else ""
    if request.user.pk is not None:
        logged: list[Flow] = [flow]
        LogEntry.objects.log_actions(
            request.user.pk,
            logged,
            CHANGE,
            change_message=f"{told}{why}",
        )
