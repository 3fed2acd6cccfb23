import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from branchline.process.temporary import clear, temporary

CODE = """
import time
from branchline.process.temporary import temporary
with temporary() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which is empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_our_own_and_gone_at_the_end(place: Path) -> None:
    with temporary() as folder, temporary() as other:
        assert folder.parent == other.parent == place
        assert folder != other
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
        (folder / "file").chmod(0)
    assert list(place.iterdir()) == []


def test_many_at_once_do_not_take_folders_from_each_other(place: Path) -> None:
    failed: list[OSError] = []

    def often() -> None:
        try:
            for _ in range(50):
                with temporary() as folder:
                    clear()
                    (folder / "file").touch()
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert list(place.iterdir()) == []


def test_what_the_dead_have_left_is_removed_and_the_livings_is_not(place: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(place)}
    (place / "branchline-index-x").mkdir()
    with temporary() as ours:
        for _ in range(3):
            with subprocess.Popen(
                [sys.executable, "-c", CODE], env=environ, stdout=subprocess.PIPE, text=True
            ) as other:
                assert other.stdout is not None
                folder = Path(other.stdout.readline().strip())
                clear()
                assert folder.is_dir()
                other.send_signal(signal.SIGKILL)
            assert folder.is_dir()
        clear()
        assert sorted(place.iterdir()) == sorted([ours, place / "branchline-index-x"])


def test_a_link_is_not_followed(place: Path) -> None:
    (place / "elsewhere/keep").mkdir(parents=True)
    (place / f"branchline-{os.getuid()}-x").symlink_to(place / "elsewhere")
    clear()
    assert (place / "elsewhere/keep").is_dir()
