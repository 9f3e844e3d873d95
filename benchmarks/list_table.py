"""Tables in reStructuredText, for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def list_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a list-table with a header and a line for each of ``lines``."""
    shown = [".. list-table::", "   :header-rows: 1", ""]
    for line in (header, *lines):
        first, *others = line
        shown += [f"   * - {first}", *(f"     - {cell}".rstrip() for cell in others)]
    return "\n".join([*shown, ""])
