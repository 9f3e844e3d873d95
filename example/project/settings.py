"""Settings of the example project: a demonstration on one machine, not a model for production.

Two variables choose where things are: ``DEMO_DATA``, a directory (``.demo/sqlite`` unless told),
and ``DEMO_DATABASE_URL``, a database (an SQLite file in that directory unless told).
"""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY))

from tools.database_urls import parse_database_url  # noqa: E402, found below the line above

DATA = Path(os.environ.get("DEMO_DATA", REPOSITORY / ".demo" / "sqlite"))
DATA.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "only-for-the-demonstration"  # noqa: S105 (and so it may be known)
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_partisan",
    "stdlib_index",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "project.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
TIME_ZONE = "UTC"
USE_TZ = True

DATABASE_URL = os.environ.get("DEMO_DATABASE_URL", f"sqlite:///{DATA / 'index.sqlite3'}")
DATABASES = {"default": parse_database_url(DATABASE_URL)}

PARTISAN_CONFIG = {"default": {"SLEEP_DELAY_SECONDS": 1}}

STDLIB_REPORT = DATA / "report.json"
