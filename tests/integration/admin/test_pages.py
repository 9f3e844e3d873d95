"""The admin tells the truth, stays cheap, and lets the right people retry and delete."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_partisan.admin import lists
from django_partisan.admin.attempts import MAX_ATTEMPTS
from django_partisan.admin.rendering import duration, exact, folded, json_block
from django_partisan.admin.stored import MAX_READ
from django_partisan.models import Attempt, ManagerProcess, Task
from tests.support.admin_pages import LIST, MANAGERS, login, page_of
from tests.support.pointing import pointing_models
from tests.support.rows import make_attempt, make_task

HOSTILE = "<script>alert('x')</script>"

pytestmark = pytest.mark.django_db


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return str(response.content.decode())


def act(client: Client, name: str, tasks: Sequence[Task], **more: str) -> HttpResponse:
    data = {"action": name, "_selected_action": [task.pk for task in tasks], **more}
    response = client.post(LIST, data, follow=True)
    assert isinstance(response, HttpResponse)
    return response


def status_of(task: Task) -> str:
    return str(Task.objects.values_list("status", flat=True).get(pk=task.pk))


# --- The list ---------------------------------------------------------------------------------


def test_the_list_shows_each_task_with_its_columns(admin: Client) -> None:
    make_task("finished", ended_ago=5, processor_class="shop.partisan_tasks.SendInvoice")
    make_task("new", execute_after=timezone.now() + timedelta(minutes=30, seconds=30))
    page = text_of(admin.get(LIST))
    assert '<span title="shop.partisan_tasks.SendInvoice">SendInvoice</span>' in page
    assert '<span class="partisan-badge partisan-finished">Finished</span>' in page
    assert "1.5 s" in page
    assert "30\xa0minutes from now" in page


def test_a_thousand_tasks_cost_no_more_queries_than_ten(admin: Client) -> None:
    def queries_of_the_list() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            text_of(admin.get(LIST))
        return [query["sql"] for query in captured]

    for _ in range(10):
        make_task()
    few = queries_of_the_list()
    task = make_task()
    Task.objects.bulk_create(
        Task(processor_class=task.processor_class, status="new") for _ in range(1000)
    )
    many = queries_of_the_list()
    assert len(many) == len(few) <= 7
    assert not any("DISTINCT" in sql for sql in many)
    # A count stops at its cap, and of JSON only the beginnings travel with the list.
    assert all("LIMIT" in sql for sql in many if "COUNT" in sql.upper())
    assert all(f", {MAX_READ + 1})" in sql for sql in many if "arguments" in sql)


def test_counting_stops_at_its_cap_and_says_so(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_COUNTED", 5)
    for _ in range(6):
        make_task()
    page = text_of(admin.get(LIST))
    assert "5 tasks" in page
    assert "There are more" in page
    Task.objects.first().delete()  # type: ignore[union-attr]
    assert "There are more" not in text_of(admin.get(LIST))


def test_statuses_and_queues_can_be_filtered(admin: Client, settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {}}
    make_task("error", processor_class="a.Failed")
    make_task("new", queue_name="mail", processor_class="a.Mailed")
    make_task("new", queue_name="vanished", processor_class="a.Lost")

    def found(query: str) -> set[str]:
        page = text_of(admin.get(LIST + query))
        return {name for name in ("Failed", "Mailed", "Lost") if f">{name}</span>" in page}

    assert found("?status__exact=error") == {"Failed"}
    assert found("?queue=mail") == {"Mailed"}
    assert found("?queue=vanished") == {"Lost"}
    assert found("?queue=*other*") == {"Lost"}
    assert found("?queue=" + "x" * 60) == set()
    assert found("?queue=%00") == set()
    assert found("?queue=mail&status__exact=error") == set()


def test_queues_to_choose_from_come_from_the_settings(admin: Client, settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"mail": {}}
    make_task("new", queue_name="vanished")
    page = text_of(admin.get(LIST))
    assert "?queue=mail" in page
    assert "?queue=vanished" not in page


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("SendInv", {"SendInvoice"}),
        ("sendinvoice", {"SendInvoice"}),
        ("customer-7", {"SendInvoice"}),
        ("nobody has this", set()),
        ("100%", set()),
        ("9" * 30, set()),
        ("   ", {"SendInvoice", "Other"}),
    ],
)
def test_search_looks_at_processors_and_arguments(
    admin: Client, term: str, expected: set[str]
) -> None:
    make_task(processor_class="shop.SendInvoice", arguments={"args": ["customer-7"], "kwargs": {}})
    make_task(processor_class="shop.Other")
    page = text_of(admin.get(LIST, {"q": term}))
    assert {name for name in ("SendInvoice", "Other") if f">{name}</span>" in page} == expected


def test_a_number_finds_the_task_with_that_id_only(admin: Client) -> None:
    wanted = make_task(processor_class="shop.Wanted")
    make_task(processor_class="shop.Other", arguments={"args": [wanted.pk], "kwargs": {}})
    for term in (str(wanted.pk), f"#{wanted.pk}"):
        page = text_of(admin.get(LIST, {"q": term}))
        assert ">Wanted</span>" in page
        assert ">Other</span>" not in page


def test_text_is_looked_for_among_the_newest_tasks_only(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_SEARCHED", 2)
    tasks = [make_task(processor_class=f"shop.Sold{n}") for n in range(3)]
    page = text_of(admin.get(LIST, {"q": "Sold"}))
    assert ["Sold" + str(n) in page for n in range(len(tasks))] == [False, True, True]


# --- A task's page ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", Task.Status.values)
def test_a_task_of_every_status_has_its_page(admin: Client, status: str) -> None:
    task = make_task(status, ended_ago=5, arguments={"args": ["ünï"], "kwargs": {"depth": 3}})
    page = text_of(admin.get(page_of(task)))
    assert f"partisan-{status}" in page
    assert "ünï" in page
    assert "&quot;depth&quot;: 3" in page
    assert 'name="_save"' not in page
    is_terminal = status in Task.TERMINAL_STATUSES
    assert ("Run again" in page) == is_terminal
    assert ("/delete/" in page) == (status != "in_process")


def test_the_page_of_a_failed_task_tells_each_attempt(admin: Client) -> None:
    task = make_task("error", ended_ago=5)
    for number, outcome in ((1, "retried"), (2, "failed")):
        make_attempt(
            task,
            number,
            outcome=outcome,
            message="bad <b>value</b>",
            traceback="Traceback (most recent call last):\n  line one\nValueError: something",
            duration_seconds=0.25,
            worker_pid=4711,
            node_name="host-a",
        )
    page = text_of(admin.get(page_of(task)))
    assert page.index("Attempt 2") < page.index("Attempt 1")
    assert page.count("line one\nValueError: something</div>") == 3
    assert page.index("line one") < page.index("processor"), "the last error stands above all else"
    assert "bad &lt;b&gt;value&lt;/b&gt;" in page
    assert "took 250 ms, worker process 4711, on host-a" in page


def test_a_page_shows_the_newest_attempts_when_there_are_many(admin: Client) -> None:
    task = make_task("error")
    Attempt.objects.bulk_create(
        Attempt(task=task, number=n, lease=n, outcome="retried") for n in range(1, 61)
    )
    page = text_of(admin.get(page_of(task)))
    assert page.count("<h3>Attempt ") == MAX_ATTEMPTS
    assert "There are more" in page
    assert "Attempt 60 " in page
    assert "Attempt 1 " not in page


def test_the_page_says_who_holds_the_task(admin: Client) -> None:
    manager = ManagerProcess.objects.create(node_name="host-a", pid=17, version="2.0")
    held = make_task("in_process", manager_id=manager.pk)
    orphan = make_task("in_process", manager_id=manager.pk + 1)
    page = text_of(admin.get(page_of(held)))
    assert f'<a href="{MANAGERS}{manager.pk}/change/">host-a/17</a>' in page
    assert ">live</span>" in page
    assert "which is gone" in text_of(admin.get(page_of(orphan)))


def test_a_task_of_an_unknown_queue_and_processor_can_be_read(admin: Client) -> None:
    task = make_task("new", queue_name="vanished", processor_class="gone.Processor")
    assert "vanished (not in settings)" in text_of(admin.get(LIST))
    page = text_of(admin.get(page_of(task)))
    assert "vanished (not in settings)" in page
    assert "gone.Processor" in page
    assert "Processor class" in page


def test_wrong_settings_do_not_hide_the_tasks(admin: Client, settings: Any) -> None:
    settings.PARTISAN_CONFIG = ["not a dict"]
    task = make_task()
    text_of(admin.get(LIST))
    text_of(admin.get(page_of(task)))


def test_hostile_text_is_escaped_wherever_it_appears(admin: Client) -> None:
    task = make_task(
        "error",
        queue_name=HOSTILE,
        processor_class=HOSTILE,
        arguments={"args": [HOSTILE], "kwargs": {HOSTILE: HOSTILE}},
        result={HOSTILE: HOSTILE},
    )
    make_attempt(
        task,
        error_type=HOSTILE,
        message=HOSTILE + "!",
        traceback=HOSTILE,
        node_name=HOSTILE,
    )
    ManagerProcess.objects.create(
        node_name=HOSTILE, pid=1, queues=[HOSTILE], snapshot={HOSTILE: HOSTILE}
    )
    manager = ManagerProcess.objects.get()
    pages = [LIST, f"{LIST}?queue={HOSTILE}", page_of(task), f"{LIST}{task.pk}/delete/"]
    for address in [*pages, MANAGERS, f"{MANAGERS}{manager.pk}/change/"]:
        page = text_of(admin.get(address))
        assert HOSTILE not in page
    assert HOSTILE not in text_of(act(admin, "delete_selected", [task]))
    assert HOSTILE not in text_of(act(admin, "requeue", [task]))


@pytest.mark.sqlite
def test_arguments_that_cannot_be_decoded_are_shown_as_they_are(admin: Client) -> None:
    task = make_task("error")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = 1")
        cursor.execute("UPDATE django_partisan_task SET arguments = '{broken'")
        cursor.execute("PRAGMA ignore_check_constraints = 0")
    text_of(admin.get(LIST))
    assert "{broken</pre>" in text_of(admin.get(page_of(task)))
    act(admin, "delete_selected", [task], post="yes")
    assert not Task.objects.exists()


def test_long_texts_are_cut_with_a_note() -> None:
    assert "1,000 more characters are not shown" in str(json_block("x" * 65_000))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.00042, "0.42 ms"),
        (1.5, "1.5 s"),
        (75, "1 min 15 s"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
    ],
)
def test_durations_read_naturally(seconds: float, shown: str) -> None:
    assert duration(timedelta(seconds=seconds)) == shown


# --- Who may do what --------------------------------------------------------------------------


def test_a_stranger_sees_nothing(client: Client) -> None:
    task = make_task()
    login(client)
    for address in (LIST, page_of(task), MANAGERS):
        assert client.get(address).status_code == 403


def test_a_viewer_reads_and_can_do_nothing(client: Client) -> None:
    task = make_task("error")
    login(client, "view_task")
    page = text_of(client.get(LIST))
    assert 'value="requeue"' not in page
    assert 'value="delete_selected"' not in page
    assert "Run again" not in text_of(client.get(page_of(task)))
    act(client, "requeue", [task])
    act(client, "delete_selected", [task], post="yes")
    assert client.post(f"{LIST}{task.pk}/delete/", {"post": "yes"}).status_code == 403
    assert status_of(task) == "error"


def test_putting_back_needs_the_change_permission_and_deleting_its_own(client: Client) -> None:
    task, other = make_task("error"), make_task("error")
    login(client, "view_task", "change_task")
    act(client, "delete_selected", [other], post="yes")
    act(client, "requeue", [task])
    assert (status_of(task), status_of(other)) == ("new", "error")


def test_nobody_adds_or_edits_tasks(admin: Client) -> None:
    task = make_task("finished", priority=5)
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(page_of(task), {"priority": "1", "status": "new"}).status_code == 403
    task.refresh_from_db()
    assert (task.status, task.priority) == ("finished", 5)


def test_managers_are_only_read(admin: Client) -> None:
    live = ManagerProcess.objects.create(node_name="host-a", pid=1, queues=["default", "mail"])
    ManagerProcess.objects.create(
        node_name="host-b", pid=2, last_seen=timezone.now() - timedelta(hours=1)
    )
    page = text_of(admin.get(MANAGERS))
    assert page.count(">live</span>") == page.count(">dead</span>") == 1
    assert "default, mail" in page
    address = f"{MANAGERS}{live.pk}/"
    assert "host-a" in text_of(admin.get(f"{address}change/"))
    assert admin.post(f"{address}change/", {}).status_code == 403
    assert admin.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert admin.get(f"{MANAGERS}add/").status_code == 403


# --- Actions ----------------------------------------------------------------------------------


def test_putting_back_moves_ended_tasks_and_tells_what_was_left(admin: Client) -> None:
    tasks = [make_task(status, ended_ago=5, retries=2) for status in Task.Status.values]
    page = text_of(act(admin, "requeue", tasks))
    assert "Put 3 tasks back in their queue." in page
    assert "Left 3 tasks alone" in page
    statuses = sorted(Task.objects.values_list("status", flat=True))
    assert statuses == ["in_process", "new", "new", "new", "new", "waiting"]
    assert Task.objects.filter(retries=0).count() == 3
    assert LogEntry.objects.filter(change_message="Put back in its queue.").count() == 3


def test_frames_of_the_package_are_folded_in_a_traceback() -> None:
    own = (
        '  File "/venv/django_partisan/worker/host.py", line 3, in run\n'
        "    processor.run()\n    ^^^^\n"
    )
    theirs = '  File "/srv/shop/tasks.py", line 7, in run\n    raise ValueError("<b>")\n'
    text = f"Traceback (most recent call last):\n{own}{own}{theirs}{own}ValueError: <b>\n"
    shown = str(folded(text))
    assert shown.count("<details>") == 2, "two frames below each other are folded together"
    opened = re.sub(r"<details>.*?</details>", "", shown, flags=re.DOTALL)
    assert "worker/host.py" not in opened
    assert "/srv/shop/tasks.py" in opened
    assert "<b>" not in shown
    assert re.sub("<[^>]+>|frames of django-partisan", "", html.unescape(shown)) == re.sub(
        "<[^>]+>", "", text
    )


@pytest.mark.parametrize(("action", "status"), [("requeue", "error"), ("cancel", "new")])
def test_a_button_on_a_page_asks_before_it_does(admin: Client, action: str, status: str) -> None:
    task = make_task(status)
    page = text_of(act(admin, action, [task], _from_page="1"))
    assert status_of(task) == status, "nothing is done yet"
    assert f'name="action" value="{action}"' in page
    assert page_of(task) in page, "there is a way back"
    assert not LogEntry.objects.exists()


def test_the_button_on_a_page_puts_its_task_back_and_returns_there(admin: Client) -> None:
    task = make_task("error", ended_ago=5)
    response = act(admin, "requeue", [task], _from_page="1", post="yes")
    assert response.redirect_chain[-1][0] == page_of(task)  # type: ignore[attr-defined]
    assert "Put 1 task back in its queue." in text_of(response)
    assert status_of(task) == "new"


def test_deleting_asks_first_and_leaves_tasks_in_process(admin: Client) -> None:
    tasks = {status: make_task(status) for status in Task.Status.values}
    make_attempt(tasks["error"])
    asked = text_of(act(admin, "delete_selected", list(tasks.values())))
    assert "Are you sure" in asked
    assert "a task in process cannot be deleted" in asked
    assert Task.objects.count() == 6
    page = text_of(act(admin, "delete_selected", list(tasks.values()), post="yes"))
    assert "Deleted 5 tasks." in page
    assert "Left 1 task alone: a task in process cannot be deleted." in page
    assert status_of(tasks["in_process"]) == "in_process"
    assert not Attempt.objects.exists()
    assert LogEntry.objects.count() == 5


def test_deleting_only_tasks_in_process_says_why_not(admin: Client) -> None:
    task = make_task("in_process")
    assert "Left 1 task alone" in text_of(act(admin, "delete_selected", [task]))
    assert status_of(task) == "in_process"


def test_the_delete_page_deletes_one_task(admin: Client) -> None:
    task = make_task("finished")
    address = f"{LIST}{task.pk}/delete/"
    assert "Are you sure" in text_of(admin.get(address))
    assert "was deleted successfully" in text_of(admin.post(address, {"post": "yes"}, follow=True))
    assert not Task.objects.exists()


def test_the_delete_page_refuses_a_task_in_process(admin: Client) -> None:
    task = make_task("in_process")
    address = f"{LIST}{task.pk}/delete/"
    assert admin.get(address).status_code == 403
    assert admin.post(address, {"post": "yes"}).status_code == 403
    assert status_of(task) == "in_process"


def test_a_task_claimed_while_its_delete_page_is_sent_stays(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task("new")

    def claimed_meanwhile(ids: Sequence[int]) -> list[int]:
        return []

    monkeypatch.setattr("django_partisan.lifecycle.delete", claimed_meanwhile)
    response = admin.post(f"{LIST}{task.pk}/delete/", {"post": "yes"})
    assert response.status_code == 403
    assert not LogEntry.objects.exists()
    assert status_of(task) == "new"


@pytest.mark.django_db(transaction=True)
def test_tasks_that_something_points_at_are_kept_and_counted(admin: Client) -> None:
    with pointing_models() as models:
        tasks = [make_task("finished") for _ in range(3)]
        models.Protecting.objects.create(task=tasks[1])
        page = text_of(act(admin, "delete_selected", tasks))
        assert "will be kept; all others can be deleted" in page
        assert "Are you sure" in page
        page = text_of(act(admin, "delete_selected", tasks, post="yes"))
        assert "Deleted 2 tasks." in page
        assert "Left 1 task alone, because something points at them." in page
        assert Task.objects.get() == tasks[1]
        models.Unlooked.objects.create(task=tasks[1])
        models.Protecting.objects.all().delete()
        address = f"{LIST}{tasks[1].pk}/delete/"
        assert admin.post(address, {"post": "yes"}).status_code == 403
        assert Task.objects.get() == tasks[1]


def test_an_action_takes_a_bounded_number_of_tasks(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_partisan.admin.actions.MAX_REQUEUED", 2)
    tasks = [make_task("error") for _ in range(3)]
    page = text_of(act(admin, "requeue", tasks))
    assert "Only the newest 2 of the selected tasks are taken at a time." in page
    assert [status_of(task) for task in tasks] == ["error", "new", "new"]


def test_a_task_that_is_gone_meanwhile_breaks_no_action(admin: Client) -> None:
    task = make_task("error")
    Task.objects.all().delete()
    for name in ("requeue", "cancel", "delete_selected"):
        text_of(act(admin, name, [task], post="yes", _from_page="1"))


# --- Cancelling -------------------------------------------------------------------------------


def test_cancelling_tells_what_was_cancelled_what_is_stopped_and_what_had_ended(
    admin: Client,
) -> None:
    tasks = [make_task("new"), make_task("in_process"), make_task("finished", ended_ago=5)]
    page = text_of(act(admin, "cancel", tasks))
    assert "Cancelled 1 task." in page
    assert "Stopping 1 task." in page
    assert "Left 1 task alone, which had ended before." in page
    assert [status_of(task) for task in tasks] == ["cancelled", "in_process", "finished"]
    assert Task.objects.get(pk=tasks[1].pk).cancel_requested_at is not None
    logged = LogEntry.objects.values_list("object_id", "change_message")
    assert set(logged) == {(str(tasks[0].pk), "Cancelled."), (str(tasks[1].pk), "Asked to stop.")}


def test_a_tasks_own_page_cancels_it_and_leads_back(admin: Client) -> None:
    task = make_task("new")
    assert 'value="cancel"' in text_of(admin.get(page_of(task)))
    response = act(admin, "cancel", [task], _from_page="1", post="yes")
    assert response.redirect_chain[-1][0] == page_of(task)  # type: ignore[attr-defined]
    page = text_of(response)
    assert 'value="cancel"' not in page
    assert "cancel asked for" in page


def test_who_may_only_look_cannot_cancel(client: Client) -> None:
    login(client, "view_task")
    task = make_task("new")
    assert 'value="cancel"' not in text_of(client.get(page_of(task)))
    act(client, "cancel", [task])
    assert status_of(task) == "new"
    User.objects.all().delete()
    login(client, "view_task", "change_task")
    act(client, "cancel", [task])
    assert status_of(task) == "cancelled"


def test_a_page_tells_what_comes_after_a_task_that_repeats_itself(admin: Client) -> None:
    until = timezone.now() + timedelta(days=30)
    task = make_task(repeat_seconds=86_400, repeat_until=until, repeat_slot=until)
    page = text_of(admin.get(page_of(task)))
    assert f"every 1 d, until {exact(until)}" in page
    assert "its slot in a chain" in page
    assert "every 1 d" not in text_of(admin.get(page_of(make_task())))
