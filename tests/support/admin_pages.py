"""The admin's pages, and who looks at them."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User
from django.test import Client

from django_partisan.models import Flow, Task

LIST = "/admin/django_partisan/task/"
MANAGERS = "/admin/django_partisan/managerprocess/"
SCHEDULES = "/admin/django_partisan/storedschedule/"
FLOWS = "/admin/django_partisan/flow/"
PAUSES = "/admin/django_partisan/pause/"


def page_of(task: Task) -> str:
    """Return the address of a task's own page."""
    return f"{LIST}{task.pk}/change/"


def page_of_flow(flow: Flow) -> str:
    """Return the address of a flow's own page."""
    return f"{FLOWS}{flow.pk}/change/"


def login(client: Client, *codenames: str, is_staff: bool = True) -> Client:
    """Log somebody new in who has these permissions and no others."""
    user = User.objects.create_user("somebody", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client
