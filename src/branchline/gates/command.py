"""One gate's command: what it runs, where, and what its end means."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from branchline.core.durations import seconds
from branchline.core.model.limits import LIMIT_REASONS, ProcessLimits
from branchline.core.model.verdict import Gate, GateResult, Outcome, applies
from branchline.core.rules.globs import matches_any
from branchline.process.containment import PLAIN, Confinement
from branchline.process.environment import allowed
from branchline.process.output import readable, tail
from branchline.process.redaction import NONE, Secrets
from branchline.process.spawn import CannotStart, Exit, KillSwitch, ToolMissing, run

Purpose = Literal["fix", "verify"]

OUTPUT_CHARACTERS = 4000
FILES_BYTES = 1 << 20  # half of what Linux allows for all arguments together
FIND_MODULE = "import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1].partition('.')[0]) is None)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where gates run and with what. `changed` are paths from the top of `tree`; `logs` is outside of it.

    `pass_env`: variables that gates see besides the usual ones. `confinement`: what holds a gate's processes.
    `secrets`: what no log may hold.
    """

    tree: Path
    changed: tuple[str, ...]
    logs: Path
    environ: Mapping[str, str]
    kill: KillSwitch
    pass_env: tuple[str, ...] = ()
    marker: str | None = None
    confinement: Callable[[Gate], Confinement] = lambda _gate: PLAIN
    secrets: Secrets = NONE


def run_gate(gate: Gate, purpose: Purpose, site: Site, *, log: str = "") -> GateResult:
    """Run one gate's fix or verify. Its output goes to the file `log` in `site.logs`, its tail into the result.

    Whatever happens to the command is an outcome, not an error; see `Outcome`.
    """
    template = gate.verify if purpose == "verify" or gate.fix is None else gate.fix
    log = log or f"{gate.id}.{purpose}.log"
    if hindrance := _hindrance(gate, template, site):
        return GateResult(gate=gate.id, outcome=hindrance[0], reason=hindrance[1], argv=template)
    argv = [part for word in template for part in (_files(gate, site) if word == "{files}" else (word,))]
    try:
        ended = _run(argv, gate, site, site.logs / log)
    except ToolMissing:
        outcome, reason = _missing(gate, argv[0])
        if os.path.dirname(argv[0]) and not os.path.isabs(argv[0]):
            # A program of the tree itself is not "not installed": an agent could skip a gate by deleting it.
            outcome, reason = Outcome.FAILED, f"{argv[0]} cannot be run from the tree"
        return GateResult(gate=gate.id, outcome=outcome, reason=reason, argv=template)
    except CannotStart as error:
        return GateResult(gate=gate.id, outcome=Outcome.ERROR, reason=error.message, argv=template)
    output = readable(tail(site.logs / log, 4 * OUTPUT_CHARACTERS))[-OUTPUT_CHARACTERS:]
    outcome, reason = _judged(gate, purpose, ended, site.confinement(gate).limits)
    module = _module(argv)
    told = module and f"No module named {module.partition('.')[0]}" in output.replace("'", "")
    if outcome is Outcome.FAILED and told:
        # What a test printed proves nothing: ask the interpreter, in a folder that the agent does not write.
        probe = [*argv[: argv.index("-m")], "-c", FIND_MODULE, module]
        if _run(probe, gate, site, None).code == 1:
            outcome, reason = _missing(gate, module)
    return GateResult(
        gate=gate.id,
        outcome=outcome,
        reason=reason,
        argv=template,
        exit_code=ended.code,
        milliseconds=round(ended.seconds * 1000),
        output=output,
        log=log,
        containment=ended.containment,
        limit=ended.reason if ended.reason in LIMIT_REASONS else "",
    )


