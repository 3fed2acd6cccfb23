import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.agents.by_hand import command_by_hand, quoted
from branchline.core.model.agent import Invocation
from branchline.process.redaction import Secrets


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


def test_only_what_we_set_ourselves_and_is_no_secret_stands_in_the_script(tmp_path: Path) -> None:
    given = {"PATH": os.environ["PATH"], "THEIRS": "from outside", "OLD_KEY": "a-secret-value"}
    variables = {"PATH": given["PATH"], "THEIRS": "from outside", "NEW": "a-secret-value", "OURS": "it's", "TOKEN": "t"}
    variables["HINT"] = "holds a-secret-value"
    show = 'printf \'%s|\' "$1" "$THEIRS" "$NEW" "$OURS" "$TOKEN" "$PWD"; cat'
    invocation = Invocation(argv=("sh", "-c", show, "x", "a-secret-value"), rename_env={"NEW": "OLD_KEY"}, stdin="said")
    (tmp_path / "stdin.txt").write_text("said")
    text = command_by_hand(
        record=tmp_path, cwd=Path("/tmp"), invocation=invocation, variables=variables, environ=given,
        secrets=Secrets({}, ["a-secret-value"]),
    )  # fmt: skip
    assert "a-secret-value" not in text
    assert 'HINT="$HINT"' in text
    mine = {"PATH": os.environ["PATH"], "THEIRS": "mine", "OLD_KEY": "my key", "TOKEN": "my token"}
    said = subprocess.run(["bash", "-c", text], env=mine, capture_output=True, text=True, check=True).stdout
    assert said == "[secret]|mine|my key|it's|my token|/tmp|said"


def test_a_folder_that_is_gone_ends_it(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    made = Invocation(argv=("touch", "here"))
    text = command_by_hand(record=tmp_path, cwd=gone, invocation=made, variables={}, environ={}, secrets=Secrets({}))
    ran = subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert str(gone) in ran.stderr
    assert not (tmp_path / "here").exists()
