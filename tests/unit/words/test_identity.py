"""A process can be told from every other, also from one that got its pid later."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from django_partisan.identity import Identity, boot_id, is_gone, own_identity, start_time_of

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="start times come from /proc")


@pytest.fixture
def ended() -> Identity:
    """Return the identity of a process that has ended and was waited for."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = own_identity()._replace(pid=process.pid, process_started=start_time_of(process.pid))
    process.wait()
    return identity


def test_this_process_is_not_gone() -> None:
    assert not is_gone(own_identity())


def test_the_node_is_named_by_the_host_unless_a_name_is_given() -> None:
    assert own_identity().node_name == socket.gethostname()
    assert own_identity("node-7").node_name == "node-7"


def test_an_identity_is_the_same_every_time_it_is_asked_for() -> None:
    assert own_identity() == own_identity()
    assert own_identity().pid == os.getpid()


def test_another_process_of_this_boot_has_the_same_boot_id() -> None:
    code = "from django_partisan.identity import boot_id; print(boot_id())"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == boot_id() != ""


def test_a_process_that_has_ended_is_gone(ended: Identity) -> None:
    assert is_gone(ended)


@on_linux
def test_a_process_that_reuses_a_pid_is_another_one() -> None:
    assert is_gone(own_identity()._replace(process_started="1"))


def test_without_a_start_time_a_living_pid_is_not_gone() -> None:
    assert not is_gone(own_identity()._replace(process_started=""))


def test_nothing_is_said_about_processes_of_another_boot(ended: Identity) -> None:
    assert not is_gone(ended._replace(boot_id="another boot"))


def test_a_process_that_may_not_be_signalled_is_not_gone() -> None:
    init = own_identity()._replace(pid=1, process_started=start_time_of(1))
    assert not is_gone(init)


@on_linux
def test_the_start_time_survives_brackets_and_spaces_in_the_name_of_a_process() -> None:
    rename = "open('/proc/self/comm', 'w').write('a) R 1 (b'); input()"
    with subprocess.Popen([sys.executable, "-c", rename], stdin=subprocess.PIPE) as process:
        first = start_time_of(process.pid)
        assert first.isdigit()
        assert start_time_of(process.pid) == first
        process.communicate(b"\n")


def test_the_start_time_of_a_pid_that_does_not_exist_is_unknown(ended: Identity) -> None:
    assert start_time_of(ended.pid) == ""
