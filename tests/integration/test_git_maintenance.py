"""`git gc --prune=now` and its like, between any two steps and in the middle of them: the same commit in the end."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from branchline.config.load import load_settings, plan_of
from branchline.core.run_state import RunState
from branchline.engine.inline_driver import InlineDriver
from branchline.engine.pipeline import Session, start
from branchline.engine.request import pin
from branchline.git.repo import Repo
from branchline.ledger.codec import Record
from support import SEAM, Json, Project, edit, gate, sh, workstream, write
from wounds import MAINTENANCE

TIDY = "for f in *.txt; do grep -q tidy $f || echo tidy >> $f; done"
COMMIT = "git add -A; git -c user.name=a -c user.email=a commit -qm mine; git reset -q --hard HEAD~1"


def requested(project: Project, disturb: str = "true") -> tuple[Path, Path]:
    """A dependency, a fix, a repair after a rejection, and one of a conflict; `disturb` runs in agents and gates."""
    again = sh(disturb)
    plan = {
        "goal": "Everything at once",
        "workstreams": [
            workstream(
                "a", again, write("a.txt", "a\n"), sh(COMMIT), write("a.txt", "a\n"), edit("src/x.py", "1", "2")
            ),
            workstream("b", write("b.txt", "b\n"), write("shared.txt", "b\n"), again, depends_on=["a"]),
            workstream("c", write("c.txt", "BAD\n"), repair_scripts=[[again, write("c.txt", "good\n")]]),
            workstream("d", write("shared.txt", "d\n"), repair_scripts=[[again, write("shared.txt", "both\ntidy\n")]]),
        ],
    }
    settings: Json = {
        "gates": [
            {"id": "tidy", "kind": "format", "verify": ["sh", "-c", disturb], "fix": ["sh", "-c", TIDY]},
            gate("clean", f"{disturb}; ! grep -rn BAD *.txt"),
        ],
        "ship": {"mode": "merge"},
        "merge": {"on_conflict": "repair"},
        "repair": {"rounds": 2},
        "sandbox": {"rung": 1},
        "max_parallel": 1,
    }
    return project.request(plan, settings)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    project = Project.make(tmp_path_factory.mktemp("undisturbed") / "p")
    plan, config = requested(project)
    ran = project.branchline("run", "--plan", str(plan), "--config", str(config), "--yes", "--json", **SEAM)
    assert ran.code == 0, ran.err
    return project.git("rev-parse", "main")


def test_between_any_two_steps(tmp_path: Path, undisturbed: str) -> None:
    project, times = Project.make(tmp_path / "p"), 0
    plan, config = requested(project)

    def maintain(state: RunState, records: Sequence[Record]) -> None:
        nonlocal times
        times += 1
        for command in MAINTENANCE:
            project.git(*command.split())

    settings = load_settings(config, root=project.root)
    request = pin(
        Repo.open(project.root),
        settings,
        plan=plan_of(plan, settings),
        run_id=SEAM["BRANCHLINE_RUN_ID"],
        started_at=int(SEAM["BRANCHLINE_START_TIME"]),
    )
    state = start(request, Session(driver=InlineDriver(), observers=(maintain,)))
    assert state.end is not None
    assert state.end.status == "succeeded", state.end.reason
    assert times > 20
    assert project.git("rev-parse", "main") == undisturbed
    verified = project.branchline("verify", SEAM["BRANCHLINE_RUN_ID"])
    assert verified.code == 0, verified.out


@pytest.mark.heavy
def test_by_agents_and_gates_in_the_middle_of_their_steps(tmp_path: Path, undisturbed: str) -> None:
    project = Project.make(tmp_path / "p")
    own = "\n".join(f"git {command}" for command in MAINTENANCE)
    users = "\n".join(f"git -C {project.root} {command}" for command in MAINTENANCE)
    (tmp_path / "disturb.sh").write_text(f"set -e\necho >> {tmp_path}/ran\n{own}\n{users}\n")
    plan, config = requested(project, f"sh {tmp_path}/disturb.sh")
    ran = project.branchline("run", "--plan", str(plan), "--config", str(config), "--yes", "--json", **SEAM)
    assert ran.code == 0, ran.err
    assert (tmp_path / "ran").read_text().count("\n") > 10
    assert project.git("rev-parse", "main") == undisturbed
    assert project.branchline("verify", SEAM["BRANCHLINE_RUN_ID"]).code == 0
