"""Twenty runs at once on one repository, with a user, git's maintenance and our own cleaning beside them: does one lie?

A run that says that it shipped has its commit on main; one that says that it did not has none of its work there. No commit
of the user's is lost. `make crowd` runs it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import Json, Project, Ran, gate, workstream, write

BESIDE = (
    ("git", "gc", "--quiet"),
    ("git", "maintenance", "run", "--quiet", "--task=pack-refs"),
    (
        "git",
        "gc",
        "--quiet",
        "--prune=1.hour.ago",
    ),  # with `now` git itself frees what others are writing: git-gc(1), NOTES
    ("git", "status", "--short"),
    ("branchline", "gc"),
    ("branchline", "doctor", "--repair"),
    ("branchline", "list"),
)


def plan(number: int) -> Json:
    """Every third run changes what others change too."""
    own = workstream("own", write(f"own-{number}.txt", f"{number}\n"))
    shared = workstream("shared", write(f"shared-{number % 3}.txt", f"{number}\n"))
    return {"workstreams": [own, shared] if number % 3 == 0 else [own]}


def run(project: Project, number: int) -> Ran:
    """One run, as a user starts it."""
    folder = project.root.parent / f"request-{number}"
    folder.mkdir()
    settings = {
        "version": 1,
        "ship": {"mode": "merge"},
        "gates": [gate("there", f"test -f own-{number}.txt")],
        "repair": {"rounds": 0},
    }
    (folder / "plan.json").write_text(json.dumps({"version": 1, **plan(number)}))
    (folder / "config.json").write_text(json.dumps(settings))
    words = ("--plan", str(folder / "plan.json"), "--config", str(folder / "config.json"))
    return project.branchline("run", *words, "--yes", "--json", BRANCHLINE_RUN_ID=f"CROWD{number:02}")


def user(project: Project, stop: threading.Event) -> list[str]:
    """A person who commits now and then; git may be busy, then the person tries again. The commits."""
    made: list[str] = []
    while not stop.wait(4):
        name = f"mine-{len(made)}.txt"
        project.write({name: "mine\n"})
        for _ in range(40):
            project.git("add", "--", name, check=False)
            subject = project.git("commit", "-m", name, "--", name, check=False)
            if subject:  # "[main 1a2b3c4] mine-0.txt"; others may have moved main on since
                made.append(subject.partition("]")[0].rpartition(" ")[2])
                break
            time.sleep(0.1)
    return made


def beside(project: Project, stop: threading.Event) -> Counter[str]:
    """Maintenance, again and again; what failed, and how often."""
    failed: Counter[str] = Counter()
    while not stop.is_set():
        for words in BESIDE:
            if words[0] == "git":
                subprocess.run(words, cwd=project.root, capture_output=True, check=False)
            elif "Traceback" in (ran := project.branchline(*words[1:])).err or ran.code not in {0, 1}:
                failed[" ".join(words)] += 1
                sys.stderr.write(ran.err)
    return failed


def lies(project: Project, ran: Ran) -> list[str]:
    """What a run says that is not so."""
    if "Traceback" in ran.err or not ran.out:
        return [f"it ended in {ran.code}: {ran.err[-2000:]}"]
    told = ran.json
    if "run_id" not in told:
        return [f"it ended in {ran.code}: {ran.err[-500:]}"]
    found, run_id = [], told["run_id"]
    number = int(run_id.removeprefix("CROWD"))
    landed = project.show("main", f"own-{number}.txt") is not None
    shipped = told["shipped"] is not None
    if landed != shipped:
        found.append(f"{run_id} says shipped={shipped}, and main has {'its' if landed else 'nothing of its'} work")
    if shipped and project.git("merge-base", told["shipped"]["commit"], "main") != told["shipped"]["commit"]:
        found.append(f"{run_id}: {told['shipped']['commit']} is not on main")
    if (ran.code in {0, 5, 6}) != shipped or ran.code != told["exit_code"]:
        found.append(f"{run_id} ended in {ran.code}, shipped={shipped}: {ran.err[-500:]}")
    verified = project.branchline("verify", run_id)
    if verified.code != 0:
        found.append(f"{run_id} does not verify: {verified.out}{verified.err}")
    return found


def crowd(folder: Path, count: int) -> tuple[list[str], Json]:
    """Everything at once; the lies, and what came of it in numbers."""
    project, stop = Project.make(folder / "p"), threading.Event()
    project.patience = 900
    began = time.monotonic()
    with ThreadPoolExecutor(count + 2) as pool:
        person, maintenance = pool.submit(user, project, stop), pool.submit(beside, project, stop)
        done = list(pool.map(lambda number: run(project, number), range(count)))
        took = time.monotonic() - began
        stop.set()
        commits, failed = person.result(), maintenance.result()
    found = [lie for ran in done for lie in lies(project, ran)]
    found += [f"{words} failed {times} times" for words, times in failed.items()]
    on_main = project.git("rev-list", "main").split()
    found += [f"the user's commit {one} is lost" for one in commits if not any(it.startswith(one) for it in on_main)]
    checked = subprocess.run(
        ["git", "fsck", "--no-dangling"], cwd=project.root, capture_output=True, check=False, text=True
    )
    found += [f"git fsck: {checked.stdout}{checked.stderr}"] if checked.returncode else []
    codes = Counter(str(ran.code) for ran in done)
    words = Counter(w["reason"][:60] for ran in done if ran.out for w in ran.json.get("workstreams", ()) if w["reason"])
    return found, {"runs": count, "codes": codes, "reasons": words, "commits": len(commits), "seconds": round(took)}


def main() -> int:
    """Run it; 1 if somebody lied."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--count", type=int, default=20)
    with tempfile.TemporaryDirectory() as folder:
        found, told = crowd(Path(folder), asked.parse_args().count)
    print(json.dumps(told))
    for one in found:
        print(f"LIE: {one}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
