import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core.graph import (
    Condition,
    CycleError,
    DuplicateTask,
    Task,
    UnknownDependency,
    as_tasks,
    execution_plan,
    topo_sort,
)
from branchline.errors import InvalidInput
from strategies import changed, task_graphs


def by_hand(tasks: Sequence[Task]) -> list[str]:
    """The rule, step by step: of all that are ready, the highest priority, then the smallest id."""
    left, order = {task.id: task for task in tasks}, list[str]()
    while left:
        ready = [task for task in left.values() if set(task.dependencies) <= set(order)]
        order.append(min(ready, key=lambda task: (-task.priority, task.id)).id)
        del left[order[-1]]
    return order


def ancestors(tasks: Sequence[Task], name: str) -> set[str]:
    wanted = {task.id: task.dependencies for task in tasks}
    found, todo = set[str](), list(wanted[name])
    while todo:
        found.add(todo[-1])
        todo += wanted[todo.pop()]
    return found


@settings(deadline=None, max_examples=100)
@given(task_graphs(), st.randoms(use_true_random=False))
def test_topo_sort_follows_the_rule_whatever_the_order_of_its_input(
    tasks: tuple[Task, ...], chance: random.Random
) -> None:
    order = [task.id for task in topo_sort(tasks)]
    assert order == by_hand(tasks)
    assert [task.id for task in topo_sort(chance.sample(tasks, len(tasks)))] == order
    place = {name: number for number, name in enumerate(order)}
    assert all(place[wanted] < place[task.id] for task in tasks for wanted in task.dependencies)


@settings(deadline=None, max_examples=100)
@given(task_graphs(), st.data())
def test_a_back_edge_is_a_cycle_error_that_carries_a_real_cycle(tasks: tuple[Task, ...], data: st.DataObject) -> None:
    last = data.draw(st.sampled_from(tasks))
    first = data.draw(st.sampled_from(sorted({last.id, *ancestors(tasks, last.id)})))
    looped = [changed(t, dependencies=(*t.dependencies, last.id)) if t.id == first else t for t in tasks]
    with pytest.raises(CycleError) as caught:
        topo_sort(looped)
    cycle, wanted = caught.value.cycle, {task.id: task.dependencies for task in looped}
    assert cycle[0] == cycle[-1]
    assert len(set(cycle)) == len(cycle) - 1
    assert all(after in wanted[before] for before, after in itertools.pairwise(cycle))
    assert " -> ".join(cycle) in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(task_graphs())
def test_waves_hold_tasks_without_a_path_between_them(tasks: tuple[Task, ...]) -> None:
    plan = execution_plan(tasks)
    assert list(plan.order) == [task.id for task in topo_sort(tasks)]
    assert plan.total_tasks == len(tasks)
    assert plan.total_waves == len(plan.waves)
    assert plan["max_parallelism"] == max(map(len, plan.waves))
    assert sorted(name for wave in plan.waves for name in wave) == sorted(task.id for task in tasks)
    for number, wave in enumerate(plan.waves):
        for name in wave:
            above = ancestors(tasks, name)
            assert not above & set(wave)
            assert not number or above & set(plan.waves[number - 1]), "it could have been in an earlier wave"


def test_an_empty_graph_has_no_waves() -> None:
    assert topo_sort([]) == []
    assert (execution_plan([]).total_waves, execution_plan([]).max_parallelism) == (0, 0)


def test_topo_sort_gives_back_the_very_tasks_that_it_was_given() -> None:
    given: list[dict[str, Any]] = [
        {"id": "c", "dependencies": ["a"], "parallel_group": "heavy"},
        {"id": "b"},
        {"id": "a"},
        {"id": "d", "priority": 1},
    ]
    ordered = topo_sort(given)
    assert [task["id"] for task in ordered] == ["d", "a", "b", "c"]
    assert {id(task) for task in ordered} == {id(task) for task in given}
    assert ordered[3].get("parallel_group") == "heavy"
    assert list(given[1]) == ["id"], "nothing was filled in"


def test_structs_stay_the_same_structs_and_both_forms_mix() -> None:
    task, mapping = Task(id="a"), {"id": "b", "dependencies": ["a"]}
    ordered = topo_sort(one for one in (mapping, task))
    assert ordered[0] is task
    assert ordered[1] is mapping


def test_an_unknown_dependency_is_a_key_error_that_names_it() -> None:
    with pytest.raises(KeyError, match="'ghost'") as caught:
        topo_sort([{"id": "a", "dependencies": ["ghost"]}])
    assert isinstance(caught.value, UnknownDependency)
    assert str(caught.value) == "task a depends on 'ghost', which does not exist"


def test_a_duplicate_id_is_an_error() -> None:
    with pytest.raises(DuplicateTask, match="'a' is used twice"):
        topo_sort([{"id": "a"}, {"id": "a"}])


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "a b"},
        {"id": "a\n"},
        {"id": ""},
        {"id": "a" * 121},
        {"id": "../a"},
        {"id": "a", "priority": "high"},
        {"id": "a", "colour": "red"},
        {"id": "a", "timeout_seconds": 0},
        {"id": "a", "when": {"task": "b", "output": "x", "equals": 1}},
        {"priority": 1},
    ],
)
def test_a_task_that_is_not_valid_is_refused_as_a_mapping_and_as_a_task(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        topo_sort([{"id": "b"}, wrong])
    made = {key: value for key, value in wrong.items() if key in {"id", "priority", "timeout_seconds"}}
    if made == wrong and "id" in made:
        with pytest.raises(InvalidInput):
            topo_sort([Task(**made)])


def test_tasks_stay_what_they_are() -> None:
    condition = Condition(task="a", output="n", equals=None)
    tasks = (Task(id="a"), Task(id="b", dependencies=("a",), when=condition, priority=2))
    assert as_tasks(tasks) == tasks


@pytest.mark.parametrize(
    ("condition", "outputs", "expected"),
    [
        (Condition(task="a", output="n", equals=1), {"n": 1}, True),
        (Condition(task="a", output="n", equals=1), {"n": 2}, False),
        (Condition(task="a", output="n", equals=None), {"n": None}, True),
        (Condition(task="a", output="n", equals=None), {}, False),
        (Condition(task="a", output="n", not_equals=0), {"n": 2}, True),
        (Condition(task="a", output="n", not_equals=0), {"n": 0}, False),
        (Condition(task="a", output="n", not_equals=0), {}, True),
        (Condition(task="a", output="n", equals=1, not_equals=1), {"n": 1}, False),
        (Condition(task="a", output="n"), {}, True),
    ],
)
def test_conditions(condition: Condition, outputs: dict[str, Any], *, expected: bool) -> None:
    assert condition.holds(outputs) == expected
