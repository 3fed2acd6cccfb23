import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.context.graph import ImportGraph, personalised

ROWS = st.integers(0, 12).flatmap(
    lambda size: st.lists(
        st.sets(st.integers(0, max(size - 1, 0)), max_size=5).map(sorted), min_size=size, max_size=size
    )
)


@settings(deadline=None)
@given(ROWS)
def test_importers_are_imports_turned_round(rows: list[list[int]]) -> None:
    graph = ImportGraph.of(rows)
    assert [list(graph.imports(file)) for file in range(len(rows))] == rows
    back = [[file for file, row in enumerate(rows) if target in row] for target in range(len(rows))]
    assert [list(graph.importers(file)) for file in range(len(rows))] == back


@settings(deadline=None)
@given(ROWS)
def test_bytes_hold_the_whole_graph(rows: list[list[int]]) -> None:
    data = msgspec.msgpack.encode(ImportGraph.of(rows))
    again = msgspec.msgpack.decode(data, type=ImportGraph)
    assert [list(again.imports(file)) for file in range(len(rows))] == rows
    assert msgspec.msgpack.encode(again) == data


def test_a_graph_of_2700_files_is_read_in_no_time() -> None:
    data = msgspec.msgpack.encode(
        ImportGraph.of([sorted({(file * step) % 2700 for step in range(2, 9)}) for file in range(2700)])
    )
    took = []
    for _ in range(5):
        began = time.process_time()
        msgspec.msgpack.decode(data, type=ImportGraph)
        took.append(time.process_time() - began)
    assert min(took) < 0.002


CHAIN = ImportGraph.of([[1], [2], [3], [4], []])


def test_worth_flows_to_imports_and_less_to_importers() -> None:
    worth = personalised(CHAIN, {2: 1.0}, back=0.3)
    assert worth[2] > worth[3] > worth[1] > 0
    assert worth[3] > worth[4]
    assert personalised(CHAIN, {2: 1.0}, back=0.0).keys() == {2, 3, 4}


def test_worth_by_hand() -> None:
    graph = ImportGraph.of([[1], []])
    assert personalised(graph, {0: 1.0}, damping=0.5, steps=1) == {0: 0.5, 1: 0.5}
    two = personalised(graph, {0: 1.0}, damping=0.5, steps=2, back=0.3)
    assert two == {0: pytest.approx(0.5 + 0.25), 1: pytest.approx(0.25)}


def test_only_what_is_within_the_steps_is_reached() -> None:
    assert personalised(CHAIN, {0: 1.0}, steps=2).keys() == {0, 1, 2}
    assert personalised(CHAIN, {0: 1.0}, steps=0) == {0: 1.0}
    assert personalised(CHAIN, {}) == {}


@settings(deadline=None)
@given(ROWS, st.dictionaries(st.integers(0, 11), st.floats(0, 9), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_matter(rows: list[list[int]], seeds: dict[int, float], random: object) -> None:
    graph = ImportGraph.of(rows)
    known = {file: value for file, value in seeds.items() if file < len(rows)}
    turned = dict(reversed(known.items()))
    worth = personalised(graph, known)
    assert list(worth.items()) == list(personalised(graph, turned).items())
    assert sum(worth.values()) <= sum(known.values()) * (1 + 1e-9)
