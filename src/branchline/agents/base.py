"""What an agent is, and the one supervisor that runs it: spawn, limit, kill, sweep, read."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from branchline.core.agent import AgentRequest, AgentResult, AgentStatus, Invocation
from branchline.errors import InvalidInput
from branchline.process.environment import allowed
from branchline.process.output import tail
from branchline.process.spawn import Exit, KillSwitch, ToolMissing, run

TAIL_BYTES = 1 << 20
MAX_OUTPUT = 1 << 30  # bytes a stream; a runaway agent must not fill the disk
ENDED_BY = {"timeout": AgentStatus.TIMEOUT, "output_limit": AgentStatus.LIMIT}


class AgentMissing(InvalidInput):
    """An agent's program is not installed: trying again will not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Whether an agent can be run here. `hint` says what to do if not; `version` is empty if it cannot be told."""

    available: bool
    path: str = ""
    version: str = ""
    hint: str = ""


class Agent(Protocol):
    """A coding agent: how to call it and how to read what it says. It never starts a process itself."""

    @property
    def name(self) -> str:
        """The name by which plans and configuration call it."""

    def probe(self) -> Probe:
        """Look for the agent's program on this machine without running it."""

    def prepare(self, request: AgentRequest) -> Invocation:
        """What to spawn for a request. Pure. Raises InvalidInput if the request cannot be passed on."""

    def parse(self, ended: Exit, stdout: bytes, stderr: bytes) -> AgentResult:
        """What the end of its output and its exit mean. Pure; takes any bytes, also cut off ones."""


def attempt(  # noqa: PLR0913 - keyword-only data
    agent: Agent,
    request: AgentRequest,
    *,
    environ: Mapping[str, str],
    kill: KillSwitch,
    timeout: float,
    pass_env: Iterable[str] = (),
    marker: str | None = None,
) -> AgentResult:
    """Run one attempt to its end, at most `timeout` seconds, and end every process that carries its marker.

    `request.folder` receives request.json, argv.json, stdout.log, stderr.log and result.json.
    Raises AgentMissing if the agent's program is not there, InvalidInput if it cannot take the request.
    """
    folder = Path(request.folder)
    invocation = agent.prepare(request)
    variables = _environment(invocation, folder, environ, pass_env)
    _write_inputs(request, invocation, variables)
    try:
        ended = run(
            invocation.argv,
            cwd=Path(request.worktree),
            env=variables,
            stdin=None if invocation.stdin is None else folder / "stdin.txt",
            stdout=folder / "stdout.log",
            stderr=folder / "stderr.log",
            timeout=timeout,
            kill=kill,
            marker=marker or f"{request.run_id}/{request.workstream}/{request.round}.{request.attempt}",
            thorough=True,
            max_output=MAX_OUTPUT,
        )
    except ToolMissing as error:
        raise AgentMissing(f"agent {agent.name}: {error.message}", hint=agent.probe().hint or error.hint) from error
    stdout, stderr = (tail(folder / name, TAIL_BYTES) for name in ("stdout.log", "stderr.log"))
    result = _classified(ended, agent.parse(ended, stdout, stderr), timeout)
    # The agent may have removed or replaced its own folder; what counts is the result that the caller records.
    with suppress(OSError):
        _write_result(folder, result)
    return result


def _classified(ended: Exit, parsed: AgentResult, timeout: float) -> AgentResult:
    if ended.reason is not None:
        status = ENDED_BY.get(ended.reason, AgentStatus.CANCELLED)
        message = f"stopped after {timeout:g} s" if status is AgentStatus.TIMEOUT else f"stopped: {ended.reason}"
    elif ended.signal is not None:
        status, message = AgentStatus.CRASHED, f"ended by signal {ended.signal}"
    else:
        return parsed
    return msgspec.structs.replace(parsed, status=status, message=message)


def _environment(
    invocation: Invocation, folder: Path, environ: Mapping[str, str], pass_env: Iterable[str]
) -> dict[str, str]:
    private: dict[str, str] = {}
    if invocation.private_home:
        for variable, name in (("HOME", "home"), ("TMPDIR", "tmp")):
            (folder / name).mkdir(parents=True, exist_ok=True)
            private[variable] = str(folder / name)
    return allowed(environ, pass_=(*invocation.pass_env, *pass_env), extra={**private, **invocation.env})


def _write_inputs(request: AgentRequest, invocation: Invocation, variables: Mapping[str, str]) -> None:
    folder = Path(request.folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = dict(invocation.files)
    if invocation.stdin is not None:
        files["stdin.txt"] = invocation.stdin
    # Names only: the values may be secrets.
    files["argv.json"] = _json({"argv": invocation.argv, "environment": sorted(variables)})
    files["request.json"] = _json(msgspec.to_builtins(request))
    # An earlier attempt may have left a pipe here, on which opening would block for ever.
    for name in (*files, "stdout.log", "stderr.log"):
        (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))


def _write_result(folder: Path, result: AgentResult) -> None:
    # A rename replaces whatever stands there, even a pipe, on which a plain write would block for ever.
    temporary = folder / "result.json.new"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_json(msgspec.to_builtins(result)))
    temporary.replace(folder / "result.json")


def _json(value: object) -> str:
    # ASCII, because paths may hold bytes that are no text.
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
