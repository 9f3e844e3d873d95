"""Groups and sessions of processes: what workers have started is ended with them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from django_partisan.identity import start_time_of, stat_of

Session = tuple[int, str]
"""The pid of the process that leads it, and when that process started."""


def end_group(leader: int) -> None:
    """Kill a group whose leader has not been reaped: later its id may mean another one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def ended_child() -> int | None:
    """Return a child that has ended and is not reaped yet, None while there is none."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if ended is None else ended.si_pid


def reap_worker(pid: int) -> int:
    """Reap an ended worker and return its wait status.

    Unless it has ended in order, what its task has started ends with it: the task will run again,
    and nothing of this attempt may run beside that one.
    """
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if ended is not None and (ended.si_code, ended.si_status) != (os.CLD_EXITED, 0):
        end_group(pid)
    return os.waitpid(pid, 0)[1]


def own_session() -> Session | None:
    """Return the session that this process leads and is alone in; None where there is none such.

    Whoever will be in it later descends from this process. In a terminal it is shared with others.
    """
    pid = os.getpid()
    try:
        is_ours = os.getsid(0) == pid and set(_members_of(pid)) == {pid}
    except OSError:
        return None
    return (pid, start_time_of(pid)) if is_ours else None


def end_session(session: Session, seconds: float) -> bool:
    """Kill what is left of a session of this boot; say whether nothing is left of it in the end.

    True as well on systems that do not tell which processes a session has.
    """
    leader, started = session
    # The system gives no pid anew that still names a session.
    if not started or start_time_of(leader) not in {"", started}:
        return True
    if leader == os.getsid(0):
        return False
    deadline = time.monotonic() + seconds
    try:
        while any(_members_of(leader)):
            if not _have_been_killed(leader, deadline):
                return False
    except OSError:
        return False  # Not ours to end, or not to be told apart from others.
    return True


def _have_been_killed(leader: int, deadline: float) -> bool:
    """Kill the members that there are now, and wait until they have ended."""
    killed: list[int] = []
    with contextlib.ExitStack() as stack:
        for pid in _members_of(leader):
            with contextlib.suppress(ProcessLookupError):
                member = os.pidfd_open(pid)
                stack.callback(os.close, member)
                # Again, now that the descriptor means one process for good.
                if _is_member(pid, leader):
                    signal.pidfd_send_signal(member, signal.SIGKILL)
                    killed.append(member)
        return all(_has_ended(member, deadline) for member in killed) and (
            time.monotonic() < deadline
        )


def _has_ended(member: int, deadline: float) -> bool:
    end = select.poll()
    end.register(member, select.POLLIN)
    return bool(end.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _members_of(leader: int) -> Iterator[int]:
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return (pid for pid in pids if _is_member(pid, leader))


def _is_member(pid: int, leader: int) -> bool:
    stat = stat_of(pid)
    return stat is not None and stat.session == leader and not stat.has_ended
