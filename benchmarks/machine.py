"""The machine and the versions behind the figures: without them a figure says little."""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

import django
import psutil
from django.db import connection

import django_partisan


def describe_machine() -> dict[str, str]:
    """Return what the report says of the machine; it is never named."""
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "load average before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": _system(),
        "Python": platform.python_version(),
        "Django": django.get_version(),
        "django-partisan": django_partisan.__version__,
    }


def describe_database() -> dict[str, str]:
    """Return version, driver and durability of the database that the settings name."""
    if connection.vendor != "postgresql":
        return {"SQLite": f"{sqlite3.sqlite_version}, WAL, synchronous NORMAL"}
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    driver = "psycopg" if is_psycopg3 else "psycopg2"
    distribution = driver if is_psycopg3 else "psycopg2-binary"
    names = ("server_version", "fsync", "synchronous_commit")
    server, fsync, commit = map(shown, names)
    return {
        "PostgreSQL": f"{server}, fsync {fsync}, synchronous_commit {commit}",
        "driver": f"{driver} {version(distribution)}",
    }


def shown(setting: str) -> str:
    """Return a setting of the server; nothing when we may not see it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s, true)", [setting])
        return str(cursor.fetchone()[0] or "")


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"{platform.system()} {platform.release()}"


class Theft:
    """Measures which share of a virtual machine's CPU its host gives to others meanwhile."""

    def __init__(self) -> None:
        self._begin = psutil.cpu_times()

    @property
    def share(self) -> float:
        """Return the share since the beginning."""
        end = psutil.cpu_times()
        stolen, before = (getattr(times, "steal", 0.0) for times in (end, self._begin))
        return float((stolen - before) / max(sum(end) - sum(self._begin), 0.01))
