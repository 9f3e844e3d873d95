"""What the harness tells a driver through the environment."""

from __future__ import annotations

import json
import os
from typing import Any

DATABASE_VARIABLE = "PEER_DATABASE_URL"
REDIS_VARIABLE = "PEER_REDIS_URL"
OPTIONS_VARIABLE = "PEER_OPTIONS"
SETTINGS_VARIABLE = "PEER_DJANGO_SETTINGS"


def database_url() -> str:
    """Return the URL of the database of this run."""
    return os.environ[DATABASE_VARIABLE]


def redis_url() -> str:
    """Return the URL of the Redis database of this run."""
    return os.environ[REDIS_VARIABLE]


def options() -> dict[str, Any]:
    """Return the options of the variant."""
    found: dict[str, Any] = json.loads(os.environ[OPTIONS_VARIABLE])
    return found
