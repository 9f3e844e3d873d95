"""The identity of a process: its host, boot, pid namespace, pid and start time."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    """A process for as long as anyone may ask whether it still lives."""

    node_name: str
    boot_id: str
    pid: int
    process_started: str


def own_identity(node_name: str | None = None) -> Identity:
    """Return this process's identity; the node is named by the host unless a name is given."""
    pid = os.getpid()
    return Identity(node_name or socket.gethostname()[:255], boot_id(), pid, start_time_of(pid))


def boot_id() -> str:
    """Return what a pid means something within: the host's boot and the pid namespace."""
    boot = _read(Path("/proc/sys/kernel/random/boot_id")).strip() or socket.gethostname()
    try:
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return boot


class Stat(NamedTuple):
    """What the system tells of a process: some fields of /proc/PID/stat (proc(5))."""

    session: int
    started: str
    has_ended: bool


def stat_of(pid: int) -> Stat | None:
    """Return what the system tells of a process; None without such a process, or without /proc."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if not fields:
        return None
    # A zombie is left to be reaped; but its other threads may still be about to end.
    has_ended = fields[0] in "ZX" and int(fields[17]) <= 1
    return Stat(session=int(fields[3]), started=fields[19], has_ended=has_ended)


def start_time_of(pid: int) -> str:
    """Return when a process started, in its system's own unit; '' when that cannot be known.

    Two processes that got the same pid differ in it.
    """
    stat = stat_of(pid)
    return "" if stat is None else stat.started


def is_gone(other: Identity) -> bool:
    """Say whether a process has certainly ended; False as well when that cannot be known."""
    if other.boot_id != boot_id():
        return False
    try:
        os.kill(other.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    stat = stat_of(other.pid)
    if stat is None:
        return False  # No file can be opened just now, perhaps: that says nothing against it.
    if stat.has_ended:
        return True
    return bool(other.process_started) and stat.started != other.process_started


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
