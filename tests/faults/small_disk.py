"""A file system of some megabytes in memory, which a test can fill up and free again."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

_PAGE = 4096


class SmallDisk:
    """Is mounted at a directory until it is closed; mounting takes the rights of root."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self.directory = directory
        self._filler = directory / "filler"
        directory.mkdir(exist_ok=True)
        options = f"size={megabytes}m,mode=0755"
        mount = ["mount", "-t", "tmpfs", "-o", options, "partisan-tests", str(directory)]
        try:
            done = subprocess.run(mount, check=False, capture_output=True, text=True)
            reason = done.stderr.splitlines()[0] if done.returncode else ""
        except FileNotFoundError as error:
            reason = str(error)
        if reason:
            directory.rmdir()
            pytest.skip(f"a small file system cannot be mounted here: {reason}")

    def fill(self) -> None:
        """Use up every page that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (256 * _PAGE, _PAGE):
                _write_until_full(file.fileno(), bytes(size))

    def free(self) -> None:
        """Give back what :meth:`fill` has used up."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, also while somebody still uses it."""
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)
        self.directory.rmdir()


def _write_until_full(fd: int, data: bytes) -> None:
    try:
        while os.write(fd, data) == len(data):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
