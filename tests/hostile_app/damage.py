"""Deeds after which a worker is of no further use."""

from __future__ import annotations

import contextlib
import os
import resource
import sys

from django.db import connection

from tests.hostile_app.deeds import deed


@deed
def close_all_descriptors_of_a_program() -> None:
    connection.close()
    os.closerange(3, 256)


@deed
def close_all_descriptors_and_open_files() -> None:
    connection.close()
    os.closerange(0, 256)
    for _ in range(20):
        os.open(os.devnull, os.O_RDWR)


@deed
def close_streams() -> None:
    sys.stdout.close()
    sys.stderr.close()


@deed
def close_the_files_of_streams() -> None:
    for number in range(3):
        os.close(number)


@deed
def limit_memory_for_good() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


@deed
def close_really_all_descriptors() -> None:
    os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@deed
def write_to_all_descriptors() -> None:
    connection.close()
    for number in range(3, 1 << 13):
        with contextlib.suppress(OSError):
            os.set_blocking(number, False)
            os.write(number, b"\0\0\0\x05nonsense")
