import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from branchline.process.temporary import clear, temporary


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which is empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"branchline-{os.getuid()}"


def test_it_is_our_own_and_gone_at_the_end(place: Path) -> None:
    with temporary() as folder, temporary() as other:
        assert folder.parent == other.parent == place
        assert place.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
        (folder / "file").chmod(0)
    assert list(place.iterdir()) == []


def test_what_the_dead_have_left_is_removed_and_the_livings_is_not(place: Path) -> None:
    code = "import time; from branchline.process.temporary import temporary\nwith temporary() as f: print(f, flush=True); time.sleep(60)"
    folders = []
    with temporary() as ours:
        for _ in range(3):
            environ = {**os.environ, "TMPDIR": str(place.parent)}
            with subprocess.Popen(
                [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True
            ) as other:
                assert other.stdout is not None
                folders.append(Path(other.stdout.readline().strip()))
                clear()
                assert folders[-1].is_dir()
                other.send_signal(signal.SIGKILL)
        assert folders[-1].is_dir()
        clear()
        assert list(place.iterdir()) == [ours]


def test_a_folder_of_another_users_is_not_used(place: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    place.mkdir()
    os.chown(place, 12345, 12345)
    with pytest.raises(PermissionError), temporary():
        pass
    clear()


def test_a_link_in_its_place_is_not_followed(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/keep").mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    clear()
    with pytest.raises(OSError, match="branchline"), temporary():
        pass
    assert (tmp_path / "elsewhere/keep").is_dir()
