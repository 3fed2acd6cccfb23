"""The real agents as test subjects: what each can do, and a worktree of its own to do it in."""

import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from branchline.agents.access import access
from branchline.agents.base import Agent
from branchline.agents.registry import make
from branchline.agents.supervise import attempt
from branchline.core.model.agent import AgentRequest, AgentResult, ContextFile, Limits, Mode, Progress
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.sandbox import Network, SandboxSettings
from branchline.process.containment import PLAIN
from branchline.process.spawn import KillSwitch
from branchline.sandbox.bubblewrap import OPEN, Sandbox
from branchline.sandbox.mounts import own
from branchline.sandbox.probe import climb
from real_agents.installed import PACKAGES, Package
from real_agents.model.script import script
from real_agents.model_server import ModelServer
from support import IDENTITY

Step = dict[str, Any]
CALC = "src/calc.py"
FILES = {CALC: "def add(a, b):\n    return a - b\n", "NOTES.md": "# Notes\nThe sum is wrong.\n"}
READ = {"read": CALC}  # first, because some agents edit no file that they have not read
# Whole lines, because a patch has no others.
EDIT = {"edit": {"path": CALC, "old": "    return a - b", "new": "    return a + b"}, "usage": [2000, 60, 500]}
DONE = {"text": "The sum is right now.", "usage": [2100, 10, 500]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """A real agent: its name here and its package. `base` is the path of its provider's base URL.

    `patient`: it tries again for longer than a test can wait when the model is busy or the stream is cut. `refuses`: it
    tells a refusal from an answer.
    """

    name: str
    package: Package
    model: str
    base: str = ""
    shell: bool = True
    refuses: bool = True
    patient: bool = False

    @property
    def path(self) -> str:
        return f"{self.package.bin}:/usr/local/bin:/usr/bin:/bin"

    @property
    def agent(self) -> Agent:
        return make(AgentSpec(id=self.name, use=self.name, model=self.model))


REAL = (
    Real(name="claude_code", package=PACKAGES["claude"], model="claude-sonnet-4-5"),
    Real(name="codex", package=PACKAGES["codex"], model="gpt-5.5", base="/v1", refuses=False),
    Real(
        name="aider",
        package=PACKAGES["aider"],
        model="openai/scripted",
        base="/v1",
        shell=False,
        refuses=False,
        patient=True,
    ),
    Real(name="qwen", package=PACKAGES["qwen"], model="scripted", base="/v1", refuses=False, patient=True),
    Real(name="gemini", package=PACKAGES["gemini"], model="gemini-2.5-pro", shell=False, refuses=False, patient=True),
)


@dataclass(kw_only=True)
class Subject:
    """A real agent, a scripted model, and a linked worktree with a commit."""

    real: Real
    server: ModelServer
    worktree: Path
    folder: Path
    sandbox: Sandbox = OPEN
    seen: list[Progress] = field(default_factory=list)
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)

    def do(
        self,
        *steps: Step,
        mode: Mode = "edit",
        schema: dict[str, Any] | None = None,
        limits: Limits | None = None,
        timeout: float = 60.0,
        kill: KillSwitch | None = None,
        own_sandbox: bool = True,
        endpoint: str = "",
    ) -> AgentResult:
        """One attempt, at which the model does what the steps say."""
        request = AgentRequest(
            run_id="run",
            workstream="ws",
            round=1,
            attempt=1,
            # The number keeps the faults of attempts apart.
            prompt=f"Mend the sum in {CALC}.\n{script(*steps)}\nThis is attempt {self.marker}.\n",
            worktree=str(self.worktree),
            folder=str(self.folder),
            mode=mode,
            output_schema=schema,
            context=(ContextFile(path=CALC, role="edit"), ContextFile(path="NOTES.md")),
            limits=limits or Limits(),
            endpoint=endpoint or self.address,
            own_sandbox=own_sandbox,
        )
        needs = access(self.real.agent, request, self.environ, metered=True)
        mounts = (*own("read" if mode == "read" else "write", self.worktree), *needs.mounts)
        with self.sandbox.entered(replace(needs, mounts=mounts, nests=needs.nests and own_sandbox)) as entered:
            return attempt(
                self.real.agent,
                request,
                environ=self.environ,
                kill=kill or KillSwitch(),
                timeout=timeout,
                marker=self.marker,
                on_progress=self.seen.append,
                confinement=entered.around(PLAIN),
            )

    @property
    def address(self) -> str:
        """Where the scripted model is."""
        return self.server.url + self.real.base

    @property
    def environ(self) -> dict[str, str]:
        path = self.real.path
        keys = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
        return {"PATH": path, "LANG": "C.UTF-8", **dict.fromkeys(keys, "sk-test-key-0123456789")}

    @property
    def changes(self) -> list[str]:
        """What git sees in the worktree, ignored files too."""
        return git(self.worktree, "status", "--porcelain", "--ignored", "-z").rstrip("\0").split("\0")

    @property
    def clean(self) -> bool:
        return self.changes == [""]

    @property
    def head(self) -> str:
        return git(self.worktree, "rev-parse", "HEAD")

    @property
    def calc(self) -> str:
        return (self.worktree / CALC).read_text()


def git(folder: Path, *args: str, env: Mapping[str, str] = IDENTITY) -> str:
    """Real git, in a folder."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", **env}
    return subprocess.run(["git", *args], cwd=folder, env=environ, check=True, capture_output=True, text=True).stdout


def repository(root: Path) -> Path:
    """A repository with one commit."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=first")
    return root


def subjects(real: Real, server: ModelServer, root: Path, network: Network | None = None) -> Iterator[Subject]:
    """Without end, subjects that each have a worktree of one repository; with a network, in a sandbox that has that."""
    main = repository(root / "main")
    sandbox = OPEN
    if network is not None:
        environ = {"PATH": real.path, "HOME": str(Path.home())}
        sandbox = climb(SandboxSettings(rung=3, network=network, show=(str(main),)), environ, root=None)
    for number in count():
        place = root / f"w{number}"
        git(main, "worktree", "add", "--quiet", "--detach", str(place))
        folder = root / f"attempt{number}"
        yield Subject(real=real, server=server, worktree=place, folder=folder, sandbox=sandbox)


def at_once(subjects: list[Subject], *steps: Step) -> list[AgentResult]:
    """The same attempt by all of them at the same time; their results in order."""
    results: dict[int, AgentResult] = {}

    def work(number: int) -> None:
        results[number] = subjects[number].do(*steps)

    # msgspec builds its view of a type at its first use; two threads at once crash the process (see engine.opening).
    assert subjects[0].real.agent.spec.id
    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(subjects))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(subjects))]


def processes(text: str) -> list[str]:
    """The command lines of what runs here with a text in it or in its environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            line, environment = ((entry / name).read_text(errors="replace") for name in ("cmdline", "environ"))
            if text in line + environment:
                found.append(line.replace("\0", " "))
    return found
