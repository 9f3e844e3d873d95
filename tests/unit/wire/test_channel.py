import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from django_partisan.wire.channel import BlockingChannel, Channel

Ends = tuple[Channel, BlockingChannel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    yield Channel(ours), BlockingChannel(theirs)
    ours.close()
    theirs.close()


def received_all(channel: Channel, count: int) -> list[Any]:
    messages: deque[Any] = deque()
    while len(messages) < count:
        messages += channel.receive_all()[0]
    return list(messages)


def test_messages_arrive_whole_and_in_order_in_both_directions(ends: Ends) -> None:
    manager, worker = ends
    for number in range(3):
        manager.send((number, [("a", None, 1.5)]))
    assert [worker.receive()[0] for _ in range(3)] == [0, 1, 2]
    worker.send(("done", 1))
    worker.send(("done", 2))
    assert received_all(manager, 2) == [("done", 1), ("done", 2)]


def test_a_message_larger_than_the_sockets_buffer_waits_without_blocking_the_manager(
    ends: Ends,
) -> None:
    manager, worker = ends
    text = "x" * 3_000_000
    manager.send(text)
    assert manager.has_unsent
    manager.send("after")
    received: list[Any] = []
    while len(received) < 2:
        # What the manager's loop does whenever the socket can be written to.
        manager.flush()
        worker._unpacker.feed(worker._socket.recv(1 << 20))
        received += worker._unpacker.take()
    assert received == [text, "after"]
    assert not manager.has_unsent


def test_nothing_to_receive_is_no_end(ends: Ends) -> None:
    manager, _ = ends
    assert manager.receive_all() == (deque(), False)


def test_the_manager_sees_the_workers_end_together_with_its_last_words(ends: Ends) -> None:
    manager, worker = ends
    worker.send("last words")
    worker._socket.close()
    messages, is_gone = manager.receive_all()
    if not is_gone:
        is_gone = manager.receive_all()[1]
    assert list(messages) == ["last words"]
    assert is_gone


def test_the_worker_sees_the_managers_end(ends: Ends) -> None:
    manager, worker = ends
    manager.close()
    with pytest.raises(EOFError):
        worker.receive()


def test_sending_to_a_gone_worker_loses_nothing_but_the_message(ends: Ends) -> None:
    manager, worker = ends
    worker._socket.close()
    manager.send("anybody there?")
    assert not manager.has_unsent


def test_only_plain_values_travel(ends: Ends) -> None:
    manager, _ = ends
    with pytest.raises(ValueError, match="unmarshallable"):
        manager.send(object())


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff\xff and so on", b"\0\0\0\x05nonse", b"\0\0\0\0", b"\0\0\0\x01("],
    ids=["too long", "no value", "nothing", "half a value"],
)
def test_a_worker_that_talks_nonsense_counts_as_gone(ends: Ends, garbage: bytes) -> None:
    manager, worker = ends
    worker.send("before")
    worker._socket.sendall(garbage)
    assert manager.receive_all() == (deque(["before"]), True)
