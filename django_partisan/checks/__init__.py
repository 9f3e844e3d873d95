"""System checks: what `manage.py check` says about a project's use of django-partisan."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.conf import global_settings
from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from django_partisan.checks.concurrency import check_concurrency
from django_partisan.checks.limits import check_limits
from django_partisan.database.sessions import foreign_receivers, is_django_s_own
from django_partisan.exceptions import ConfigurationError
from django_partisan.processor import review
from django_partisan.settings import (
    FLAT_NAMES,
    PREFIX,
    unknown_settings,
    validate_settings,
)

CheckMessages = list[checks.CheckMessage]

SQLITE_OPTIONS: dict[str, str | int] = {
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
    "timeout": 20,
}
"""What a project's own connections need to share a SQLite file with a manager."""


def register_all() -> None:
    """Register every check of this room; calling it again changes nothing."""
    for check in _OWN:
        checks.register(check)


def own_messages() -> CheckMessages:
    """Return the warnings and errors of all checks here that the project has not silenced.

    Of other checks nothing is run: they may take long, and ask databases.
    """
    found = [message for check in _OWN for message in check(app_configs=None, databases=None)]
    is_worth_it = [m for m in found if m.level >= checks.WARNING and not m.is_silenced()]
    return sorted(is_worth_it, key=lambda message: (-message.level, str(message.id)))


def check_settings(**_: Any) -> CheckMessages:
    """Report every wrong setting as an error that names queue and key."""
    return [
        checks.Error(error.message, hint=_settings_hint(error), id="django_partisan.E001")
        for error in validate_settings()
    ]


def check_unused_settings(**_: Any) -> CheckMessages:
    """Report settings that have no effect: unknown PARTISAN_* names, CHECKS_BEFORE_CLEANUP."""
    unknown = [
        checks.Warning(error.message, hint="Correct or remove it.", id="django_partisan.W001")
        for error in unknown_settings()
    ]
    return [*unknown, *_mistyped(), *map(_does_nothing, _places_of_checks_before_cleanup())]


def check_runserver(**_: Any) -> CheckMessages:
    """Report a manager that is to run beside `runserver`, and never will without DEBUG."""
    name = f"{PREFIX}RUN_WITH_RUNSERVER"
    if django_settings.DEBUG or not getattr(django_settings, name, False):
        return []
    return [
        checks.Error(
            f"{name} is for development: without DEBUG no manager is started beside runserver.",
            hint=f"Remove {name}, and run `manage.py start_partisan` as a service.",
            id="django_partisan.E012",
        )
    ]


def check_processors(**_: Any) -> CheckMessages:
    """Report processors that cannot be enqueued or run, and what is mistyped in them."""
    return [_MESSAGES[finding.kind](finding) for finding in review.review()]


def check_databases(**_: Any) -> CheckMessages:
    """Report SQLite databases of tasks that would lock each other out under load."""
    task = apps.get_model("django_partisan", "Task")
    aliases = dict.fromkeys((router.db_for_write(task), router.db_for_read(task)))
    return [
        message
        for alias in aliases
        if connections[alias].vendor == "sqlite"
        for message in sqlite_messages(alias, connections[alias].settings_dict)
    ]


def check_commits(**_: Any) -> CheckMessages:
    """Report options under which `.delay()` needs a commit of the project's, or never gets one."""
    alias = router.db_for_write(apps.get_model("django_partisan", "Task"))
    database = connections[alias].settings_dict
    messages: CheckMessages = []
    if not database["AUTOCOMMIT"]:
        messages.append(_needs_own_commit(alias))
    messages += [
        _never_commits(alias, option)
        for option, value in database.get("OPTIONS", {}).items()
        if connections[alias].vendor == "sqlite" and _begins_transaction(option, value)
    ]
    return messages


