"""A disk that fails: the state before or the state after, words, and the same commit once there is room again."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from disk_faults import Unkept, check, command, injected, ledger_of, limited, project, run, undisturbed
from faults import Found, damages, judged, mark_of
from histories.decisions import ledgers
from support import SEAM, Project, Ran

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def commit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return undisturbed(tmp_path_factory.mktemp("good"))


@needs_strace
@pytest.mark.parametrize(
    ("target", "call", "error", "number"),
    [("ledger", "write", "ENOSPC", 3), ("ledger", "fdatasync", "EIO", 6), ("head", "pwrite64", "ENOSPC", 4)],
)
def test_a_call_on_the_ledger_fails(
    target: str, call: str, error: str, number: int, commit: str, tmp_path: Path
) -> None:
    made = project(tmp_path)
    ran, reached = injected(made, target, call, error, number)
    assert reached
    assert check(made, ran, commit, strict=True) == "stopped"


@needs_strace
def test_a_write_of_every_process_fails(commit: str, tmp_path: Path) -> None:
    made = project(tmp_path)
    ran, reached = injected(made, "anything", "write", "ENOSPC", 12)
    assert reached
    check(made, ran, commit, strict=False)


def test_no_file_may_grow(commit: str, tmp_path: Path) -> None:
    made = project(tmp_path)
    ran = limited(made, 8)
    assert ran.code == 1
    assert check(made, ran, commit, strict=True) == "stopped"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount")
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("only root may mount a file system, where that is allowed at all")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("records", [9, *(pytest.param(one, marks=pytest.mark.heavy) for one in (11, 16))])
def test_a_file_system_is_full(records: int, commit: str, small: Path) -> None:
    made = project(small)
    plan_and_settings = command(made)
    with subprocess.Popen(
        plan_and_settings,
        cwd=made.root,
        env={**os.environ, **SEAM, "NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        fill(made, records, process)
        _, said = process.communicate(timeout=100)
    assert process.returncode == 1, said
    (small / "ballast").unlink()
    check(made, Ran(process.returncode, "", said.decode()), commit, strict=False)


def fill(made: Project, records: int, process: "subprocess.Popen[bytes]") -> None:
    """Once there are so many records, leave no room, while nobody looks."""
    ledger, until = ledger_of(made), time.monotonic() + 60
    while not (ledger.exists() and ledger.read_bytes().count(b"\n") >= records):
        assert time.monotonic() < until
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    with contextlib.suppress(OSError), (made.root.parent / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(1 << 20)):
            pass
    process.send_signal(signal.SIGCONT)


def test_a_run_that_ends_elsewhere_would_be_noticed(commit: str, tmp_path: Path) -> None:
    made = project(tmp_path)
    ran = run(made, command(made))
    assert check(made, ran, commit, strict=False) == "absorbed"
    with pytest.raises(Unkept, match="it ended elsewhere"):
        check(made, ran, "0" * 40, strict=False)
    with pytest.raises(Unkept, match="exit code 0, said"):
        check(made, ran, commit, strict=True)


def test_a_sample_of_all_damages_of_a_real_ledger_is_told() -> None:
    ledger = next(path for path in ledgers() if path.stem.endswith("cancelled"))
    data, found = ledger.read_bytes(), Found()
    judged(data, mark_of(data), damages(data, every=199), found)
    assert not found.silent
    assert set(found.made) == {"cut", "flip", "delete", "duplicate", "swap"}
    assert found.made.total() > 1_500, found.made
    lost = Found()
    judged(data, None, ((k, p, bad) for k, p, bad in damages(data, every=199) if not data.startswith(bad)), lost)
    assert not lost.silent
