"""Settings of the test project.

PARTISAN_TEST_DATABASE_URL names its database; the default is a new SQLite file. PARTISAN_TEST_ZONE
makes it a project of this time zone with USE_TZ = False. In the processes that a test starts,
PARTISAN_TEST_SETTINGS holds settings of that test, as one JSON object.
"""

import json
import os
import sys
import tempfile
import uuid
import zlib
from pathlib import Path

from tools.database_urls import parse_database_url

ROOT = Path(__file__).resolve().parent.parent
DATABASE_VARIABLE = "PARTISAN_TEST_DATABASE_URL"

if DATABASE_VARIABLE not in os.environ:
    # Set for the processes that tests start, which read these settings as well. The tests' own file
    # stands beside this one, which nobody ever opens.
    unused = Path(tempfile.gettempdir()) / f"partisan-{uuid.uuid4().hex[:12]}.sqlite3"
    os.environ[DATABASE_VARIABLE] = f"sqlite:///{unused}"

DATABASES = {"default": parse_database_url(os.environ[DATABASE_VARIABLE])}
if "TEST" not in DATABASES["default"]:
    # Checkouts and interpreters that share a server must not share the test database.
    checkout = zlib.crc32(f"{ROOT}{sys.version_info[:2]}".encode())
    DATABASES["default"]["TEST"] = {"NAME": f"test_partisan_{checkout:08x}"}

SECRET_KEY = "for tests only"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = "PARTISAN_TEST_ZONE" not in os.environ
TIME_ZONE = os.environ.get("PARTISAN_TEST_ZONE", "UTC")
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_partisan",
    "tests.app",
    "tests.hostile_app",
    "tests.shop_app",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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

globals().update(json.loads(os.environ.get("PARTISAN_TEST_SETTINGS", "{}")))
