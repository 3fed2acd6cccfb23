"""Real repositories to work on, made by plain git as a user would."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sandbox:
    """A repository with one commit on `main`, and an empty folder beside it."""

    root: Path
    scratch: Path

    def git(self, *args: str, cwd: Path | None = None) -> str:
        """Run git as a user would and return what it prints."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "User", f"GIT_{who}_EMAIL": "user@localhost"}
        done = subprocess.run(["git", *args], cwd=cwd or self.root, env=env, capture_output=True, check=True)
        return os.fsdecode(done.stdout)

    def write(self, files: Mapping[str, str | bytes | None], *, at: Path | None = None) -> None:
        """Write files (None: delete) below the repository, or below `at`."""
        for name, content in files.items():
            path = (at or self.root) / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: Mapping[str, str | bytes | None]) -> str:
        """Write files, commit everything, and return the commit."""
        self.write(files)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD").strip()

    def branch_with(self, files: Mapping[str, str | bytes | None], start: str = "main") -> str:
        """Commit files on a detached HEAD at `start`, go back to main, and return the commit."""
        self.git("checkout", "-q", "--detach", start)
        commit = self.commit(files)
        self.git("checkout", "-q", "main")
        return commit
