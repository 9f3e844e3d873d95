"""How Sphinx builds this documentation."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402  # the settings have to be named first

from django_partisan import __version__  # noqa: E402
from tools.published import write_for_docs  # noqa: E402

django.setup()

project = "django-partisan"
author = "the django-partisan developers"
copyright = f"2020-2026, {author}"
release = __version__
version = ".".join(re.findall(r"\d+", __version__)[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.extlinks",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_generated"]
nitpicky = True
# Names that Django, pydantic and Python document elsewhere: no network is needed to build this.
nitpick_ignore_regex = [
    (r"py:.*", r"(django|pydantic|psycopg|psycopg2)\..*"),
    (r"py:.*", r"(collections|datetime|typing|enum|logging|zoneinfo)\..*"),
    (r"py:.*", r"(int|str|float|bool|bytes|None|object|dict|list|tuple|set|type)"),
    # The package's own names that only the engine deals with.
    (r"py:class", r"(.*\.)?(ClaimedTask|SomeClass|BaseTaskProcessor|QueueSettings|DelayOptions)"),
    (r"py:class", r"(Base)?Model"),
    (r"py:class", r"(.*\.)?(Delayable|FunctionProcessor|Name|ProcessorMethod|Rules)"),
    # The variables of types.
    (r"py:class", r"(.*\.)?[PQRST](\.args|\.kwargs)?"),
    (r"py:mod", r"django_partisan\..*"),
    (
        r"py:.*",
        r"[A-Za-z]*(Error|Exception|Mapping|Iterable|Iterator|Sequence|Callable|timedelta|datetime)",
    ),
]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# A single backtick in a docstring marks code.
default_role = "code"
extlinks = {"issue": ("https://github.com/ilyachch/django-partisan/issues/%s", "issue %s")}

html_theme = "furo"
html_title = f"django-partisan {release}"
html_copy_source = False


def _shorten(
    _app: Any, _what: str, _name: str, obj: Any, _options: Any, _signature: str, returns: str
) -> tuple[str, str] | None:
    """Show a pydantic model with the names and defaults of its fields, without their bounds."""
    if not (isinstance(obj, type) and issubclass(obj, BaseModel)):
        return None
    fields = obj.model_fields.items()
    shown = [name if field.is_required() else f"{name}={field.default!r}" for name, field in fields]
    return f"(*, {', '.join(shown)})", returns


def _write_figures(_app: Any) -> None:
    """Write the tables and the chart of what was measured."""
    write_for_docs(ROOT / "docs" / "_generated")


def setup(app: Any) -> None:
    """Hook into the build and into autodoc."""
    app.connect("builder-inited", _write_figures)
    app.connect("autodoc-process-signature", _shorten)
