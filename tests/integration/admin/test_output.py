"""What tasks have printed, on their pages."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.test import Client

from django_partisan.admin.outputs import MAX_OUTPUTS, plain
from django_partisan.admin.rendering import MAX_SHOWN
from django_partisan.models import Output, Task
from tests.support.admin_pages import page_of
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db


def output_of(task: Task, lease: int = 1, **columns: Any) -> Output:
    return Output.objects.create(task=task, lease=lease, number=lease, **columns)


def page(admin: Client, task: Task) -> str:
    return html.unescape(admin.get(page_of(task)).content.decode())


def test_a_silent_task_has_no_output_on_its_page(admin: Client) -> None:
    assert "partisan-output" not in page(admin, make_task("finished"))


def test_output_is_shown_for_each_attempt_the_newest_first(admin: Client) -> None:
    task = make_task("finished")
    output_of(task, 1, head="said first")
    output_of(task, 2, head="said last", tail="the end", left_out=5_300_000)
    shown = page(admin, task)
    assert shown.index("said last") < shown.index("said first")
    assert "said last\n… 5.3 MB left out …\nthe end" in shown


def test_it_is_escaped(admin: Client) -> None:
    task = make_task("finished")
    output_of(task, head="<script>alert(1)</script>")
    raw = admin.get(page_of(task)).content.decode()
    assert "<script>alert(1)" not in raw
    assert "&lt;script&gt;alert(1)" in raw


def test_of_much_output_the_end_is_shown_and_of_many_tries_the_newest(admin: Client) -> None:
    task = make_task("finished")
    for lease in range(1, MAX_OUTPUTS + 2):
        output_of(task, lease, head=f"try {lease:03}\n" + "x" * 2 * MAX_SHOWN + "the end")
    shown = page(admin, task)
    assert shown.count("the end") == MAX_OUTPUTS
    assert "try 011" not in shown, "its beginning"
    assert len(shown) < (MAX_OUTPUTS + 1) * MAX_SHOWN


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[31;1mred\x1b[0m text", "red text"),
        ("\x1b]0;title\x07after \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "after link"),
        ("10 %\r50 %\r100 %\ndone\r\n", "100 %\ndone\n"),
        ("100 %\r", "100 %"),
        ("bell \x07, back \x08, escape \x1b", "bell \u2407, back \u2408, escape \u241b"),
        ("tab\tand line\n", "tab\tand line\n"),
    ],
)
def test_what_a_terminal_makes_of_it_is_left_out(printed: str, shown: str) -> None:
    assert plain(printed) == shown
