"""Noticing that the project's code has changed, so that the manager can begin anew with it."""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from django.apps import apps
from django.utils import autoreload

logger = logging.getLogger(__name__)
_MOST_FILES: Final = 5_000
"""So many files are looked at once a second, beside those of loaded modules; or none of them."""
_LIBRARIES: Final = ("site-packages", "dist-packages")


class CodeWatch(autoreload.StatReloader):
    """Looks once a second, in a thread, whether a file of Python code has changed.

    It knows the modules that this process has loaded, as ``runserver`` does, and all files of the
    project's own apps: workers may load what the manager has not. ``on_change`` is called in that
    thread, once; after a file that cannot even be parsed it goes on looking.
    """

    def __init__(self, on_change: Callable[[Path], None]) -> None:
        super().__init__()
        self._on_change = on_change
        self._is_over = threading.Event()
        for app in apps.get_app_configs():
            if not any(name in Path(app.path).parts for name in _LIBRARIES):
                self.watch_dir(app.path, "**/*.py")

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="code watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more; what is noticed later is nobody's business."""
        self._is_over.set()

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        """Take note of a change; called by Django's loop."""
        results = autoreload.file_changed.send(sender=self, file_path=Path(path))
        if any(is_handled for _, is_handled in results) or self._is_over.is_set():
            return  # A template, or a translation, which is read anew.
        if problem := _syntax_error(Path(path)):
            logger.warning("%s has changed and cannot be loaded: %s", path, problem)
            return
        self._is_over.set()
        self._on_change(Path(path))

    def _run(self) -> None:
        if self._has_too_many():
            logger.info(
                "the project's apps have more than %d files of code: only those of modules that"
                " the manager has loaded are watched",
                _MOST_FILES,
            )
            self.directory_globs.clear()
        ticker = self.tick()
        while not self._is_over.is_set():
            next(ticker)

    def _has_too_many(self) -> bool:
        """Say whether an app's directory holds far more than an app, as an environment does."""
        found = (
            path
            for directory, patterns in self.directory_globs.items()
            for pattern in patterns
            for path in directory.glob(pattern)
        )
        return sum(1 for _ in islice(found, _MOST_FILES + 1)) > _MOST_FILES


@contextlib.contextmanager
def watching_code(
    selector: selectors.BaseSelector, on_change: Callable[[Path], None]
) -> Iterator[None]:
    """Have the loop call ``on_change`` once a file of code has changed."""
    changed: list[Path] = []
    reader, writer = socket.socketpair()

    def note(path: Path) -> None:
        changed.append(path)
        with contextlib.suppress(OSError):  # The loop has ended meanwhile.
            writer.send(b"!")

    def take() -> None:
        selector.unregister(reader)
        on_change(changed[0])

    watch = CodeWatch(note)
    with reader, writer:
        selector.register(reader, selectors.EVENT_READ, take)
        watch.start()
        try:
            yield
        finally:
            watch.stop()
            with contextlib.suppress(KeyError):
                selector.unregister(reader)


def _syntax_error(path: Path) -> str:
    if path.suffix != ".py" or not path.exists():
        return ""
    try:
        ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        return str(error)
    return ""
