"""Which agent works, what becomes of one that cannot, and of one that commits."""

from pathlib import Path

import pytest

from support import Json, Project, fate, gate, sh, workstream, write


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


def script(name: str, *actions: Json | str, **more: object) -> Json:
    return {"id": name, "use": "scripted", "scripts": [list(actions)] * 5, **more}


def plain(name: str, **fields: object) -> Json:
    """A workstream that leaves what is done to its agent's own script."""
    return {"id": name, "scope": {"write": ["**"]}, **fields}


def callers(project: Project) -> list[tuple[str, str]]:
    return [(r["context"]["agent"], r["context"]["status"]) for r in project.records() if r["event"] == "agent_called"]


def test_the_next_agent_of_the_chain_takes_over_and_finds_a_clean_worktree(project: Project) -> None:
    settings: Json = {
        "agent": "first",
        "agents": [
            script("first", write("half.txt", "x\n"), {"fail": "429 too many requests"}, fallback=["second"]),
            {"id": "second", "command": ["no-such-program-here"], "fallback": ["third"]},
            script("third", sh("test ! -e half.txt"), write("a.txt", "third\n")),
        ],
    }
    ran = project.run({"workstreams": [plain("a")]}, settings)
    assert ran.code == 0, ran.err
    assert callers(project) == [("first", "model_error"), ("third", "ok")]
    done = next(r for r in project.records() if r["event"] == "execute_ws_complete")
    assert done["context"]["files"] == ["a.txt"]
    saved = project.git("for-each-ref", "--format=%(refname)", f"refs/branchline/{ran.json['run_id']}/saved")
    assert saved, "what the first agent had begun is saved"


def test_a_chain_without_a_program_stops_at_preflight(project: Project) -> None:
    settings: Json = {"agent": "one", "agents": [{"id": "one", "command": ["no-such-program-here"]}]}
    ran = project.run({"workstreams": [plain("a")]}, settings)
    assert ran.code == 1
    assert "agent one cannot run here" in ran.err


def test_another_agent_takes_over_after_so_many_repairs(project: Project) -> None:
    settings: Json = {
        "agent": "weak",
        "agents": [
            {"id": "weak", "use": "scripted", "scripts": [[write("a.txt", f"bad {n}\n")] for n in range(3)]},
            {"id": "strong", "use": "scripted", "scripts": [[], [], [write("a.txt", "good\n")]]},
        ],
        "repair": {"rounds": 3, "takeover": "strong", "takeover_after": 1},
        "gates": [gate("good", "grep -q good a.txt")],
    }
    ran = project.run({"workstreams": [plain("a")]}, settings)
    assert ran.code == 0, ran.err
    assert [name for name, _ in callers(project)] == ["weak", "weak", "strong"]


def test_a_round_that_brings_back_a_rejected_tree_ends_the_repairs(project: Project) -> None:
    settings: Json = {
        "agent": "mine",
        "agents": [
            {
                "id": "mine",
                "use": "scripted",
                "scripts": [[write("a.txt", text)] for text in ("one\n", "two\n", "one\n", "three\n")],
            }
        ],
        "repair": {"rounds": 9},
        "gates": [gate("no", "false")],
    }
    ran = project.run({"workstreams": [plain("a")]}, settings)
    assert ran.code == 1
    assert len(callers(project)) == 3
    last = [r for r in project.records() if r.get("new_state") == "FAILED"][-1]
    assert last["context"]["error_class"] == "no_progress"


def test_a_round_that_changes_nothing_ends_the_repairs(project: Project) -> None:
    settings: Json = {
        "agent": "mine", "agents": [{"id": "mine", "use": "scripted", "scripts": [[write("a.txt", "one\n")]]}],
        "repair": {"rounds": 9}, "gates": [gate("no", "false")],
    }  # fmt: skip
    ran = project.run({"workstreams": [plain("a")]}, settings)
    assert ran.code == 1
    assert callers(project) == [("mine", "ok"), ("mine", "ok")]
    assert "changed nothing" in fate(ran, "a")["reason"]


COMMIT = "echo x > a.txt; git add a.txt; git -c user.name=a -c user.email=b commit -qm 'by the agent'; echo y > b.txt"


@pytest.mark.parametrize(("policy", "code"), [("fold", 0), ("reject", 1)])
def test_an_agents_own_commits_are_folded_or_refused_and_never_lost(project: Project, policy: str, code: int) -> None:
    settings: Json = {"agent": "mine", "agents": [{"id": "mine", "command": ["sh", "-c", COMMIT], "commits": policy}]}
    ran = project.run({"workstreams": [plain("a")]}, settings)
    assert ran.code == code, ran.err
    run_id = ran.json["run_id"]
    kept = project.git("for-each-ref", "--format=%(subject)", f"refs/branchline/{run_id}/attempts")
    assert "by the agent" in kept
    if policy == "fold":
        assert project.files(f"feature/a-{run_id}") == ["README.md", "a.txt", "b.txt", "old.txt", "src/x.py"]
        assert "by the agent" not in project.git("log", "--format=%s", f"feature/a-{run_id}")
    else:
        assert "commits of its own" in fate(ran, "a")["reason"]


def test_two_workstreams_by_two_agents(project: Project) -> None:
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n")), plain("b", agent="other")]}
    ran = project.run(plan, {"agents": [script("other", write("b.txt", "b\n"))]})
    assert ran.code == 0, ran.err
    assert sorted(callers(project)) == [("other", "ok"), ("scripted", "ok")]


def test_an_error_that_no_retry_mends_is_not_retried(project: Project) -> None:
    fake = "echo 'Error: 401 invalid api key' >&2; exit 1"
    ran = project.run(
        {"workstreams": [plain("a")]},
        {"agent": "mine", "agents": [{"id": "mine", "command": ["sh", "-c", fake]}], "retry": {"max_attempts": 3}},
    )
    assert ran.code == 1
    assert len(callers(project)) == 1
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert called["error_class"] == "auth"


def test_a_retry_policy_can_name_an_error_class(project: Project) -> None:
    fake = "echo 'Error: 429 rate limit' >&2; exit 1"
    ran = project.run(
        {"workstreams": [plain("a")]},
        {
            "agent": "mine",
            "agents": [{"id": "mine", "command": ["sh", "-c", fake]}],
            "retry": {"max_attempts": 1, "base_seconds": 0.1, "by_class": {"rate_limit": {"max_attempts": 3}}},
        },
    )
    assert ran.code == 1
    assert len(callers(project)) == 3
