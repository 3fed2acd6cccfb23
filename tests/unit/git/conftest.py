"""Real repositories to work on."""

from pathlib import Path

import pytest

from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from unit.git.sandbox import Sandbox


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    """A repository whose `main` holds a.txt, src/b.py and link (to a.txt)."""
    root, scratch = tmp_path / "repo", tmp_path / "scratch"
    root.mkdir()
    scratch.mkdir()
    sandbox = Sandbox(root, scratch)
    sandbox.git("init", "-q", "-b", "main")
    (root / "link").symlink_to("a.txt")
    sandbox.commit({"a.txt": "one\ntwo\nthree\n", "src/b.py": "b = 1\n"})
    return sandbox


@pytest.fixture
def repo(box: Sandbox) -> Repo:
    """The repository of `box`, opened."""
    return Repo.open(box.root)


@pytest.fixture
def workspaces(repo: Repo, box: Sandbox) -> Workspaces:
    """The workspaces of a run in `repo`."""
    return Workspaces(repo, box.scratch / "home", base=repo.head_commit(), target="main")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user, with a global configuration that is read."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home
