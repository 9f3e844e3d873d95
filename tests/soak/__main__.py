"""Runs the soak on a PostgreSQL of its own, unless one is named.

Ctrl-C ends it early with what has been seen until then.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys

from tests.soak.load import MINUTES_VARIABLE, RATE_VARIABLE
from tools.embedded_postgres import embedded_postgres
from tools.leaving import leave_on_sigterm


def main() -> int:
    """Soak, and return pytest's exit code."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", default="10", help="default: %(default)s")
    parser.add_argument("--rate", default="300", help="tasks per second (default: %(default)s)")
    parser.add_argument("--database", metavar="URL", help="soak on this server instead")
    options = parser.parse_args()
    leave_on_sigterm()
    named = options.database and contextlib.nullcontext(options.database)
    with named or embedded_postgres() as url:
        own = {MINUTES_VARIABLE: options.minutes, RATE_VARIABLE: options.rate}
        command = [sys.executable, "-m", "pytest", "-q", "tests/soak"]
        with subprocess.Popen(
            command, env={**os.environ, **own, "PARTISAN_TEST_DATABASE_URL": url}
        ) as soak:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the soak as well
            try:
                return soak.wait()
            finally:
                soak.terminate()


if __name__ == "__main__":
    sys.exit(main())
