"""The command `manage.py partisan VERB`: what operators do with tasks."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connections

from django_partisan.config.const import ExitCode
from django_partisan.database.autocommit import autocommit
from django_partisan.database.migration_state import require_migrated
from django_partisan.exceptions import ConfigurationError, NotMigrated, PartisanException
from django_partisan.lifecycle.rows import database
from django_partisan.logs import one_line
from django_partisan.management.verbs import VERBS
from django_partisan.management.verbs.base import Console


class Command(BaseCommand):
    """Hand over to the verb that was asked for, and turn what goes wrong into one sentence."""

    help = "Looks after the tasks of django-partisan; see `partisan VERB --help`."

    def add_arguments(self, parser: CommandParser) -> None:
        """Give each verb its own arguments and help."""
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        for name, verb in VERBS.items():
            child = verbs.add_parser(
                name,
                help=verb.summary,
                description=verb.description,
                formatter_class=RawDescriptionHelpFormatter,
            )
            verb.add_arguments(child)

    def handle(self, *_args: Any, verb: str, **options: Any) -> None:
        """Run the verb; raises CommandError with an exit code of :class:`ExitCode`."""
        console = Console(self.stdout, self.stderr)
        try:
            connection = connections[database()]
            with autocommit(connection):
                require_migrated(connection)
                code = VERBS[verb].run(console, options)
        except (ConfigurationError, NotMigrated) as error:
            _fail(error, ExitCode.CONFIGURATION)
        except PartisanException as error:
            _fail(error, ExitCode.ERROR)
        except (DatabaseError, InterfaceError) as error:
            _fail(f"The database says: {one_line(error)}", ExitCode.ERROR)
        if code:
            raise SystemExit(code)


def _fail(reason: object, code: ExitCode) -> NoReturn:
    raise CommandError(str(reason).strip(), returncode=code)
