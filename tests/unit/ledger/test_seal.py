"""A record is ours by a seal that nothing in a repository can make."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from branchline.errors import InvalidInput
from branchline.ledger import seal
from branchline.ledger.codec import VERSION
from branchline.ledger.paths import RunPaths
from branchline.ledger.seal import FOLDER, KEY, is_ours, key_folders, require_ours, sealed
from strategies import begun, started


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder for what they set, with no key yet."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home/.config/branchline"


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    begun(tmp_path / "repo", "R", 1)
    return RunPaths(tmp_path / "repo", "R")


def test_what_we_began_is_ours(run: RunPaths, home: Path) -> None:
    assert is_ours(run)
    require_ours(run)
    assert (home / FOLDER / KEY).stat().st_mode & 0o777 == 0o600
    assert (home / FOLDER).stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (home / FOLDER).iterdir()] == [KEY]
    assert home / FOLDER in key_folders()


def test_it_stays_ours_when_the_repository_is_moved_or_copied(run: RunPaths, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "repo", tmp_path / "copy")
    assert is_ours(RunPaths(tmp_path / "copy", "R"))


@pytest.mark.parametrize("change", ["settings", "another run's id", "no seal", "an empty seal", "no text", "no object"])
def test_what_was_changed_or_forged_is_not_ours(run: RunPaths, change: str) -> None:
    record = json.loads(run.ledger.read_bytes())
    if change == "settings":
        record["context"]["pins"] = {"settings": {"sandbox": {"rung": 1}}}
    elif change == "no seal":
        del record["context"]["seal"]
    elif change == "no object":
        record["context"] = []
    else:
        record["context"]["seal"] = {"an empty seal": "", "no text": ["x"]}.get(change, record["context"]["seal"])
    if change == "another run's id":
        run.run_dir.rename(run.run_dir.with_name("S"))
        run = RunPaths(run.root, "S")
    run.ledger.write_text(json.dumps(record) + "\n")
    assert not is_ours(run)
    with pytest.raises(InvalidInput, match="foreign") as caught:
        require_ours(run)
    assert caught.value.hint.startswith(f"branchline show {run.run_id}")


def test_another_user_or_machine_has_another_key(
    run: RunPaths, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "machine-id").write_text("another\n")
    with monkeypatch.context() as patch:
        patch.setattr(seal, "MACHINE", tmp_path / "machine-id")
        assert not is_ours(run)
    with monkeypatch.context() as patch:
        patch.setattr(seal, "MACHINE", tmp_path / "none")
        begun(tmp_path / "repo", "S", 1)
        assert is_ours(RunPaths(tmp_path / "repo", "S"))
    (home / FOLDER / KEY).unlink()
    assert not is_ours(run)


def test_a_key_that_others_could_have_written_counts_for_nothing(run: RunPaths, home: Path, tmp_path: Path) -> None:
    (home / FOLDER / KEY).chmod(0o666)
    assert not is_ours(run)
    (home / FOLDER / KEY).rename(tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    (home / FOLDER / KEY).symlink_to(tmp_path / "key")
    assert not is_ours(run)
    with pytest.raises(InvalidInput, match="cannot write"):
        sealed(started(), run)


def test_a_key_in_the_repository_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that is a repository: a batch could bring a key of its own."""
    begun(tmp_path, "R", 1)
    paths = RunPaths(tmp_path, "R")
    assert is_ours(paths)
    forged = tmp_path / "home/.config/branchline/seal"
    forged.mkdir(parents=True)
    (forged / KEY).write_bytes(b"k" * 32)
    assert not (forged / KEY).stat().st_mode & 0o022
    record = json.loads(paths.ledger.read_bytes())
    record["context"]["seal"] = seal._seal(b"k" * 32, "R", record["context"])
    paths.ledger.write_text(json.dumps(record) + "\n")
    assert not is_ours(paths)
    monkeypatch.setenv("HOME", str(tmp_path.parent))


def test_first_runs_that_begin_at_once_agree_on_one_key(tmp_path: Path) -> None:
    names = [f"R{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: begun(tmp_path / "repo", name, 1), names))
    assert all(is_ours(RunPaths(tmp_path / "repo", name)) for name in names)


def test_where_no_key_can_be_kept_no_run_begins(run: RunPaths, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = home / "file"
    nowhere.write_text("in the way")
    monkeypatch.setattr(seal, "for_all_homes", lambda: nowhere)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(nowhere))
    with pytest.raises(InvalidInput, match="no folder for the key of your runs can be made"):
        sealed(started(), run)


def test_without_a_home_the_key_lies_where_all_may_write(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(seal, "for_all_homes", lambda: tmp_path / "var")
    monkeypatch.delenv("HOME")
    begun(tmp_path / "repo", "R", 1)
    assert (tmp_path / "var" / FOLDER / KEY).exists()
    assert is_ours(RunPaths(tmp_path / "repo", "R"))


def test_two_who_make_the_key_at_once(home: Path, run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes when the first has just looked: it takes the first one's."""
    first = (home / FOLDER / KEY).read_bytes()
    assert seal._new_key(home / FOLDER) == first
    (home / FOLDER / KEY).chmod(0o666)
    with pytest.raises(InvalidInput, match="other users"):
        seal._new_key(home / FOLDER)
    assert VERSION
