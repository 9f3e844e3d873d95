"""What tests of every kind share: waiting for a condition, and the environment of a subprocess."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

HANG_SECONDS = 60
"""After so long something hangs, however busy the machine is."""


def wait_until(
    condition: Callable[[], T],
    *,
    seconds: float = HANG_SECONDS,
    message: str | Callable[[], str] = "",
    interval: float = 0.02,
) -> T:
    """Call ``condition`` until it returns something true, and return that.

    Raise AssertionError with ``message`` (a callable is asked at the end) when that takes longer
    than ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            explanation = message() if callable(message) else message
            name = getattr(condition, "__name__", "the condition")
            raise AssertionError(f"{explanation or name} (last: {result!r}, after {seconds} s)")
        time.sleep(interval)


def command_environment(**variables: str) -> dict[str, str]:
    """Return the environment in which ``python -m django COMMAND`` uses this test database."""
    from django.db import connection

    from tests.settings import DATABASE_VARIABLE, ROOT
    from tools.database_urls import database_url

    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(
            os.pathsep
        ),
        "PYTHONUNBUFFERED": "1",
        DATABASE_VARIABLE: database_url(connection.settings_dict),
        **variables,
    }


def database_entry(**changes: Any) -> dict[str, Any]:
    """Return the entry of DATABASES that names this test database, with changes."""
    from django.db import connection

    names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
    own = {name: connection.settings_dict[name] for name in names}
    return {**own, "NAME": str(own["NAME"]), **changes}
