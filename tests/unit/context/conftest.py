"""Real repositories to look at."""

from pathlib import Path

import pytest

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
    sandbox.commit({"a.txt": "one\n", "src/b.py": "b = 1\n"})
    return sandbox
