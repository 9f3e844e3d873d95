"""The admin lets nobody do more than their permissions say, and shows no secret to anybody."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.test import Client

from django_partisan.admin.stored import MAX_READ
from django_partisan.models import ManagerProcess, Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.support.admin_pages import LIST, MANAGERS, login, page_of
from tests.support.rows import make_attempt, make_task

SECRET = "hunter2-and-more"
ARGUMENTS = {"args": [], "kwargs": {"user": "bob", "password": SECRET}}

pytestmark = pytest.mark.django_db


class Login(BaseTaskProcessor):
    SENSITIVE_PARAMS = ("password",)
    ALIASES = ("old.Login",)

    def run(self) -> None:
        """Do nothing."""


class Open(BaseTaskProcessor):
    def run(self) -> None:
        """Do nothing."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, copy.deepcopy(getattr(registry, name)))
    registry.register(Login)
    registry.register(Open)


def name_of(processor: type) -> str:
    return registry.stored_name(processor)


@pytest.fixture
def viewer(client: Client) -> Client:
    return login(client, "view_task", "view_managerprocess")


def secret_task(processor_class: str = "", **columns: Any) -> Task:
    name = processor_class or name_of(Login)
    task = make_task("error", processor_class=name, arguments=ARGUMENTS, ended_ago=5, **columns)
    make_attempt(
        task,
        message=f"recorded before {SECRET} was called secret",
        traceback=f"ValueError: {SECRET}",
    )
    return task


@pytest.mark.parametrize(
    "name", [Login.__name__, "old.Login", "", "shop.partisan_tasks.Gone"], ids=lambda name: name
)
def test_no_page_shows_a_secret(admin: Client, name: str) -> None:
    task = secret_task(name, result={"echo": SECRET})
    for page in (LIST, page_of(task), f"{LIST}{task.pk}/delete/"):
        text = admin.get(page).content.decode()
        assert str(task.pk) in text
        if "Gone" not in name:
            assert SECRET not in text, page
        assert f"&quot;{SECRET}" not in text
    page = admin.get(page_of(task)).content.decode()
    assert "********" in page
    assert ("&quot;bob&quot;" in page) == ("Gone" not in name)
    assert str(task) == f"{task.processor_class} #{task.pk} (error)"
    assert SECRET not in repr(task)
    assert SECRET not in str(task.masked_arguments)


@pytest.mark.parametrize("columns", [{}, {"note": "x" * MAX_READ}, {"note": "x" * 50}])
def test_a_list_shows_nothing_of_a_secret_where_it_cuts_texts_short(
    admin: Client, columns: dict[str, str]
) -> None:
    secret = SECRET * 150
    arguments = {"args": [], "kwargs": {"password": secret, **columns}}
    task = make_task("error", processor_class=name_of(Login), arguments=arguments)
    # Masked, the first of them leaves room for what the cut left of the second.
    make_attempt(task, message=f"{secret} {secret}")
    page = admin.get(LIST).content.decode()
    assert "ValueError: ********" in page
    assert "hunter2" not in page


@pytest.mark.parametrize("name", ["", "Login", "old.Login", "shop.partisan_tasks.Gone"])
def test_search_does_not_tell_whether_a_secret_was_guessed(viewer: Client, name: str) -> None:
    task = secret_task(name)
    make_task(processor_class=name_of(Open), arguments={"args": ["hunter2-shown"], "kwargs": {}})
    page = viewer.get(LIST, {"q": "hunter2"}).content.decode()
    assert f">{task.pk}<" not in page
    assert ">Open</span>" in page
    found = viewer.get(LIST, {"q": task.processor_class}).content.decode()
    assert f">{task.pk}<" in found


@pytest.mark.parametrize(
    "lookup",
    [
        "arguments__icontains=hunter2",
        "arguments__kwargs__password__startswith=h",
        "arguments__contains=hunter2",
        "result__isnull=1",
        "unique_hash=00000000000000000000000000000000",
        "extra__x=1",
        "attempt_set__message__icontains=hunter2",
        "lease=1",
    ],
)
def test_secrets_cannot_be_guessed_by_the_address_of_a_list(viewer: Client, lookup: str) -> None:
    secret_task()
    response = viewer.get(f"{LIST}?{lookup}")
    assert response.status_code in (302, 400), "refused"
    assert viewer.get(f"{LIST}?status__exact=error").status_code == 200


@pytest.mark.parametrize("action", ["requeue", "delete_selected", "cancel"])
@pytest.mark.parametrize("confirmation", [{}, {"post": "yes"}])
def test_a_viewer_can_start_no_action(
    viewer: Client, action: str, confirmation: dict[str, str]
) -> None:
    tasks = [secret_task(), make_task("new"), make_task("in_process")]
    for task in tasks:
        page = viewer.get(page_of(task)).content.decode()
        assert "Run again" not in page
        assert 'value="cancel"' not in page
    ids = [task.pk for task in tasks]
    viewer.post(LIST, {"action": action, "_selected_action": ids, **confirmation})
    rows = Task.objects.order_by("pk").values_list("status", "cancel_requested_at")
    assert list(rows) == [("error", None), ("new", None), ("in_process", None)]


@pytest.mark.parametrize("page", ["change/", "delete/", "history/"])
def test_a_viewer_changes_nothing_on_any_page(viewer: Client, page: str) -> None:
    task = secret_task()
    data = {"post": "yes", "status": "new", "processor_class": "os.system", "arguments": "{}"}
    response = viewer.post(f"{LIST}{task.pk}/{page}", data)
    assert response.status_code in (200, 403, 405)
    before = (task.status, task.processor_class, task.arguments)
    task.refresh_from_db()
    assert (task.status, task.processor_class, task.arguments) == before


@pytest.mark.parametrize("is_staff", [True, False])
def test_who_has_no_permission_sees_no_page(client: Client, is_staff: bool) -> None:
    login(client, is_staff=is_staff)
    task = secret_task()
    manager = ManagerProcess.objects.create(
        node_name="n", pid=1, boot_id="b", process_started="1", version="2"
    )
    pages = [f"{LIST}{task.pk}/{name}/" for name in ("change", "delete", "history")]
    pages += [f"{MANAGERS}{manager.pk}/{name}/" for name in ("change", "delete", "history")]
    for page in [LIST, f"{LIST}add/", MANAGERS, f"{MANAGERS}add/", *pages]:
        for response in (client.get(page), client.post(page, {"post": "yes"})):
            assert response.status_code in (302, 403), page
            assert SECRET not in response.content.decode()
    assert Task.objects.filter(pk=task.pk, status="error").exists()
