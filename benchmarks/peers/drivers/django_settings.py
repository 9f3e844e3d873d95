"""Settings of a Django project around one of the queues; the harness says what it adds."""

from benchmarks.peers.drivers import told
from tools.database_urls import parse_database_url

_own = {name: value for name, value in told()["options"].items() if name.isupper()}
DATABASES = {"default": {**parse_database_url(told()["database"]), **_own}}
SECRET_KEY = "for measures only"  # noqa: S105  # nothing is signed for others
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
globals().update(told()["settings"])
