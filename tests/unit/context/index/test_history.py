import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from branchline.context.index.cache import Index
from branchline.context.index.history import COMMITS, History, history_of
from branchline.git.repo import Repo

DAY = 86_400
YEAR = 365 * DAY
NOW = 1_700_000_000
_STEPS = count()


class Kept(Index):
    """An index that shows what it keeps."""

    def __init__(self, kept: Mapping[str, bytes] | None = None) -> None:
        super().__init__(None)
        self.kept = dict(kept or {})

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.kept[key] = value


@dataclass(frozen=True)
class Box:
    """A repository whose commits are made at given times."""

    root: Path

    def git(self, *args: str, when: int = NOW) -> str:
        date = f"@{when} +0000"
        who = {f"GIT_{who}_{what}": "user" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": "@1 +0000", "GIT_COMMITTER_DATE": date}
        config = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
        done = subprocess.run(["git", *args], cwd=self.root, env=config | who | dates, capture_output=True, check=True)
        return os.fsdecode(done.stdout).strip()

    def commit(self, when: int, *changed: str, gone: tuple[str, ...] = ()) -> str:
        """Change files, delete others, and commit."""
        for name in changed:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{next(_STEPS)}")
        for name in gone:
            (self.root / name).unlink()
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change", when=when)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    root = tmp_path / "repo"
    root.mkdir()
    made = Box(root)
    made.git("init", "-q", "-b", "main")
    made.commit(NOW - 9 * YEAR, "root.txt")
    return made


def told(box: Box, commit: str, paths: list[str], store: Kept | None = None) -> History:
    return history_of(Repo.open(box.root), commit, paths, Kept() if store is None else store)


def by_path(history: History, paths: list[str]) -> dict[str, tuple[float, dict[str, float]]]:
    return {
        path: (
            history.churn[file],
            {paths[other]: weight for other, weight in history.changed_with(file).items()},
        )
        for file, path in enumerate(paths)
    }


def test_changes_fade_by_half_a_year_before_the_commit(box: Box) -> None:
    box.commit(NOW - 2 * YEAR, "a")
    box.commit(NOW - YEAR, "a", "b")
    head = box.commit(NOW, "b", "c", "d")
    found = by_path(told(box, head, paths := ["a", "b", "c", "d", "root.txt", "unknown"]), paths)
    assert [found[path][0] for path in paths] == pytest.approx([0.75, 1.5, 1, 1, 0, 0])
    assert found["a"][1] == pytest.approx({"b": 0.5})
    assert found["b"][1] == pytest.approx({"a": 0.5, "c": 0.5, "d": 0.5})


def test_the_future_is_not_known(box: Box) -> None:
    then = box.commit(NOW - YEAR, "a")
    before = by_path(told(box, then, ["a", "b"]), ["a", "b"])
    box.commit(NOW, "a", "b")
    assert by_path(told(box, then, ["a", "b"]), ["a", "b"]) == before
    assert before["a"][0] == 1


def test_a_clock_that_ran_ahead_makes_nothing_weigh_more_than_one(box: Box) -> None:
    box.commit(NOW + 5 * YEAR, "a")
    found = told(box, box.commit(NOW, "b"), ["a", "b"])
    assert list(found.churn) == [1, 1]


def test_merges_do_not_count_and_their_sides_do(box: Box) -> None:
    box.git("checkout", "-q", "-b", "side")
    box.commit(NOW - DAY, "a")
    box.git("checkout", "-q", "main")
    box.commit(NOW - DAY, "b")
    box.git("merge", "-q", "--no-ff", "-m", "merge", "side", when=NOW)
    found = told(box, box.git("rev-parse", "HEAD"), ["a", "b"])
    assert found.churn[0] == found.churn[1] == pytest.approx(0.5 ** (1 / 365))


def test_a_sweep_changes_files_and_ties_none(box: Box) -> None:
    names = [f"f{number:02}" for number in range(21)]
    head = box.commit(NOW, *names)
    found = told(box, head, names)
    assert list(found.churn) == [1] * 21
    assert found.changed_with(0) == {}
    head = box.commit(NOW, *names[:20])
    assert told(box, head, names).changed_with(0) == {other: pytest.approx(1 / 19) for other in range(1, 20)}


def test_files_that_are_gone_count_as_companions_of_none(box: Box) -> None:
    box.commit(NOW, "a", "b", "c")
    head = box.commit(NOW, "a", gone=("b",))
    assert told(box, head, ["a", "c"]).changed_with(0) == {1: 0.5}


def test_names_of_any_kind(box: Box) -> None:
    names = sorted(["new\nline", "\ttab", "q\"uo'te", "\udcff\udcfe", "ü", "d/" + "a" * 40, " "])
    head = box.commit(NOW, *names, "\n")
    found = told(box, head, names)
    assert list(found.churn) == [1] * 7
    assert found.changed_with(0) == {other: pytest.approx(1 / 7) for other in range(1, 7)}


def test_paths_of_a_folder_of_the_repository(box: Box) -> None:
    head = box.commit(NOW, "lib/a", "lib/b", "a")
    found = history_of(Repo.open(box.root), head, ["a", "b"], Kept(), "lib/")
    assert (list(found.churn), dict(found.changed_with(0))) == ([1, 1], {1: 0.5})


def test_a_later_commit_is_told_alike_with_and_without_a_cache(box: Box) -> None:
    paths = ["a", "b", "c", "d"]
    store = Kept()
    heads = []
    for step in range(8):
        when = NOW + (step if step % 3 else -step) * 40 * DAY  # the clock goes back now and then
        heads.append(box.commit(when, *paths[step % 3 : step % 3 + 2]))
    for head in (heads[2], heads[7], heads[4], heads[6]):
        cold = by_path(told(box, head, paths), paths)
        assert by_path(told(box, head, paths, store), paths) == cold
        assert by_path(told(box, head, paths, store), paths) == cold


def test_what_is_kept_is_not_asked_for_again(box: Box) -> None:
    head, store = box.commit(NOW, "a"), Kept()
    told(box, head, ["a"], store)
    (box.root / ".git" / "objects").rename(box.root / ".git" / "gone")
    (box.root / ".git" / "objects").mkdir()
    assert list(history_of(Repo(box.root, box.root / ".git", box.root / ".git"), head, ["a"], store).churn) == [1]


def test_only_the_commits_in_between_are_read(box: Box) -> None:
    oldest, store = box.commit(NOW, "a", "b"), Kept()
    told(box, box.commit(NOW, "a"), ["a", "b"], store)
    head = box.commit(NOW, "b")
    tree = box.git("rev-parse", f"{oldest}^{{tree}}")
    (box.root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    assert list(told(box, head, ["a", "b"], store).churn) == [2, 2]
    assert list(told(box, head, ["a", "b"]).churn) == [0, 1]


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_broken_cache_is_no_cache(box: Box, rubbish: bytes) -> None:
    head, store = box.commit(NOW, "a"), Kept()
    told(box, head, ["a"], store)
    broken = Kept(dict.fromkeys(store.kept, rubbish))
    assert list(told(box, head, ["a"], broken).churn) == [1]
    assert broken.kept == store.kept


def test_no_commit_an_unknown_one_and_a_first_one(box: Box) -> None:
    for commit in ("", "0" * 40, "--all", box.git("rev-parse", "HEAD")):
        store = Kept()
        found = told(box, commit, ["root.txt", "b"], store)
        assert (list(found.churn), found.changed_with(0)) == ([0, 0], {})
    assert list(told(box, "", []).churn) == []


def test_a_shallow_clone_knows_what_it_holds_and_more_when_deepened(box: Box, tmp_path: Path) -> None:
    box.commit(NOW, "a")
    box.commit(NOW, "a", "b")
    head = box.commit(NOW, "b")
    box.git("clone", "-q", "--depth", "2", f"file://{box.root}", str(tmp_path / "clone"))
    clone, store = Box(tmp_path / "clone"), Kept()
    assert list(told(clone, head, ["a", "b"], store).churn) == [0, 1]
    clone.git("fetch", "-q", "--unshallow")
    assert list(told(clone, head, ["a", "b"], store).churn) == [2, 2]


def test_missing_commits_end_the_history_and_are_not_remembered(box: Box) -> None:
    lost = box.commit(NOW, "a")
    head, store = box.commit(NOW, "a"), Kept()
    (box.root / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    assert told(box, head, ["a"], store).churn[0] <= 1
    assert store.kept == {}


def test_the_newest_commits_count(box: Box) -> None:
    stream = [f"commit refs/heads/main\ncommitter u <u> {NOW + step} +0000\ndata 0\n" for step in range(COMMITS + 5)]
    files = [
        f"M 100644 inline {'old' if step < 5 else 'new'}\ndata {len(str(step))}\n{step}\n"
        for step in range(len(stream))
    ]
    joined = "".join(map("".join, zip(stream, files, strict=True)))
    subprocess.run(["git", "fast-import", "--quiet", "--force"], cwd=box.root, input=joined.encode(), check=True)
    found = told(box, box.git("rev-parse", "refs/heads/main"), ["new", "old"])
    assert found.churn[0] == pytest.approx(COMMITS, rel=1e-2)
    assert found.churn[1] == 0
