"""What the checks beyond the schema find, and where."""

from pathlib import Path

import pytest

from branchline.config.document import InvalidFile
from branchline.config.load import load_graph, load_settings, plan_from_data, scriptless
from branchline.config.settings import Settings
from branchline.core.model.agent_spec import AgentSpec


def workstream(**members: object) -> dict[str, object]:
    return {"id": "a", "scope": {"write": ["a"]}, "agent": "scripted", "script": []} | members


def plan(*workstreams: dict[str, object]) -> dict[str, object]:
    return {"version": 1, "workstreams": list(workstreams)}


ANY = Settings(version=1, agent="codex")


def data_complaints(data: object, settings: Settings = ANY) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        plan_from_data(data, settings)
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
        assert data_complaints(
            data, Settings(version=1, agent="codex", agents=(AgentSpec(id="claude", use="codex"),))
        ) == [
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
        assert plan_from_data(plan(bare), ANY).workstreams[0].script == ()
        expected = "workstream 'a' is for the scripted agent but has no script; add a script, or name another agent"
        assert data_complaints(plan(bare), Settings(version=1)) == [expected]
        assert data_complaints(plan(bare | {"agent": "scripted"})) == [expected]
        assert plan_from_data(plan(workstream(script=[])), ANY).workstreams[0].script == ()

    def test_scripts_of_the_agents_own_will_do(self) -> None:
        specs = (AgentSpec(id="own", use="scripted", scripts=((),)), AgentSpec(id="bare", use="scripted"))
        assert scriptless(specs) == {"bare", "scripted"}
        assert scriptless([AgentSpec(id="scripted", use="scripted", scripts=((),))]) == frozenset()
        bare = workstream(agent="own")
        del bare["script"]
        settings = Settings(version=1, agents=specs)
        assert plan_from_data(plan(bare), settings).workstreams[0].agent == "own"
        with pytest.raises(InvalidFile, match="no script"):
            plan_from_data(plan(bare | {"agent": "bare"}), settings)

    def test_the_built_in_agents_are_known(self) -> None:
        assert plan_from_data(plan(workstream(agent="claude_code")), ANY).workstreams[0].agent == "claude_code"

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
        assert len(plan_from_data(plan(*(workstream(id=f"w{n}") for n in range(1000))), ANY).workstreams) == 1000
        too_many = plan(*(workstream(id=f"w{n}") for n in range(1001)))
        assert data_complaints(too_many) == ["'workstreams' must have at most 1000 items, not 1001"]


def settings_complaints(tmp_path: Path, text: str) -> list[tuple[int, int, str]]:
    path = tmp_path / "branchline.yaml"
    path.write_text("version: 1\n" + text)
    with pytest.raises(InvalidFile) as caught:
        load_settings(path, root=tmp_path)
    return [(*problem.place, problem.message) for problem in caught.value.problems]


def test_settings_checks(tmp_path: Path) -> None:
    text = """\
gates:
  - {id: t, verify: ['true'], cwd: /}
  - {id: t, verify: ['true'], cwd: a/..}
setup: {copy: [../.env], symlink: [/x]}
"""
    assert settings_complaints(tmp_path, text) == [
        (3, 36, "the gate's cwd '/' is absolute"),
        (4, 10, "the gate id 't' is used twice"),
        (4, 36, "the gate's cwd 'a/..' contains '..'"),
        (5, 16, "the set-up path '../.env' contains '..'"),
        (5, 36, "the set-up path '/x' is absolute"),
    ]


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
    assert [(*problem.place, problem.message) for problem in caught.value.problems] == [
        (3, 43, "the tasks wait for each other: a -> b -> a"),
        (4, 46, "task 'b' depends on 'build', which does not exist"),
        (5, 10, "the task id 'b' is used twice"),
        (6, 5, "task 'c' has no command"),
        (6, 26, "the condition reads 'a', on which the task does not depend"),
    ]
