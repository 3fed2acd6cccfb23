"""Starting processes, and ending them with everything that they started."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from branchline.core.model.limits import UNLIMITED
from branchline.process.containment import Confinement
from branchline.process.spawn import CannotStart, Exit, KillSwitch, ToolMissing, capture, run
from processes import running, token

Sh = Callable[..., Exit]


@pytest.fixture
def sh(tmp_path: Path) -> Sh:
    """Run a shell script in `tmp_path`; its output is in `out` and `err`."""

    def call(script: str, **options: object) -> Exit:
        files = {"stdout": tmp_path / "out", "stderr": tmp_path / "err", "env": {"PATH": os.environ["PATH"]}}
        return run(["sh", "-c", script], cwd=tmp_path, **{**files, **options})  # type: ignore[arg-type]

    return call


def test_output_goes_to_files_and_the_exit_code_is_true(sh: Sh, tmp_path: Path) -> None:
    ended = sh("echo out; echo err >&2; exit 7")
    assert (ended.code, ended.signal, ended.reason, ended.ok) == (7, None, None, False)
    assert ((tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == ("out\n", "err\n")
    assert sh("true").ok


def test_both_streams_may_share_a_file(sh: Sh, tmp_path: Path) -> None:
    both = tmp_path / "both"
    sh("echo a; echo b >&2; echo c", stdout=both, stderr=both)
    assert both.read_text() == "a\nb\nc\n"


def test_input_is_empty_unless_given(sh: Sh, tmp_path: Path) -> None:
    assert sh("cat; echo end").ok
    assert (tmp_path / "out").read_text() == "end\n"
    (tmp_path / "in").write_text("given\n")
    sh("cat", stdin=tmp_path / "in")
    assert (tmp_path / "out").read_text() == "given\n"


def test_a_signal_is_told_apart_from_a_code(sh: Sh) -> None:
    ended = sh("kill -9 $$")
    assert (ended.code, ended.signal, ended.reason, ended.ok) == (None, signal.SIGKILL, None, False)


def test_nothing_of_ours_is_inherited(sh: Sh, tmp_path: Path) -> None:
    with open(tmp_path / "lock", "wb") as held:
        os.set_inheritable(held.fileno(), True)
        sh("ls -l /proc/self/fd 2>/dev/null | grep lock; true")
    assert (tmp_path / "out").read_text() == ""


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    options = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"]}}
    (tmp_path / "script").write_text("not executable")
    (tmp_path / "binary").write_bytes(b"\0\1\2")
    (tmp_path / "binary").chmod(0o755)
    for tool in ("no-such-tool", str(tmp_path / "script"), str(tmp_path / "binary"), str(tmp_path / "script" / "x")):
        with pytest.raises(ToolMissing, match=Path(tool).name) as caught:
            capture([tool], **options)  # type: ignore[arg-type]
        assert "install" in caught.value.hint
        with pytest.raises(ToolMissing):
            run([tool], stdout=tmp_path / "out", stderr=tmp_path / "err", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("argv", [["true", "a\0b"], ["true", "x" * 10_000_000]], ids=["nul", "too-long"])
def test_what_the_system_will_not_start(argv: list[str], tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"cannot start '?true") as caught:
        capture(argv, cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    assert not isinstance(caught.value, ToolMissing)


def test_a_missing_folder_is_not_a_missing_tool(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="gone") as caught:
        capture(["true"], cwd=tmp_path / "gone", env={"PATH": os.environ["PATH"]})
    assert not isinstance(caught.value, ToolMissing)


def test_a_time_out_asks_first(sh: Sh, tmp_path: Path) -> None:
    ended = sh("trap 'echo bye; exit 3' TERM; echo $$; while :; do sleep 0.01; done", timeout=0.3)
    assert (ended.code, ended.reason, ended.ok) == (3, "timeout", False)
    assert (tmp_path / "out").read_text().endswith("bye\n")
    assert 0.3 <= ended.seconds < 2


def test_a_process_that_ignores_the_request_is_killed(sh: Sh) -> None:
    ended = sh("trap '' TERM; while :; do sleep 0.01; done", timeout=0.2, grace=0.2)
    assert (ended.code, ended.signal, ended.reason) == (None, signal.SIGKILL, "timeout")
    assert ended.seconds < 3


def test_children_left_behind_are_killed_and_do_not_hold_us(sh: Sh, tmp_path: Path) -> None:
    name = token()
    ended = sh(f"sleep {name} & exit 0")
    assert ended.ok
    assert ended.seconds < 2
    assert running(name) == []


def test_output_has_a_limit(sh: Sh, tmp_path: Path) -> None:
    held = Confinement(limits=msgspec.structs.replace(UNLIMITED, output_mb=1))
    ended = sh("yes", confinement=held)
    assert ended.reason == "output_limit"
    assert (tmp_path / "out").stat().st_size == 1 << 20, "what came past it is cut off"
    assert sh("echo little", confinement=held).ok
    assert sh("sleep 60", confinement=held, timeout=0.3).reason == "timeout"


def test_the_switch_ends_a_running_process(sh: Sh) -> None:
    switch = KillSwitch(grace=0.2)
    threading.Timer(0.1, switch.pull, ["cancelled"]).start()
    ended = sh("trap '' TERM; while :; do sleep 0.01; done", kill=switch)
    assert (ended.signal, ended.reason) == (signal.SIGKILL, "cancelled")
    assert ended.seconds < 3


def test_the_switch_ends_what_starts_later_and_keeps_its_first_reason(sh: Sh) -> None:
    switch = KillSwitch()
    switch.pull("cancelled")
    switch.pull("timeout")
    ended = sh("sleep 60", kill=switch)
    assert (ended.reason, switch.reason, ended.ok) == ("cancelled", "cancelled", False)
    assert ended.seconds < 2


def test_the_switch_ends_all_processes_of_an_attempt(tmp_path: Path) -> None:
    switch, ended = KillSwitch(), []

    def one(name: str) -> None:
        out = tmp_path / name
        ended.append(
            run(["sleep", "60"], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, stdout=out, stderr=out, kill=switch)
        )

    threads = [threading.Thread(target=one, args=[str(index)]) for index in range(8)]
    for thread in threads:
        thread.start()
    threading.Timer(0.05, switch.pull, ["cancelled"]).start()
    for thread in threads:
        thread.join(5)
    assert [one.reason for one in ended] == ["cancelled"] * 8


def test_capture_returns_bytes_and_takes_input(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    done = capture(["cat"], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, stdin=data)
    assert (done.code, done.stdout, done.stderr) == (0, data, b"")


def test_capture_does_not_wait_for_ever(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(CannotStart, match=r"sleep did not end within 0\.2 s"):
        capture(["sleep", "60"], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, timeout=0.2)
    assert time.monotonic() - began < 3
