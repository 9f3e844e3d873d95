"""System checks: what `manage.py check` says about a project's use of django-partisan."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.db import connections, router

from django_partisan.exceptions import ConfigurationError
from django_partisan.settings import unknown_settings, validate_settings

CheckMessages = list[checks.CheckMessage]

SQLITE_OPTIONS: dict[str, str | int] = {
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
    "timeout": 20,
}
"""What a project's own connections need to share a SQLite file with a manager."""


def register_all() -> None:
    """Register every check of this module; calling it again changes nothing."""
    for check in (check_settings, check_unused_settings, check_databases):
        checks.register(check)


def own_messages() -> CheckMessages:
    """Return the warnings and errors of all checks here that the project has not silenced.

    Of other checks nothing is run: they may take long, and ask databases.
    """
    known = checks.registry.registry.get_checks()
    own = [check for check in known if getattr(check, "__module__", None) == __name__]
    found: CheckMessages = [
        message for check in own for message in check(app_configs=None, databases=None)
    ]
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
    return [*unknown, *map(_does_nothing, _places_of_checks_before_cleanup())]


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
