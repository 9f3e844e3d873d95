"""`manage.py start_partisan`: run a manager and its workers for one queue."""

from __future__ import annotations

import contextlib
import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management import BaseCommand

from django_partisan.config.const import DEFAULT_QUEUE_NAME, ExitCode
from django_partisan.exceptions import (
    ConfigurationError,
    ManagerAlreadyRunning,
    NotMigrated,
    PartisanException,
    WorkerBootError,
)
from django_partisan.logs import configure_console, flush_or_forget
from django_partisan.manager import WorkersManager
from django_partisan.settings import validate_settings
from django_partisan.shortage import is_shortage

_EXIT_CODES: dict[type[PartisanException], ExitCode] = {
    ConfigurationError: ExitCode.CONFIGURATION,
    NotMigrated: ExitCode.CONFIGURATION,
    ManagerAlreadyRunning: ExitCode.ALREADY_RUNNING,
    WorkerBootError: ExitCode.WORKER_BOOT,
}


class Command(BaseCommand):
    """Run the tasks of a queue until SIGTERM or SIGINT (Ctrl-C)."""

    help = (
        "Run the tasks of a queue until SIGTERM or SIGINT (Ctrl-C): running tasks then finish, "
        "the others go back to the queue. A second signal stops at once."
    )
    # The manager reports wrong settings itself, and waits for a database that is down.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options; each overrides the setting of the same name."""
        parser.add_argument(
            "--queue_name", default=DEFAULT_QUEUE_NAME, help="the queue to serve (%(default)s)"
        )
        parser.add_argument(
            "--min_queue_size",
            type=int,
            help="claim more once the local queue holds so many tasks or fewer",
        )
        parser.add_argument(
            "--max_queue_size", type=int, help="fill the local queue up to so many tasks"
        )
        parser.add_argument("--checks_before_cleanup", type=int, help="accepted, does nothing")
        parser.add_argument("--workers_count", type=int, help="how many worker processes to run")
        parser.add_argument(
            "--sleep_delay_seconds",
            type=float,
            help="the longest wait before looking for due tasks again",
        )
        parser.add_argument(
            "--json_logs", action="store_true", help="log to stderr as one JSON object per line"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the manager; the process exits with the code that says how it ended."""
        problems = validate_settings()
        if problems:
            self._fail("\n".join(map(str, problems)), ExitCode.CONFIGURATION)
        console = {"verbosity": options["verbosity"], "json": options["json_logs"]}
        is_ours = configure_console(**console) is not None
        try:
            code = WorkersManager(
                queue_name=options["queue_name"],
                min_queue_size=options["min_queue_size"],
                max_queue_size=options["max_queue_size"],
                checks_before_cleanup=options["checks_before_cleanup"],
                workers_count=options["workers_count"],
                sleep_delay_seconds=options["sleep_delay_seconds"],
                console=console if is_ours else None,
            ).run_partisan(is_last=getattr(self, "_called_from_command_line", False))
        except tuple(_EXIT_CODES) as error:
            self._fail(str(error), _exit_code_of(error))
        except (OSError, RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            self._fail(f"The machine lacks what a manager needs: {error}", ExitCode.SHORTAGE)
        self._exit(code)

    def _fail(self, message: str, code: ExitCode) -> NoReturn:
        with contextlib.suppress(OSError):
            self.stderr.write(self.style.ERROR(message))
        self._exit(code)

    def _exit(self, code: ExitCode) -> NoReturn:
        if getattr(self, "_called_from_command_line", False):
            flush_or_forget(sys.stdout, sys.stderr)
        sys.exit(code)


def _exit_code_of(error: PartisanException) -> ExitCode:
    return next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
