"""Reading the tables of the reference, so that tests can compare them with the code."""

from __future__ import annotations

import re

from tests.settings import ROOT

REFERENCE = ROOT / "docs" / "reference"
NOTHING = "\N{EN DASH}"


def table(page: str, title: str) -> list[list[str]]:
    """Return the cells of a list-table of the reference, without its head and ticks."""
    text = (REFERENCE / f"{page}.rst").read_text()
    found = re.search(
        rf"^\.\. list-table:: {title}\n(?P<body>(?:(?: +.*)?\n)*)", text, re.MULTILINE
    )
    assert found is not None, f"{page}.rst has no table {title!r}"
    rows = re.split(r"^   \* - ", found["body"], flags=re.MULTILINE)[2:]
    return [
        [_plain(cell) for cell in re.split(r"^     - ", row, flags=re.MULTILINE)] for row in rows
    ]


def _plain(cell: str) -> str:
    return " ".join(cell.replace("``", "").split())
