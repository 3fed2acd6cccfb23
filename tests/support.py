"""What integration tests stand on: a small real repository, and Branchline run on it as a user would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IDENTITY = {
    "GIT_AUTHOR_NAME": "A User",
    "GIT_AUTHOR_EMAIL": "user@example.org",
    "GIT_COMMITTER_NAME": "A User",
    "GIT_COMMITTER_EMAIL": "user@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
SEAM = {"BRANCHLINE_RUN_ID": "01HF0000000000000000000000", "BRANCHLINE_START_TIME": "1700000100000"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Ran:
    """A finished command of ours."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        made: Json = json.loads(self.out)
        return made


@dataclass
class Project:
    """A repository in a temporary folder, with main checked out."""

    root: Path
    patience: float = 100  # seconds that a command may take
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path, files: Mapping[str, str] | None = None) -> "Project":
        root.mkdir(parents=True, exist_ok=True)
        project = cls(root)
        project.git("init", "--quiet", "--initial-branch=main")
        project.commit("first commit", files or {"README.md": "# A project\n", "src/x.py": "x = 1\n", "old.txt": "o\n"})
        return project

    def git(self, *args: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.root, env={**os.environ, **IDENTITY}, capture_output=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return os.fsdecode(done.stdout).strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    def commit(self, message: str, files: Mapping[str, str]) -> str:
        self.write(files)
        self.git("add", "--all", "--", *files)
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def show(self, revision: str, path: str) -> str | None:
        done = subprocess.run(
            ["git", "show", f"{revision}:{path}"], cwd=self.root, env={**os.environ, **IDENTITY}, capture_output=True,
            check=False,
        )  # fmt: skip
        return done.stdout.decode() if done.returncode == 0 else None

    def files(self, revision: str) -> list[str]:
        return [name for name in self.git("ls-tree", "-r", "-z", "--name-only", revision).split("\0") if name]

    def tree(self, revision: str) -> str:
        return self.git("rev-parse", f"{revision}^{{tree}}")

    def branchline(self, *args: str, **env: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "branchline", *args],
            cwd=self.root,
            env={**os.environ, "NO_COLOR": "1", **self.env, **env},
            capture_output=True,
            timeout=self.patience,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def run(self, plan: Json, settings: Json | None = None, *args: str, **env: str) -> Ran:
        """`branchline run --plan ... --json`; plan and configuration lie outside the checkout."""
        plan_file, config = self.request(plan, settings)
        return self.branchline(
            *("run", "--plan", str(plan_file), "--config", str(config), "--yes", "--json", *args),
            **env,
        )

    def request(self, plan: Json, settings: Json | None = None) -> tuple[Path, Path]:
        folder = self.root.parent / f"{self.root.name}-request"
        folder.mkdir(exist_ok=True)
        (folder / "plan.json").write_text(json.dumps({"version": 1, **plan}))
        quick = {"version": 1, "retry": {"max_attempts": 2, "backoff": "fixed", "base_seconds": 0.1}}
        (folder / "config.json").write_text(json.dumps({**quick, **(settings or {})}))
        return folder / "plan.json", folder / "config.json"

    def records(self, run_id: str | None = None) -> list[Json]:
        """The records of a run's ledger (of the only run, without an id)."""
        folders = [path for path in (self.root / ".runs").iterdir() if (path / "logs").is_dir()]
        folder = self.root / ".runs" / run_id if run_id else folders[0]
        written = (folder / "logs" / "run.jsonl").read_text()
        return [json.loads(line) for line in written[: written.rfind("\n") + 1].splitlines()]  # one may be on its way

    def mark_last(self, run_id: str | None = None) -> None:
        """Make the marks of a ledger that was cut vouch for what is left, as if the rest had never been written."""
        last = self.records(run_id)[-1]
        run = last["run_id"]
        logs = self.root / ".runs" / run / "logs"
        (logs / "run.head").write_text(f"{last['seq']:020d} {last['sha']}\n")
        (logs / "mark").write_text(f"{last['seq']} {last['sha']}\n")
        self.git("update-ref", f"refs/branchline/{run}/head", self.git("hash-object", "-w", str(logs / "mark")))
        (logs / "mark").unlink()

    def has_begun(self) -> bool:
        """Whether a run has a first record."""
        return any(self.root.glob(".runs/*/logs/run.jsonl")) and bool(self.records())

    def work(self, run_id: str | None = None) -> Path:
        """The folder with a run's workspaces (`w`), clean checkouts (`c`) and agents' own folders (`a`)."""
        return Path(self.records(run_id)[0]["context"]["pins"]["work"])

    def workspace(self, name: str, run_id: str | None = None) -> Path:
        """Where the agent of a workstream works."""
        return self.work(run_id) / "w" / name


def workstream(name: str, *script: Json | str, write: Sequence[str] = ("**",), **fields: Any) -> Json:
    """A workstream of the scripted agent; keywords are further fields of the plan format."""
    return {"id": name, "scope": {"write": list(write)}, "script": list(script), **fields}


def write(path: str, content: str) -> Json:
    return {"write": {"path": path, "content": content}}


def edit(path: str, old: str, new: str) -> Json:
    return {"edit": {"path": path, "old": old, "new": new}}


def sh(script: str) -> Json:
    return {"run": ["sh", "-c", script]}


def gate(name: str, script: str, **fields: Any) -> Json:
    """A gate that is a shell script."""
    return {"id": name, "verify": ["sh", "-c", script], **fields}


def gate_outside(folder: Path, name: str, script: str, **fields: Any) -> Json:
    """A gate whose script is a file: without a sandbox none may name the user's checkout, as this one does."""
    (folder / f"{name}.sh").write_text(script)
    return gate(name, f"sh {folder / name}.sh", **fields)


def fate(ran: Ran, name: str) -> Json:
    """What `--json` says of one workstream."""
    found: Json = next(w for w in ran.json["workstreams"] if w["id"] == name)
    return found
