"""Kill children of live runs, never the coordinator: agents, gates, gits, init processes, proxies. Does every run end truthfully?

`python -m child_kills --count 200`: each run has one to three of its descendants killed (kill -9), at a random moment or
as soon as one of a kind shows itself. Truthful: exit code, recap, `status`, `verify` and git say the same, and a resume
brings what failed to its end.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support import Json, Project, gate, sh, workstream, write

KINDS = ("git", "sandbox", "init", "agent", "gate", "any")
PATIENCE = 60.0  # seconds for one run
ENDS = {0, 1, 4, 5, 6}  # a run that has ended says one of these; 3 is a fault of ours
STREAMS = ("a", "b", "c")


@dataclass(slots=True)
class Trial:
    """One run: what was killed, how it ended, and what is not true of it."""

    seed: int
    killed: list[str] = field(default_factory=list)
    code: int | None = None
    resumes: int = 0
    lies: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = "; ".join(self.lies) or "true"
        return f"seed {self.seed}: exit code {self.code}, killed {self.killed}, {self.resumes} resumes: {said}"


def plan() -> Json:
    """Three workstreams whose agents take a moment; the last builds on the first."""
    streams = [
        workstream(name, sh("sleep 0.2"), write(f"{name}.txt", f"{name}\n"), sh("sleep 0.1")) for name in STREAMS[:2]
    ]
    return {"goal": "g", "workstreams": [*streams, workstream("c", write("c.txt", "c\n"), depends_on=["a"])]}


def settings(dice: random.Random) -> Json:
    """With the sandbox and a list of hosts, with the sandbox, without it."""
    network = dice.choice([["example.org"], "none"])
    return {
        "gates": [gate("there", "sleep 0.1; ls *.txt")],
        "ship": {"mode": "merge"},
        "retry": {"max_attempts": 3, "backoff": "fixed", "base_seconds": 0.1},
        "sandbox": {"network": network} if dice.random() < 0.6 else {"rung": 1},
    }


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """The processes below one, with what each is."""
    parents: dict[int, list[int]] = {}
    words: dict[int, list[str]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
            words[int(entry)] = Path(f"/proc/{entry}/cmdline").read_text(errors="replace").split("\0")
        except (OSError, IndexError):
            continue
        if stat[0] != b"Z":
            parents.setdefault(int(stat[1]), []).append(int(entry))
    below = [pid]
    while below:
        for child in parents.get(below.pop(), []):
            yield child, kind_of(words[child])
            below.append(child)


def kind_of(words: list[str]) -> str:
    """What a process is, by its command line."""
    line, name = " ".join(words), os.path.basename(words[0]) if words else ""
    if name.startswith("git"):
        return "git"
    if name == "bwrap":
        return "sandbox"
    if "scripted_runner" in line:
        return "agent"
    if name in {"sh", "sleep", "ls"}:
        return "gate"
    return "init" if "init" in line else "other"


def kill(trial: Trial, run: subprocess.Popen[bytes], dice: random.Random) -> None:
    """Kill some of its children, one after the other."""
    for _ in range(dice.randint(1, 3)):
        wanted, until = dice.choice(KINDS), time.monotonic() + 4.0
        time.sleep(dice.random() * (0.5 if wanted == "git" else 1.5))
        while run.poll() is None and time.monotonic() < until:
            found = [(pid, kind) for pid, kind in descendants(run.pid) if wanted in {kind, "any"}]
            if found:
                pid, kind = dice.choice(found)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                trial.killed.append(kind)
                break


def tried(seed: int, folder: Path) -> Trial:
    """One run with kills, and what it says of itself afterwards."""
    trial, dice = Trial(seed), random.Random(seed)
    project = Project.make(folder / "p")
    files = project.request(plan(), settings(dice))
    asked = ("run", "--plan", str(files[0]), "--config", str(files[1]), "--yes", "--json")
    env = {**os.environ, "NO_COLOR": "1"}
    env.pop("BRANCHLINE_SANDBOX", None)
    project.env = {"BRANCHLINE_SANDBOX": ""}
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        run = subprocess.Popen(
            [sys.executable, "-m", "branchline", *asked], cwd=project.root, env=env, stdout=out, stderr=err
        )
        kill(trial, run, dice)
        try:
            trial.code = run.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            trial.lies.append("it hung")
            return trial
    judge(trial, project, (folder / "out").read_text(), (folder / "err").read_text())
    while trial.code != 0 and trial.resumes < 3 and not trial.lies:
        trial.resumes += 1
        again = project.branchline("resume", "--json")
        trial.code = again.code
        judge(trial, project, again.out, again.err)
    if trial.code != 0 and not trial.lies:
        trial.lies.append("no resume brings it to its end")
    return trial


def judge(trial: Trial, project: Project, out: str, err: str) -> None:
    """Compare what is told with what is."""
    lies = trial.lies
    if trial.code not in ENDS or "Traceback" in err or "Branchline crashed" in err:
        lies.append(f"exit code {trial.code}: {err[-300:]}")
        return
    recap = json.loads(out)
    status = project.branchline("status", "--json").json
    if "status" not in recap:
        lies.append(f"no recap: {out[-200:]}")
        return
    if recap["status"] != status["status"] or recap["exit_code"] != trial.code:
        lies.append(f"recap says {recap['status']} {recap['exit_code']}, status says {status['status']}")
    verified = project.branchline("verify")
    if verified.code != 0:
        lies.append(f"verify: {verified.out[-300:]}")
    tip, shipped = project.git("rev-parse", "main"), recap.get("shipped")
    if bool(shipped) != (tip != project.git("rev-list", "--max-parents=0", "main")):
        lies.append(f"shipped is {shipped}, and main is at {tip}")
    landed = set(project.files("main")) & {f"{name}.txt" for name in STREAMS}
    told = {f"{one['id']}.txt" for one in recap["workstreams"] if one["state"] == "COMPLETED"} if shipped else set()
    if landed != told:
        lies.append(f"main has {sorted(landed)}, the recap says {sorted(told)}")
    if project.git("status", "--porcelain"):
        lies.append(f"the checkout is not clean: {project.git('status', '--porcelain')}")
    if locks := [str(one) for one in (project.root / ".git").rglob("*.lock") if "branchline" not in one.parts]:
        lies.append(f"locks are left: {locks}")


def main() -> int:
    """Try many; print what is not true, and sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    killed, ends, bad = Counter[str](), Counter[str](), 0
    for seed in range(wanted.seed, wanted.seed + wanted.count):
        with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder:
            os.environ["BRANCHLINE_STATE"] = f"{folder}/state"
            trial = tried(seed, Path(folder))
        killed.update(trial.killed)
        ends[f"exit code {trial.code} after {trial.resumes} resumes"] += 1
        bad += bool(trial.lies)
        print(f"{trial}" if trial.lies else f"{seed + 1 - wanted.seed} of {wanted.count}", file=sys.stderr)
    print(f"{wanted.count} runs, {sum(killed.values())} kills {dict(killed)}: {dict(ends)}, {bad} untrue")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
