"""Inside a coordinator that is to die: all that it is about to do to the world, and its end before the chosen deed.

Nothing of ours is touched: Python's audit events tell of files, folders and processes, and the four system calls that
it does not audit are announced by wrappers in `os`.
"""

import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from types import FrameType
from typing import Any

MARK = "CRASH_GIT"  # tells the wrapper of git (see stage.py) what becomes of this one call
PACKAGE = "branchline."
LEDGER = "logs/run.jsonl"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
UNAUDITED = ("write", "pwrite", "fsync", "fdatasync")
WITH_PATH = {"os.mkdir": "make", "os.rmdir": "remove", "os.remove": "remove", "shutil.rmtree": "remove all of"}
CHANGING = ("os.chmod", "os.truncate", "os.utime")
WITH_TWO = {"os.rename": "rename to", "os.link": "link to", "os.symlink": "link to"}

REF = "update-ref"
# What a deed is part of: by the outermost function found on the stack, else by the innermost module.
FUNCTIONS = {
    "git.workspace:Workspaces.add": "workspace add",
    "git.workspace:Workspaces.remove": "workspace remove",
    "git.workspace:Workspaces.reset": "workspace reset",
    "git.own_commits:own_commits": "own commits",
    "engine.healing:heal": "heal",
    "git.commit:save": "save",
    "git.commit:snapshot": "snapshot",
    "git.checkout:fast_forward": "fast-forward",
    "git.merge:merge": "merge",
    "git.objects:ObjectStore.commit": "commit",
    "git.repo:Repo.move_ref": REF,
    "git.repo:Repo.move_refs": REF,
    "git.repo:Repo.put_ref": REF,
    "git.repo:Repo.keep_ref": REF,
    "engine.pipeline:mark": "run.head",
    "engine.rollback:rollback": "rollback",
    "engine.cleaning:carried_out": "gc",
    "agents.supervise:attempt": "agent",
}
MODULES = {
    "ledger.log": "ledger",
    "ledger.lease": "lease",
    "ledger.checkpoint": "checkpoint",
    "engine.inbox": "inbox",
    "gates.run": "gate",
    "steps.s12_archive": "archive",
}
VARYING = (
    (re.compile(r"\b[0-9a-f]{40}\b"), "ID"),
    (re.compile(r"\b01HF0000000000000000000000\b"), "RUN"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "ULID"),
    (re.compile(r"(?<=index-)\w+|(?<=/tmp)\w{8}\b"), "*"),
)


@dataclass(frozen=True, slots=True)
class Failpoint:
    """Die before deed number `at` (the first is 1; 0: never). `git`: that deed starts git, and this becomes of both."""

    at: int = 0
    git: str = ""


def announce() -> None:
    """Have the unaudited calls announced. To be called before anything of ours is imported: it keeps some of them."""
    for name in UNAUDITED:
        setattr(os, name, _announced(name, getattr(os, name)))