def _needs_own_commit(alias: str) -> checks.CheckMessage:
    return checks.Warning(
        f"DATABASES[{alias!r}] has AUTOCOMMIT = False: .delay() stores a task with the project's "
        "own commit, and not without one.",
        hint="Remove it, or commit after .delay(). Managers commit what they write.",
        id="django_partisan.W010",
    )


def _never_commits(alias: str, option: str) -> checks.CheckMessage:
    return checks.Error(
        f"DATABASES[{alias!r}]['OPTIONS'][{option!r}] begins a transaction that nothing ends: what "
        ".delay() stores is never committed.",
        hint="Remove it; use transaction.atomic() where a transaction is needed.",
        id="django_partisan.E010",
    )


def _begins_transaction(option: str, value: object) -> bool:
    if option == "autocommit":
        return value is False
    words = str(value).upper().replace(";", " ; ").split()
    return option == "init_command" and words.count("BEGIN") > words.count("COMMIT")


def check_sessions(**_: Any) -> CheckMessages:
    """Report what makes the connections of workers dearer, or other than the project's own."""
    return [
        message
        for alias in filter(_is_on_server, connections)
        for message in (
            *pool_messages(alias, connections[alias].settings_dict),
            *_renewal_messages(alias),
        )
    ]


def _is_on_server(alias: str) -> bool:
    try:
        return connections[alias].vendor != "sqlite"
    except ImproperlyConfigured:
        return False  # Its driver is not installed: nobody uses it here.


def pool_messages(alias: str, database: Mapping[str, Any]) -> CheckMessages:
    """Return what is to be known about the connection pool of one database, if it has one."""
    if not database.get("OPTIONS", {}).get("pool"):
        return []
    return [
        checks.Info(
            f"DATABASES[{alias!r}] has a connection pool. The workers of a manager do without it: "
            "each opens one plain connection when a task needs it, and a pool would hand the "
            "session of one task to another. The manager's own process may hold as many "
            "connections as the pool does.",
            hint='Count them: see "How many connections" in the guide on deploying.',
            id="django_partisan.I002",
        )
    ]


def _renewal_messages(alias: str) -> CheckMessages:
    reasons = [f"{name} is called for each new connection" for name in foreign_receivers()]
    if not is_django_s_own(connections[alias]):
        reasons.append(f"{type(connections[alias]).__module__} is not a backend of Django's")
    if not reasons:
        return []
    return [
        checks.Info(
            f"Workers connect anew to DATABASES[{alias!r}] after each task that has used it, which "
            f"takes some milliseconds: {'; '.join(reasons)}. What is set up there is gone from a "
            "session that is made fresh, and only a new connection gets it again.",
            hint="Where that is too dear, set it up by OPTIONS['options'] or ALTER ROLE ... SET.",
            id="django_partisan.I003",
        )
    ]


def sqlite_messages(alias: str, database: Mapping[str, Any]) -> CheckMessages:
    """Return the warning about the OPTIONS of one SQLite database, if they lack something."""
    options = database.get("OPTIONS", {})
    missing = {key: value for key, value in SQLITE_OPTIONS.items() if not _serves(key, options)}
    if "init_command" in missing and options.get("init_command"):
        missing["init_command"] = f"{options['init_command']};{missing['init_command']}"
    if not missing or _is_in_memory(database.get("NAME")):
        return []
    return [
        checks.Warning(
            f"DATABASES[{alias!r}] holds tasks in SQLite without {_listed(missing)}: under load, "
            "enqueueing can fail with 'database is locked'.",
            hint=f"Put this into DATABASES[{alias!r}]:\n{_snippet({**options, **missing})}",
            id="django_partisan.W002",
        )
    ]


def _mistyped() -> CheckMessages:
    """Report plain settings that look like those of every queue: mistyped, nobody reads them."""
    known = {*FLAT_NAMES, *dir(global_settings)}
    found = {
        name: get_close_matches(name, FLAT_NAMES, n=1, cutoff=0.85)
        for name in dir(django_settings)
        if name.isupper() and name not in known
    }
    return [
        checks.Warning(
            f"{name}: nobody reads it; did you mean {close[0]!r}?",
            hint="Correct or remove it.",
            id="django_partisan.W001",
        )
        for name, close in found.items()
        if close
    ]


