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
    server = f"{_shown('server_version')}, fsync {_shown('fsync')}"
    return {
        "PostgreSQL": f"{server}, synchronous_commit {_shown('synchronous_commit')}",
        "driver": _driver(),
    }


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


def _shown(setting: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [setting])
        return str(cursor.fetchone()[0])


def _driver() -> str:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if is_psycopg3:
        return f"psycopg {version('psycopg')}"
    return f"psycopg2 {version('psycopg2-binary')}"


class Theft:
    """Measures which share of a virtual machine's CPU its host gives to others meanwhile."""

    def __init__(self) -> None:
        self._stolen, self._total = _cpu_seconds()

    @property
    def share(self) -> float:
        """Return the share since the beginning."""
        stolen, total = _cpu_seconds()
        return (stolen - self._stolen) / max(total - self._total, 0.01)


def _cpu_seconds() -> tuple[float, float]:
    times = psutil.cpu_times()
    return getattr(times, "steal", 0.0), sum(times)