def _announced(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def announced(*args: Any) -> Any:
        sys.audit(f"crash.{name}", *args)
        result = call(*args)
        sys.audit(f"crash.{name}.done", *args)
        return result

    announced.call = call  # type: ignore[attr-defined] # for those who write unannounced
    return announced


class Witness:
    """An audit hook: writes every deed to `log` before it is done, and ends the process at the failpoint.

    A line of the log is `deed TAB effect TAB what TAB where`, or `synced TAB size of the ledger`.
    """

    def __init__(self, roots: tuple[str, ...], log: int, point: Failpoint) -> None:
        self._roots, self._log, self._point = roots, log, point
        self._numbers = count(1)
        self._write: Callable[[int, bytes], int] = getattr(os.write, "call", os.write)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "crash.write":
            self._writes(*args)
        elif event == "crash.fdatasync.done":
            self._synced(*args)
        elif event == "subprocess.Popen":
            self._starts(*args)
        elif what := self._said(event, args):
            self._deed(what)

    def _said(self, event: str, args: tuple[Any, ...]) -> str | None:
        """The deed in words; None if it is none of ours, or changes nothing that outlives the process."""
        if event == "open":
            place = self._place(args[0]) if isinstance(args[2], int) and args[2] & WRITING else None
            return place and f"open {place}"
        if event in WITH_PATH:
            place = self._place(args[0], args[-1] if event != "shutil.rmtree" else -1)
            return place and f"{WITH_PATH[event]} {place}"
        if event in WITH_TWO:
            place = self._place(args[1], args[-1] if event == "os.rename" else -1)
            return place and f"{WITH_TWO[event]} {place}"
        if event in CHANGING or event in {"fcntl.flock", "crash.pwrite", "crash.fsync", "crash.fdatasync"}:
            place = self._place(args[0])
            return place and f"{event.partition('.')[2]} {place}"
        return None

    def _place(self, path: Any, folder: Any = -1) -> str | None:
        """A path below one of the roots, from its top; None for any other. `folder`: the descriptor that it starts from."""
        if isinstance(path, int):
            path = _opened(path)
        path = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0:
            path = os.path.join(_opened(folder), path)
        return next((path[len(root) + 1 :] for root in self._roots if path.startswith(f"{root}/")), None)

    def _writes(self, file: int, data: bytes) -> None:
        place = self._place(file)
        if place is None:
            return
        if not place.endswith(LEDGER):
            self._deed(f"write {place}")
            return
        end = 0
        for line in data.splitlines(keepends=True):
            kind = re.search(rb'"event":"(\w+)"', line)
            name = kind[1].decode() if kind else "?"
            self._deed(f"half of record {name}", "torn", partial(self._write, file, data[: end + len(line) // 2]))
            end += len(line)
            self._deed(f"after record {name}", "record", partial(self._write, file, data[:end]))

    def _synced(self, file: int) -> None:
        if (self._place(file) or "").endswith(LEDGER):
            self._write(self._log, b"synced\t%d\n" % os.fstat(file).st_size)

    def _starts(self, _program: Any, argv: list[Any], _cwd: Any, env: dict[str, str]) -> None:
        words = [os.fsdecode(word) for word in argv]
        name = os.path.basename(words[0])
        self._deed(
            f"git {_git_words(words[1:])}" if name == "git" else f"start {name}", env=env if name == "git" else None
        )

    def _deed(
        self,
        what: str,
        effect: str = "",
        last: Callable[[], object] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        """Tell of a deed; at the failpoint do `last` and die, or leave that to the git that `env` is for."""
        number = next(self._numbers)
        found, step, ref = _stack()
        what = f"{what} {ref}".rstrip()
        for pattern, word in VARYING:
            what = pattern.sub(word, what)
        self._write(self._log, f"deed\t{effect or found or _other(what)}\t{what}\t{step}\n".encode(errors="replace"))
        if number != self._point.at:
            return
        if self._point.git:  # where the deed starts no git, two runs differed: nothing happens
            (env if env is not None else {})[MARK] = self._point.git
            return
        if last is not None:
            last()
        os.kill(os.getpid(), signal.SIGKILL)


def _opened(file: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{file}")
    except OSError:
        return ""


def _git_words(words: list[str]) -> str:
    """The command and what tells it from others, without where it runs and under which settings."""
    settings = {number + 1 for number, word in enumerate(words) if word == "-c"}
    plain = [w for n, w in enumerate(words) if n not in settings and w != "-c" and not w.startswith("--")]
    return " ".join(os.path.basename(word) for word in plain[:3])


def _other(what: str) -> str:
    if what.startswith("start "):
        return "process"
    return "git that only reads" if what.startswith("git ") else "files of the run"


def _stack() -> tuple[str, str, str]:
    """What the deed is part of, the step or the part of the engine that does it, and the ref that it moves."""
    effect, outer, step, ref = "", "", "", ""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(PACKAGE):
            module = module.removeprefix(PACKAGE)
            effect = effect or MODULES.get(module, "")
            here = FUNCTIONS.get(f"{module}:{frame.f_code.co_qualname}", "")
            outer = here or outer
            ref = str(frame.f_locals["ref"]) if here == REF else ref
            if module.startswith(("steps.s", "engine.", "cli.")) and not step:
                step = module.rpartition(".")[2]
        frame = frame.f_back
    return outer or effect, step, ref
