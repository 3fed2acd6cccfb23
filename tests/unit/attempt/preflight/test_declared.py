import pytest

from branchline.attempt.preflight.declared import of_gates, of_ports
from branchline.config.settings import Settings
from branchline.core.model.plan import Plan, Workstream
from branchline.core.model.verdict import Gate


def plan(*names: str) -> Plan:
    return Plan(version=1, workstreams=tuple(Workstream(id=name) for name in names))


def settings(*gates: Gate, max_parallel: int = 4) -> Settings:
    return Settings(version=1, gates=gates, max_parallel=max_parallel)


@pytest.mark.parametrize(
    ("words", "port"),
    [
        (("serve", "--port", "8000"), "8000"),
        (("serve", "--port=8000"), "8000"),
        (("sh", "-c", "curl localhost:3000/x"), "3000"),
        (("sh", "-c", "PORT=5000 npm start"), "5000"),
        (("python", "manage.py", "runserver", "8001"), "8001"),
        (("psql", "-h", "127.0.0.1:5432"), "5432"),
        (("make", "report", "2024"), ""),
        (("pytest", "tests/port_80.py::x"), ""),
    ],
)
def test_ports_that_a_gate_names(words: tuple[str, ...], port: str) -> None:
    found = list(of_ports(plan("a", "b"), settings(Gate(id="g", verify=words)), apart=False))
    assert [f"uses port {port}" in one.text for one in found] == ([True] if port else [])


def test_a_port_in_the_environment_of_a_gate() -> None:
    (one,) = of_ports(plan("a", "b"), settings(Gate(id="g", verify=("x",), env={"PORT": "9000"})), apart=False)
    assert one.subject == "gate g"
    assert not one.stops


def test_a_port_that_no_two_can_want_at_once() -> None:
    gate = Gate(id="g", verify=("serve", "--port", "8000"))
    assert list(of_ports(plan("a"), settings(gate), apart=False)) == []
    assert list(of_ports(plan("a", "b"), settings(gate, max_parallel=1), apart=False)) == []
    assert list(of_ports(plan("a", "b"), settings(gate), apart=True)) == []
    assert len(list(of_ports(None, settings(gate), apart=False))) == 1, "a planner may make several workstreams"


def test_gates_whose_tool_is_not_here() -> None:
    absent, needed = Gate(id="a", verify=("no-such-tool",)), Gate(id="b", verify=("no-such-tool",), required=True)
    here, own = Gate(id="c", verify=("true",)), Gate(id="d", verify=("./run.sh",))
    found = list(of_gates((absent, needed, here, own)))
    assert [(one.subject, one.stops) for one in found] == [("gate a", False), ("gate b", True)]
    (one,) = of_gates(())
    assert "branchline init" in one.command
