"""What a session has left is found and ended, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from django_partisan.identity import is_gone, own_identity, start_time_of
from django_partisan.process_groups import Session, end_session
from tests.support.harness import is_running, kill
from tests.support.helpers import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sessions come from /proc")
_LEADER = """
import os, sys, time
pids = []
for move in (lambda: None, lambda: os.setpgid(0, 0), os.setsid):
    if not (pid := os.fork()):
        move()
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(600)
time.sleep(600)
"""

_TELLER = """
import os, subprocess, sys
from django_partisan.process_groups import own_session
with subprocess.Popen(["cat"], stdin=subprocess.PIPE) if sys.argv[1:] else open(os.devnull):
    print((os.getpid(), own_session()))
"""


class Tree:
    """A process that leads a session, and its children: one as it is, one moved, one that left."""

    def __init__(self) -> None:
        self.leader = subprocess.Popen(
            [sys.executable, "-c", _LEADER], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.leader.stdout is not None
        children = {int(self.leader.stdout.readline()) for _ in range(3)}
        self.leader.stdout.close()
        self.gone = next(pid for pid in children if os.getsid(pid) == pid)
        self.members = sorted(children - {self.gone})
        self.session: Session = (self.leader.pid, start_time_of(self.leader.pid))

    def end(self) -> None:
        self.leader.kill()
        self.leader.wait()
        for pid in (self.gone, *filter(is_running, self.members)):
            kill(pid)


@pytest.fixture
def tree() -> Iterator[Tree]:
    tree = Tree()
    yield tree
    tree.end()


@pytest.mark.parametrize("is_leader_killed", [False, True])
def test_all_members_are_ended_but_not_who_has_a_session_of_its_own(
    tree: Tree, is_leader_killed: bool
) -> None:
    if is_leader_killed:
        tree.leader.kill()
        tree.leader.wait()
    assert end_session(tree.session, 10)
    assert not any(map(is_running, tree.members))
    assert not is_running(tree.leader.pid)
    assert is_running(tree.gone)


def test_a_session_without_members_is_at_its_end(tree: Tree) -> None:
    assert end_session(tree.session, 10)
    tree.leader.wait()
    assert end_session(tree.session, 0)


def test_a_session_whose_number_means_another_one_by_now_is_left_alone(tree: Tree) -> None:
    assert end_session((tree.leader.pid, "1"), 10)
    assert all(map(is_running, [tree.leader.pid, *tree.members]))


def test_without_a_start_time_nobody_is_ended(tree: Tree) -> None:
    assert end_session((tree.leader.pid, ""), 10)
    assert all(map(is_running, [tree.leader.pid, *tree.members]))


def test_ones_own_session_is_left_alone_and_not_at_its_end() -> None:
    leader = os.getsid(0)
    assert not end_session((leader, start_time_of(leader) or "1"), 10)


def test_members_that_do_not_end_in_time_keep_it_from_its_end(tree: Tree) -> None:
    assert not end_session(tree.session, -1)
    assert end_session(tree.session, 10)


@pytest.mark.parametrize(
    ("options", "companion", "is_own"),
    [
        ({"start_new_session": True}, False, True),
        ({"start_new_session": True}, True, False),
        ({"process_group": 0}, False, False),
    ],
)
def test_a_session_is_ones_own_where_one_leads_it_and_nobody_else_is_in_it(
    options: dict[str, Any], companion: bool, is_own: bool
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _TELLER, *["companion"] * companion],
        capture_output=True,
        text=True,
        check=True,
        **options,
    )
    pid, session = eval(process.stdout)
    assert (session is not None and session[0] == pid) is is_own


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen(["sleep", "600"])
    identity = own_identity()._replace(pid=process.pid, process_started=start_time_of(process.pid))
    assert not is_gone(identity)
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert is_gone(identity)
    process.wait()
