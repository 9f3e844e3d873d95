"""Links from tasks to the project's objects."""

from __future__ import annotations

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def link_to(site: AdminSite, key: str) -> str | SafeString:
    """Return a key as a link to the object's page; as text where this site shows no such model."""
    label, _, pk = key.partition(":")
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):  # of another version of the code
        return key
    if not site.is_registered(model):
        return key
    page = f"{site.name}:{model._meta.app_label}_{model._meta.model_name}_change"  # noqa: SLF001
    return format_html('<a href="{}">{}</a>', reverse(page, args=[quote(pk)]), key)
