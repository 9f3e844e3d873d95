"""The table of clocks in the documentation names every duration that is built in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from django_partisan.database.postgresql import dialect
from tests.support.reference import table
from tools.draw_map import PACKAGE

PAGE = "../explanation/performance"
ROOMS = ("manager", "worker", "lifecycle", "database")


def clocks() -> Iterator[tuple[str, str, str]]:
    """Yield name, value and module of every constant that is a duration."""
    for path in (path for room in ROOMS for path in PACKAGE.joinpath(room).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.AnnAssign) or node.value is None:
                continue
            name = ast.unparse(node.target)
            if re.search("_(SECONDS|WAIT)$", name):
                value = in_words(ast.literal_eval(node.value))
                yield name, value, str(path.relative_to(PACKAGE))


def in_words(value: float | tuple[float, float]) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(in_words, value))
    return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"


def in_seconds(words: str) -> float:
    number, unit = words.partition(" to ")[0].split()
    return float(number) / (1000 if unit == "ms" else 1)


def test_the_clocks_are_those_of_the_code() -> None:
    told = [(name, value, module) for name, value, module, *_ in table(PAGE, "Clocks")]
    assert sorted(told) == sorted(clocks())


def test_the_shortest_clocks_stand_first() -> None:
    told = [in_seconds(value) for _, value, *_ in table(PAGE, "Clocks")]
    assert told == sorted(told)


def test_the_limits_of_a_session_are_those_of_the_code() -> None:
    told = {name: value for name, value, _ in table(PAGE, "Limits of a session")}
    limits = dict(re.findall(r"SET (\w+) = '(\d+)s'", dialect._SESSION_LIMITS))
    limits["connect_timeout"] = str(dialect._CONNECTION_LIMITS["connect_timeout"])
    assert told == {name: f"{seconds} s" for name, seconds in limits.items()}


def test_a_server_gives_up_before_the_watchdog_does() -> None:
    [answer] = [value for name, value, _ in clocks() if name == "ANSWER_SECONDS"]
    told = {name: value for name, value, _ in table(PAGE, "Limits of a session")}
    assert in_seconds(told["statement_timeout"]) < in_seconds(answer)


def test_reports_are_taken_in_before_workers_run_dry() -> None:
    told = {name: in_seconds(value) for name, value, _ in clocks()}
    assert told["_REPORT_SECONDS"] < told["CHUNK_SECONDS"] / 2
