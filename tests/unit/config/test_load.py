"""Loading as a user meets it: files in, a model or every error at once out."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.config.document import InvalidFile
from branchline.config.load import load_context, load_graph, load_settings, plan_from_data, plan_of
from branchline.config.settings import Settings
from branchline.core.model.manifest import Caps, ContextSettings
from branchline.core.model.plan import Plan

PATIENCE = 8 if sys.gettrace() else 1  # a line tracer, as of coverage, slows the parser down
PLAN = """\
version: 1
goal: Add greetings
workstreams:
  - id: a
    title: Add hello
    prompt: Create hello.txt that says hello.
    depends_on: []
    priority: 0
    scope: {write: ["hello.txt", "src/**"], protect: []}
    agent: scripted
    script:                  # round 1
      - write: {path: hello.txt, content: "hello\\n"}
      - edit: {path: src/x.py, old: "1", new: "2"}
      - delete: {path: old.txt}
      - run: [sh, -c, "echo hi"]
      - sleep: 0.5
      - fail: "a message"
      - hang
      - hang:
"""
SETTINGS = """\
version: 1
base: main
max_parallel: 4
retry: {max_attempts: 3, backoff: exponential, base_seconds: 60}
gates:
  - {id: tests, verify: [python, -m, pytest, -q], timeout: 10m}
merge: {on_conflict: drop}
ship: {mode: merge}          # or branch
"""


ANY = Settings(version=1, agent="codex")


def load_plan(path: Path) -> Plan:
    return plan_of(path, ANY)


def written(folder: Path, content: str | bytes, name: str = "plan.yaml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def complaints(path: Path) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        load_plan(path)
    assert caught.value.exit_code == 2
    return [problem.told(os.fspath(path)).removeprefix(f"{path}:").strip() for problem in caught.value.problems]


def workstream(**members: object) -> dict[str, object]:
    return {"id": "a", "scope": {"write": ["a"]}, "agent": "scripted", "script": []} | members


def plan(*workstreams: dict[str, object]) -> dict[str, object]:
    return {"version": 1, "workstreams": list(workstreams)}


class TestWhatMustParse:
    def test_the_plan(self, tmp_path: Path) -> None:
        loaded = load_plan(written(tmp_path, PLAN))
        assert loaded.goal == "Add greetings"
        [only] = loaded.workstreams
        assert only.scope.write == ("hello.txt", "src/**")
        assert len(only.script) == 8
        assert only.script[6] == "hang"

    def test_the_settings(self, tmp_path: Path) -> None:
        loaded = load_settings(written(tmp_path, SETTINGS, "branchline.yaml"), root=tmp_path)
        assert loaded.gates[0].verify == ("python", "-m", "pytest", "-q")
        assert loaded.retry.base_seconds == 60
        assert loaded.ship.mode == "merge"

    def test_a_graph(self, tmp_path: Path) -> None:
        text = "version: 1\ntasks:\n- {id: a, run: ['true']}\n- {id: b, dependencies: [a], run: ['true']}\n"
        loaded = load_graph(written(tmp_path, text))
        assert [task.id for task in loaded.tasks] == ["a", "b"]

    @pytest.mark.parametrize("version", ["1", "'1.0.0'", "1.0.0"])
    def test_a_graph_of_either_version(self, tmp_path: Path, version: str) -> None:
        assert load_graph(written(tmp_path, f"version: {version}\ntasks: [{{id: a, run: ['true']}}]\n")).tasks

    @pytest.mark.parametrize("version", ["2", "'1'", "1.0.1", "true"])
    def test_a_graph_of_a_version_that_is_not_known(self, tmp_path: Path, version: str) -> None:
        with pytest.raises(InvalidFile, match=r"'version' must be 1 or '1\.0\.0', not"):
            load_graph(written(tmp_path, f"version: {version}\ntasks: [{{id: a, run: ['true']}}]\n"))

    def test_json_also_with_tabs(self, tmp_path: Path) -> None:
        text = json.dumps(plan(workstream(title="\U0001f600 a/b")), indent="\t").replace("/", "\\/")
        assert load_plan(written(tmp_path, text, "plan.json")).workstreams[0].title == "\U0001f600 a/b"

    def test_editors_schema_line_bom_and_crlf(self, tmp_path: Path) -> None:
        text = "\ufeff$schema: schemas/plan.schema.json\n" + PLAN
        assert load_plan(written(tmp_path, text.replace("\n", "\r\n"))) == load_plan(written(tmp_path, PLAN, "b.yaml"))

    def test_yaml_1_2_words_stay_text(self, tmp_path: Path) -> None:
        text = PLAN.replace("Add greetings", "no").replace("Add hello", "2020-01-01")
        loaded = load_plan(written(tmp_path, text))
        assert (loaded.goal, loaded.workstreams[0].title) == ("no", "2020-01-01")

    def test_anchors_and_aliases(self, tmp_path: Path) -> None:
        text = "version: 1\nworkstreams:\n- {id: a, scope: &s {write: [x]}}\n- {id: b, scope: *s}\n"
        loaded = load_plan(written(tmp_path, text))
        assert loaded.workstreams[1].scope.write == ("x",)

    def test_two_hundred_workstreams_in_two_seconds(self, tmp_path: Path) -> None:
        one = PLAN[PLAN.index("  - id: a") :].replace("that says hello.", "that says hello. " * 40)
        text = "version: 1\nworkstreams:\n" + "".join(one.replace("id: a", f"id: ws-{n}") for n in range(200))
        path = written(tmp_path, text)
        start = time.process_time()
        assert len(load_plan(path).workstreams) == 200
        assert len(text) > 200_000
        assert time.process_time() - start < 2 * PATIENCE


def test_data_that_refers_to_itself() -> None:
    data = plan(workstream())
    data["goal"] = data
    with pytest.raises(InvalidFile, match="nested more than 64 levels deep"):
        plan_from_data(data, ANY)


class TestEveryErrorAtOnce:
    def test_with_positions_and_suggestions(self, tmp_path: Path) -> None:
        text = """\
