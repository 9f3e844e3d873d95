"""What the tries of a task have printed, as its page in the admin shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from django_partisan.admin.rendering import MAX_SHOWN, block, exact
from django_partisan.models import Output, Task

MAX_OUTPUTS: Final = 10
"""Tries whose output a page shows."""
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, and moves of the cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles and links
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS: Final = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {
    0x7F: "\u2421"
}


@dataclass(frozen=True, kw_only=True)
class ShownOutput:
    """What one try has printed, ready for the task's page."""

    number: str
    facts: str
    text: SafeString


def shown_outputs(task: Task) -> list[ShownOutput]:
    """Return what the newest tries of a task have printed, newest first."""
    newest = Output.objects.filter(task_id=task.pk).order_by("-pk")[:MAX_OUTPUTS]
    return [_shown(output) for output in newest]


def plain(text: str) -> str:
    """Return what a terminal would have shown in the end, without colours.

    A line that was written over, as progress bars do, is shown as it was last; control characters
    are shown as pictures of themselves.
    """
    lines = _ESCAPES.sub("", text).split("\n")
    last = (line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return "\n".join(last).translate(_CONTROLS)


def _shown(output: Output) -> ShownOutput:
    text = plain(output.text)
    cut = len(text) - MAX_SHOWN
    if cut > 0:
        # How it ended is worth more than how it began.
        text = f"… the first {cut:,} characters are not shown\n{text[cut + 100 :]}"
    return ShownOutput(
        number=str(output.number), facts=f"stored {exact(output.updated_at)}", text=block(text)
    )
