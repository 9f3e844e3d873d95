"""Settings of a Django project around one of the queues; the environment says what it adds."""

import json
import os

from benchmarks.peers.drivers.options import DATABASE_VARIABLE, REDIS_VARIABLE, SETTINGS_VARIABLE
from tools.database_urls import parse_database_url

_settings = json.loads(os.environ[SETTINGS_VARIABLE].replace("$REDIS", os.environ[REDIS_VARIABLE]))
DATABASES = {"default": parse_database_url(os.environ[DATABASE_VARIABLE])}
DATABASES["default"].update(_settings.pop("DATABASE", {}))
SECRET_KEY = "for measures only"  # noqa: S105  # nothing is signed for others
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
globals().update(_settings)
