"""The one supervisor that runs an agent's attempt: spawn, follow, limit, kill, sweep, read."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from branchline.agents.base import Agent, AgentMissing, Reader
from branchline.agents.by_hand import COMMAND, command_by_hand
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Progress, Usage
from branchline.core.model.limits import LIMIT_REASONS
from branchline.process.containment import PLAIN, Confinement
from branchline.process.environment import allowed, tool_homes
from branchline.process.output import digest_of, open_regular, tail
from branchline.process.redaction import NONE, Secrets
from branchline.process.spawn import Exit, KillSwitch, ToolMissing, run

TAIL_BYTES = 1 << 20
MESSAGE, NOTES = 2_000, 20_000  # characters
LOOPBACK = "127.0.0.1,localhost"
PRIVATE = {"HOME": "home", "TMPDIR": "tmp"}
CHUNK = 1 << 18
LONGEST_LINE = 16 << 20  # bytes; what is longer is no event of any agent, and must not fill our memory
A_LOOK = 16 << 20  # bytes read at one look at most
A_MOMENT = 0.3  # seconds of work at one look at most, so that a flood does not keep us from watching the clock
AT_LAST = 5.0  # seconds of work for what is left when the process has ended
THE_END = 1 << 20  # bytes of it that are read of a flood all the same: the verdict stands at the end
MOST_ERRORS = 10
LARGE = 100_000  # bytes; in a larger answer only the first error is reported, because to find all takes a minute per MB


def attempt(  # noqa: PLR0913 - keyword-only data
    agent: Agent,
    request: AgentRequest,
    *,
    environ: Mapping[str, str],
    kill: KillSwitch,
    timeout: float,
    pass_env: Iterable[str] = (),
    marker: str,
    record: Path | None = None,
    cwd: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cut: Callable[[], str | None] = lambda: None,
    confinement: Confinement = PLAIN,
    known: Secrets = NONE,
) -> AgentResult:
    """Run one attempt to its end, at most `timeout` seconds, and end every process that carries its marker.

    `record` (by default `request.folder`) receives request.json, argv.json, command.sh, stdout.log, stderr.log and
    result.json; `request.folder` what the agent reads, its home and its temporary files. `cwd`: the worktree as it is
    seen from here.
    `known`: values that nothing may hold that is kept, beside those that the agent is given.
    `cut` is asked while it runs for a reason to end it (a proxy's budget). `confinement`: what holds its processes.
    Raises AgentMissing if the agent's program is not there, InvalidInput if it cannot take the request.
    """
    record, cwd = record or Path(request.folder), cwd or Path(request.worktree)
    invocation = agent.prepare(request)
    variables = _environment(request, invocation, environ, pass_env)
    keys = (agent.spec.key_env, *invocation.rename_env)  # secret, whatever their names say
    secrets = Secrets(variables, [*known.values, *(variables[name] for name in keys if name in variables)])
    evidence = _write_inputs(request, invocation, variables, record, secrets)
    # By hand, when it has ended: its files are in its record then, and our proxy is gone.
    provider = (agent.spec.base_url or agent.provider) if request.endpoint else ""
    typed = msgspec.structs.replace(request, worktree=str(cwd), folder=str(record), endpoint=provider)
    again = agent.prepare(typed)
    by_hand = _environment(typed, again, environ, pass_env)
    script = command_by_hand(
        record=record, cwd=cwd, invocation=again, variables=by_hand, environ=environ, secrets=secrets
    )
    evidence |= _written(record, {COMMAND: script})
    (record / COMMAND).chmod(0o700)
    reader = agent.reader(request)
    follower = Follower(record / "stdout.log", reader)

    def watch() -> str | None:
        follower.follow()
        on_progress(secrets.clean(reader.progress))
        spent, limit = reader.progress.cost_usd, request.limits.usd
        return cut() or ("budget" if limit is not None and spent is not None and spent > limit else None)

    try:
        ended = run(
            invocation.argv,
            cwd=cwd,
            env=variables,
            stdin=None if invocation.stdin is None else record / "stdin.txt",
            stdout=record / "stdout.log",
            stderr=record / "stderr.log",
            timeout=timeout,
            grace=invocation.grace,
            kill=kill,
            marker=marker,
            watch=watch,
            confinement=confinement,
        )
    except ToolMissing as error:
        hint = agent.probe().hint or error.hint
        raise AgentMissing(f"agent {agent.spec.id}: {error.message}", hint=hint) from error
    follower.finish()
    on_progress(secrets.clean(reader.progress))
    parsed = reader.result(ended, tail(record / "stderr.log", TAIL_BYTES))
    if follower.skipped:
        parsed = msgspec.structs.replace(parsed, usage=Usage())  # what was skipped may have told of more
    result: AgentResult = secrets.clean(_judged(ended, checked(parsed, request), request, timeout, confinement))
    # Outside a sandbox the agent may have removed or replaced its record; what counts is the result that is returned.
    evidence |= _cleaned(record, ("stdout.log", "stderr.log", "stdin.txt"), secrets)
    unchecked = secrets.clean_folder(Path(request.folder))  # its home is kept, for what it may tell; a key in it is not
    result = msgspec.structs.replace(result, unchecked=unchecked, evidence=evidence)
    with suppress(OSError):
        (record / "result.json").unlink(missing_ok=True)  # to open a pipe would be to wait for ever
        with (record / "result.json").open("x", encoding="utf-8") as file:
            file.write(_json(msgspec.to_builtins(result)))
    return result


def over_budget(request: AgentRequest) -> str:
    """What is said of an attempt that reached its budget."""
    return f"stopped: it reached its budget of ${request.limits.usd or 0:,.2f}"


def _judged(
    ended: Exit, parsed: AgentResult, request: AgentRequest, timeout: float, confinement: Confinement
) -> AgentResult:
    """What the agent's own words and the way in which its process ended mean together."""
    status, message, kind = parsed.status, parsed.message, ""
    if ended.reason in LIMIT_REASONS:
        status = AgentStatus.TIMEOUT if ended.reason == "silence" else AgentStatus.LIMIT
        message, kind = f"stopped: {confinement.limits.excess(ended.reason)}", ended.reason
    elif ended.reason == "budget":
        status, message, kind = AgentStatus.LIMIT, over_budget(request), "budget"
    elif ended.reason == "timeout":
        last = f"; its last error: {parsed.message}" if parsed.error_class else ""  # it was still trying again
        status, message = AgentStatus.TIMEOUT, f"stopped after {timeout:g} s{last}"
    elif ended.reason is not None:
        status, message = AgentStatus.CANCELLED, f"stopped: {ended.reason}"
    elif ended.signal is not None:
        status, message = AgentStatus.CRASHED, f"ended by signal {ended.signal}"
    else:
        kind = parsed.error_class
    return msgspec.structs.replace(
        parsed,
        status=status,
        message=message[:MESSAGE],  # no ledger should have to hold more
        error_class=kind,
        notes=parsed.notes[-NOTES:],  # of which the end tells most
        containment=ended.containment,
        cpu_ms=None if ended.cpu is None else round(ended.cpu * 1000),
        memory_mb=None if ended.memory is None else ended.memory >> 20,
    )


def _environment(
    request: AgentRequest, invocation: Invocation, environ: Mapping[str, str], pass_env: Iterable[str]
) -> dict[str, str]:
    homes = PRIVATE if invocation.private_home else {}
    private = {variable: f"{request.folder}/{name}" for variable, name in homes.items()}
    tools = tool_homes(environ) if homes else {}
    renamed = {new: environ[ours] for new, ours in invocation.rename_env.items() if ours in environ}
    direct = {"NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK} if request.endpoint else {}  # it is ours, on this machine
    extra = {**tools, **private, **direct, **invocation.env, **renamed}
    return allowed(environ, pass_=(*invocation.pass_env, *pass_env), extra=extra)


def _write_inputs(
    request: AgentRequest, invocation: Invocation, variables: Mapping[str, str], record: Path, secrets: Secrets
) -> dict[str, str]:
    """Write what the agent reads, and all of that once more to its record, out of its reach; the record's digests."""
    given = {**invocation.files, "prompt.md": request.prompt}
    # Names only: the values may be secrets.
    told = {"argv": invocation.argv, "cwd": request.worktree, "environment": sorted(variables)}
    ours = {name: secrets.text(content) for name, content in given.items()}
    ours["argv.json"] = _json(secrets.clean(told))
    ours["request.json"] = _json(secrets.clean(msgspec.to_builtins(request)))
    if invocation.stdin is not None:
        ours["stdin.txt"] = invocation.stdin
    for name in PRIVATE.values() if invocation.private_home else ():
        Path(request.folder, name).mkdir(parents=True, exist_ok=True)
    _written(Path(request.folder), given)
    return _written(record, ours)


def _written(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Write files into a folder; their digests."""
    digests = {}
    for name, content in files.items():
        data = content.encode("utf-8", "surrogateescape")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests


def _cleaned(record: Path, names: Iterable[str], secrets: Secrets) -> dict[str, str]:
    """Take secrets out of files of the record, those that are there; their digests."""
    for name in names:
        with suppress(OSError):
            secrets.clean_file(record / name)
    return {name: digest for name in names if (digest := digest_of(record / name))}


def _json(value: object) -> str:
    # ASCII, because paths may hold bytes that are no text.
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


class Follower:
    """Feeds a reader with the lines of a file as they come; `skipped`: part of a flood was left out."""

    def __init__(self, path: Path, reader: Reader) -> None:
        """The file need not exist yet; a link, a pipe or a device in its place is never read."""
        self._path, self._reader = path, reader
        self._descriptor: int | None = None
        self._rest = bytearray()
        self._dropping = False
        self.skipped = False

    def follow(self, most: int = A_LOOK) -> bool:
        """Read on, at most `most` bytes and not for long; whether there was anything."""
        if self._descriptor is None:
            self._descriptor = open_regular(self._path)
        if self._descriptor is None:
            return False
        taken, until = 0, time.thread_time() + A_MOMENT
        while taken < most and (data := os.read(self._descriptor, CHUNK)):
            taken += len(data)
            *ended, rest = data.split(b"\n")
            for part in ended:
                if not self._dropping:
                    self._reader.line(bytes(self._rest) + part)
                self._rest.clear()
                self._dropping = False
            self._rest += rest
            if len(self._rest) > LONGEST_LINE:
                self._rest.clear()
                self._dropping = True
            if time.thread_time() > until:
                break
        return taken > 0

    def finish(self) -> None:
        """Read what is left, the last line also without its newline; of a flood, what can be read in time, and its end."""
        until = time.thread_time() + AT_LAST
        while self.follow():
            if time.thread_time() > until:
                # Go on near the end of the file, with the first line that begins there.
                assert self._descriptor is not None
                here, there = os.lseek(self._descriptor, 0, os.SEEK_CUR), os.fstat(self._descriptor).st_size - THE_END
                if here < there:
                    os.lseek(self._descriptor, there, os.SEEK_SET)
                    self.skipped = True
                    self._rest.clear()
                    self._dropping = True
                until = math.inf
        if self._rest and not self._dropping:
            self._reader.line(bytes(self._rest))
        self._rest.clear()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def checked(result: AgentResult, request: AgentRequest) -> AgentResult:
    """The result, or INVALID_OUTPUT with what is wrong, when an answer was due and is not what was asked for."""
    if request.output_schema is None or result.status is not AgentStatus.OK:
        return result
    answer = result.structured if result.structured is not None else answer_in(result.notes)
    if answer is None:
        problem = "it gave no answer in the form that was asked for"
    elif errors := schema_errors(answer, request.output_schema):
        problem = "; ".join(errors)
    else:
        return msgspec.structs.replace(result, structured=answer)
    return msgspec.structs.replace(result, status=AgentStatus.INVALID_OUTPUT, message=problem, structured=answer)


def answer_in(text: str) -> Any:
    """The JSON object in a text: the whole of it, or its last fenced block, or from its first `{` to its last `}`."""
    fenced = text.rpartition("```json")[2].partition("```")[0]
    braced = text[text.find("{") : text.rfind("}") + 1]
    for candidate in (text, fenced, braced):
        try:
            found = msgspec.json.decode(candidate.strip())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def schema_errors(value: Any, schema: dict[str, Any]) -> list[str]:
    """What a value breaks of a JSON Schema, a sentence each, at most ten."""
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(schema)
    if validator.is_valid(value):
        return []
    if len(msgspec.json.encode(value)) > LARGE:
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [_sentence(error.instance_path, error.message)]
    return [_sentence(error.instance_path, error.message) for error in validator.iter_errors(value)][:MOST_ERRORS]


def _sentence(path: list[str | int], message: str) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"at {where.lstrip('.') or 'the top'}: {message[:300]}"
