"""The demonstration: index the standard library from beginning to end, or show what was indexed.

``make demo`` and ``make demo-serve`` call this script, with their ``DB`` as ``--database``.
"""

import argparse
import signal
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.append(str(REPOSITORY))

from demonstration.database import DATABASES, demo_database  # noqa: E402
from demonstration.manager import ManagerFailedError  # noqa: E402

from tools.embedded_postgres import EmbeddedPostgresError  # noqa: E402

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    options = parse_arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with demo_database(options.database, options.data.absolute()):
            return serve(options.port) if options.serve else index(options.limit)
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept; run it again to continue.")
        return INTERRUPTED
    except (ManagerFailedError, EmbeddedPostgresError) as error:
        print(error, file=sys.stderr)
        return 1


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--data", type=Path, default=REPOSITORY / ".demo", help="where to keep it")
    parser.add_argument("--limit", type=int, help="index this many more files at most")
    parser.add_argument("--serve", action="store_true", help="show the page until Ctrl-C")
    parser.add_argument("--port", type=int, default=8000, help="where --serve listens")
    return parser.parse_args()


def index(limit: int | None) -> int:
    """Enqueue the work, have it done, and say what came of it."""
    from demonstration.preparation import enqueue_work, prepare
    from demonstration.progress import follow
    from demonstration.summary import print_summary

    prepare()
    enqueue_work(limit)
    print_summary(follow())
    return 0


def serve(port: int) -> int:
    """Show the page and the admin until Ctrl-C."""
    from demonstration.page import serve_page
    from demonstration.preparation import prepare

    prepare()
    serve_page(port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
