"""What the fuzzer has found stays mended, and a short slice of it runs with every change."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.mutations import texts
from fuzz.targets import TARGETS, tried

CASES = Path(__file__).parent / "cases"
WITHIN = 6.0  # seconds for a text, on a loaded machine


@pytest.mark.parametrize("case", sorted(CASES.glob("[!.]*")), ids=lambda path: path.name)
def test_a_find_stays_mended(case: Path) -> None:
    began = time.thread_time()
    tried(TARGETS[case.name.rpartition(".")[0]], case.read_bytes())
    assert time.thread_time() - began < WITHIN


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_hostile_text_is_read_or_refused(name: str, data: st.DataObject) -> None:
    text = data.draw(texts(TARGETS[name].seeds))
    began = time.thread_time()
    tried(TARGETS[name], text)
    assert time.thread_time() - began < WITHIN
