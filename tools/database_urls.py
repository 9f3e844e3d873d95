"""Translates between database URLs and entries of Django's DATABASES setting."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

# What the documentation recommends for SQLite: a writer takes its lock when its transaction begins,
# and readers never wait for writers.
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
}


def parse_database_url(url: str) -> dict[str, Any]:
    """Return the DATABASES entry for ``sqlite:///path`` or ``postgres://user:password@host:port/name``.

    ``?host=/directory`` in a PostgreSQL URL names the directory of a Unix socket; other parameters
    become OPTIONS. ``sqlite:////absolute`` has four slashes, and ``?plain=1`` leaves out the
    recommended OPTIONS: what ``startproject`` gives. Raise ValueError for any other scheme.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite_entry(unquote(parts.path)[1:], is_plain="plain" in parse_qs(parts.query))
    if parts.scheme not in {"postgres", "postgresql"}:
        message = (
            f"Unsupported database URL {url!r}: use sqlite:///path or postgres://user@host/name."
        )
        raise ValueError(message)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    socket_directory = options.pop("host", "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path)[1:],
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or socket_directory),
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }


def database_url(entry: dict[str, Any], name: str | None = None) -> str:
    """Return the URL that :func:`parse_database_url` turns into this DATABASES entry.

    ``name`` replaces the database's name. A subprocess that gets the URL sees the same rows.
    """
    name = str(entry["NAME"] if name is None else name)
    if "sqlite" in entry["ENGINE"]:
        return f"sqlite:///{quote(name)}"
    host, options = str(entry.get("HOST") or ""), dict(entry.get("OPTIONS") or {})
    if host.startswith("/"):
        host, options = "", {"host": host, **options}
    user = quote(str(entry.get("USER") or ""), safe="")
    password = f":{quote(str(entry['PASSWORD']), safe='')}" if entry.get("PASSWORD") else ""
    port = f":{entry['PORT']}" if entry.get("PORT") else ""
    query = f"?{urlencode(options)}" if options else ""
    return f"postgres://{user}{password}@{host}{port}/{quote(name, safe='')}{query}"


def _sqlite_entry(path: str, *, is_plain: bool) -> dict[str, Any]:
    # Without a TEST name Django tests in memory, where a second process sees nothing.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {} if is_plain else dict(SQLITE_OPTIONS),
        "TEST": {"NAME": f"{path}.test"},
    }
