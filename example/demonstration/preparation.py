"""What has to be there before the work begins: tables, a user, and tasks."""

import platform

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import transaction
from stdlib_index.enqueueing import enqueue
from stdlib_index.models import Module, Package
from stdlib_index.queries import flow_progress
from stdlib_index.report import report_path

from django_partisan.flows import Flow
from django_partisan.models import Attempt, Dependency, Task

USER = PASSWORD = "admin"  # noqa: S105, everybody may know it: the demonstration is on this machine only


def prepare() -> None:
    """Create the tables and the demonstration's superuser where they are missing."""
    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    if not users.filter(username=USER).exists():
        users.create_superuser(USER, password=PASSWORD)


def enqueue_work(limit: int | None) -> None:
    """Enqueue what an earlier run left out; start over when it left out nothing; say which."""
    before = flow_progress()
    enqueued = enqueue(limit)
    if not enqueued and before.is_done and Module.objects.exists():
        print("Everything was indexed before, so this run clears the index and starts over.")
        start_over()
        before, enqueued = flow_progress(), enqueue(limit)
    if before.total:
        left = before.total - before.done
        print(f"Continuing an earlier run: {before.done:,} tasks done, {left:,} left.")
    print(f"Python {platform.python_version()}: {enqueued:,} files enqueued.", flush=True)


@transaction.atomic
def start_over() -> None:
    """Forget all tasks and all that they found."""
    for model in (Attempt, Dependency, Task, Flow, Module, Package):
        model.objects.all().delete()
    report_path().unlink(missing_ok=True)