def _settings_hint(error: ConfigurationError) -> str:
    if error.queue is None:
        return "Correct it in the Django settings; start_partisan does not start until then."
    return f"Queue {error.queue!r} is not served until this is corrected."


def _does_nothing(place: str) -> checks.CheckMessage:
    return checks.Info(
        f"{place} does nothing since django-partisan 2.",
        hint="Remove it: broken and idle connections are found without it.",
        id="django_partisan.I001",
    )


def _places_of_checks_before_cleanup() -> list[str]:
    name = "CHECKS_BEFORE_CLEANUP"
    places = [name] if hasattr(django_settings, name) else []
    configured = getattr(django_settings, "PARTISAN_CONFIG", None)
    if isinstance(configured, Mapping):
        for queue, own in configured.items():
            if isinstance(own, Mapping) and name in own:
                places.append(f"PARTISAN_CONFIG[{queue!r}][{name!r}]")
    return places


def _serves(key: str, options: Mapping[str, Any]) -> bool:
    """Say whether the project's own value for an option already does what is needed."""
    given = options.get(key)
    if key == "transaction_mode":
        return str(given).upper() in ("IMMEDIATE", "EXCLUSIVE")
    if key == "init_command":
        return "journal_mode" in str(given) and "synchronous" in str(given)
    return given is not None


def _is_in_memory(name: object) -> bool:
    return not name or ":memory:" in str(name) or "mode=memory" in str(name)


def _listed(missing: Mapping[str, object]) -> str:
    return ", ".join(missing)


def _snippet(options: Mapping[str, object]) -> str:
    lines = [f"    {key!r}: {value!r}," for key, value in options.items()]
    return "\n".join(("'OPTIONS': {", *lines, "},"))


_MESSAGES: dict[str, Callable[[review.Finding], checks.CheckMessage]] = {
    review.NO_PROCESSOR: lambda found: checks.Error(
        found.message, hint=found.remedy, id="django_partisan.E002"
    ),
    review.CANNOT_RUN: lambda found: checks.Error(
        found.message, hint=found.remedy, id="django_partisan.E003"
    ),
    review.WRONG_SCHEDULE: lambda found: checks.Error(
        found.message, hint=found.remedy, id="django_partisan.E011"
    ),
    review.WRONG_PARAMS: lambda found: checks.Error(
        found.message, hint=found.remedy, id="django_partisan.E013"
    ),
    review.NO_UPGRADE: lambda found: checks.Warning(
        found.message, hint=found.remedy, id="django_partisan.W014"
    ),
    review.UNUSED_SCHEDULES: lambda found: checks.Warning(
        found.message, hint=found.remedy, id="django_partisan.W007"
    ),
    review.MISTYPED: lambda found: checks.Warning(
        found.message, hint=found.remedy, id="django_partisan.W003"
    ),
    review.NOT_REGISTERED: lambda found: checks.Warning(
        found.message, hint=found.remedy, id="django_partisan.W004"
    ),
    review.UNUSED_QUEUE: lambda found: checks.Warning(
        found.message, hint=found.remedy, id="django_partisan.W005"
    ),
    review.GAP: lambda found: checks.Warning(
        found.message, hint=found.remedy, id="django_partisan.W013"
    ),
    review.UNKNOWN_QUEUE: lambda found: checks.Warning(
        found.message, hint=found.remedy, id="django_partisan.W006"
    ),
}
_OWN: tuple[Callable[..., CheckMessages], ...] = (
    check_settings,
    check_unused_settings,
    check_databases,
    check_processors,
    check_runserver,
    check_commits,
    check_limits,
    check_concurrency,
    check_sessions,
)
