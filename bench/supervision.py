"""What supervising an agent costs, how soon the first one starts, and how the coordinator fares with fifty at once.

Attempt: the same program bare (spawned, output to files, waited for) and through `supervise.attempt`, in turns, in one
process; CPU is ours alone, without the program's own. Where a real CLI is installed for the tests, it is measured too,
against the scripted model server on loopback. First start: from the start of `branchline run "..."` to the first
command of its planner, against `python -c pass`. Fifty: workstreams of scripted agents that sleep, all at once; latency
is from an agent's last action to the record of its end, which includes taking its tree in with git.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from _measuring import child, interleaved, options, show

from branchline.agents.base import Agent
from branchline.agents.registry import make
from branchline.agents.scripted import ScriptedAgent
from branchline.agents.supervise import attempt
from branchline.core.model.agent import AgentRequest, AgentStatus
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.plan import Action, WriteFile
from branchline.process.environment import allowed
from branchline.process.spawn import KillSwitch

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from real_agents.installed import PACKAGES
from real_agents.model.script import script
from real_agents.model_server import ModelServer

AT_ONCE = 50
ENVIRON = {**os.environ, "BENCH_KEY": "sk-bench-0123456789"}
PROMPT = script({"text": "done"})
CLI = [sys.executable, "-m", "branchline"]
OPEN = {"rung": 1}  # a sandbox hides the folder of temporary files, where the agents leave their stamps
GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org"]


def main() -> None:
    """Measure all three."""
    given = options(__doc__)
    with tempfile.TemporaryDirectory() as folder, ModelServer() as model:
        rounds = 2 if given.quick else 9
        rows = [overhead(name, agent, Path(folder) / name, rounds) for name, agent in subjects(model.url)]
        show("Supervision of one attempt: medians", rows, as_json=given.json)
        show("From `run` to the first agent", [first_start(Path(folder), 1 if given.quick else 5)], as_json=given.json)
        at_once = 5 if given.quick else AT_ONCE
        show(f"{at_once} agents at once", [many(Path(folder) / "many", at_once)], as_json=given.json)


def subjects(url: str) -> list[tuple[str, Agent]]:
    """The agents to measure: the scripted one and the real ones that are there (`make real-agents`)."""
    found: list[tuple[str, Agent]] = [("scripted", ScriptedAgent())]
    for name, program, address in (("claude_code", "claude", url), ("codex", "codex", f"{url}/v1")):
        if PACKAGES[program].present:
            spec = AgentSpec(
                id=name, use=name, program=str(PACKAGES[program].bin / program), base_url=address, model="scripted",
                key_env="BENCH_KEY",
            )  # fmt: skip
            found.append((name, make(spec)))
    return found


def overhead(name: str, agent: Agent, folder: Path, rounds: int) -> dict[str, str | float]:
    """One line of the first table; times in milliseconds."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    count = iter(range(10**6))

    def request() -> AgentRequest:
        place = folder / f"attempt-{next(count)}"
        script = (Action(write=WriteFile(path="a.txt", content="x\n")),)
        return AgentRequest(
            run_id="bench", workstream="a", round=1, attempt=1, prompt=PROMPT, worktree=str(tree), folder=str(place),
            script=script,
        )  # fmt: skip

    def supervised() -> None:
        asked = request()
        result = attempt(agent, asked, environ=ENVIRON, kill=KillSwitch(), timeout=60, marker=f"bench/{asked.folder}")
        assert result.status is AgentStatus.OK, result

    def bare() -> None:
        asked = request()
        made = agent.prepare(asked)
        place = Path(asked.folder)
        for file, content in {**made.files, "stdin.txt": made.stdin or ""}.items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(content)
        env = {**allowed(ENVIRON, pass_=made.pass_env), **made.env, "HOME": f"{place}/home", "TMPDIR": f"{place}/tmp"}
        env |= {new: ENVIRON[old] for new, old in made.rename_env.items()}
        for private in ("home", "tmp"):
            (place / private).mkdir(exist_ok=True)
        with (place / "out").open("wb") as out, (place / "err").open("wb") as err, (place / "stdin.txt").open() as text:
            subprocess.run(made.argv, cwd=tree, env=env, stdin=text, stdout=out, stderr=err, check=True)

    median = interleaved(rounds, {"bare": lambda: timed("bare", bare), "ours": lambda: timed("ours", supervised)})
    return {
        "agent": name,
        "bare, ms": median["bare wall"],
        "supervised, ms": median["ours wall"],
        "more, ms": median["ours wall"] - median["bare wall"],
        "our CPU bare, ms": median["bare cpu"],
        "our CPU, ms": median["ours cpu"],
        "our peak, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def timed(name: str, work: Callable[[], None]) -> dict[str, float]:
    """Wall and our own CPU time of a piece of work, in milliseconds."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {f"{name} wall": (time.perf_counter() - began) * 1000, f"{name} cpu": cpu * 1000}


def first_start(folder: Path, rounds: int) -> dict[str, str | float]:
    """The line of the second table; seconds."""
    repo = repository(folder / "first")
    stamp = folder / "stamp"
    script = [{"run": ["sh", "-c", f"date +%s%N > {stamp}"]}, {"fail": "that is all"}]
    config = {
        "version": 1, "agent": "planner", "retry": {"max_attempts": 1}, "sandbox": OPEN,
        "agents": [{"id": "planner", "use": "scripted", "scripts": [script]}],
    }  # fmt: skip
    (folder / "first.json").write_text(json.dumps(config))

    def ours() -> dict[str, float]:
        began = time.time_ns()
        child([*CLI, "run", "x", "--yes", "--config", str(folder / "first.json")], cwd=repo, codes=(1,))
        return {"first agent": (int(stamp.read_text()) - began) / 1e9}

    median = interleaved(
        rounds, {"floor": lambda: {"python": child([sys.executable, "-c", "pass"]).wall}, "ours": ours}
    )
    return {"what": "wall, s", "python -c pass": median["python"], "first agent starts after": median["first agent"]}


def many(folder: Path, at_once: int) -> dict[str, str | float]:
    """The line of the third table."""
    repo = repository(folder)
    seconds = 1.0 + at_once / 10
    workstreams = [
        {
            "id": f"w{n}",
            "scope": {"write": [f"w{n}.txt"]},
            "script": [
                {"sleep": seconds},
                {"write": {"path": f"w{n}.txt", "content": "x\n"}},
                {"run": ["sh", "-c", f"date +%s%N > {folder.parent}/end-w{n}"]},
            ],
        }
        for n in range(at_once)
    ]
    plan, config = folder.parent / "many-plan.json", folder.parent / "many.json"
    plan.write_text(json.dumps({"version": 1, "workstreams": workstreams}))
    config.write_text(json.dumps({"version": 1, "max_parallel": at_once, "sandbox": OPEN}))
    argv = [*CLI, "run", "--plan", str(plan), "--config", str(config), "--yes", "--json"]
    began = time.perf_counter()
    with subprocess.Popen(argv, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        peak = Peak(process.pid)
        out, _ = process.communicate()
    late = latencies(Path(json.loads(out)["run_dir"]), folder.parent)
    return {
        "agents": at_once,
        "wall, s": time.perf_counter() - began,
        "coordinator's peak, MB": peak.stop(),
        "latency median, ms": statistics.median(late),
        "latency worst, ms": max(late),
    }


class Peak(threading.Thread):
    """Watches the peak memory of one process, without its children."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status, self.mb, self.ended = Path(f"/proc/{pid}/status"), 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        """Look until told to stop."""
        while not self.ended.wait(0.05):
            try:
                lines = self.status.read_text().splitlines()
            except OSError:
                return
            self.mb = max([self.mb, *(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))])

    def stop(self) -> float:
        """The peak so far, in MB; the watch ends."""
        self.ended.set()
        self.join()
        return self.mb


def latencies(run_dir: Path, folder: Path) -> list[float]:
    """Milliseconds from the last action of each agent to the record of its task's end."""
    found = []
    for line in (run_dir / "logs" / "run.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("new_state") == "COMPLETED" and "_execute_" in record["task_id"]:
            ended = int((folder / f"end-{record['task_id'].rpartition('_')[2]}").read_text()) / 1e6
            found.append(datetime.fromisoformat(record["timestamp"]).timestamp() * 1000 - ended)
    return found


def repository(path: Path) -> Path:
    """A small repository with one commit."""
    path.mkdir(parents=True)
    (path / "README.md").write_text("# A project\n")
    for args in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*GIT, *args], cwd=path, check=True)
    return path


if __name__ == "__main__":
    main()
