import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.core.planning import (
    Overlap,
    at_once,
    from_answer,
    overlaps,
    plan_schema,
    scopeless,
    serialised,
    unmatched,
    with_folders,
)
from branchline.errors import InvalidInput
from strategies import plans

PATHS = ["README.md", "docs/a.md", "docs/b.md", "src/app/x.py", "src/app/y.py"]


def made(**scopes: tuple[str, ...] | Scope) -> Plan:
    streams = [Workstream(id=n, scope=s if isinstance(s, Scope) else Scope(write=s)) for n, s in scopes.items()]
    return Plan(version=1, workstreams=tuple(streams))


def pairs(found: list[Overlap]) -> list[tuple[str, str]]:
    return [(one.first, one.second) for one in found]


def test_scopes_that_share_a_file_overlap() -> None:
    found = overlaps(made(a=("docs/**",), b=("src/**", "docs/b.md"), c=("src/app/y.py",)), PATHS)
    assert found == [Overlap("a", "b", ("docs/b.md",)), Overlap("b", "c", ("src/app/y.py",))]
    assert str(found[0]) == "workstreams a and b may both write docs/b.md"


def test_files_that_are_yet_to_be_made_overlap_by_their_names() -> None:
    assert pairs(overlaps(made(a=("new.txt",), b=("new.txt",)), PATHS)) == [("a", "b")]
    assert pairs(overlaps(made(a=("new/*.txt",), b=("new/one.txt",)), PATHS)) == [("a", "b")]
    assert pairs(overlaps(made(a=("new/one.txt",), b=("new/*.txt",)), PATHS)) == [("a", "b")]
    assert overlaps(made(a=("new/*.txt",), b=("old/*.txt",)), PATHS) == []


def test_what_a_workstream_protects_it_does_not_write() -> None:
    mine = Scope(write=("docs/**",), protect=("docs/b.md",))
    assert overlaps(made(a=mine, b=("docs/b.md",)), PATHS) == []
    assert overlaps(made(a=Scope(write=("x",), protect=("x",)), b=("x",)), PATHS) == []


def test_workstreams_that_wait_for_each_other_may_share() -> None:
    plan = made(a=("docs/**",), b=("docs/**",), c=("docs/**",))
    ordered = serialised(plan, overlaps(plan, PATHS))
    assert [w.depends_on for w in ordered.workstreams] == [(), ("a",), ("a", "b")]
    assert overlaps(ordered, PATHS) == []


@given(plans(max_size=5))
def test_a_serialised_plan_has_no_overlap_left_and_still_no_cycle(plan: Plan) -> None:
    assert overlaps(serialised(plan, overlaps(plan, PATHS)), PATHS) == []


def test_workstreams_without_a_path_between_them_may_run_at_once() -> None:
    chain = [Workstream(id="a"), Workstream(id="b", depends_on=("a",)), Workstream(id="c", depends_on=("b",))]
    assert at_once(Plan(version=1, workstreams=(*chain, Workstream(id="d")))) == [("a", "d"), ("b", "d"), ("c", "d")]


def test_a_workstream_without_a_scope_may_write_every_file_and_that_is_said() -> None:
    plan = made(a=Scope(protect=("docs/**",)), b=("docs/a.md", "README.md"), c=())
    assert scopeless(plan) == (
        "workstream a has no scope: it may write every file that is not protected",
        "workstream c has no scope: it may write every file that is not protected",
    )
    assert [(one.first, one.second, one.both) for one in overlaps(plan, PATHS)] == [
        ("a", "b", ("README.md",)),
        ("a", "c", ("README.md", "src/app/x.py", "src/app/y.py")),
        ("b", "c", ("README.md", "docs/a.md")),
    ]
    assert pairs(overlaps(made(a=(), b=()), [])) == [("a", "b")]


def test_at_most_three_files_are_named() -> None:
    assert overlaps(made(a=("**",), b=("**",)), PATHS)[0].both == ("README.md", "docs/a.md", "docs/b.md")


def test_a_wildcard_in_a_folder_that_is_not_there_matches_nothing() -> None:
    plan = made(a=("nowhere/**", "docs/*.txt", "new/file.txt", "*.md", "src/app/"), b=("src/lib/*.py",))
    assert unmatched(plan, PATHS) == [("a", "nowhere/**"), ("b", "src/lib/*.py")]


def test_an_answer_becomes_the_data_of_a_plan() -> None:
    answer = {
        "goal": "g",
        "workstreams": [
            {"id": "a", "title": "A", "prompt": "p", "depends_on": [], "write": ["x"], "protect": []},
            {
                "id": "b",
                "title": "",
                "prompt": "p",
                "depends_on": ["a"],
                "write": ["y"],
                "protect": ["z"],
                "agent": "c",
            },
        ],
    }
    plan = msgspec.convert(from_answer(answer), Plan)
    assert plan.workstreams == (
        Workstream(id="a", title="A", prompt="p", scope=Scope(write=("x",))),
        Workstream(id="b", prompt="p", depends_on=("a",), agent="c", scope=Scope(write=("y",), protect=("z",))),
    )


def test_an_answer_may_leave_a_scope_open() -> None:
    stream = {"id": "a", "title": "", "prompt": "p", "depends_on": [], "write": [], "protect": ["z"]}
    plan = msgspec.convert(from_answer({"goal": "g", "workstreams": [stream]}), Plan)
    assert plan.workstreams[0].scope == Scope(protect=("z",))


@given(st.lists(st.sampled_from(["one", "two", "three"]), unique=True, max_size=3))
def test_the_schema_is_strict_and_offers_agents_only_where_there_is_a_choice(agents: list[str]) -> None:
    schema = plan_schema(agents)
    workstream = schema["properties"]["workstreams"]["items"]
    for part in (schema, workstream):
        assert part["required"] == list(part["properties"])
        assert part["additionalProperties"] is False
    assert ("agent" in workstream["properties"]) == (len(agents) > 1)


def test_an_entry_that_names_a_folder_means_what_is_in_it() -> None:
    plan = made(a=Scope(write=("docs", "src/app", "new", "README.md"), protect=("src",)), b=("docs/**",))
    first, second = with_folders(plan, PATHS).workstreams
    assert first.scope == Scope(write=("docs/**", "src/app/**", "new", "README.md"), protect=("src/**",))
    assert second.scope.write == ("docs/**",)
    assert with_folders(made(a=("x",)), PATHS) == made(a=("x",))


def test_entries_that_can_match_no_file() -> None:
    plan = made(a=("src//app/x.py", "./docs/", "docs/.git/x", "docs/a.md/**", "{a,b}.py", "!x", "a\\b", " x"))
    with pytest.raises(InvalidInput) as caught:
        with_folders(plan, PATHS)
    reasons = [text.partition("can match no file: ")[2] for text in caught.value.message.splitlines()]
    assert reasons == [
        "write 'src/app/x.py'",
        "write 'docs'",
        "a batch never takes what lies in a folder .git",
        "docs/a.md is a file",
        "{a,b} is no pattern here; write one entry for each",
        "an entry does not exclude; `protect` does",
        "folders are divided by /",
        "it begins or ends with a space",
    ]


def test_strange_names_that_are_there_are_no_mistake() -> None:
    paths = ["{a,b}.py", "!x", "a\\b", "docs/a.md"]
    with_folders(made(a=("{a,b}.py", "!x", "a\\b", "docs/a.md", "new/*.py", "docs/", "**")), paths)
