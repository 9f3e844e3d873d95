"""Which process starts a manager beside `runserver`, and with which command."""

from __future__ import annotations

import sys

import pytest
from django.test import override_settings

from django_partisan.checks import check_runserver
from django_partisan.management import beside_runserver
from django_partisan.management.beside_runserver import command, is_server


@pytest.mark.parametrize(
    ("arguments", "is_child", "serves"),
    [
        (["manage.py", "runserver"], True, True),
        (["manage.py", "runserver", "--noreload"], False, True),
        (["manage.py", "runserver"], False, False),
        (["manage.py", "start_partisan"], True, False),
        (["manage.py", "test", "runserver"], True, False),
        (["manage.py"], True, False),
    ],
)
def test_one_process_of_runserver_serves(
    arguments: list[str], is_child: bool, serves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUN_MAIN", "true" if is_child else "")
    assert is_server(arguments) is serves


@pytest.mark.parametrize(
    ("typed", "started"),
    [
        (["-m", "django", "runserver"], ["-m", "django", "start_partisan"]),
        (["manage.py", "runserver", "0:8000"], ["manage.py", "start_partisan"]),
        (["-Wd", "manage.py", "runserver"], ["-Wd", "manage.py", "start_partisan"]),
    ],
)
def test_the_manager_is_started_as_the_server_was(
    typed: list[str], started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", *typed])
    monkeypatch.setattr(sys, "argv", ["manage.py", *typed[typed.index("runserver") :]])
    made = command()
    assert made[: len(started) + 1] == [sys.executable, *started]
    assert made[len(started) + 1 :] == ["--queue_name", "*", "--no_reload", "--label", "runserver"]


def test_the_manager_is_of_the_same_project(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["runserver", "--settings", "shop.dev", "--pythonpath=src", "--ipv6"]
    monkeypatch.setattr(sys, "orig_argv", ["python", "manage.py", *words])
    monkeypatch.setattr(sys, "argv", ["manage.py", *words])
    assert command()[-3:] == ["--settings", "shop.dev", "--pythonpath=src"]


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_without_debug_it_is_an_error_and_nothing_starts(
    debug: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(beside_runserver.BesideRunserver, "start", lambda _: begun.append("begun"))
    monkeypatch.setattr(sys, "argv", ["manage.py", "runserver", "--noreload"])
    with override_settings(DEBUG=debug, PARTISAN_RUN_WITH_RUNSERVER=wanted):
        beside_runserver.start_if_wanted()
        found = [message.id for message in check_runserver()]
    assert bool(begun) is (debug and wanted)
    assert found == (["django_partisan.E012"] if wanted and not debug else [])