version: 2
gaol: 1
version: 1
workstreams:
  - id: "a b"
    scopes: {write: [a]}
    priority: high
    timeout: 10 minutes
    agent: 4
    script:
      - wrte: {path: a}
      - hangs
      - {}
      - write: {pth: a, content: b}
      - {fail: x, sleep: -1}
      - hang: maybe
      - !!python/object:os.system 3
  - id: x
    scope: {write: []}
    depends_on: y
"""
        a_time = "a time above 0: seconds, or text such as 30s, 10m or 1h30m"
        only_one = (
            "an action has exactly one of write, edit, delete, run, sleep, fail, hang, answer, usage; this one has"
        )
        assert complaints(written(tmp_path, text)) == [
            "1:10: 'version' must be 1, not 2",
            "2:1: 'gaol' is not a key of a plan file; did you mean 'goal'?",
            "3:1: the key 'version' is written twice; it is already in line 1",
            "5:9: 'workstreams[0].id' must be 1 to 64 of the characters A-Z a-z 0-9 _ . -, not 'a b'",
            "6:5: 'scopes' is not a key of a workstream; did you mean 'scope'?",
            "7:15: 'workstreams[0].priority' must be an integer, not 'high'",
            f"8:14: 'workstreams[0].timeout' must be {a_time}, not '10 minutes'",
            "9:12: 'workstreams[0].agent' must be text, not 4",
            "11:9: 'wrte' is not a key of an action; did you mean 'write'?",
            "12:9: 'workstreams[0].script[1]' must be 'hang' or a mapping, not 'hangs'; did you mean 'hang'?",
            f"13:9: {only_one} 0",
            "14:16: 'workstreams[0].script[3].write.path' is missing",
            "14:17: 'pth' is not a key of 'workstreams[0].script[3].write'; did you mean 'path'?",
            f"15:9: {only_one} 2",
            "15:26: 'workstreams[0].script[4].sleep' must be a number of at least 0, not -1",
            "16:15: 'workstreams[0].script[5].hang' must be true or false, not 'maybe'",
            "17:9: 'workstreams[0].script[6]' must be 'hang' or a mapping, not 3",
            "17:9: the tag !!python/object:os.system is not supported",
            "19:20: 'workstreams[1].scope.write' must have at least 1 item, not 0",
            "20:17: 'workstreams[1].depends_on' must be a list, not 'y'",
        ]

    def test_what_the_schema_and_what_the_checks_say_together(self, tmp_path: Path) -> None:
        text = "version: 1\ngaol: x\nworkstreams:\n- {id: a, scope: {write: [x]}, depends_on: [b]}\n"
        assert complaints(written(tmp_path, text)) == [
            "2:1: 'gaol' is not a key of a plan file; did you mean 'goal'?",
            "4:45: workstream 'a' depends on 'b', which does not exist",
        ]

    def test_a_misspelt_enumeration(self, tmp_path: Path) -> None:
        path = written(tmp_path, "version: 1\nship: {mode: brnch}\nmax_parallel: 0\nrepair: {rounds: 21}\n")
        with pytest.raises(InvalidFile) as caught:
            load_settings(path, root=tmp_path)
        assert [problem.message for problem in caught.value.problems] == [
            "'ship.mode' must be 'branch' or 'merge', not 'brnch'",
            "'max_parallel' must be an integer of at least 1, not 0",
            "'repair.rounds' must be an integer of at least 0 and of at most 20, not 21",
        ]
        assert caught.value.problems[0].hint == "did you mean 'branch'?"
        assert "branchline schema config" in caught.value.hint

    def test_a_float_where_an_integer_must_be(self, tmp_path: Path) -> None:
        [complaint] = complaints(written(tmp_path, PLAN.replace("priority: 0", "priority: 1.0")))
        assert complaint.startswith("8:15: ")

    def test_very_many_errors_are_cut_short(self) -> None:
        with pytest.raises(InvalidFile, match="and 30 more") as caught:
            plan_from_data(plan(*(workstream(id=f"w{n}", x=1) for n in range(80))), ANY)
        assert len(caught.value.problems) == 80
        assert caught.value.problems[0].message == "'x' is not a key of 'workstreams[0]'"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "1:1: this file is empty"),
        (b"# only a comment\n", "1:1: this file is empty"),
        (b"version: 1\ngoal: \xff", "2:7: this file is not UTF-8 text"),
        (b"version: 1\n\tgoal: x", "2:1: this is not YAML: while scanning for the next token"),
        (b"version: 1\ngoal: [", "2:8: this is not YAML"),
        (b"goal: \x00", "1:7: the character U+0000 is not allowed"),
        (b"- a\n- b\n", "1:1: a plan file must be a mapping, not a list"),
        (b"just text", "1:1: a plan file must be a mapping, not 'just text'"),
        (b"version: 1\n---\nversion: 1\n", "2:1: a second document starts here"),
        (b"goal: *nobody", "1:7: the alias *nobody has no anchor"),
        (b"goal: &me [*me]", "1:12: the alias *me has no anchor"),
        (b"? [a, b]\n: c\n", "1:3: a key must be a single word or text"),
        (b"goal: .nan", "1:7: this is not a finite number"),
        (b"goal: 1e999", "1:7: this is not a finite number"),
        (b"goal: " + b"9" * 10_000, "1:7: this integer does not fit into 64 bits"),
        (b'goal: "\\ud800"', "1:7: this text has half of a surrogate pair"),
        (b'goal: "\\UFFFFFFFF"', "1:1: an escape or directive, here or below, is not YAML"),
        (b"%YAML 1.99\n---\ngoal: x", "1:1: an escape or directive, here or below, is not YAML"),
        (b"goal: &k version\n*k : 1\n*k : 2\n", "3:1: the key 'version' is written twice"),
        (b"goal: &k [a]\n*k : 1\n", "2:1: a key must be a single word or text"),
        (b'"\\e[31m\\n": 1', "1:1: '\\x1b[31m\\n' is not a key of a plan file"),
        (b"? " + b"k" * 5_000 + b"\n: 1", "1:3: '" + "k" * 900),
        (b"[" * 100_000, "1:65: this is nested more than 64 levels deep"),
        (b"- " * 100_000, "1:129: this is nested more than 64 levels deep"),
        (b"{a: " * 100_000, "1:257: this is nested more than 64 levels deep"),
        (b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b"*%c," % n * 10)
            for n in range(ord("a"), ord("m"))), "5:4: this has more than 50,000 values"),
        (b"a: &a [x]\n" + b"".join(b"%c%d: &%c%d [*%s]\n" % (97, n + 1, 97, n + 1, b"a" if n == 0 else b"a%d" % n)
            for n in range(70)), "64:6: this is nested more than 64 levels deep"),
        (b"#" * 4_000_001, "this file is larger than 4,000,000 bytes"),
    ],
)  # fmt: skip
def test_unusable_content_gives_one_clear_error(tmp_path: Path, content: bytes, complaint: str) -> None:
    start = time.process_time()
    assert any(found.startswith(complaint) for found in complaints(written(tmp_path, content)))
    assert time.process_time() - start < 2 * PATIENCE


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert complaints(tmp_path / "none.yaml") == ["this file cannot be read: No such file or directory"]
    assert complaints(tmp_path) == ["this file cannot be read: Is a directory"]
    [complaint] = complaints(tmp_path / "nul\0.yaml")
    assert complaint.endswith("nul\\x00.yaml: this file cannot be read: embedded null byte")


class TestWhereSettingsComeFrom:
    def test_nothing_gives_the_defaults(self, tmp_path: Path) -> None:
        assert load_settings(None, root=tmp_path) == Settings(version=1)
        written(tmp_path, "[tool.other]\n", "pyproject.toml")
        assert load_settings(None, root=tmp_path) == Settings(version=1)

    def test_the_file_wins_over_pyproject(self, tmp_path: Path) -> None:
        written(tmp_path, "[tool.branchline]\nversion = 1\nmax_parallel = 2\nbase = 'x'\n", "pyproject.toml")
        assert load_settings(None, root=tmp_path) == Settings(version=1, max_parallel=2, base="x")
        written(tmp_path, "version: 1\nmax_parallel: 3\n", "branchline.yaml")
        assert load_settings(None, root=tmp_path).max_parallel == 3

    def test_a_dangling_link_is_no_absence(self, tmp_path: Path) -> None:
        (tmp_path / "branchline.yaml").symlink_to("nowhere")
        with pytest.raises(InvalidFile, match="No such file"):
            load_settings(None, root=tmp_path)

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("\n[tool.branchline]\nversion = 1\nbsae = 'x'\n", ":2:1: 'bsae' is not a key of a config file"),
            ("[tool.branchline]\nversion = 2020-01-01\n", ":1:1: 'version' must be 1, not '2020-01-01'"),
            ("[tool.branchline.ship]\nmode = nan\n", ":1:1: this is not a finite number"),
            ("[tool]\nbranchline = 3\n", ": a config file must be a mapping, not 3"),
            ("[tool.branchline\n", ": this is not TOML"),
            ("a = " + "[" * 100_000, ": this is not TOML"),
            ("\udcff", ":1:1: this file is not UTF-8 text"),
        ],
    )
    def test_a_wrong_pyproject(self, tmp_path: Path, text: str, complaint: str) -> None:
        path = written(tmp_path, os.fsencode(text), "pyproject.toml")
        with pytest.raises(InvalidFile) as caught:
            load_settings(None, root=tmp_path)
        assert f"{path}{complaint}" in str(caught.value)


class TestContext:
    def test_a_file_of_its_own(self, tmp_path: Path) -> None:
        text = "max_tokens: 9000\nban: ['**/*.sql']\ncaps: {docs: 0}\n"
        found = load_context(written(tmp_path, text, "context.yaml"), root=tmp_path)
        assert found == ContextSettings(max_tokens=9000, ban=("**/*.sql",), caps=Caps(docs=0))

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("branchline.yaml", "version: 1\ncontext: {max_files: 7}\n"),
            ("pyproject.toml", "[tool.branchline]\nversion = 1\ncontext = {max_files = 7}\n"),
        ],
    )
    def test_that_of_a_repository(self, tmp_path: Path, name: str, text: str) -> None:
        assert load_context(None, root=tmp_path) == ContextSettings()
        written(tmp_path, text, name)
        assert load_context(None, root=tmp_path) == load_settings(None, root=tmp_path).context
        assert load_context(None, root=tmp_path).max_files == 7

    def test_everything_that_is_wrong(self, tmp_path: Path) -> None:
        text = """\
