"""The admin of flows says how far they are, and lets the right people cancel and retry them."""

from __future__ import annotations

import copy
import html
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.admin import dependencies, flows, lists
from django_partisan.attempt import FAILED
from django_partisan.flows import chain, group
from django_partisan.models import Attempt, Flow, Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.support.admin_pages import FLOWS, LIST, login, page_of, page_of_flow
from tests.support.factories import claim, ended_attempt, record, row_of
from tests.support.processors import InOtherQueue, Plain

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert('x')</script>"
SECRET = "hunter2-and-more"


class Login(BaseTaskProcessor):
    SENSITIVE_PARAMS = ("password",)

    def run(self) -> None:
        """Do nothing."""


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, response.status_code
    return html.unescape(response.content.decode())


def words_of(client: Client, address: str) -> str:
    """Return what a person reads on a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", text_of(client, address)).split())


def links_in(text: str, field: str) -> list[int]:
    """Return the tasks that a field of a page leads to."""
    cell = text.partition(f"field-{field}")[2].partition('class="form-row')[0]
    return [int(pk) for pk in re.findall(r"/task/(\d+)/change/", cell)]


def found_by(client: Client, query: str) -> list[int]:
    text = text_of(client, LIST + query)
    return sorted(map(int, re.findall(r'"_selected_action" value="(\d+)"', text)))


def act(client: Client, name: str, flow: Flow, **more: str) -> str:
    data = {"action": name, "_selected_action": [flow.pk], "_from_page": "1", **more}
    response = client.post(FLOWS, data, follow=True)
    return html.unescape(response.content.decode())


def statuses(flow: Flow) -> list[str]:
    return [task.status for task in flow.tasks]


def fail_first(flow: Flow) -> None:
    [claimed] = claim(1)
    record(ended_attempt(claimed, kind=FAILED))
    while lifecycle.tell_dependents().has_more:
        pass
    assert "error" in statuses(flow)


def joined(name: str = "", size: int = 2) -> tuple[Flow, list[Task]]:
    """Store two groups one after the other, which a joint stands between."""
    flow = chain(
        group(Plain(number) for number in range(size)),
        group(Plain(number) for number in range(size)),
    ).delay(name=name)
    assert Task.objects.filter(processor_class="", flow_id=flow.pk).count() == 1
    return flow, list(flow.tasks)


# --- The list of flows ------------------------------------------------------------------------


def test_the_list_says_how_far_each_flow_is_and_what_went_wrong(admin: Client) -> None:
    flow = chain(Plain(1), Plain(2), Plain(3)).delay(name=f"catalogue {HOSTILE}")
    fail_first(flow)
    words = words_of(admin, FLOWS)
    assert "3 / 3 1 failed, 2 cancelled" in words
    assert HOSTILE not in admin.get(FLOWS).content.decode()
    chain(Plain(1), Plain(2)).delay()
    words = words_of(admin, FLOWS)
    assert "0 / 2" in words
    assert f"Flow {flow.pk + 1}" in words


def test_it_counts_what_was_deleted_as_done_and_no_joints(admin: Client) -> None:
    _, tasks = joined("two groups")
    assert "0 / 4" in words_of(admin, FLOWS)
    Task.objects.filter(pk=tasks[0].pk).delete()
    assert "1 / 4" in words_of(admin, FLOWS)


def test_many_flows_cost_no_more_queries_than_one(admin: Client) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            text_of(admin, FLOWS)
        return [query["sql"] for query in captured]

    chain(Plain(1), Plain(2)).delay()
    few = queries()
    for number in range(20):
        chain(Plain(1), Plain(2)).delay(name=str(number))
    many = queries()
    assert len(many) == len(few) <= 6
    assert sum("django_partisan_task" in sql for sql in many) == 1


def test_a_flow_is_found_by_its_name(admin: Client) -> None:
    group(Plain(1)).delay(name="catalogue 17")
    group(Plain(1)).delay(name="report")
    words = words_of(admin, f"{FLOWS}?q=Catal")
    assert "catalogue 17" in words
    assert "report" not in words


# --- The page of a flow -----------------------------------------------------------------------


def test_its_page_counts_by_status_with_links_to_those_tasks(admin: Client) -> None:
    flow, _ = joined("two groups")
    other = Plain(1).delay()
    fail_first(flow)
    page = text_of(admin, page_of_flow(flow))
    links = dict(re.findall(r'href="[^"]*(\?flow_id=[^"]*)"><span[^>]*>([^<]*)<', page))
    assert sorted(links.values()) == ["1 error", "1 new", "2 cancelled"]
    for link, said in links.items():
        found = found_by(admin, link)
        assert len(found) == int(said.split()[0])
        assert other.pk not in found


def test_its_page_leads_to_its_first_tasks_and_to_what_comes_at_its_end(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = group(Plain(n) for n in range(4)).delay(on_success=Plain(8), on_complete=Plain(9))
    pks = [task.pk for task in flow.tasks]
    page = text_of(admin, page_of_flow(flow))
    assert links_in(page, "tasks") == pks
    assert links_in(page, "on_success") == [flow.on_success_id]
    assert links_in(page, "on_complete") == [flow.on_complete_id]
    assert "more" not in words_of(admin, page_of_flow(flow))
    monkeypatch.setattr(flows, "MAX_TASKS", 2)
    assert links_in(text_of(admin, page_of_flow(flow)), "tasks") == pks[:2]
    assert "and 4 more" in words_of(admin, page_of_flow(flow))
    Task.objects.filter(pk__in=[flow.on_success_id]).delete()
    assert f"task {flow.on_success_id}, which is gone" in text_of(admin, page_of_flow(flow))


def test_its_page_costs_the_same_however_many_tasks_it_has(admin: Client) -> None:
    def count(flow: Flow) -> int:
        with CaptureQueriesContext(connection) as captured:
            text_of(admin, page_of_flow(flow))
        return len(captured)

    small, large = joined(size=2)[0], joined(size=40)[0]
    text_of(admin, page_of_flow(small))  # Django looks some things up only once.
    assert count(small) == count(large) <= 8


def test_joints_are_no_tasks_to_anybody(admin: Client) -> None:
    flow, tasks = joined()
    joint = Task.objects.get(processor_class="")
    assert links_in(text_of(admin, page_of_flow(flow)), "tasks") == [task.pk for task in tasks]
    assert found_by(admin, "") == [task.pk for task in tasks]
    assert found_by(admin, f"?flow_id={flow.pk}") == [task.pk for task in tasks]
    assert admin.get(page_of(joint)).status_code == 302
    chosen = {"action": "cancel", "_selected_action": [joint.pk]}
    admin.post(LIST, chosen)
    assert row_of(joint).status == "waiting"


def test_a_flow_is_drawn_unless_it_is_too_large(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, _ = joined()
    assert "flowchart LR" in text_of(admin, page_of_flow(flow))
    monkeypatch.setattr(flows, "MAX_DRAWN", 3)
    page = text_of(admin, page_of_flow(flow))
    assert "flowchart LR" not in page
    assert "only flows of at most 3 tasks" in page


def test_no_page_shows_a_secret(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, copy.deepcopy(getattr(registry, name)))
    registry.register(Login)
    flow = chain(Login("bob", password=SECRET), Plain(1)).delay()
    pages = [FLOWS, page_of_flow(flow), LIST, *map(page_of, flow.tasks)]
    for page in pages:
        assert SECRET not in text_of(admin, page), page


# --- What can be done with it -----------------------------------------------------------------


def test_cancelling_asks_for_a_reason_first_and_keeps_it(admin: Client) -> None:
    flow = chain(Plain(1), Plain(2)).delay(name="catalogue")
    assert "Cancel this flow" in text_of(admin, page_of_flow(flow))
    question = act(admin, "cancel", flow)
    assert "will never run" in question
    assert 'name="reason"' in question
    assert statuses(flow) == ["new", "waiting"]
    done = act(admin, "cancel", flow, post="yes", reason="no longer wanted")
    assert "Cancelled: 2 tasks of catalogue." in done
    assert statuses(flow) == ["cancelled", "cancelled"]
    assert set(Attempt.objects.values_list("message", flat=True)) == {"no longer wanted"}
    [entry] = LogEntry.objects.all()
    assert entry.change_message == "Cancelled: 2 tasks, no longer wanted"
    assert entry.object_id == str(flow.pk)
    assert "Cancel this flow" not in text_of(admin, page_of_flow(flow))
    assert "There was no task for that in catalogue." in act(admin, "cancel", flow, post="yes")
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize("reason", ["x" * 1_001, "a\0b"])
def test_a_reason_that_cannot_be_kept_is_asked_for_again(admin: Client, reason: str) -> None:
    flow = group(Plain(1)).delay()
    assert "errorlist" in act(admin, "cancel", flow, post="yes", reason=reason)
    assert statuses(flow) == ["new"]


@pytest.mark.parametrize(
    ("name", "after", "said"),
    [
        ("retry_failed", ["new", "cancelled"], "Put back: 1 task"),
        ("retry_from_there", ["new", "waiting"], "Put back: 2 tasks"),
    ],
)
def test_what_failed_is_retried_alone_or_with_what_comes_after_it(
    admin: Client, name: str, after: list[str], said: str
) -> None:
    flow = chain(Plain(1), Plain(2)).delay()
    assert f'value="{name}"' not in text_of(admin, page_of_flow(flow)), "nothing failed yet"
    fail_first(flow)
    assert f'value="{name}"' in text_of(admin, page_of_flow(flow))
    question = act(admin, name, flow)
    assert "go back to their queues" in question
    assert 'name="reason"' not in question
    assert statuses(flow) == ["error", "cancelled"]
    assert f"{said} of {flow}." in act(admin, name, flow, post="yes")
    assert statuses(flow) == after
    assert LogEntry.objects.get().change_message == said


def test_several_flows_are_asked_for_together_in_the_list(admin: Client) -> None:
    chosen = [group(Plain(1)).delay(name=name) for name in ("first", "second")]
    data = {"action": "cancel", "_selected_action": [flow.pk for flow in chosen]}
    question = admin.post(FLOWS, data).content.decode()
    assert "first" in question
    assert "second" in question
    assert [statuses(flow) for flow in chosen] == [["new"], ["new"]]
    admin.post(FLOWS, {**data, "post": "yes"})
    assert [statuses(flow) for flow in chosen] == [["cancelled"], ["cancelled"]]


def test_who_may_only_look_changes_nothing(client: Client) -> None:
    flow = chain(Plain(1), Plain(2)).delay(name="catalogue")
    fail_first(flow)
    more = group(Plain(1)).delay()
    login(client, "view_flow", "change_task")
    for each in (flow, more):
        page = text_of(client, page_of_flow(each))
        assert "partisan-requeue" not in page
        for name in ("cancel", "retry_failed", "retry_from_there"):
            act(client, name, each, post="yes")
        client.post(page_of_flow(each), {"name": "other"})
    assert [statuses(each) for each in (flow, more)] == [["error", "cancelled"], ["new"]]
    assert Flow.objects.get(pk=flow.pk).name == "catalogue"


def test_who_may_change_flows_acts_on_them_and_nobody_edits_or_deletes_them(
    client: Client, admin: Client
) -> None:
    flow = group(Plain(1)).delay(name="catalogue")
    for page in (f"{FLOWS}add/", f"{FLOWS}{flow.pk}/delete/"):
        assert admin.get(page).status_code == 403
        assert admin.post(page, {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text_of(admin, FLOWS)
    login(client, "change_flow")
    act(client, "cancel", flow, post="yes")
    assert statuses(flow) == ["cancelled"]


def test_who_has_no_permission_sees_no_flow(client: Client) -> None:
    flow = group(Plain(1)).delay(name="catalogue")
    login(client, "view_task")
    for page in (FLOWS, page_of_flow(flow), f"{FLOWS}{flow.pk}/history/"):
        assert client.get(page).status_code == 403


# --- The tasks of flows -----------------------------------------------------------------------


def test_the_page_of_a_task_leads_to_its_flow_and_to_its_neighbours(admin: Client) -> None:
    flow = chain(Plain(1), Plain(2), Plain(3)).delay(name="catalogue")
    first, second, third = flow.tasks
    page = text_of(admin, page_of(second))
    assert f'href="{page_of_flow(flow)}">catalogue</a>' in page
    assert links_in(page, "waits_for") == [first.pk]
    assert links_in(page, "waited_for_by") == [third.pk]
    assert links_in(text_of(admin, page_of(first)), "waits_for") == []
    Flow.objects.filter(pk=flow.pk).delete()
    assert f"flow {flow.pk}, which is gone" in text_of(admin, page_of(second))


def test_behind_a_joint_stand_the_tasks_that_are_waited_for(admin: Client) -> None:
    _, tasks = joined()
    befores, afters = [task.pk for task in tasks[:2]], [task.pk for task in tasks[2:]]
    for task in tasks[:2]:
        assert links_in(text_of(admin, page_of(task)), "waited_for_by") == afters
    for task in tasks[2:]:
        assert links_in(text_of(admin, page_of(task)), "waits_for") == befores
    record(ended_attempt(claim(1)[0]))
    assert links_in(text_of(admin, page_of(tasks[2])), "waits_for") == befores[1:]


def test_of_many_neighbours_ten_are_named_and_the_others_counted(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = chain(group(Plain(n) for n in range(13)), Plain(0)).delay()
    pks = [task.pk for task in flow.tasks]
    last = page_of(flow.tasks[13])
    assert links_in(text_of(admin, last), "waits_for") == pks[:10]
    assert "and 3 more" in words_of(admin, last)
    monkeypatch.setattr(dependencies, "MAX_COUNTED", 12)
    assert "and more than 2 others" in words_of(admin, last)


def test_a_task_without_dependencies_shows_and_asks_nothing_of_them(admin: Client) -> None:
    task = Plain(1).delay()
    with CaptureQueriesContext(connection) as captured:
        page = text_of(admin, page_of(task))
    assert "field-waits_for" not in page
    assert not any("dependency" in query["sql"] for query in captured)


def test_a_waiting_task_looks_like_one_and_can_be_cancelled_but_not_requeued(
    admin: Client,
) -> None:
    first = Plain(1).delay()
    waiting = Plain(2).delay(after=[first])
    assert "Waiting for others to end" in words_of(admin, f"{LIST}?status__exact=waiting")
    assert found_by(admin, "?status__exact=waiting") == [waiting.pk]
    assert "partisan-badge partisan-waiting" in text_of(admin, page_of(waiting))
    words = words_of(admin, page_of(waiting))
    assert "due no earlier than" in words
    assert "Run again" not in words
    assert "Cancel this task" in words
    assert links_in(text_of(admin, page_of(waiting)), "waits_for") == [first.pk]
    admin.post(LIST, {"action": "requeue", "_selected_action": [waiting.pk]})
    assert row_of(waiting).status == "waiting"
    admin.post(LIST, {"action": "cancel", "_selected_action": [waiting.pk]})
    assert row_of(waiting).status == "cancelled"


def test_the_filter_by_queue_finds_waiting_tasks(admin: Client) -> None:
    waiting = InOtherQueue().delay(after=[Plain(1).delay()])
    assert found_by(admin, "?queue=other") == [waiting.pk]


def test_what_waits_is_looked_for_among_the_newest_or_in_its_whole_flow(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = chain(Plain(1), Plain(2)).delay()
    parent = Plain(3).delay()
    newest = [Plain(4).delay(after=[parent]).pk for _ in range(2)]
    monkeypatch.setattr(lists, "MAX_FILTERED", 2)
    for query in ("?status__exact=waiting", "?queue=default&status__exact=waiting"):
        assert found_by(admin, query) == newest
    found = found_by(admin, f"?flow_id={flow.pk}&status__exact=waiting")
    assert found == [flow.tasks[1].pk]


def test_tasks_are_filtered_by_their_flow(admin: Client) -> None:
    flow, other = (group(Plain(1), Plain(2)).delay(name=name) for name in ("ours", "theirs"))
    assert found_by(admin, f"?flow_id={flow.pk}") == [task.pk for task in flow.tasks]
    page = text_of(admin, f"{LIST}?flow_id={flow.pk}")
    assert "ours" in page
    assert "theirs" not in page
    for nonsense in (f"{other.pk + 9}", "x", "9" * 30, "-1", "1%00"):
        assert found_by(admin, f"?flow_id={nonsense}") == []


def test_a_viewer_cannot_filter_by_more_of_a_flow(client: Client) -> None:
    login(client, "view_task", "view_flow")
    lookups: dict[str, Any] = {"flow_id__gt": 0, "blocked_by": 1}
    for lookup, value in lookups.items():
        assert client.get(LIST, {lookup: value}).status_code in (302, 400)
