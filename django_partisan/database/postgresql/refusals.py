"""Why a server of PostgreSQL refuses a connection, and what to correct."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_REMEDIES: Final = {
    r'database "[^"]*" does not exist': (
        "the server has no database {name!r}; create it (createdb {name}), or correct NAME"
    ),
    r'role "[^"]*" (does not exist|is not permitted to log in)': (
        "the server lets no role {user!r} log in; create it (createuser {user}), or correct USER"
    ),
    r"authentication failed for user": (
        "the server does not accept that user {user!r} is who connects; correct PASSWORD or USER"
    ),
    r"no password supplied|empty password": "the server wants a password; set PASSWORD",
    r"pg_hba\.conf": (
        "the server's pg_hba.conf does not let user {user!r} in from here; allow it there, or"
        " correct HOST or USER"
    ),
    r"permission denied for database": (
        "user {user!r} may not connect to the database {name!r}; grant CONNECT, or correct USER or"
        " NAME"
    ),
}
"""What the server says before a session has begun. It has no codes for that, which drivers hand
on, so what a server says in another language than English counts as an outage."""


def why_refused(settings: Mapping[str, Any], said: str) -> str | None:
    """Return in words why a server refuses, None where it may take the connection later."""
    # What was asked for may come from elsewhere, as from PGUSER: the server says what it was.
    user = re.search(r'(?:user|role) "([^"]*)"', said)
    name = re.search(r'database "([^"]*)"', said)
    words = {
        "user": user[1] if user else settings["USER"],
        "name": name[1] if name else settings["NAME"],
    }
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, said):
            return remedy.format(**words)
    return None
