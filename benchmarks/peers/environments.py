"""Makes the environment of each task queue, and runs commands in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import BenchError
from benchmarks.peers.peer import Peer

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHONS: Final = "3.11 3.12 3.13 3.14"


class Environment:
    """An environment in which one task queue is installed."""

    def __init__(self, peer: Peer) -> None:
        short = re.sub(r"\W+", "-", peer.name.lower()).strip("-")
        self._directory = ROOT / ".cache" / f"venv-peer-{short}"
        self._peer = peer

    def install(self) -> None:
        """Make the environment unless it is there; raise BenchError with the reason."""
        command = ["tools/environment.sh", str(self._directory), PYTHONS, *self._peer.requirements]
        done = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise BenchError(f"cannot be installed: {_last_line(done.stderr)}")

    def versions(self) -> dict[str, str]:
        """Return the versions of what decides the figures."""
        found: dict[str, str] = self.ask("versions", *self._peer.distributions)
        return found

    def command(self, *words: str) -> list[str]:
        """Return a command with the path of its program in the environment."""
        program, *rest = words
        return [str(self._directory / "bin" / program), *rest]

    def child(self, *words: object) -> list[str]:
        """Return the command of the harness's part that runs in the environment."""
        module = ("-m", "benchmarks.peers.child", self._peer.driver)
        return self.command("python", *module, *map(str, words))

    def ask(
        self, *words: object, variables: dict[str, str] | None = None, seconds: float = 300
    ) -> Any:
        """Run the child to its end; return its answer, raise BenchError when it fails."""
        try:
            done = subprocess.run(
                self.child(*words),
                cwd=ROOT,
                env=environment(variables),
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{words[0]} took more than {seconds:g} s") from error
        if done.returncode != 0:
            raise BenchError(f"{words[0]} failed: {_last_line(done.stderr)}")
        return json.loads(done.stdout.splitlines()[-1])


def environment(variables: dict[str, str] | None) -> dict[str, str]:
    """Return what processes of a queue find in their environment."""
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return {**inherited, "PYTHONPATH": str(ROOT), **(variables or {})}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
