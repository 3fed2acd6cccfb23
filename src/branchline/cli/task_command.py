"""How an attempt's agents were called, as commands to type: exact arguments, the environment by names."""

import json
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from branchline.agents.registry import Agents
from branchline.cli.history import History
from branchline.cli.task_view import files_of, task_view
from branchline.config.removed import recorded_settings
from branchline.core.facts import AgentCalled, WorktreesReady
from branchline.core.model.agent import AgentRequest, Invocation
from branchline.errors import BranchlineError, InvalidInput
from branchline.process.redaction import SECRET

OWN_FOLDERS = {"home", "tmp"}  # what the agent itself may have left there is no record of ours


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an agent. `environment`: the names; `fixed`: values that Branchline set itself, none of them secret.

    `renamed`: variables handed on under another name, the new one to ours. `shell` does it all again: what is not fixed
    comes from the shell it is typed into. `notes`: what will be different.
    """

    task_id: str
    attempt: int
    agent: str
    status: str
    folder: str
    cwd: str
    argv: tuple[str, ...]
    environment: tuple[str, ...]
    fixed: dict[str, str]
    renamed: dict[str, str]
    stdin: str | None
    notes: tuple[str, ...]
    files: dict[str, int]
    shell: str = ""


def commands(history: History, name: str, attempt: int | None) -> list[Command]:
    """The calls of one attempt of a task, in order; by default of the last attempt of its last round.

    Raises InvalidInput if there is no such task or attempt, or if it called no agent.
    """
    view = task_view(history, name)
    own = view.rounds[-1] if attempt is None else next(one for one in view.rounds if one.task_id == name)
    numbers = [one.attempt for one in own.attempts]
    hint = f"branchline show {history.run_id} {own.task_id}"
    if not numbers:
        raise InvalidInput(f"task {own.task_id} has not begun", hint=hint)
    if attempt is not None and attempt not in numbers:
        raise InvalidInput(f"task {own.task_id} has no attempt {attempt}", hint=hint)
    number = numbers[-1] if attempt is None else attempt
    folder = history.paths.attempt(own.task_id, number)
    found = [_command(history, own.task_id, number, path) for path in _calls(folder)]
    if not found:
        raise InvalidInput(f"attempt {number} of task {own.task_id} called no agent", hint=hint)
    return found


def _calls(folder: Path) -> Iterator[Path]:
    """The folders below an attempt's in which a call was written down, in the order of the calls."""
    found = [path.parent for path in folder.rglob("argv.json") if not OWN_FOLDERS & set(path.relative_to(folder).parts)]
    yield from sorted(found, key=lambda path: ((path / "argv.json").stat().st_mtime_ns, str(path)))


def _command(history: History, task_id: str, attempt: int, folder: Path) -> Command:
    written = _read(folder / "argv.json")
    place = str(folder.relative_to(history.paths.run_dir))
    fact = next(
        (r.event for r in history.records if isinstance(r.event, AgentCalled) and r.event.folder == place), None
    )
    own = _prepared(history, folder, fact)
    stdin, names = folder / "stdin.txt", tuple(map(str, written["environment"]))
    made = Command(
        task_id=task_id,
        attempt=attempt,
        agent=fact.agent if fact else "",
        status=fact.status if fact else "",
        folder=str(folder),
        cwd=str(written["cwd"]),
        argv=tuple(map(str, written["argv"])),
        environment=names,
        fixed={name: value for name, value in {**_private(folder), **own.env}.items() if _is_open(name, names)},
        renamed=own.rename_env,
        stdin=str(stdin) if stdin.is_file() else None,
        notes=tuple(_notes(history, folder, str(written["cwd"]), fact)),
        files=files_of(folder),
    )
    return msgspec.structs.replace(made, shell=_shell(made))


def _private(folder: Path) -> dict[str, str]:
    """The call's own HOME and TMPDIR, where it had them."""
    homes = {"HOME": folder / "home", "TMPDIR": folder / "tmp"}
    return {name: str(path) for name, path in homes.items() if path.is_dir()}


def _prepared(history: History, folder: Path, fact: AgentCalled | None) -> Invocation:
    """What the agent makes of the same request now; nothing of a call that nobody told of, or of an agent that is gone."""
    blank = Invocation(argv=())
    if fact is None:
        return blank
    try:
        settings = recorded_settings(history.state.pins)
        request = msgspec.convert(_read(folder / "request.json"), AgentRequest)
        return Agents(settings.agents)[fact.agent].prepare(request)
    except (BranchlineError, msgspec.ValidationError, KeyError):
        return blank


def _is_open(name: str, names: Collection[str]) -> bool:
    """Whether the call had the variable, and its value may be shown."""
    return name in names and not SECRET.search(name)


def _notes(history: History, folder: Path, cwd: str, fact: AgentCalled | None) -> Iterator[str]:
    if not Path(cwd).is_dir():
        yield f"{cwd} is gone; what it held: branchline restore {history.run_id}"
        begun = {r.event.workstream: r.event for r in history.records if isinstance(r.event, WorktreesReady)}
        if fact is not None and (fact.role, fact.round) == ("editor", 1) and (first := begun.get(fact.workstream)):
            yield f"as it was when the agent began: git worktree add --detach {quoted(cwd)} {first.base}"
    if _read(folder / "request.json").get("endpoint"):
        yield "it went through Branchline's proxy, which has ended: set the provider's own address instead"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error


def _shell(call: Command) -> str:
    variables = [
        f"{name}={quoted(call.fixed[name])}" if name in call.fixed else f'{name}="${call.renamed.get(name, name)}"'
        for name in call.environment
    ]
    words = " ".join(["env", "-i", *variables, *map(quoted, call.argv)])
    return f"cd {quoted(call.cwd)} && {words} < {quoted(call.stdin or '/dev/null')}"


def quoted(text: str) -> str:
    """A word for the shell; one with bytes that do not print becomes `$'...'`, which bash, zsh and ksh know."""
    if text.replace("\n", "").isprintable():
        return shlex.quote(text)
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in "\\'" else f"\\x{b:02x}" for b in _bytes(text))
    return f"$'{plain}'"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
