"""`make histories`: record the ledgers of real runs of this version, with paths and names of this machine taken out.

`PYTHONPATH=tests python -m histories.record [NAME ...]` writes VERSION-NAME.jsonl, what the core decides at each record,
VERSION-NAME.decisions, and what people are shown, VERSION-NAME.shown. What an earlier release wrote is never written
again.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from branchline._version import __version__
from branchline.core.graph import Task
from branchline.engine.library import run_graph
from branchline.ledger.codec import GENESIS, encode
from branchline.ledger.log import verified
from histories.decisions import HERE, decisions
from histories.shown import shown
from support import SEAM, Json, Project, gate, sh, workstream, write

RUN = SEAM["BRANCHLINE_RUN_ID"]
CLEAN = gate("clean", "! grep -rn BAD *.txt")
OWNER = re.compile(r"process \d+ on \S+")


def success(project: Project) -> None:
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n")), workstream("b", write("b.txt", "b\n"))]}
    expect(project.run(plan, {"gates": [CLEAN], "ship": {"mode": "merge"}}, **SEAM).code, 0)


def partial(project: Project) -> None:
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n")), workstream("b", write("b.txt", "BAD\n"))]}
    expect(project.run(plan, {"gates": [CLEAN], "repair": {"rounds": 0}}, **SEAM).code, 5)


def repaired(project: Project) -> None:
    mended = workstream("a", write("a.txt", "BAD\n"), repair_scripts=[[write("a.txt", "good\n")]])
    expect(project.run({"workstreams": [mended]}, {"gates": [CLEAN]}, **SEAM).code, 0)


def conflict_dropped(project: Project) -> None:
    expect(project.run({"workstreams": rivals()}, {"merge": {"on_conflict": "drop"}}, **SEAM).code, 5)


def conflict_repaired(project: Project) -> None:
    expect(project.run({"workstreams": rivals()}, {"merge": {"on_conflict": "repair"}}, **SEAM).code, 0)


def rivals() -> list[Json]:
    mended = [[write("shared.txt", "a and b\n")]]
    return [
        workstream("a", write("shared.txt", "a\n")),
        workstream("b", write("shared.txt", "b\n"), repair_scripts=mended),
        workstream("c", write("c.txt", "c\n"), depends_on=["a"]),
    ]


def nothing_merged(project: Project) -> None:
    plan = {"workstreams": [workstream("a", {"fail": "no idea"}), workstream("b", {"sleep": 0})]}
    expect(project.run(plan, {"retry": {"max_attempts": 1}}, **SEAM).code, 1)


def retried(project: Project) -> None:
    flag, settings = flagged(project)
    work = sh(f"test -e {flag} || {{ touch {flag}; sleep 60; }}; echo a > a.txt")
    expect(project.run({"workstreams": [workstream("a", work, timeout="2s")]}, settings, **SEAM).code, 0)


def killed_and_resumed(project: Project) -> None:
    flag, settings = flagged(project)
    work = sh(f"echo a > a.txt; test -e {flag} || {{ touch {flag}; sleep 60; }}")
    plan = {"workstreams": [workstream("a", work), workstream("b", write("b.txt", "b\n"))]}
    with living(project, plan, settings, flag) as process:
        process.kill()
    expect(project.branchline("resume").code, 0)


def cancelled(project: Project) -> None:
    flag, settings = flagged(project)
    plan = {"workstreams": [workstream("a", sh(f"touch {flag}; sleep 60")), workstream("b", write("b.txt", "b\n"))]}
    with living(project, plan, settings, flag) as process:
        expect(project.branchline("cancel").code, 0)
        expect(process.wait(60), 1)


def flagged(project: Project) -> tuple[Path, Json]:
    """A file that an agent may make outside its worktree, and the settings that let it."""
    folder = project.root.parent / "flags"
    folder.mkdir()
    return folder / "flag", {"sandbox": {"writable": [str(folder)]}, "retry": {"max_attempts": 2, "base_seconds": 0.1}}


def living(project: Project, plan: Json, settings: Json, flag: Path) -> "subprocess.Popen[bytes]":
    """A run, when its agent has made `flag`."""
    plan_file, config = project.request(plan, settings)
    asked = ("run", "--plan", str(plan_file), "--config", str(config), "--yes", "--json")
    quiet = subprocess.DEVNULL
    run = [sys.executable, "-m", "branchline", *asked]
    process = subprocess.Popen(run, cwd=project.root, env={**os.environ, **SEAM}, stdout=quiet, stderr=quiet)
    until = time.monotonic() + 60
    while not flag.exists():
        expect(process.poll(), None)
        expect(time.monotonic() < until, True)
        time.sleep(0.02)
    return process


def failed_and_reopened(project: Project) -> None:
    flag, settings = flagged(project)
    plan = {
        "workstreams": [workstream("a", sh(f"test -e {flag} && echo a > a.txt")), workstream("b", depends_on=["a"])]
    }
    expect(project.run(plan, {**settings, "retry": {"max_attempts": 1}}, **SEAM).code, 1)
    flag.touch()
    project.branchline("retry", RUN, "task_006_execute_a")


def planned(project: Project) -> None:
    """A planner proposes, somebody looks at it and says yes; money is counted."""
    work = {"id": "a", "title": "", "prompt": "work", "depends_on": [], "write": ["a.txt"], "protect": []}
    answer = {"answer": {"goal": "a file", "workstreams": [work]}}
    used = {"usage": {"input_tokens": 10, "output_tokens": 1, "cost_usd": 0.25}}
    settings = {
        "version": 1,
        "agents": [
            {"id": "planner", "use": "scripted", "scripts": [[used, answer]]},
            {"id": "w", "use": "scripted", "scripts": [[used, write("a.txt", "a\n")]]},
        ],
        "planning": {"agent": "planner"},
        "agent": "w",
        "budget": {"run": 5, "attempt": 1},
    }
    config = project.root.parent / "config.json"
    config.write_text(json.dumps(settings))
    expect(project.branchline("run", "make a file", "--config", str(config), "--json", **SEAM).code, 4)
    expect(project.branchline("approve").code, 0)


def out_of_money(project: Project) -> None:
    used = {"usage": {"input_tokens": 10, "output_tokens": 1, "cost_usd": 0.5}}
    streams = [workstream(name, used, write(f"{name}.txt", f"{name}\n")) for name in "abc"]
    settings = {"budget": {"run": 1, "attempt": 0.5}, "max_parallel": 1}
    expect(project.run({"workstreams": streams}, settings, **SEAM).code, 5)


def waited_for_approval(project: Project) -> None:
    plan = {"workstreams": [workstream("a", write(".github/workflows/ci.yml", "on: push\n"))]}
    expect(project.run(plan, {"approvals": {"protected": "wait"}}, **SEAM).code, 4)
    expect(project.branchline("approve").code, 0)


def graph(project: Project) -> None:
    """A plain graph: a branch that fails, one that is skipped, one that goes on whatever happens."""
    tasks = [
        Task(id="a", run=("true",)),
        Task(id="b", run=("false",), dependencies=("a",)),
        Task(id="c", run=("true",), dependencies=("b",)),
        Task(id="d", run=("true",), dependencies=("b",), trigger="ended"),
    ]
    retry = {"max_attempts": 2, "backoff": "fixed", "base_seconds": 0.1}
    expect(run_graph(tasks, root=project.root, run_id=RUN, retry=retry).ok, False)


STORIES: dict[str, Callable[[Project], None]] = {
    story.__name__.replace("_", "-"): story
    for story in (
        success,
        partial,
        repaired,
        conflict_dropped,
        conflict_repaired,
        nothing_merged,
        retried,
        killed_and_resumed,
        cancelled,
        failed_and_reopened,
        planned,
        out_of_money,
        waited_for_approval,
        graph,
    )
}


def expect(found: object, wanted: object) -> None:
    """Stop recording a story that did not go as it should."""
    if found != wanted:
        raise SystemExit(f"expected {wanted!r}, not {found!r}")


def neutral(data: bytes, folder: str) -> bytes:
    """The same records without this machine's paths and names, chained anew."""
    made, sha = [], GENESIS
    host = os.uname().nodename
    for record in verified(data, None, RUN).records:
        fields = _changed(msgspec.to_builtins(record.event), folder, host)
        event = msgspec.convert(fields, type(record.event))
        line, sha = encode(msgspec.structs.replace(record, event=event), sha)
        made.append(line)
    return b"".join(made)


def _changed(value: Any, folder: str, host: str) -> Any:
    if isinstance(value, dict):
        return {key: _changed(one, folder, host) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(one, folder, host) for one in value]
    if isinstance(value, str):
        plain = value.replace(folder, "/home/user/work").replace(sys.prefix, "/home/user/venv")
        return OWNER.sub("process 1 on host", plain).replace(host, "host")
    return value


def main() -> None:
    """Record the stories that are named, or all."""
    for name in sys.argv[1:] or STORIES:
        with tempfile.TemporaryDirectory(prefix="branchline-history-") as place:
            folder = str(Path(place).resolve())
            project = Project.make(Path(folder) / "project")
            STORIES[name](project)
            data = (project.root / ".runs" / RUN / "logs" / "run.jsonl").read_bytes()
        ledger = HERE / f"{__version__}-{name}.jsonl"
        ledger.write_bytes(neutral(data, folder))
        ledger.with_suffix(".decisions").write_text("".join(f"{line}\n" for line in decisions(ledger)))
        ledger.with_suffix(".shown").write_text(shown(ledger))
        print(ledger.name)


if __name__ == "__main__":
    main()
