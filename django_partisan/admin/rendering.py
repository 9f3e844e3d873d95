"""Values as the admin's HTML; whatever a task holds is escaped."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Final

from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import is_aware, localtime

NOTHING: Final = "–"  # noqa: RUF001 (a dash, as the admin shows nothing)
MAX_SHOWN: Final = 64_000
"""Characters of one text that a page shows; the row may hold more."""
_OWN_FRAMES: Final = re.compile(
    r'(?:^ *File "[^"\n]*/django_partisan/[^"\n]*", .*\n(?: {4,}.*\n)*)+', re.MULTILINE
)
"""Frames one below the other whose file is of this package, with the lines of source below each."""
_FOLDED: Final = "<details><summary>frames of django-partisan</summary>{}</details>"


def badge(word: str, kind: str) -> SafeString:
    """Return a word on the colour of its kind: a status, 'live' or 'dead'."""
    return format_html('<span class="partisan-badge partisan-{}">{}</span>', kind, word)


def titled(text: str, title: str) -> SafeString:
    """Return a short text that shows its long form under the pointer."""
    return format_html('<span title="{}">{}</span>', title, text)


def with_note(shown: str | SafeString, note: str | SafeString, kind: str = "plain") -> SafeString:
    """Return what a cell shows, with a smaller line below it where there is something to add."""
    below = '{}<div class="partisan-note partisan-{}">{}</div>'
    return format_html(below, shown, kind, note) if note else format_html("{}", shown)


def short_name(processor_class: str) -> str:
    """Return a processor's name without its module."""
    return processor_class.rpartition(".")[2] or processor_class


def natural(moment: datetime | None) -> str | SafeString:
    """Return how long ago or how far ahead a moment is; the moment itself under the pointer."""
    return titled(str(naturaltime(moment)), exact(moment)) if moment else NOTHING


def exact(moment: datetime) -> str:
    """Return a moment in the current time zone, to the millisecond."""
    local = localtime(moment) if is_aware(moment) else moment
    return f"{date_format(local, 'Y-m-d H:i:s')}.{local.microsecond // 1000:03} {local:%Z}".rstrip()


def duration(span: timedelta | None) -> str:
    """Return a length of time in two units at most: '0.4 ms', '12.3 s', '2 h 5 min'."""
    if span is None:
        return NOTHING
    seconds = max(0.0, span.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.3g} s"
    return _in_two_units(round(seconds))


def folded(traceback: str) -> SafeString:
    """Return a traceback in which the frames of this package are folded away."""
    if len(traceback) > MAX_SHOWN:
        return block(traceback)
    parts, place = [], 0
    for frames in _OWN_FRAMES.finditer(traceback):
        parts += [traceback[place : frames.start()], format_html(_FOLDED, frames.group())]
        place = frames.end()
    shown = format_html_join("", "{}", ((part,) for part in (*parts, traceback[place:])))
    return format_html('<div class="partisan-text">{}</div>', shown)


def block(text: str) -> SafeString:
    """Return a text with its line breaks, cut where a page would become too long."""
    cut = len(text) - MAX_SHOWN
    note = f"\n… {cut:,} more characters are not shown" if cut > 0 else ""
    return format_html('<pre class="partisan-text">{}{}</pre>', text[:MAX_SHOWN], note)


def json_block(text: str | None) -> str | SafeString:
    """Return stored JSON indented; as it stands when it cannot be decoded."""
    if text is None:
        return NOTHING
    try:
        pretty = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pretty = text
    return block(pretty)


def _in_two_units(seconds: int) -> str:
    for size, name, smaller, smaller_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{seconds} s"
