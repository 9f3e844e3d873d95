"""Where the standard library's sources are: files, their packages and their module names."""

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP_LEVEL = "(single modules)"
"""The package name given to modules that lie directly in the library, such as ``argparse``."""

NOT_THE_LIBRARY = frozenset({"__pycache__", "dist-packages", "lib-dynload", "site-packages"})


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One source file: its path below the library, with ``/`` on every system, and its package."""

    path: str
    package: str


def library() -> Path:
    """Return the directory of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_sources(root: Path | None = None) -> Iterator[SourceFile]:
    """Yield every ``.py`` file below ``root`` in a stable order, third-party packages left out."""
    root = root or library()
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - NOT_THE_LIBRARY)
        for name in sorted(names):
            if name.endswith(".py"):
                path = (Path(directory) / name).relative_to(root).as_posix()
                yield SourceFile(path=path, package=package_of(path))


def package_of(path: str) -> str:
    """Return the top-level package of a path below the library."""
    head, separator, _ = path.partition("/")
    return head if separator else TOP_LEVEL


def module_name(path: str) -> str:
    """Return the dotted name under which the file at ``path`` would be imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
