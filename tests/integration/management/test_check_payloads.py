"""`manage.py partisan check-payloads` tells what this code could not run, and changes nothing."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pydantic import BaseModel, SecretStr

from django_partisan.config.const import ExitCode
from django_partisan.flows import chain, group
from django_partisan.lifecycle import to_run
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.app.functions import add
from tests.app.typed import Invoice
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db

CUSTOMER = {"key": "00000000-0000-0000-0000-000000000001", "since": "2026-01-02T00:00:00Z"}
INVOICE, ADD = "tests.app.typed.Invoice", "tests.app.functions.add"


class Picky(BaseTaskProcessor):
    ALIASES = ("old.Picky",)

    def __init__(self, number: int) -> None:
        if number < 0:
            raise LookupError(f"there is no\n{number}")
        if number == 0:
            raise SystemExit(3)

    def run(self) -> None:
        raise AssertionError("nothing is run")


class Login(BaseTaskProcessor):
    class Params(BaseModel):
        password: SecretStr
        age: int

    def run(self) -> None: ...


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, copy.deepcopy(getattr(registry, name)))
    registry.register(Picky)
    registry.register(Login)


def ended_with(*options: str, stderr: io.StringIO | None = None) -> tuple[int, str]:
    stdout = io.StringIO()
    arguments = ("partisan", "check-payloads", *options)
    try:
        call_command(*arguments, stdout=stdout, stderr=stderr or io.StringIO())
    except SystemExit as ended:
        return int(str(ended.code)), stdout.getvalue()
    return 0, stdout.getvalue()


def told(*options: str) -> Any:
    return json.loads(ended_with("--format", "json", *options)[1])


def stored(name: str, status: str = "new", *args: Any, version: int = 1, **kwargs: Any) -> int:
    arguments = {"args": list(args), "kwargs": kwargs, "version": version}
    return make_task(status, processor_class=name, arguments=arguments).pk


def name_of(cls: type[BaseTaskProcessor]) -> str:
    return registry.stored_name(cls)


def test_an_empty_table_is_fine() -> None:
    assert ended_with() == (0, "No task is still to run.\n")
    assert told() == {"complete": True, "tasks": 0, "cannot_run": 0, "processors": {}}


def test_tasks_that_can_be_run_are_counted_by_processor() -> None:
    Invoice(CUSTOMER, 1).delay()
    add.delay(1)
    add.delay(2)
    code, said = ended_with()
    assert code == 0
    lines = [line.split() for line in said.splitlines()]
    assert lines[1:3] == [[ADD, "2", "2", "0"], [INVOICE, "1", "1", "0"]]
    assert said.endswith("This code can run 3 tasks: all that were looked at.\n")


def test_what_cannot_be_run_is_told_with_reason_and_ids() -> None:
    Invoice(CUSTOMER, 1).delay()
    stored(INVOICE, "new", customer=CUSTOMER, cents="100")
    refused = {
        stored("gone.Gone"): "Processor class gone.Gone cannot be found.",
        stored(INVOICE, "waiting", customer=CUSTOMER, amount=1, version=3): "knows SCHEMA_VERSION",
        stored(INVOICE, "in_process", customer=CUSTOMER): "upgrade_params(1, ...) raised KeyError",
        stored(INVOICE, "new", customer=CUSTOMER, amount=-1, version=2): "greater than 0, got -1",
        stored(ADD, "new", 1, nothing=2): "got an unexpected keyword argument 'nothing'",
        stored(name_of(Picky)): "missing 1 required positional argument: 'number'",
        stored("old.Picky", "new", -4): "there is no\n-4",
        stored("Picky", "new", 0): "3",
    }
    code, said = ended_with()
    assert code == int(ExitCode.ERROR)
    assert "This code cannot run 8 of 10 tasks: they would end in error." in said
    for pk, reason in refused.items():
        [line] = [line for line in said.splitlines() if f" 1 task ({pk}): " in line]
        assert " ".join(reason.split()) in line
    found = told()
    assert (found["tasks"], found["cannot_run"]) == (10, 8)
    assert found["processors"][INVOICE]["can_run"] == 2
    reasons = {
        pk: reason["message"]
        for seen in found["processors"].values()
        for reason in seen["reasons"]
        for pk in reason["ids"]
    }
    assert reasons.keys() == refused.keys()
    assert all(reason in reasons[pk] for pk, reason in refused.items())


def test_nothing_is_changed() -> None:
    stored("gone.Gone")
    stored(INVOICE, customer=CUSTOMER, cents="100")
    before = list(Task.objects.order_by("pk").values())
    ended_with()
    assert list(Task.objects.order_by("pk").values()) == before


def test_what_has_ended_and_what_only_holds_a_flow_together_is_not_looked_at() -> None:
    for status in Task.TERMINAL_STATUSES:
        make_task(status, ended_ago=5, processor_class="gone.Gone")
    steps = [group([add.step(1), add.step(2)]), group([add.step(3), add.step(4)])]
    chain(*steps).delay()
    assert Task.objects.filter(processor_class="").exists()
    assert told()["processors"].keys() == {ADD}
    assert told()["tasks"] == 4


def test_no_secret_is_told() -> None:
    stored(name_of(Login), password="hunter2", age="hunter2")
    code, said = ended_with()
    assert code == 1
    assert "age: Input should be a valid integer" in said
    assert "hunter2" not in said
    assert "hunter2" not in str(told())


def test_queues_and_processors_narrow_it_down(settings: Any) -> None:
    settings.PARTISAN_CONFIG = {"default": {}, "mail": {}}
    for queue in ("default", "mail"):
        make_task(processor_class="gone.Gone", queue_name=queue)
        make_task(processor_class=ADD, queue_name=queue, arguments={"args": [1], "kwargs": {}})
    assert told()["tasks"] == 4
    for option in ("--queue", "--queue_name", "--queue-name"):
        assert told(option, "mail")["tasks"] == 2
    assert told("--processor", "add")["processors"].keys() == {ADD}
    assert ended_with("--processor", ADD, "--queue", "mail")[0] == 0
    assert ended_with("--processor", "gone.Gone", "--queue", "mail")[0] == 1


def test_a_processor_is_meant_with_all_of_its_names() -> None:
    for name in (name_of(Picky), "old.Picky", "Picky"):
        stored(name, "new", 1)
    for name in (name_of(Picky), "old.Picky", "Picky"):
        assert told("--processor", name)["tasks"] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--queue", "mial"), "Queue 'mial' is not in PARTISAN_CONFIG"),
        (("--processor", "tests.app.typed.Invoise"), "did you mean 'tests.app.typed.Invoice'?"),
    ],
)
def test_a_mistyped_name_is_no_clean_bill(options: tuple[str, ...], words: str) -> None:
    stored(INVOICE, customer=CUSTOMER, cents="100")
    with pytest.raises(CommandError) as caught:
        ended_with(*options)
    assert caught.value.returncode == int(ExitCode.CONFIGURATION)
    assert words in str(caught.value)


def test_ids_and_reasons_are_bounded_and_the_counts_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("django_partisan.management.verbs.check_payloads._MOST_IDS", 3)
    monkeypatch.setattr("django_partisan.management.verbs.check_payloads._MOST_REASONS", 2)
    ids = [stored("gone.Gone") for _ in range(8)]
    for number in range(-4, 0):
        stored(name_of(Picky), "new", number)
    found = told()["processors"]
    [reason] = found["gone.Gone"]["reasons"]
    assert (reason["count"], reason["ids"]) == (8, ids[:3])
    counts = [(each["message"], each["count"]) for each in found[name_of(Picky)]["reasons"]]
    assert counts == [("there is no\n-4", 1), ("there is no\n-3", 1), ("other reasons", 2)]
    assert f"8 tasks ({ids[0]}, {ids[1]}, {ids[2]} and 5 more)" in ended_with()[1]


def test_a_terminal_sees_progress_and_a_pipe_does_not() -> None:
    stored(INVOICE, customer=CUSTOMER, cents="100")
    pipe, terminal = io.StringIO(), Terminal()
    ended_with(stderr=pipe)
    ended_with(stderr=terminal)
    assert pipe.getvalue() == ""
    assert "looking through ids [########################] 1 of 1 (100%)" in terminal.getvalue()


def test_ctrl_c_leaves_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    stored("gone.Gone")
    stored(name_of(Picky), "new", 1)

    def interrupted(self: Any, number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Picky, "__init__", interrupted)
    code, said = ended_with()
    assert code == 130
    assert "Stopped. This code cannot run 1 of 1 task" in said


@pytest.mark.parametrize(("window", "page"), [(1, 1), (2, 3), (3, 2), (4, 2), (1000, 5), (5, 5)])
def test_every_task_is_there_once_whatever_the_pages(
    window: int, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_run, "WINDOW", window)
    monkeypatch.setattr(to_run, "PAGE", page)
    wanted = []
    for number in range(13):
        wanted.append(stored(ADD, ("new", "waiting", "in_process")[number % 3], number))
        for _ in range(number % 4):
            make_task("finished", ended_ago=1)
    Task.objects.filter(pk=wanted.pop(5)).delete()
    pages = list(to_run.tasks_to_run())
    assert [task.id for page in pages for task in page.tasks] == wanted
    assert pages[-1].done == pages[-1].total
    assert all(len(each.tasks) <= page for each in pages)


def test_a_task_that_is_claimed_meanwhile_is_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_run, "PAGE", 1)
    ids = [stored(ADD, "new", number) for number in range(4)]
    pages = to_run.tasks_to_run()
    seen = [next(pages).tasks[0].id]
    assert len(Task.objects.select_for_process()) == 4
    late = stored(ADD, "new", 9)
    seen += [task.id for page in pages for task in page.tasks]
    assert seen == ids
    assert late not in seen
