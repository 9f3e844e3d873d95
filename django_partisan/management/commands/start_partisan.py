"""`manage.py start_partisan`: run a manager and its workers for one queue or several."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.conf import settings
from django.core.management import BaseCommand
from django.utils.autoreload import get_child_arguments

from django_partisan.checks import own_messages
from django_partisan.config.const import DEFAULT_QUEUE_NAME, ExitCode
from django_partisan.exceptions import (
    ConfigurationError,
    DatabaseRefused,
    ManagerAlreadyRunning,
    NotMigrated,
    PartisanException,
    WorkerBootError,
)
from django_partisan.logs import configure_console, flush_or_forget, one_line
from django_partisan.management.beside_runserver import LIFELINE
from django_partisan.management.options import add_option, number, whole_number
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.run_modes import RunMode
from django_partisan.settings import validate_settings
from django_partisan.shortage import is_shortage

logger = logging.getLogger(__name__)
_EXIT_CODES: dict[type[PartisanException], ExitCode] = {
    ConfigurationError: ExitCode.CONFIGURATION,
    NotMigrated: ExitCode.CONFIGURATION,
    DatabaseRefused: ExitCode.CONFIGURATION,
    ManagerAlreadyRunning: ExitCode.ALREADY_RUNNING,
    WorkerBootError: ExitCode.WORKER_BOOT,
}


class Command(BaseCommand):
    """Run the tasks of queues until SIGTERM, SIGINT (Ctrl-C), SIGQUIT or SIGHUP."""

    help = (
        "Run the tasks of a queue or of several until SIGTERM or SIGINT (Ctrl-C): running tasks "
        "then finish, the others go back to their queues. A second signal stops at once."
    )
    # The manager reports wrong settings itself, and waits for a database that is down.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options; each overrides the setting of the same name."""
        add_option(
            parser,
            "--queue_name",
            action="append",
            metavar="NAME",
            help="the queue to serve; repeat it for several, which share the workers' time by "
            f"their WEIGHT; '*' (in quotes) for all ({DEFAULT_QUEUE_NAME})",
        )
        add_option(
            parser,
            "--exclude_queue",
            action="append",
            metavar="NAME",
            help="serve all queues but this one, or what '*' stands for without it; repeat it",
        )
        add_option(
            parser,
            "--strict_order",
            action="store_true",
            help="a queue waits as long as one that was named before it has tasks, whatever their "
            "WEIGHT: later ones may starve",
        )
        add_option(
            parser,
            "--min_queue_size",
            type=whole_number,
            help="claim more once the local queue holds so many tasks or fewer",
        )
        add_option(
            parser,
            "--max_queue_size",
            type=whole_number,
            help="fill the local queue up to so many tasks",
        )
        add_option(
            parser, "--checks_before_cleanup", type=whole_number, help="accepted, does nothing"
        )
        # Django has it for commands that run checks; deployments give it to every command.
        parser.add_argument("--skip-checks", action="store_true", help="accepted, does nothing")
        add_option(
            parser, "--workers_count", type=whole_number, help="how many worker processes to run"
        )
        add_option(
            parser,
            "--sleep_delay_seconds",
            type=number,
            help="the longest wait before looking for due tasks again",
        )
        add_option(
            parser,
            "--until_done",
            action="store_true",
            help="end once no task is due any more; what waits for later is left, and told",
        )
        add_option(
            parser,
            "--once",
            action="store_true",
            help="run what is due now, until each queue has been found empty once, and end",
        )
        add_option(
            parser,
            "--duration",
            type=number,
            metavar="SECONDS",
            help="end after so many seconds, as by SIGTERM: running tasks may finish",
        )
        add_option(
            parser,
            "--max_tasks",
            type=whole_number,
            metavar="N",
            help="start N tasks and no more, and end; a retry counts as another one",
        )
        add_option(
            parser,
            "--label",
            default="",
            metavar="NAME",
            help="a name for this manager, shown in the admin, in its title and in its log",
        )
        add_option(
            parser,
            "--reload",
            action="store_true",
            default=None,
            help="begin anew when the project's code has changed, after running tasks have "
            "finished; the default with DEBUG, unless the manager ends by itself",
        )
        add_option(
            parser,
            "--no_reload",
            action="store_false",
            dest="reload",
            help="go on with the code that was loaded, also with DEBUG",
        )
        add_option(
            parser,
            "--no_schedules",
            action="store_true",
            help="leave it to other managers to enqueue what is scheduled",
        )
        add_option(
            parser,
            "--json_logs",
            action="store_true",
            help="log to stderr as one JSON object per line",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the manager; the process exits with the code that says how it ended."""
        problems = validate_settings()
        if problems:
            self._fail("\n".join(map(str, problems)), ExitCode.CONFIGURATION)
        console = {"verbosity": options["verbosity"], "json": options["json_logs"]}
        is_ours = configure_console(**console) is not None
        _tell_warnings()
        try:
            mode = RunMode(
                until_done=options["until_done"],
                once=options["once"],
                duration=options["duration"],
                max_tasks=options["max_tasks"],
            )
            is_last = getattr(self, "_called_from_command_line", False)
            reload = _reloads(options["reload"], mode, is_last=is_last)
            manager = WorkersManager(
                queue_name=options["queue_name"],
                exclude_queue=options["exclude_queue"] or (),
                strict_order=options["strict_order"],
                min_queue_size=options["min_queue_size"],
                max_queue_size=options["max_queue_size"],
                checks_before_cleanup=options["checks_before_cleanup"],
                workers_count=options["workers_count"],
                sleep_delay_seconds=options["sleep_delay_seconds"],
                mode=mode,
                label=options["label"],
                serves_schedules=not options["no_schedules"],
                console=console if is_ours else None,
                # Lines of JSON name their task themselves, and would be none with a name before.
                names_tasks=options["verbosity"] > 1 and not options["json_logs"],
            )
            _watch_lifeline(manager)
            # What follows a reload must hear signals again.
            code = manager.run_partisan(is_last=is_last and not reload, reload=reload)
        except tuple(_EXIT_CODES) as error:
            self._fail(str(error), _exit_code_of(error))
        except (OSError, RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            self._fail(f"The machine lacks what a manager needs: {error}", ExitCode.SHORTAGE)
        if manager.wants_restart and code is ExitCode.CLEAN:
            flush_or_forget(sys.stdout, sys.stderr)
            arguments = [str(word) for word in get_child_arguments()]
            os.execv(arguments[0], arguments)  # noqa: S606 - what this process was started as
        self._exit(code)

    def _fail(self, message: str, code: ExitCode) -> NoReturn:
        with contextlib.suppress(OSError):
            self.stderr.write(self.style.ERROR(message))
        self._exit(code)

    def _exit(self, code: ExitCode) -> NoReturn:
        if getattr(self, "_called_from_command_line", False):
            flush_or_forget(sys.stdout, sys.stderr)
        sys.exit(code)


def _reloads(wanted: bool | None, mode: RunMode, *, is_last: bool) -> bool:
    """Say whether to begin anew with changed code; raise ConfigurationError where that is absurd.

    By default it is done with DEBUG, where this command is the process's whole work.
    """
    if wanted and mode.ends:
        raise ConfigurationError(
            "--reload: a manager that ends by itself would begin its run anew with each change; "
            "leave out --reload, or --until_done, --once, --duration and --max_tasks."
        )
    if wanted is None:
        return settings.DEBUG and is_last and not mode.ends
    return wanted


def _watch_lifeline(manager: WorkersManager) -> None:
    """Have the manager end with the process that has started it, where that is a `runserver`."""
    lifeline = os.environ.pop(LIFELINE, None)
    if lifeline is not None:
        os.set_inheritable(int(lifeline), False)
        manager.end_with(int(lifeline))


def _tell_warnings() -> None:
    """Log what `manage.py check` would say of django-partisan: here its warnings are seen."""
    for message in own_messages():
        logger.log(
            message.level, "%s (%s; see `manage.py check`)", one_line(message.msg), message.id
        )


def _exit_code_of(error: PartisanException) -> ExitCode:
    return next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
