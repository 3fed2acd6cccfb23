"""Which secrets count, and what is said of them."""

import random
import string
import subprocess
from pathlib import Path

import pytest

from branchline.attempt.secret_scan import MOST, fingerprint, require_none, screening, secret_values
from branchline.config.settings import Secrets, Settings
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import InvalidInput
from branchline.git.commit import Snapshot, snapshot
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from support import Project

CHANCE = random.Random(11)
TOKEN, OTHER = ("ghp_" + "".join(CHANCE.choices(string.ascii_letters + string.digits, k=36)) for _ in range(2))
VALUE = "correct-horse-9"


class Tree:
    """A workspace, taken with what the settings say."""

    def __init__(self, root: Path, files: dict[str, str]) -> None:
        self.project = Project.make(root / "p", {"a.txt": "a\n", **files})
        self.repo = Repo.open(self.project.root)
        self.scratch = root / "scratch"
        self.scratch.mkdir()
        base = self.repo.head_commit()
        self.workspaces = Workspaces(self.repo, root / "home", base=base, target="main")
        self.path = self.workspaces.add(root / "w", base, "feature/w")

    def write(self, path: str, content: str) -> None:
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_text(content)

    def taken(self, **secrets: object) -> Snapshot:
        settings = Settings(version=1, secrets=Secrets(**secrets))  # type: ignore[arg-type]
        base = self.repo.tree_of(self.repo.head_commit())
        inspect = screening(settings, {"MY_PASSWORD": VALUE})
        return snapshot(self.workspaces.content(self.path), self.path, base, scratch=self.scratch, inspect=inspect)

    def said(self, **secrets: object) -> list[str]:
        return [str(one) for one in self.taken(**secrets).refused]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path, {"tests/t.py": f"KEY = '{OTHER}'\n"})


def test_a_finding_is_told_by_place_and_kind(tree: Tree) -> None:
    tree.write("src/x.py", f"one\nKEY = '{TOKEN}'\n")
    tree.write("y", VALUE)
    mark = fingerprint(TOKEN.encode())
    told = tree.said()
    assert told == [
        f"src/x.py:2: a secret: GitHub token (fingerprint {mark})",
        "y:1: a secret: value of a secret variable",
    ]
    assert TOKEN not in "".join(told)


def test_what_the_settings_allow(tree: Tree) -> None:
    tree.write("docs/a.md", f"{TOKEN}\n{VALUE}\n")
    tree.write("b", TOKEN)
    known = "docs/a.md:2: a secret: value of a secret variable"
    assert [one.partition(" (")[0] for one in tree.said(allow=("docs/**",))] == ["b:1: a secret: GitHub token", known]
    assert tree.said(allow=(fingerprint(TOKEN.encode()),)) == [known]
    assert screening(Settings(version=1, secrets=Secrets(scan=False)), {}) is None


def test_what_the_base_has_is_nobodys(tree: Tree) -> None:
    tree.write("tests/t.py", f"# more\nKEY = '{OTHER}'\n")
    tree.write("moved.py", f"KEY = '{OTHER}'\n")
    tree.write("copied.py", f"def f(): return '{OTHER}'\n")
    assert tree.said() == []
    tree.write("tests/t.py", f"KEY = '{OTHER}'\nNEW = '{TOKEN}'\n")
    assert [one.partition(" (")[0] for one in tree.said()] == ["tests/t.py:2: a secret: GitHub token"]


def test_names_and_links_are_looked_at(tree: Tree) -> None:
    tree.write(f"d/{TOKEN}.txt", "x")
    (tree.path / "link").symlink_to(VALUE)
    told = tree.said()
    assert "link:1: a secret: value of a secret variable" in told
    assert any("its name holds a secret: GitHub token" in one for one in told)


def test_many_findings_are_counted(tree: Tree) -> None:
    tree.write("many", "".join(f"ghp_{number:02}{TOKEN[6:]}\n" for number in range(10, 20)))
    told = tree.said()
    assert len(told) == MOST + 1
    assert "'many': 5 more secrets" in told


def test_a_clean_blob_is_looked_at_once(tree: Tree) -> None:
    inspect = screening(Settings(version=1), {})
    assert inspect is not None
    tree.write("big", "x = 1\n" * 1000)
    base = tree.repo.tree_of(tree.repo.head_commit())
    git = tree.workspaces.content(tree.path)
    first, second = (snapshot(git, tree.path, base, scratch=tree.scratch, inspect=inspect) for _ in range(2))
    assert first == second


def test_agents_keys_are_secret_whatever_their_names() -> None:
    specs = (
        AgentSpec(id="a", use="codex", key_env="MINE"),
        AgentSpec(id="b", command=("b",), env={"X": "${env:OURS}"}),
    )
    environ = {"MINE": "value-of-mine", "OURS": "value-of-ours", "A_TOKEN": "t0ken-1234", "PATH": "/usr/bin:/usr/sbin"}
    assert secret_values(Settings(version=1, agents=specs), environ) == ["t0ken-1234", "value-of-mine", "value-of-ours"]


@pytest.mark.parametrize("value", ["postgres", "changeme", "/etc/key.pem", "~/key", "./key", "short", "feature/"])
def test_innocent_values_are_none(value: str) -> None:
    assert secret_values(Settings(version=1), {"DB_PASSWORD": value}) == []


def test_what_a_ledger_would_hold(tmp_path: Path) -> None:
    settings, environ = Settings(version=1), {"MY_PASSWORD": 'quoted "x" 123'}
    require_none(settings, environ, {"the prompt": "nothing", "the plan": 'token = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6"'})
    with pytest.raises(InvalidInput, match="the plan holds a secret") as caught:
        require_none(settings, environ, {"the plan": '{"a": "quoted \\"x\\" 123"}'})
    assert "allow" not in caught.value.hint
    with pytest.raises(InvalidInput, match=r"the prompt holds a secret \(GitHub token\)") as caught:
        require_none(settings, environ, {"the prompt": TOKEN})
    mark = fingerprint(TOKEN.encode())
    assert mark in caught.value.hint
    for allowed in (Secrets(allow=(mark,)), Secrets(scan=False)):
        require_none(Settings(version=1, secrets=allowed), environ, {"the prompt": TOKEN})


def test_no_object_holds_it(tree: Tree) -> None:
    tree.write("x", TOKEN)
    tree.taken()
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    objects = subprocess.run(command, cwd=tree.project.root, capture_output=True, check=True).stdout
    assert TOKEN.encode() not in objects
    assert OTHER.encode() in objects
