"""The clean process from which workers are forked: the project loaded, no connection, no thread."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from django_partisan.config.const import STARVED_WORKER
from django_partisan.fault_points import reach
from django_partisan.process_groups import end_group, ended_child, reap_worker
from django_partisan.shortage import errno_of, is_shortage
from django_partisan.wire.launching import (
    BOOT_FAILED,
    DESCRIPTORS,
    EXITED,
    READY,
    REFUSED,
    REPORT,
    REQUEST,
    STARTED,
)
from django_partisan.worker.signals import ignore_signals


def main(control_fd: int, configuration: str) -> None:
    """Load the project, say so, then fork a worker for every request until the manager is gone."""
    control = socket.socket(fileno=control_fd)
    ignore_signals()
    try:
        options = json.loads(configuration)
        _load_project(options)
        reach("launcher.loaded")
    except BaseException as error:
        if is_shortage(error):
            control.sendall(REPORT.pack(REFUSED, 0, os.getpid(), errno_of(error)))
            return
        text = traceback.format_exc().encode()[-60_000:]
        control.sendall(REPORT.pack(BOOT_FAILED, 0, os.getpid(), len(text)) + text)
        return
    try:
        control.sendall(REPORT.pack(READY, 0, os.getpid(), 0))
    except OSError:
        return  # The manager ended while the project was loading.
    Launcher(control, options).run()


class Launcher:
    """Forks workers and reports their ends; it never runs a task and never asks a database.

    Each worker leads a process group, which its task's own children belong to. A worker's pid, and
    so its group's id, cannot be another's before it is reaped: that is when groups are ended.
    """

    def __init__(self, control: socket.socket, options: dict[str, Any]) -> None:
        self._control = control
        self._options = options
        self._numbers: dict[int, int] = {}
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)

    def run(self) -> None:
        """Serve requests until the control socket ends."""
        signal.signal(signal.SIGCHLD, _wake_up)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        events = select.poll()
        events.register(self._control, select.POLLIN)
        events.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in events.poll()}
            if self._wake.fileno() in ready:
                self._reap()
            if self._control.fileno() in ready and not self._serve_request():
                break
        self._end_workers()
        self._close()

    def _end_workers(self) -> None:
        """End what runs without a manager: how it ends could not be recorded any more."""
        for pid in self._numbers:
            end_group(pid)
        for pid in self._numbers:
            os.waitpid(pid, 0)

    def _close(self) -> None:
        for end in (self._control, self._wake, self._woken):
            end.close()

    def _serve_request(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, REQUEST.size, DESCRIPTORS)
        except ConnectionError:
            return False
        if len(data) < REQUEST.size:
            return False
        number, count = REQUEST.unpack(data)
        for fd in fds:
            os.set_inheritable(fd, False)
        # What there is no room for never arrives.
        if len(fds) < count:
            self._refuse(number, errno.EMFILE)
        else:
            self._fork(number, *fds)
        for fd in fds:
            os.close(fd)
        return True

    def _fork(self, number: int, *descriptors: int) -> None:
        reach("launcher.forking")
        try:
            pid, go = fork_waiting()
        except OSError as error:
            self._refuse(number, errno_of(error))
            return
        if pid == 0:
            self._be_worker(*descriptors)
        # By both, as nobody knows who comes first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._numbers[pid] = number
        reach("launcher.forked")
        # Before anybody can reap the child: its pid cannot mean another process yet.
        pidfd = _pidfd(pid)
        self._report(STARTED, number, pid, 0, pidfd)
        if pidfd is not None:
            os.close(pidfd)
        with contextlib.suppress(BrokenPipeError):  # It has been killed already.
            os.write(go, b"!")
        os.close(go)

    def _refuse(self, number: int, lacking: int) -> None:
        self._report(REFUSED, number, 0, lacking, None)

    def _be_worker(self, channel: int, tokens: int, requests: int, *output: int) -> None:
        """Run a worker in the forked child; never returns."""
        from django_partisan.worker.process import StarvedError, Worker, WorkerOptions, serve

        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._close()
            with socket.socket(fileno=channel) as sock:
                options = WorkerOptions(**self._options["worker"])
                kind = Worker if options.concurrency == 1 else _concurrent()
                serve(kind, sock, tokens, requests, options, output)
            code = 0
        except StarvedError as error:
            # The manager tells of it, once for all workers.
            logging.getLogger(__name__).debug("worker %d cannot begin: %s", os.getpid(), error)
            code = STARVED_WORKER
        except BaseException:
            logging.getLogger(__name__).exception("worker %d ends with an error", os.getpid())
        finally:
            logging.shutdown()
            _flush_streams()
            os._exit(code)

    def _reap(self) -> None:
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            pass
        while (pid := ended_child()) is not None:
            if pid not in self._numbers:
                os.waitpid(pid, 0)  # A program that the project has started.
                continue
            status = reap_worker(pid)
            reach("launcher.reaped")
            self._report(EXITED, self._numbers.pop(pid), pid, status, None)

    def _report(self, kind: int, number: int, pid: int, status: int, fd: int | None) -> None:
        report = REPORT.pack(kind, number, pid, status)
        # When the manager is gone, the next read of the control socket ends the loop.
        with contextlib.suppress(OSError):
            socket.send_fds(self._control, [report], [] if fd is None else [fd])


def fork_waiting() -> tuple[int, int]:
    """Fork; return the child's pid, 0 in the child, and the descriptor that lets the child go on.

    It goes on once a byte is written there, and ends if its parent dies before: nobody would know
    of its process then, or of what it starts. Raises OSError when the system lacks what it takes.
    """
    waiting, go = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(waiting)
        os.close(go)
        raise
    if pid == 0:
        os.close(go)
        if not os.read(waiting, 1):
            os._exit(0)
    os.close(waiting)
    return pid, go


def _pidfd(pid: int) -> int | None:
    """Return a descriptor of a process; None where the system has none, or none left."""
    try:
        return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None


def _load_project(options: dict[str, Any]) -> None:
    import django
    import setproctitle
    from django.apps import apps
    from django.utils.module_loading import import_string

    setproctitle.setproctitle(options["title"])
    if options["setup"]:
        import_string(options["setup"])()
    if not apps.ready:
        django.setup()
    from django.db import connections

    from django_partisan.database.sessions import leave_pools
    from django_partisan.logs import configure_console, configure_last_resort, name_tasks

    if options["console"] is not None:
        configure_console(**options["console"])
        configure_last_resort(json=options["console"]["json"])
    name_tasks()
    # An app may have opened connections or started threads in its ready().
    connections.close_all()
    leave_pools()
    if threading.active_count() > 1:
        logging.getLogger(__name__).warning(
            "the project starts threads when it is loaded (%s); workers are forked without them",
            ", ".join(thread.name for thread in threading.enumerate()),
        )
    _flush_streams()  # Else each worker would print it once more.
    gc.collect()
    gc.freeze()


def _concurrent() -> type[Any]:
    from django_partisan.worker.concurrent import ConcurrentWorker

    return ConcurrentWorker


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _wake_up(number: int, frame: Any) -> None:
    """Do nothing: that there is a handler makes the wake-up descriptor readable."""