def _hindrance(gate: Gate, template: tuple[str, ...], site: Site) -> tuple[Outcome, str] | None:  # noqa: PLR0911 - one line a cause
    if site.kill.reason is not None:
        return Outcome.ERROR, f"not run: {site.kill.reason}"
    if not applies(gate, site.changed):
        return Outcome.NOT_APPLICABLE, "no changed file matches its `when`"
    folder = (site.tree / gate.cwd).resolve()
    if not folder.is_relative_to(site.tree.resolve()):
        return Outcome.ERROR, f"its folder {gate.cwd} leaves the tree"
    if not folder.is_dir():
        return Outcome.ERROR, f"its folder {gate.cwd} is not in the tree"
    files = _files(gate, site) if "{files}" in template else None
    if files is None:
        return None
    if not files:
        return Outcome.NOT_APPLICABLE, "no changed file is left to pass on"
    # Each argument also costs its end mark and a pointer.
    if sum(len(os.fsencode(file)) + 9 for file in files) > FILES_BYTES:
        return Outcome.ERROR, f"{len(files)} changed files are too many for one command; drop {{files}}"
    return None


def _files(gate: Gate, site: Site) -> tuple[str, ...]:
    chosen = sorted(path for path in site.changed if not gate.when or matches_any(gate.when, path))
    # Links are left out: a fixer would write to the file that they point to, which may be outside the tree.
    files = [path for path in chosen if os.path.isfile(site.tree / path) and not os.path.islink(site.tree / path)]
    relative = (os.path.relpath(path, gate.cwd) for path in files)
    return tuple(f"./{path}" if path.startswith("-") else path for path in relative)


def _run(argv: list[str], gate: Gate, site: Site, log: Path | None) -> Exit:
    """Run a command in the gate's folder with its output in a log; a probe, without a log, at the root of all folders."""
    variables = allowed(site.environ, pass_=site.pass_env, extra=gate.env)
    if log:
        log.unlink(missing_ok=True)  # opening a pipe that stands there would block
    ended = run(
        argv,
        cwd=(site.tree / gate.cwd).resolve() if log else Path("/"),
        env=variables,
        stdout=log or Path(os.devnull),
        stderr=log or Path(os.devnull),
        timeout=seconds(gate.timeout),
        kill=site.kill,
        marker=site.marker,
        confinement=site.confinement(gate),
    )
    if log:
        Secrets(variables, site.secrets.values).clean_file(log)
    return ended


def _judged(gate: Gate, purpose: Purpose, ended: Exit, limits: ProcessLimits) -> tuple[Outcome, str]:
    if ended.reason == "timeout":
        return Outcome.ERROR, f"timed out after {seconds(gate.timeout):g} s"
    if ended.reason in LIMIT_REASONS:
        return Outcome.ERROR, f"stopped: {limits.excess(ended.reason)}"
    if ended.reason is not None:
        return Outcome.ERROR, f"stopped: {ended.reason}"
    if ended.code is None:
        return Outcome.ERROR, f"ended by signal {ended.signal}"
    meanings = (
        (gate.fix_ok_codes if purpose == "fix" else gate.ok_codes, Outcome.PASSED, ""),
        (gate.skip_codes, Outcome.SKIPPED, f"nothing to check (exit code {ended.code})"),
        (gate.error_codes, Outcome.ERROR, f"could not check (exit code {ended.code})"),
    )
    told = ((outcome, reason) for codes, outcome, reason in meanings if ended.code in codes)
    return next(told, (Outcome.FAILED, f"exit code {ended.code}"))


def _module(argv: list[str]) -> str:
    """The X of `python -m X`; empty if the command is not of that form."""
    position = argv.index("-m") if "-m" in argv[:-1] else 0
    is_python = any(os.path.basename(word).startswith("python") or word == sys.executable for word in argv[:position])
    return argv[position + 1] if is_python else ""


def _missing(gate: Gate, tool: str) -> tuple[Outcome, str]:
    return Outcome.FAILED if gate.required else Outcome.SKIPPED, f"{tool} is not installed"
