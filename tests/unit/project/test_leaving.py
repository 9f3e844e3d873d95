"""Commands that start something clear it up when they are told to leave."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.settings import ROOT
from tests.support.helpers import HANG_SECONDS

COMMAND = """
import time
from tools.leaving import leave_on_sigterm

leave_on_sigterm()
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("cleared up", flush=True)
"""


def test_sigterm_ends_a_command_by_way_of_its_finally_blocks() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, said) == (128 + signal.SIGTERM, "cleared up\n")
