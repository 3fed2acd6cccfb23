import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.cli.task_command import quoted


def heard(word: str) -> bytes:
    """What a program gets for a word that bash has read."""
    return subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "text",
    ["", "a b", "it's", "x\ny", "$HOME `id` \\", "\x1b[31m'\\", os.fsdecode(b"caf\xe9\n"), "日本 \u202e", "\r\t"],
)
def test_a_word_is_heard_as_it_was(text: str) -> None:
    assert heard(quoted(text)) == os.fsencode(text)
    assert quoted(text).replace("\n", "").isprintable()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40).map(lambda data: os.fsdecode(data.replace(b"\0", b""))))
def test_any_bytes_are_heard_as_they_were(text: str) -> None:
    assert heard(quoted(text)) == os.fsencode(text)
