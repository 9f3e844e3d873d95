"""What is kept of what a try prints: bounded, storable, without secrets, and only growing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partisan.payloads.printed import (
    HEAD_BYTES,
    TAIL_BYTES,
    Printed,
    PrintedText,
    missing,
    whole_text,
)


def printed(*chunks: bytes) -> Printed:
    made = Printed()
    for chunk in chunks:
        made.add(chunk)
    return made


def text_of(*parts: Printed, secrets: list[str] | None = None) -> PrintedText:
    text = PrintedText(secrets if secrets is not None else [])
    for part in parts:
        text.add(part)
    return text


def shown(text: PrintedText) -> str:
    return whole_text(text.head, text.tail, text.left_out)


def test_what_is_short_is_kept_as_it_is() -> None:
    assert shown(text_of(printed("grüße\n".encode(), b"again\n"))) == "grüße\nagain\n"


def test_of_what_is_long_the_first_and_the_last_are_kept() -> None:
    chunk = b"%07d\n" * 100
    made = Printed()
    for number in range(10_000):
        made.add(chunk % tuple(range(number * 100, number * 100 + 100)))
    text = text_of(made)
    assert text.head.startswith("0000000\n0000001\n")
    assert text.tail.endswith("0999999\n")
    assert len(text.head) == HEAD_BYTES
    assert TAIL_BYTES >= len(text.tail) > TAIL_BYTES - 8
    assert len(text.head) + text.left_out + len(text.tail) == 8_000_000
    assert "\n… 7.7 MB left out …\n" in shown(text)


def test_what_is_kept_takes_no_more_memory_however_much_comes() -> None:
    made = Printed()
    for _ in range(1_000):
        made.add(b"x" * 65_536)
        assert len(made.head) + len(made.tail) <= HEAD_BYTES + 2 * TAIL_BYTES + 65_536
    assert made.left_out > 60_000_000


@given(st.lists(st.binary(max_size=300)), st.randoms(use_true_random=False))
def test_lines_that_are_taken_while_it_grows_add_up(
    chunks: list[bytes], chance: random.Random
) -> None:
    made, text = Printed(), PrintedText([])
    before = ""
    for chunk in chunks:
        made.add(chunk)
        if chance.random() < 0.5:
            lines = made.take_lines()
            assert not lines or lines.head.endswith((b"\n", b"\r"))
            text.add(lines)
            assert shown(text).startswith(before), "it only grows"
            before = shown(text)
    text.add(made)
    whole = b"".join(chunks).decode("utf-8", "replace").replace("\0", "\ufffd")
    assert shown(text) == whole


@given(st.binary())
def test_whatever_bytes_there_are_can_be_stored(data: bytes) -> None:
    text = shown(text_of(printed(data)))
    assert "\0" not in text
    assert text.encode().decode() == text


def test_random_bytes_are_no_larger_as_text_than_may_be_kept() -> None:
    data = random.Random(1).randbytes(1_000_000)
    text = text_of(printed(data[:500_000]), printed(data[500_000:]))
    assert len(text.head.encode()) <= HEAD_BYTES
    assert len(text.tail.encode()) <= TAIL_BYTES


def test_secrets_are_masked_also_at_a_cut() -> None:
    made = Printed()
    for _ in range(40_000):
        made.add(b"the password is hunter2, says hunter2\n")
    text = shown(text_of(made, secrets=["hunter2"]))
    for part in text.split("left out"):
        assert "hunt" not in part
        assert "nter2" not in part


def test_where_secrets_are_unknown_everything_is_masked() -> None:
    text = PrintedText(None)
    text.add(printed(b"hunter2"))
    assert shown(text) == "********"


@pytest.mark.parametrize(
    ("count", "told"),
    [(7, "7 bytes"), (1500, "1.5 KB"), (9_800_000_000, "9.8 GB"), (10**16, "10000.0 TB")],
)
def test_how_much_is_missing_is_told_in_a_unit_for_people(count: int, told: str) -> None:
    assert missing(count) == f"\n… {told} left out …\n"
