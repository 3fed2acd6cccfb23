"""Stored text loads back equal."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.config.canonical import canonical, digest
from branchline.config.document import Builder
from branchline.config.load import load_settings, plan_from_data
from branchline.config.settings import Settings
from branchline.config.yaml import read_yaml
from branchline.core.model.plan import Action, Plan, Scope, Workstream, WriteFile
from branchline.core.retry import RetryOverride, RetryPolicy

NASTY = [
    "\n",
    " \n",
    "a\n\n",
    "\ta\n",
    "a\n b\n",
    " a\nb",
    "a\nb",
    "a\n\nb\n",
    "- a\n# b\n",
    "|\n",
    "null",
    "no",
    "é\n",
    "a:\n b",
]
TEXT = st.sampled_from(NASTY) | st.text(max_size=12) | st.text(alphabet="a \n\t#:-|'\"\x85\u2028", max_size=12)


def read_back(text: str) -> Plan:
    builder = Builder()
    node = read_yaml(text, builder)
    assert builder.findings == []
    return plan_from_data(node.data, Settings(version=1, agent="codex"))


def a_plan(prompt: str, *actions: Action) -> Plan:
    scope = Scope(write=("src/**", "*"))
    return Plan(version=1, goal=prompt, workstreams=(Workstream(id="a", prompt=prompt, scope=scope, script=actions),))


@settings(max_examples=200, deadline=None)
@given(TEXT, TEXT, st.floats(min_value=0, allow_infinity=False))
def test_a_plan_loads_back_equal(prompt: str, content: str, sleep: float) -> None:
    plan = a_plan(prompt, Action(write=WriteFile(path="x", content=content)), Action(sleep=sleep), Action(hang=None))
    assert read_back(canonical(plan)) == plan


def test_it_reads_well() -> None:
    text = canonical(a_plan("One.\n\nTwo.\n", Action(run=("sh", "-c", "echo hi"))))
    assert (
        text
        == """\
version: 1
goal: |
  One.

  Two.
workstreams:
  - id: "a"
    prompt: |
      One.

      Two.
    scope:
      write:
        - "src/**"
        - "*"
    script:
      - run:
          - "sh"
          - "-c"
          - "echo hi"
"""
    )


def test_settings_load_back_equal(tmp_path: Path) -> None:
    by_class = {"null": RetryOverride(max_attempts=2), "time out": RetryOverride()}
    made = Settings(version=1, retry=RetryPolicy(base_seconds=0.5, by_class=by_class))
    (tmp_path / "branchline.yaml").write_text(canonical(made))
    assert load_settings(None, root=tmp_path) == made


def test_digest_tells_plans_apart() -> None:
    assert digest(a_plan("x")) == digest(a_plan("x"))
    assert digest(a_plan("x")) != digest(a_plan("y"))
    assert len(digest(a_plan("x"))) == 64
