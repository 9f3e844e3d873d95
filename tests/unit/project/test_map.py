"""The map in the documentation is that of the import contract and of the package."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.reference import table
from tools.draw_map import PACKAGE, PICTURE, arrows, draw, floors

PAGE = "../explanation/architecture"
FLOORS = floors()
LEVEL = {room: level for level, floor in enumerate(FLOORS) for room in floor.rooms}


def names_of(face: Path) -> list[str]:
    """Return the names that a room hands on, none where it has no face."""
    for node in ast.parse(face.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def face_of(room: str) -> Path:
    folder = PACKAGE / room / "__init__.py"
    return folder if folder.is_file() else PACKAGE / f"{room}.py"


def folders() -> set[str]:
    """Return the folders of the package that hold code, by their path in it."""
    return {str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("__init__.py")} - {"."}


# --- the contract and the package


def test_every_module_of_the_package_stands_on_a_floor() -> None:
    found = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    found |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found == set(LEVEL)


@pytest.mark.parametrize("arrow", sorted(arrows()), ids=" to ".join)
def test_an_arrow_does_not_point_up(arrow: tuple[str, str]) -> None:
    start, end = (LEVEL[room] for room in arrow)
    assert start <= end
    assert start < end or not FLOORS[start].are_strangers


# --- the page


def test_the_floors_of_the_page_are_those_of_the_contract() -> None:
    told = [(floor, neighbours) for floor, _, neighbours in table(PAGE, "Floors")]
    words = {True: "are strangers", False: "may know each other"}
    assert told == [(floor.name, words[floor.are_strangers]) for floor in FLOORS]


def test_the_rooms_of_the_page_are_those_of_the_contract_and_may_import_what_it_allows() -> None:
    told = [(room, allowed.split(", ")) for room, _, _, allowed in table(PAGE, "Rooms")]
    names = [floor.name for floor in FLOORS]
    first = {room: level + FLOORS[level].are_strangers for room, level in LEVEL.items()}
    assert told == [(room, names[first[room] :]) for room in LEVEL]


@pytest.mark.parametrize(
    ("room", "told"), [(room, face) for room, _, face, _ in table(PAGE, "Rooms")]
)
def test_the_face_of_a_room_hands_on_what_the_page_says(room: str, told: str) -> None:
    names = names_of(face_of(room))
    if told.startswith("its "):
        assert not names or (room, told) == ("lifecycle", "its verbs")
    else:
        assert set(told.split(", ")) <= set(names)


def test_the_tree_of_the_page_is_that_of_the_package() -> None:
    told, above = set(), ""
    for line in PICTURE.with_name("architecture.rst").read_text().splitlines():
        if found := re.match(r"   (?P<inner>│  )?[├└]─ (?P<name>\w+)/", line):
            above = above if found["inner"] else found["name"]
            told.add(f"{above}/{found['name']}" if found["inner"] else above)
    assert told == folders()


# --- the picture


def test_the_picture_is_what_the_command_draws() -> None:
    assert PICTURE.read_text() == draw(), "run `make map`"


def test_the_picture_shows_every_room_and_no_line_of_it_leads_up() -> None:
    text = PICTURE.read_text()
    assert set(re.findall(r">(\w+)</text>", text)) == {*LEVEL, *(floor.name for floor in FLOORS)}
    lines = re.findall(r'class="arrow" [^>]* d="([^"]+)"', text)
    shown = [arrow for arrow in arrows() if arrow.imported not in FLOORS[-1].rooms]
    assert len(lines) == len(shown)
    for line in lines:
        heights = [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", line)]
        assert heights == sorted(heights)
