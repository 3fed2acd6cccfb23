"""What the checks beyond the schema find, and where."""

from pathlib import Path

import pytest

from branchline.config.load import load_graph, load_settings, plan_from_data
from branchline.config.problems import InvalidFile


def workstream(**members: object) -> dict[str, object]:
    return {"id": "a", "scope": {"write": ["a"]}, "agent": "scripted", "script": []} | members


def plan(*workstreams: dict[str, object]) -> dict[str, object]:
    return {"version": 1, "workstreams": list(workstreams)}


def data_complaints(data: object, agents: tuple[str, ...] = (), default_agent: str | None = None) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        plan_from_data(data, agents=agents, default_agent=default_agent)
    return [problem.message + (f"; {problem.hint}" if problem.hint else "") for problem in caught.value.problems]


class TestPlanChecks:
    def test_a_cycle_is_shown(self) -> None:
        data = plan(*(workstream(id=name, depends_on=[wanted]) for name, wanted in ("ab", "bc", "ca")))
        assert data_complaints(data) == [
            "the workstreams wait for each other: a -> b -> c -> a; remove one of them",
        ]
        assert "a -> a" in data_complaints(plan(workstream(depends_on=["a"])))[0]

    def test_unknown_dependency_and_agent(self) -> None:
        data = plan(workstream(id="parser"), workstream(id="b", depends_on=["prser"], agent="cluade"))
        assert data_complaints(data, agents=("claude",)) == [
            "there is no agent 'cluade'; did you mean 'claude'?",
            "workstream 'b' depends on 'prser', which does not exist; did you mean 'parser'?",
        ]

    def test_the_same_id(self) -> None:
        assert data_complaints(plan(workstream(), workstream(), workstream(id="A"))) == [
            "the workstream id 'a' is used twice",
            "the workstream ids 'a' and 'A' differ by case alone",
        ]

    @pytest.mark.parametrize("name", ["-a", ".a", "a.", "a..b", "a.lock", ".", ".."])
    def test_ids_that_cannot_name_a_branch(self, name: str) -> None:
        assert f"the workstream id '{name}' cannot name a branch" in data_complaints(plan(workstream(id=name)))[0]

    def test_a_trailing_newline_is_not_part_of_an_id(self) -> None:
        assert "'workstreams[0].id' must be" in data_complaints(plan(workstream(id="a\n")))[0]

    def test_the_scripted_agent_needs_a_script(self) -> None:
        bare = workstream(agent=None)
        del bare["script"]
        assert plan_from_data(plan(bare)).workstreams[0].script == ()
        expected = "workstream 'a' is for the scripted agent but has no script; add a script, or name another agent"
        assert data_complaints(plan(bare), default_agent="scripted") == [expected]
        assert data_complaints(plan(bare | {"agent": "scripted"}), default_agent="codex") == [expected]
        assert plan_from_data(plan(workstream(script=[]))).workstreams[0].script == ()

    def test_scopes_stay_inside(self) -> None:
        scope = {"write": ["/etc/x", "a/../b", "..x/y"], "protect": ["../c", "./d"]}
        assert data_complaints(plan(workstream(scope=scope))) == [
            "the protect glob '../c' contains '..'; write it relative to the repository",
            "the protect glob './d' matches nothing; write 'd'",
            "the write glob '/etc/x' is absolute; write it relative to the repository",
            "the write glob 'a/../b' contains '..'; write it relative to the repository",
        ]

    def test_how_many_workstreams(self) -> None:
        assert data_complaints(plan()) == ["'workstreams' must have at least 1 item, not 0"]
        assert len(plan_from_data(plan(*(workstream(id=f"w{n}") for n in range(1000)))).workstreams) == 1000
        too_many = plan(*(workstream(id=f"w{n}") for n in range(1001)))
        assert data_complaints(too_many) == ["'workstreams' must have at most 1000 items, not 1001"]


def test_settings_checks(tmp_path: Path) -> None:
    text = """\
version: 1
agent: codx
agents:
  - {id: scripted, command: [x]}
  - {id: codex, command: [codex, "{promt}", "a {x} b"], stdin: "{prompt}"}
  - {id: codex, command: [codex, "{model}"], home: usr, stdin: "{worktree}"}
gates:
  - {id: t, verify: ['true'], cwd: /}
  - {id: t, verify: ['true'], cwd: a/..}
setup: {copy: [../.env], symlink: [/x]}
"""
    path = tmp_path / "branchline.yaml"
    path.write_text(text)
    with pytest.raises(InvalidFile) as caught:
        load_settings(path, root=tmp_path)
    assert [(problem.line, problem.column, problem.message) for problem in caught.value.problems] == [
        (2, 8, "there is no agent 'codx'"),
        (4, 10, "the agent id 'scripted' is built in"),
        (5, 34, "{promt} is not a placeholder"),
        (6, 10, "the agent id 'codex' is used twice"),
        (6, 34, "agent 'codex' has {model} in its command but no model"),
        (6, 52, "'agents[2].home' must be 'private' or 'user', not 'usr'"),
        (6, 64, "'agents[2].stdin' must be '' or '{prompt}', not '{worktree}'"),
        (8, 36, "the gate's cwd '/' is absolute"),
        (9, 10, "the gate id 't' is used twice"),
        (9, 36, "the gate's cwd 'a/..' contains '..'"),
        (10, 16, "the set-up path '../.env' contains '..'"),
        (10, 36, "the set-up path '/x' is absolute"),
    ]
    assert caught.value.problems[2].hint == "did you mean '{prompt}'?"


def test_graph_checks(tmp_path: Path) -> None:
    text = """\
version: 1
tasks:
  - {id: a, run: ['true'], dependencies: [b]}
  - {id: b, run: ['true'], dependencies: [a, build]}
  - {id: b, run: ['true'], parallel_group: unheard_of}
  - {id: c, when: {task: a, output: x, equals: 1}}
"""
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    with pytest.raises(InvalidFile) as caught:
        load_graph(path)
    assert [(problem.line, problem.column, problem.message) for problem in caught.value.problems] == [
        (3, 43, "the tasks wait for each other: a -> b -> a"),
        (4, 46, "task 'b' depends on 'build', which does not exist"),
        (5, 10, "the task id 'b' is used twice"),
        (6, 5, "task 'c' has no command"),
        (6, 26, "the condition reads 'a', on which the task does not depend"),
    ]
