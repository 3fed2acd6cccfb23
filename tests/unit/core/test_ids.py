import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core.ids import is_ulid, ulid, ulid_hex

CHANCE = st.integers(0, 2**80 - 1)
TIME = st.integers(0, 2**48 - 1)


def test_the_example_of_the_specification() -> None:
    assert ulid(1_469_918_176_385, 0)[:10] == "01ARYZ6S41"
    assert ulid_hex("01ARZ3NDEKTSV4RRFFQ69G5FAV") == "01563e3ab5d3d6764c61efb99302bd5b"
    assert ulid(0x01563E3AB5D3, 0xD6764C61EFB99302BD5B) == "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert ulid(2**48 - 1, 2**80 - 1) == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"


@settings(deadline=None)
@given(TIME, TIME, CHANCE, CHANCE)
def test_text_sorts_by_time_and_its_bytes_come_back(one: int, two: int, chance: int, other: int) -> None:
    first, second = ulid(one, chance), ulid(two, other)
    assert (first < second) == ((one, chance) < (two, other))
    assert int(ulid_hex(first), 16) == one << 80 | chance
    assert is_ulid(first)
    assert len(ulid_hex(first)) == 32


@pytest.mark.parametrize(
    "text", ["", "01ARZ3NDEKTSV4RRFFQ69G5FA", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "I" * 26, "0" * 25 + "a"]
)
def test_what_is_not_a_ulid(text: str) -> None:
    assert not is_ulid(text)
