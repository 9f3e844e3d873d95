"""Settings of the project that is measured; the environment names its database and driver."""

import os
import sys

from tools.database_urls import parse_database_url

DATABASE_VARIABLE = "PARTISAN_BENCH_DATABASE_URL"
DRIVER_VARIABLE = "PARTISAN_BENCH_DRIVER"
NOTIFY_VARIABLE = "PARTISAN_BENCH_NOTIFY"
CONCURRENCY_VARIABLE = "PARTISAN_BENCH_CONCURRENCY"

if os.environ.get(DRIVER_VARIABLE) == "psycopg2":
    # Django takes psycopg 3 where both are installed; an import of None fails.
    sys.modules["psycopg"] = None  # type: ignore[assignment]

DATABASES = {"default": parse_database_url(os.environ[DATABASE_VARIABLE])}
if "TEST" not in DATABASES["default"]:
    # Beside the named database; two benches may share a server.
    DATABASES["default"]["TEST"] = {"NAME": f"partisan_bench_{os.getpid()}"}
SECRET_KEY = "for measures only"  # noqa: S105  # nothing is signed with it
USE_TZ = True
PARTISAN_CONFIG: dict[str, dict[str, int]] = {"default": {}, "light": {}, "heavy": {"WEIGHT": 3}}
if CONCURRENCY_VARIABLE in os.environ:
    PARTISAN_CONFIG["default"]["CONCURRENCY"] = int(os.environ[CONCURRENCY_VARIABLE])
PARTISAN_NOTIFY = os.environ.get(NOTIFY_VARIABLE, "on") == "on"
PARTISAN_MODULES = ["partisan_tasks", "long_tasks"]
INSTALLED_APPS = ["django_partisan", "benchmarks.bench_app"]
