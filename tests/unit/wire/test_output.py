"""Frames within output: found wherever the stream was cut, and never made by accident."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from django_partisan.wire.output import (
    ENDED,
    LINE,
    MAX_LINE_BYTES,
    NOBODY,
    Frame,
    SharedCount,
    Splitter,
    frame_bytes,
    make_shared,
)

NONCE = b"\0abcdefghijklm\0\x7f"
"""What is printed here holds all of it but the end, and never that."""
FRAMES = st.builds(
    Frame,
    kind=st.sampled_from([ENDED, NOBODY, LINE]),
    task_id=st.integers(0, 2**63 - 1),
    lease=st.integers(0, 2**63 - 1),
    text=st.binary(max_size=MAX_LINE_BYTES),
)
BYTES = st.one_of(
    st.binary(max_size=40).map(lambda data: data.replace(b"\x7f", b"")),
    st.integers(1, 15).map(lambda size: NONCE[:size]),
    st.just(b"\0" * 9),
)


def joined(parts: list[bytes | Frame]) -> list[bytes | Frame]:
    """Return parts in which bytes that follow each other are one."""
    whole: list[bytes | Frame] = []
    for part in parts:
        if isinstance(part, bytes) and whole and isinstance(whole[-1], bytes):
            whole[-1] += part
        elif part != b"":
            whole.append(part)
    return whole


@given(st.lists(st.one_of(BYTES, FRAMES)), st.lists(st.integers(1, 50), min_size=1))
def test_bytes_and_frames_come_out_as_they_went_in(
    said: list[bytes | Frame], sizes: list[int]
) -> None:
    data = b"".join(each if isinstance(each, bytes) else frame_bytes(NONCE, each) for each in said)
    splitter, heard, start = Splitter(NONCE), list[bytes | Frame](), 0
    while start < len(data):
        size = sizes[start % len(sizes)]
        heard += splitter.split(data[start : start + size])
        start += size
    heard.append(splitter.left())
    assert joined(heard) == joined(said)


def test_what_cannot_begin_a_frame_does_not_wait() -> None:
    assert list(Splitter(NONCE).split(b"x" * 100_000)) == [b"x" * 100_000]


def test_the_longest_frame_is_written_whole_wherever_posix_is_kept_to() -> None:
    assert len(frame_bytes(NONCE, Frame(LINE, 1, 1, b"x" * MAX_LINE_BYTES))) <= 512


def test_two_sides_share_the_words_and_each_pair_has_a_nonce_of_its_own() -> None:
    first, second = make_shared(), make_shared()
    ours, theirs, strange = SharedCount(first), SharedCount(first), SharedCount(second)
    for fd in (first, second):
        os.close(fd)
    assert ours.nonce == theirs.nonce != strange.nonce
    ours.words[ours.place(0)] = 42
    assert theirs.words[theirs.place(0)] == 42
    assert strange.words[strange.place(0)] == 0
    for each in (ours, theirs, strange):
        each.close()


def test_a_word_is_empty_again_before_it_is_another_pipes() -> None:
    fd = make_shared()
    shared = SharedCount(fd)
    os.close(fd)
    for pipe in range(5_000):
        shared.forget(pipe)
        assert shared.words[shared.place(pipe)] == 0, pipe
        shared.words[shared.place(pipe)] = 2 * pipe + 1
    assert bytes(shared.words.cast("B")[:16]) == shared.nonce
    shared.close()
