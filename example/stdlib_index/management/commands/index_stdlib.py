"""``manage.py index_stdlib``: enqueue the indexing of the standard library."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stdlib_index.enqueueing import enqueue


class Command(BaseCommand):
    """Enqueue every file that is not indexed yet; run it again to continue."""

    help = "Enqueue the files of the standard library that are not indexed yet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare ``--limit`` and ``--package``."""
        parser.add_argument("--limit", type=int, help="Enqueue this many files at most.")
        parser.add_argument("--package", help="Only this top-level package, e.g. asyncio.")

    def handle(self, *, limit: int | None, package: str | None, **_options: Any) -> None:
        """Enqueue, and say how many files that were."""
        if limit is not None and limit < 0:
            raise CommandError("--limit must be 0 or more.")
        count = enqueue(limit=limit, package=package)
        files = "file" if count == 1 else "files"
        self.stdout.write(f"{count} {files} enqueued." if count else "Nothing new to enqueue.")
