"""What a sandbox is tried out on: a checkout, a workspace that stands in for it, a home with a secret, and listeners."""

import hashlib
import os
import socket
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from branchline.core.model.sandbox import SandboxFact, SandboxSettings
from branchline.process.temporary import temporary
from branchline.sandbox.bubblewrap import Access, Sandbox
from branchline.sandbox.mounts import Mount, own

CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
WHO, EMPTY_TREE = b"probe <probe@localhost> 0 +0000", b"4b825dc642cb6eb9a060e54bf8d69288fbee4904"
SECRETS = (
    "home/.ssh/id",
    "main/secret",
    "main/.git/branchline/runs/r/logs/run.jsonl",
    "state/r/w/b/secret",
    "state/r/a/b.1/secret",
)


class Stage:
    """Everything below `base` is made for the probes alone: the user's `home` and checkout `main`, the work area `state`."""

    def __init__(self, base: Path, open_port: int, shut_port: int) -> None:
        self.base, self.home, self.main, self.state = base, base / "home", base / "main", base / "state"
        self.open_port, self.shut_port = open_port, shut_port

    def access(self, **more: object) -> Access:
        """What an attempt is given, and more."""
        mounts = (
            Mount(self.main / ".git/objects", self.state / "objects", "read"),
            Mount(self.state / "r/w/a", self.main, "write"),
            *own("write", self.state / "r/a/a.1"),
        )
        return Access(mounts=mounts, **more)  # type: ignore[arg-type]

    def sandbox(self, program: str, settings: SandboxSettings, environ: Mapping[str, str]) -> Sandbox:
        """A sandbox of the stage, by a bubblewrap that is to be tried."""
        fact, covered = SandboxFact(rung=3, program=program), (self.main, self.main / ".git", self.state)
        return Sandbox(fact=fact, settings=settings, root=self.main, covered=covered, environ=environ)

    def places(self) -> dict[str, object]:
        """What those who try have to know."""
        with open(f"/proc/{os.getpid()}/stat", encoding="utf-8") as file:
            started = file.read().rpartition(")")[2].split()[19]
        return {
            "main": str(self.main),
            "state": str(self.state),
            "folder": str(self.state / "r/a/a.1"),
            "home": str(self.home),
            "secrets": [str(self.base / name) for name in SECRETS],
            "pid": os.getpid(),
            "started": started,
            "open_port": self.open_port,
            "shut_port": self.shut_port,
            "abstract": self.base.name,
        }

    def fill(self) -> None:
        """Make all that stands on it: a repository of one commit, and one that borrows its objects."""
        content = b"tree %s\nauthor %s\ncommitter %s\n\nprobe\n" % (EMPTY_TREE, WHO, WHO)
        data = b"commit %d\0%s" % (len(content), content)
        commit = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        self._write(f"main/.git/objects/{commit[:2]}/{commit[2:]}", zlib.compress(data))
        repository = {"HEAD": "ref: refs/heads/main\n", "config": CONFIG, "refs/heads/main": f"{commit}\n"}
        for folder in ("main/.git", "state/r/w/a/.git"):
            for name, text in repository.items():
                self._write(f"{folder}/{name}", text)
        self._write("state/r/w/a/.git/objects/info/alternates", f"{self.state}/objects\n")
        (self.state / "objects").symlink_to(self.main / ".git/objects")
        self._write("main/.git/objects/README", "borrowed\n")
        self._write("main/main.txt", "the user's\n")
        self._write("state/r/w/a/main.txt", "main\n")
        self._write("home/.cache/tool/file", "cached\n")
        self._write("state/r/a/a.1/README", "own\n")
        for name in SECRETS:
            self._write(name, "secret\n")

    def _write(self, name: str, content: str | bytes) -> None:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def outside(self) -> dict[str, bytes]:
        """All files that no attempt may change, with what is in them."""
        theirs = (self.state / "r/w/a", self.state / "r/a/a.1")
        return {
            str(path): path.read_bytes()
            for path in self.base.rglob("*")
            if path.is_file() and not any(path.is_relative_to(one) for one in theirs)
        }


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage that is there until the end of the `with`."""
    with temporary() as base, _greeting() as one, _greeting() as other, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{base.name}")
        abstract.listen()
        made = Stage(base, one, other)
        made.fill()
        yield made


@contextmanager
def _greeting() -> Iterator[int]:
    """A port of loopback that greets everyone who comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.sendall(b"probe")

        thread = threading.Thread(target=greet, name="probe", daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
