"""Settings of a Django project around one of the queues; the harness says what it adds."""

from benchmarks.peers.drivers import told
from tools.database_urls import parse_database_url

DATABASES = {
    "default": {**parse_database_url(told()["database"]), "CONN_MAX_AGE": told()["max_age"]}
}
SECRET_KEY = "for measures only"  # noqa: S105  # nothing is signed for others
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
globals().update(told()["settings"])
INSTALLED_APPS = [*told()["settings"].get("INSTALLED_APPS", ()), "benchmarks.bench_app"]
