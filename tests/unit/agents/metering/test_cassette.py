from pathlib import Path

import pytest

from branchline.agents.metering.api import Question, question
from branchline.agents.metering.cassette import Recorder, Tape
from branchline.agents.metering.reply import CutOff, Reply
from branchline.errors import BranchlineError, InvalidInput

REPLY = Reply(200, "OK", [("content-type", "text/event-stream"), ("x-request-id", "secret-header")], None, iter(()))


def asked(model: str = "m", path: str = "/v1/messages?key=AIza-very-secret") -> Question:
    return question("POST", path, b'{"model": "%s"}' % model.encode())


def record(recorder: Recorder, body: bytes, said: bytes, *, model: str = "m", whole: bool = True) -> None:
    recording = recorder.start(asked(model), body, ["Bearer", "sk-very-secret"])
    recording.write(said[:3])
    recording.write(said[3:])
    recording.end(REPLY, whole=whole)


def played(tape: Tape, body: bytes, *, model: str = "m") -> bytes:
    reply = tape.find(asked(model), body)
    assert reply is not None
    assert (reply.status, reply.content_type) == (200, "text/event-stream")
    made = b"".join(reply.pieces)
    assert reply.length == len(made)
    return made


def test_the_same_request_gets_its_answer_whatever_the_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tape")
    for body in (b"1", b"2", b"3"):
        record(recorder, body, b"to " + body)
    tape = Tape(tmp_path / "tape")
    assert [played(tape, body) for body in (b"3", b"1", b"2")] == [b"to 3", b"to 1", b"to 2"]
    assert tape.missing == 0


def test_another_request_gets_the_next_answer_to_its_model(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record(recorder, b"1", b"first")
    record(recorder, b"1", b"second")
    record(recorder, b"1", b"other", model="n")
    tape = Tape(tmp_path)
    assert [played(tape, b"?"), played(tape, b"1"), played(tape, b"?", model="n")] == [b"first", b"second", b"other"]
    assert tape.find(asked(), b"1") is None
    assert tape.missing == 1


def test_no_secret_is_on_the_tape(tmp_path: Path) -> None:
    record(Recorder(tmp_path), b"hidden", b"your key is sk-very-secret, Bearer sk-very-secret")
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"very-secret" not in everything
    assert b"secret-header" not in everything
    assert b"hidden" not in everything
    assert b"your key is ****" in everything


def test_a_broken_off_answer_breaks_off_again(tmp_path: Path) -> None:
    record(Recorder(tmp_path), b"1", b"half", whole=False)
    reply = Tape(tmp_path).find(asked(), b"1")
    assert reply is not None
    assert reply.length is None
    assert next(reply.pieces) == b"half"
    with pytest.raises(CutOff):
        next(reply.pieces)


def test_a_new_recording_replaces_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("mine")
    recorder = Recorder(tmp_path)
    for number in range(3):
        record(recorder, b"%d" % number, b"old")
    record(Recorder(tmp_path), b"1", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001.body", "0001.json", "notes.json"]
    assert played(Tape(tmp_path), b"1") == b"new"


def test_what_was_being_recorded_when_we_were_killed_is_not_on_the_tape(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record(recorder, b"1", b"done")
    unfinished = recorder.start(asked(), b"2", [])
    unfinished.write(b"half")
    assert played(Tape(tmp_path), b"2") == b"done"
    unfinished.end(REPLY, whole=False)


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"version": 2}'])
def test_no_tape_or_no_good_one(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "0001.json").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        Tape(tmp_path)
    assert caught.value.hint


def test_a_tape_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    (tmp_path / "0001.body").touch()
    with pytest.raises(BranchlineError, match=r"0001\.body cannot be written"):
        recorder.start(asked(), b"", [])


def test_a_tape_fits_another_worktree(tmp_path: Path) -> None:
    record(Recorder(tmp_path, "/runs/1/a"), b"in /runs/1/a", b"edit /runs/1/a/x.py, not /runs/1/ab")
    record(Recorder(tmp_path / "plain", "/runs/1/a"), b"", b"{{worktree}}")
    assert b"/runs/1/a/" not in (tmp_path / "0001.body").read_bytes()
    tape = Tape(tmp_path, "/runs/2/a")
    assert played(tape, b"in /runs/2/a") == b"edit /runs/2/a/x.py, not /runs/1/ab"
    assert played(Tape(tmp_path / "plain", "/runs/2/a"), b"") == b"{{worktree}}"
