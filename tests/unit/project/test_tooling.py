"""The project's own tools do what the other tests rely on."""

import re
import subprocess
import sys

import pytest

import django_partisan
from tests.settings import ROOT
from tests.support.helpers import wait_until
from tests.support.leftovers import find_leftovers
from tools.database_urls import database_url, parse_database_url
from tools.run_tests import EMBEDDED, UNIT, URLS_VARIABLE, Run, planned_runs


def test_the_version_is_the_newest_one_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.rst").read_text()
    newest = re.search(r"^(\d+\.\d+\S*) \(.*\)\n-+$", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == django_partisan.__version__


def test_wait_until_returns_what_the_condition_returned() -> None:
    answers = iter([None, 0, "here"])
    assert wait_until(lambda: next(answers), interval=0) == "here"


def test_wait_until_fails_with_the_message_it_was_given() -> None:
    with pytest.raises(AssertionError, match="no row appeared"):
        wait_until(lambda: False, seconds=0, message="no row appeared")


def test_wait_until_asks_for_its_message_at_the_end() -> None:
    with pytest.raises(AssertionError, match="seen: 3"):
        wait_until(lambda: False, seconds=0, message=lambda: f"seen: {1 + 2}")


@pytest.mark.parametrize(
    "url",
    [
        "postgres://postgres@/partisan?host=%2Ftmp%2Fsocket",
        "postgres://user:p%40ss@db.example:5433/name",
        "postgres://127.0.0.1/name?sslmode=require",
    ],
)
def test_a_postgresql_url_survives_the_way_through_django_settings(url: str) -> None:
    assert parse_database_url(database_url(parse_database_url(url))) == parse_database_url(url)


def test_a_sqlite_url_names_an_absolute_path_after_its_third_slash() -> None:
    entry = parse_database_url("sqlite:////var/lib/a%20b.sqlite3")
    assert entry["NAME"] == "/var/lib/a b.sqlite3"
    assert database_url(entry) == "sqlite:////var/lib/a%20b.sqlite3"


def test_an_unknown_database_url_is_refused_with_the_forms_that_work() -> None:
    with pytest.raises(ValueError, match="sqlite:///path or postgres://"):
        parse_database_url("mysql://root@localhost/name")


def test_a_process_that_outlives_its_parent_is_found() -> None:
    orphan = "import time; time.sleep(60)"
    parent = (
        "import subprocess, sys; null = subprocess.DEVNULL; "
        f"command = [sys.executable, '-c', {orphan!r}]; "
        "print(subprocess.Popen(command, stdout=null, stderr=null, start_new_session=True).pid)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
    found = wait_until(lambda: [left for left in find_leftovers() if left.pid == pid])
    found[0].kill()
    wait_until(lambda: pid not in {left.pid for left in find_leftovers()})


@pytest.mark.parametrize("servers", ["", "postgres://postgres@db.example/postgres"])
def test_in_pairs_what_starts_processes_has_a_turn_on_each_database_and_at_each_end(
    monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    monkeypatch.setenv(URLS_VARIABLE, servers)
    ends = [list(planned_runs(end, "pairs")) for end in ("oldest", "newest")]
    for runs in ends:
        assert [run.only for run in runs if run.only] == [UNIT]
        assert sorted(run.turn for run in runs if has(run, "processes")) == ["even", "odd"]
        assert any(has(run, "integration") for run in runs)
    for is_sqlite in (True, False):
        on_it = [run for runs in ends for run in runs if (run.name == "sqlite") is is_sqlite]
        turns = [run.turn for run in on_it if has(run, "processes")]
        assert sorted(turns) == ["even", "odd"]
        assert any(has(run, "integration") for run in on_it)
        assert not any(run.is_alone for run in on_it)
    names = {run.name for runs in ends for run in runs}
    assert (len(names) == 4) is bool(servers)  # a named server has the oldest end's turn


def test_once_has_each_turn_on_one_database_and_what_only_that_database_has() -> None:
    runs = [run for end in ("oldest", "newest") for run in planned_runs(end, "once")]
    turns = {run.name: run.turn for run in runs if has(run, "processes")}
    assert turns == {"sqlite": "even", EMBEDDED: "odd"}
    assert all(run.is_alone for run in runs if run.turn)
    assert [run.only for run in runs if run.only] == [UNIT, UNIT]


def test_what_is_named_has_no_turn() -> None:
    (run,) = [run for run in planned_runs("newest", "once") if run.turn]
    assert "--turn=odd" in run.arguments(["-x"])
    assert "--alone" in run.arguments([])
    for given in (["tests/processes"], ["-k", "words"]):
        assert not {"--turn=odd", "--alone"} & set(run.arguments(given))


def has(run: Run, kind: str) -> bool:
    """Say whether a run has tests of a kind."""
    return not run.only and kind not in run.left_out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-k", "words"], ["no database", "sqlite", EMBEDDED]),
        (["tests/unit/project/test_tooling.py::test_x"], ["no database"]),
        (["tests/processes", "-x"], ["sqlite"]),
        (["tests/conformance"], ["sqlite", EMBEDDED]),
        (["tests"], ["no database", "sqlite", EMBEDDED]),
    ],
)
def test_a_run_begins_only_when_what_was_asked_for_belongs_to_it(
    monkeypatch: pytest.MonkeyPatch, given: list[str], expected: list[str]
) -> None:
    monkeypatch.delenv(URLS_VARIABLE, raising=False)
    monkeypatch.chdir(ROOT)
    runs = planned_runs("oldest", "once")
    assert [run.name for run in runs if run.is_concerned(given)] == expected