max_token: 5
window: 0
caps: {code: many}
pin: [/etc/passwd, ./a, '']
ban: [../x]
chunk_tokens: 80
"""
        with pytest.raises(InvalidFile) as caught:
            load_context(written(tmp_path, text, "context.yaml"), root=tmp_path)
        assert [problem.told("").removeprefix(":") for problem in caught.value.problems] == [
            "1:1: 'max_token' is not a key of a context file; did you mean 'max_tokens'?",
            "2:9: 'window' must be an integer of at least 1, not 0",
            "3:14: 'caps.code' must be an integer of at least 0, not 'many'",
            "4:7: the pin glob '/etc/passwd' is absolute; write it relative to the repository",
            "4:20: the pin glob './a' matches nothing; write 'a'",
            "4:25: 'pin[2]' must be text that is not empty, not ''",
            "5:7: the ban glob '../x' contains '..'; write it relative to the repository",
            "6:15: chunk_overlap 80 is not below chunk_tokens 80",
        ]
        assert "branchline schema context" in caught.value.hint

    def test_the_same_in_the_settings(self, tmp_path: Path) -> None:
        written(tmp_path, "version: 1\ncontext: {ban: [/x], chunk_overlap: 900}\n", "branchline.yaml")
        with pytest.raises(InvalidFile) as caught:
            load_context(None, root=tmp_path)
        assert [problem.place for problem in caught.value.problems] == [(2, 17), (2, 37)]


YAML_PIECES = st.lists(
    st.sampled_from(["version: 1", "workstreams:", "- ", "id: a", "scope: {write: [x]}", "{", "}", "[", "]", "&a ",
                     "*a", "!!str ", "|", ">", "'", '"', ": ", "? ", "\n", "\n  ", "\t", "#", "%YAML 1.1", "---", "...",
                     ",", "script: [hang]", "<<: *a", "\\", "\u2028", "\ufeff", "0x1f", "~", "é"]),
    max_size=40,
).map("".join)  # fmt: skip


def outcome(load: Callable[[], Plan]) -> Plan | InvalidFile:
    try:
        return load()
    except InvalidFile as error:
        return error


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), YAML_PIECES.map(str.encode), st.text(max_size=200).map(str.encode)))
def test_any_bytes_give_a_model_or_an_invalid_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp(), content, "any.yaml")
    result = outcome(lambda: load_plan(path))
    assert isinstance(result, Plan) or result.problems


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*Plan.__struct_fields__, "id", "scope", "write", "script", "depends_on", "hang", "x"]), inner
    ),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(JSON, st.sampled_from(["whole", "workstreams", "script", "id"]))
def test_any_data_gives_a_model_or_an_invalid_file(data: object, where: str) -> None:
    match where:
        case "whole":
            whole = data
        case "workstreams":
            whole = {"version": 1, "workstreams": data}
        case _:
            whole = plan(workstream(**{where: data}))
    result = outcome(lambda: plan_from_data(whole, ANY))
    assert isinstance(result, Plan) or result.problems
