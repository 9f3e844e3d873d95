"""What is typed: options in either spelling, and refusals that a person understands."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator

import pytest
from django.core.management.base import CommandError

from django_partisan.database.postgresql.refusals import why_refused
from django_partisan.management.commands.start_partisan import Command
from django_partisan.management.verbs import VERBS

SERVER = 'connection to server at "db" (10.0.0.5), port 5432 failed: FATAL:  '


def parsers() -> Iterator[tuple[str, ArgumentParser]]:
    yield "start_partisan", Command().create_parser("manage.py", "start_partisan")
    for name, verb in VERBS.items():
        parser = ArgumentParser()
        verb.add_arguments(parser)
        yield name, parser


def own_options(parser: ArgumentParser) -> set[str]:
    djangos = {"--no-color", "--force-color", "--skip-checks"}
    options = {option for action in parser._actions for option in action.option_strings}
    return {option for option in options if option.startswith("--")} - djangos


def test_every_option_has_both_spellings() -> None:
    for name, parser in parsers():
        options = own_options(parser)
        words = {option.removeprefix("--") for option in options}
        assert {f"--{word.replace('-', '_')}" for word in words} <= options, name
        assert {f"--{word.replace('_', '-')}" for word in words} <= options, name


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        ("start_partisan", ["--workers-count", "two"], "'two' is no whole number"),
        ("start_partisan", ["--sleep_delay_seconds", "soon"], "'soon' is no number"),
        ("cancel", ["seven"], "'seven' is no id of a task"),
        ("cancel", ["0"], "'0' is no id of a task"),
        ("cancel", ["9" * 5000], "is no id of a task"),
        ("cancel", ["\u00b2"], "is no id of a task"),
    ],
)
def test_a_refusal_names_no_function_of_the_code(
    verb: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((SystemExit, CommandError)) as raised:
        dict(parsers())[verb].parse_args(arguments)
    told = f"{capsys.readouterr().err} {raised.value}"
    assert words in told
    assert "invalid" not in told


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('database "shop" does not exist', "createdb shop"),
        ('role "bob" does not exist', "createuser bob"),
        ('role "bob" is not permitted to log in', "role 'bob'"),
        ('password authentication failed for user "bob"', "PASSWORD"),
        ('Peer authentication failed for user "bob"', "USER"),
        (
            'no pg_hba.conf entry for host "10.0.0.1", user "bob", database "shop", no encryption',
            "HOST",
        ),
        ('permission denied for database "shop"\nDETAIL:  no CONNECT privilege.', "grant CONNECT"),
    ],
)
def test_what_only_a_person_can_correct_is_told_with_the_remedy(said: str, words: str) -> None:
    why = why_refused({"NAME": "shop", "USER": ""}, SERVER + said)
    assert why is not None
    assert words in why


@pytest.mark.parametrize(
    "said",
    [
        "the database system is starting up",
        "the database system is shutting down",
        "sorry, too many clients already",
        'too many connections for role "bob"',
        'database "shop" is not currently accepting connections',
        "Connection refused\n\tIs the server running on that host?",
    ],
)
def test_what_passes_by_itself_is_an_outage(said: str) -> None:
    assert why_refused({"NAME": "shop", "USER": "bob"}, SERVER + said) is None
