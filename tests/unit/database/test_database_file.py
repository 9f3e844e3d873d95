"""A database's file is replaced once another one is there under its path, and complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db.backends.sqlite3.base import DatabaseWrapper

from django_partisan.database.database_file import DatabaseFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a file.sqlite3"
    path.write_text("old")
    return path


def _opened(name: object) -> DatabaseFile:
    settings: dict[str, Any] = {"NAME": name, "OPTIONS": {}}
    return DatabaseFile(DatabaseWrapper(settings))


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}?mode=rw"])
def test_a_file_that_is_moved_there_replaces_it(path: Path, form: str) -> None:
    file = _opened(form.format(path))
    assert not file.is_replaced()
    path.with_name("new").write_text("new")
    path.with_name("new").replace(path)
    assert not file.is_replaced(), "it may be on its way"
    assert file.is_replaced()


def test_a_link_that_names_another_file_replaces_it(path: Path) -> None:
    other, link = path.with_name("other"), path.with_name("link")
    other.touch()
    link.symlink_to(path)
    file = _opened(link)
    link.unlink()
    link.symlink_to(other)
    assert [file.is_replaced() for _ in range(2)] == [False, True]


def test_a_copy_that_still_grows_is_waited_for(path: Path) -> None:
    file = _opened(path)
    path.rename(path.with_name("kept"))
    assert not file.is_replaced(), "there is none"
    with path.open("w") as copy:
        for _ in range(3):
            copy.write("more")
            copy.flush()
            assert not file.is_replaced()
    assert file.is_replaced()


def test_what_is_written_to_the_file_itself_replaces_nothing(path: Path) -> None:
    file = _opened(path)
    path.write_text("longer than before")
    assert not any(file.is_replaced() for _ in range(3))


def test_a_file_that_was_made_by_opening_it_is_the_one_that_is_open(tmp_path: Path) -> None:
    file = _opened(tmp_path / "new")
    assert not file.is_replaced()
    (tmp_path / "new").touch()
    assert not any(file.is_replaced() for _ in range(3))


def test_a_database_in_memory_has_no_file() -> None:
    assert not _opened("file:memorydb_default?mode=memory&cache=shared").is_replaced()
    assert not _opened(":memory:").is_replaced()
