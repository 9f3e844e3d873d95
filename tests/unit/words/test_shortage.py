"""What counts as a lack of the machine's, and what does not."""

from __future__ import annotations

import errno

import pytest

from django_partisan.shortage import errno_of, is_shortage


def caused_by(cause: BaseException) -> BaseException:
    error = ImportError("cannot import name 'views'")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), errno.EAGAIN),
        (OSError(errno.EMFILE, "Too many open files"), errno.EMFILE),
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (MemoryError(), errno.ENOMEM),
        (RuntimeError("can't start new thread"), errno.EAGAIN),
        (ImportError("libpq.so.5: cannot open shared object: Too many open files"), errno.ENOMEM),
        (caused_by(OSError(errno.ENFILE, "Too many open files in system")), errno.ENFILE),
    ],
)
def test_a_shortage_is_known_by_its_kind(error: BaseException, number: int) -> None:
    assert is_shortage(error)
    assert errno_of(error) == number


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "No such file or directory"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        RuntimeError("populate() isn't reentrant"),
        ImportError("No module named 'psycopg'"),
        KeyError("EMFILE"),
    ],
)
def test_any_other_error_is_somebodys_fault(error: BaseException) -> None:
    assert not is_shortage(error)
