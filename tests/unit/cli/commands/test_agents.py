import json
from typing import Any

from branchline.core.model.agent_spec import BUILT_IN

CONFIG = """
version: 1
agent: mine
agents:
  - {id: mine, command: [sh, -c, "true"], model: my-model}
  - {id: absent, command: [no-such-program-here], install: "get it somewhere"}
"""


def test_every_agent_is_listed(empty: Any) -> None:
    (empty.root / "branchline.yaml").write_text(CONFIG)
    said = empty.call("agents", "--json")
    assert said.code == 0
    found = {seen["name"]: seen for seen in json.loads(said.out)}
    assert set(found) >= {*BUILT_IN, "mine", "absent"}
    assert found["mine"]["model"] == "my-model"
    assert "edit" in found["mine"]["can"]
    assert (found["absent"]["installed"], found["absent"]["hint"]) == (False, "get it somewhere")


def test_as_a_table(empty: Any) -> None:
    (empty.root / "branchline.yaml").write_text(CONFIG)
    said = empty.call("agents")
    lines = said.out.splitlines()
    assert lines[0].split()[:2] == ["agent", "version"]
    assert lines[1].startswith("mine *")
    assert "  absent" in said.out.partition("\nNot installed\n")[2]
    assert "get it somewhere" in said.out
    assert max(map(len, lines)) <= 80


def test_without_a_configuration_or_a_repository(empty: Any) -> None:
    assert {seen["name"] for seen in json.loads(empty.call("agents", "--json").out)} >= set(BUILT_IN)


def test_a_broken_configuration_is_told(empty: Any) -> None:
    (empty.root / "branchline.yaml").write_text("version: 1\nagent: nobody\n")
    said = empty.call("agents")
    assert (said.code, said.out) == (2, "")
    assert "nobody" in said.err
