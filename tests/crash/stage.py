"""Where one coordinator after the other is started and killed: a folder, and processes forked from one that is warm."""

import atexit
import ctypes
import gc
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from crash.seam import LEDGER, MARK, Failpoint, Witness
from support import SEAM

RUN_ID = SEAM["BRANCHLINE_RUN_ID"]
PATIENCE = 60.0  # seconds for one command
SURVIVAL = 2.0  # seconds that a process may outlive the last command
PR_SET_CHILD_SUBREAPER = 36
STRACE = shutil.which("strace")
GIT = f"""#!/bin/sh
# Most calls are git's. The marked one ends badly for whoever made it: `orphan` goes on without it, SYSCALL:N dies there.
how=${{{MARK}-}}
unset {MARK}
case $how in
"") exec {shutil.which("git")} "$@" ;;
orphan) kill -9 $PPID; exec {shutil.which("git")} "$@" ;;
esac
{STRACE} -f -qq -o /dev/null -e trace=${{how%:*}} -e inject=${{how%:*}}:signal=SIGKILL:when=${{how#*:}} {shutil.which("git")} "$@"
code=$?
test $code -lt 128 || kill -9 $PPID
exit $code
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended (`code` is negative for a signal, None: it hung), what it said, and what it did until then."""

    code: int | None
    said: str
    deeds: tuple[tuple[str, str, str], ...]
    synced: int

    @property
    def killed(self) -> bool:
        """Whether it was killed, as wanted."""
        return self.code == -signal.SIGKILL


class Stage:
    """A folder with a project in it, always at the same path, and the means to kill who works on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project, self.state = folder, folder / "p", folder / "s"
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True, exist_ok=True)
        (self._bin / "git").write_text(GIT)
        (self._bin / "git").chmod(0o755)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # the orphans of who is killed become ours

    @property
    def ledger(self) -> bytes:
        """The ledger's bytes; none without one."""
        path = self.project / ".runs" / RUN_ID / LEDGER
        return path.read_bytes() if path.exists() else b""

    def keep(self, name: str) -> None:
        """Keep the project as it is, with its runs' workspaces, under a name."""
        kept = self.folder / name
        kept.mkdir(exist_ok=True)
        self.state.mkdir(mode=0o700, exist_ok=True)
        for place in (self.project, self.state):
            self._copy(place, kept / place.name)

    def put_back(self, name: str) -> None:
        """Make the project what was kept."""
        for place in (self.project, self.state):
            self._copy(self.folder / name / place.name, place)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", source, target], check=True)

    def command(self, args: Sequence[str], point: Failpoint = Failpoint(), *, trace: Sequence[str] = ()) -> Ended:  # noqa: B008
        """Run Branchline in a process of its own, killed at a failpoint or by strace, which is given `trace`."""
        log, out = self.folder / "deeds", self.folder / "said"
        for left in (log, out):
            left.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir()
        ready, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.read(ready, 1)
            self._be(args, point, log, out)
        os.close(ready)
        tracer = _attached(pid, trace) if trace else None
        os.close(go)
        code = _awaited(pid)
        if tracer is not None:
            tracer.wait(PATIENCE)
        return _ended(code, log, out)

    def _be(self, args: Sequence[str], point: Failpoint, log: Path, out: Path) -> None:
        """Be the coordinator. Does not return."""
        code = 70
        try:
            os.setsid()
            for stream, path in ((0, Path(os.devnull)), (1, out), (2, out)):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), stream)
            os.environ.clear()
            os.environ.update(self._environment(wrapped=bool(point.git)))
            os.chdir(self.project)
            tempfile.tempdir = None
            lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            sys.addaudithook(Witness((str(self.project), str(self.state)), lines, point))
            guarded = import_module("branchline.cli.boundary").guarded
            code = guarded(list(args))
            sys.stdout.flush()
            sys.stderr.flush()
            atexit._run_exitfuncs()
        finally:
            os._exit(code)

    def _environment(self, *, wrapped: bool) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        own = {
            "PATH": f"{self._bin}:{path}" if wrapped else path,
            "HOME": str(home),
            "TMPDIR": str(self.folder / "tmp"),
            "BRANCHLINE_STATE": str(self.state),
            "BRANCHLINE_SANDBOX": "1",
        }
        return {**own, **SEAM, "NO_COLOR": "1", "LANG": "C.UTF-8", "USER": "somebody"}

    def survivors(self) -> list[str]:
        """The processes that outlive everything, by their command lines; they are ended."""
        until = time.monotonic() + SURVIVAL
        while children := _living():
            if time.monotonic() > until:
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
                return sorted(children.values())
            time.sleep(0.01)
        return []


def warm() -> None:
    """Import what a run needs, so that each fork has it."""
    for name in ("approve", "cancel", "gc", "resume", "rollback", "run", "verify"):
        import_module(f"branchline.cli.commands.{name}")
    for name in (
        "cli.boundary",
        "cli.driving",
        "cli.plans",
        "engine.performing",  # all the steps
        "engine.healing",
        "engine.library",
        "engine.pipeline",
    ):
        import_module(f"branchline.{name}")
    gc.collect()
    gc.freeze()


def _awaited(pid: int) -> int | None:
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        late = not poll.poll(PATIENCE * 1000)
    finally:
        os.close(handle)
    if late:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if late else code


def _attached(pid: int, trace: Sequence[str]) -> subprocess.Popen[bytes]:
    tracer = subprocess.Popen([STRACE or "strace", "-f", "-qq", *trace, "-p", str(pid)], stderr=subprocess.DEVNULL)
    status = Path(f"/proc/{pid}/status")
    while tracer.poll() is None and "TracerPid:\t0\n" in status.read_text():
        time.sleep(0.002)
    return tracer


def _ended(code: int | None, log: Path, out: Path) -> Ended:
    lines = [line.split("\t") for line in log.read_text(errors="replace").splitlines()] if log.exists() else []
    deeds = tuple((line[1], line[2], line[3]) for line in lines if line[0] == "deed")
    synced = [int(line[1]) for line in lines if line[0] == "synced"]
    return Ended(code, out.read_text(errors="replace") if out.exists() else "", deeds, synced[-1] if synced else 0)


def _living() -> dict[int, str]:
    """Our children that have not ended, those of killed coordinators among them, with their command lines."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            return {}
    return dict(_processes())


def _processes() -> Iterator[tuple[int, str]]:
    """The processes whose parent we are."""
    for entry in os.listdir("/proc"):
        try:
            parent = Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            if entry.isdigit() and int(parent) == os.getpid():
                yield int(entry), Path(f"/proc/{entry}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
        except (OSError, IndexError):
            continue  # it has ended meanwhile, or is no process


def answer(ended: Ended) -> str:
    """What a command said went wrong, in one line."""
    text = ended.said.strip()
    try:
        return str(json.loads(text[text.index("{") :])["error"]["message"])
    except (ValueError, KeyError):
        return " ".join(text.split())[-300:]
