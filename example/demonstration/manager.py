"""The manager, started and stopped the way an operator would: a command and a SIGTERM."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
STOP_SECONDS = 60
SHOWN_LINES = 25


class ManagerFailedError(Exception):
    """``start_partisan`` ended by itself, or not with 0; the message ends with its log."""

    def __init__(self, what: str, log: Path) -> None:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
        super().__init__(f"start_partisan {what}. The end of {log}:\n{end}")


class Manager:
    """One running ``start_partisan``."""

    def __init__(self, log: Path) -> None:
        self._log = log
        command = [sys.executable, str(MANAGE), "start_partisan"]
        with log.open("wb") as file:
            # A session of its own: Ctrl-C reaches the demonstration, which stops this in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ``ManagerFailedError`` when it does not run any more."""
        code = self._process.poll()
        if code is not None:
            raise ManagerFailedError(f"ended with exit code {code}", self._log)

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code; end it by force when it hangs."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()


@contextmanager
def running_manager() -> Iterator[Manager]:
    """Run a manager for the length of the block.

    Raises ``ManagerFailedError`` when it does not stop cleanly afterwards.
    """
    log = Path(settings.DATA) / "manager.log"
    manager = Manager(log)
    try:
        yield manager
    except BaseException:
        _stop_undisturbed(manager)
        raise
    code = _stop_undisturbed(manager)
    if code != 0:
        raise ManagerFailedError(f"was asked to stop and ended with exit code {code}", log)


def _stop_undisturbed(manager: Manager) -> int:
    """Stop it; a second Ctrl-C must not leave it behind."""
    handlers = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return manager.stop()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
