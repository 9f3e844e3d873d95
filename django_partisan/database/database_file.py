"""The file that an SQLite database was opened from, which may be replaced by a restored one."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.db.backends.base.base import BaseDatabaseWrapper


class DatabaseFile:
    """Knows which file the path of a database names, and whether that is another one by now.

    Make it before the connection is opened: a file that is put there in between would else be
    taken for the one that is open. Other databases, and those in memory, have no file.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._path = _path_of(connection)
        self._opened = self._found = self._stat()

    def is_replaced(self) -> bool:
        """Say whether another file is there, and complete: it has not changed since the last call.

        Where there is none at the moment, one may be on its way.
        """
        former, self._found = self._found, self._stat()
        if self._found is None:
            return False
        if self._opened is None:
            self._opened = self._found
        is_other = not os.path.samestat(self._found, self._opened)
        return is_other and former is not None and _version(former) == _version(self._found)

    def _stat(self) -> os.stat_result | None:
        try:
            return None if self._path is None else self._path.stat()
        except OSError:
            return None


def _path_of(connection: BaseDatabaseWrapper) -> Path | None:
    if connection.vendor != "sqlite":
        return None
    name = str(connection.settings_dict["NAME"])
    return Path(unquote(urlsplit(name).path) if name.startswith("file:") else name)


def _version(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
