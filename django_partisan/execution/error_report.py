"""An error as text that every database can store, capped and without secrets."""

from __future__ import annotations

import traceback

from django_partisan.attempt import ClaimedTask, ErrorReport
from django_partisan.payloads.encoding import clean_text, decode_arguments
from django_partisan.payloads.masking import has_secrets, scrubbed, secrets_in
from django_partisan.settings import get_process_settings


def report(error: BaseException, task: ClaimedTask | None = None) -> ErrorReport:
    """Return an error as capped, storable text; survives errors that cannot be printed.

    What the task's processor calls secret is masked.
    """
    limit, secrets = get_process_settings().MAX_ERROR_BYTES, secrets_of(task)
    return ErrorReport(
        clean_text(name_of(error), 255),
        clean_text(scrubbed(text_of(error), secrets), limit),
        clean_text(scrubbed(_trace(error), secrets), limit),
    )


def secrets_of(task: ClaimedTask | None) -> list[str] | None:
    """Return the secret values of a claimed task as texts; None when they cannot be known."""
    if task is None or not has_secrets(task.processor_class):
        return []
    try:
        args, kwargs = decode_arguments(task.arguments)
    except ValueError:
        return []  # Nobody has read them, so no error can hold them.
    return secrets_in(task.processor_class, {"args": args, "kwargs": kwargs})


def name_of(error: BaseException) -> str:
    """Return the name of an error's class with its module, whatever its metaclass says."""
    try:
        name = f"{type(error).__module__}.{type(error).__qualname__}"
    except BaseException:
        name = _bare_name(error)
    return name.removeprefix("builtins.")


def _bare_name(error: BaseException) -> str:
    # Past a metaclass that has its own idea of names.
    return str(type.__dict__["__name__"].__get__(type(error)))


def text_of(error: BaseException) -> str:
    """Return what an error says, or that it cannot say it."""
    try:
        # A subclass of str has methods of its own, and does not travel.
        return str.__str__(str(error))
    except BaseException as inner:
        return f"<{_bare_name(error)}, whose text raised {_bare_name(inner)}>"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as inner:
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}<the rest of the traceback could not be made: {_bare_name(inner)}>"
