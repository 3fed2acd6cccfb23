from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.selection import NEARLY, SHARE, SMALL, distinct, grown
from branchline.core.model.manifest import Form, Mode
from strategies import MODES
from strategies import forms as any_forms

EVERYTHING = 10**9


def forms(**tokens: int) -> tuple[Form, ...]:
    return tuple(Form(mode=mode, tokens=tokens[mode]) for mode in MODES if mode in tokens)


def modes(shown: dict[int, Form]) -> dict[int, Mode]:
    return {file: form.mode for file, form in shown.items()}


QUEUES = st.lists(any_forms().map(lambda made: distinct(made, 8000)).filter(bool), max_size=12)


def used(shown: dict[int, Form]) -> int:
    return sum(form.tokens for form in shown.values())


def test_only_clearly_larger_forms_are_worth_choosing() -> None:
    assert distinct(forms(outline=100, excerpt=131, full=180), 8000) == forms(outline=100, excerpt=131, full=180)
    assert distinct(forms(outline=100, excerpt=200, full=260), 8000) == forms(outline=100, full=260)
    assert distinct(forms(outline=100, excerpt=120, full=130), 8000) == forms(full=130)


def test_a_large_file_is_never_whole() -> None:
    assert distinct(forms(outline=100, excerpt=1000, full=8001), 8000) == forms(outline=100, excerpt=1000)
    assert distinct(forms(full=8001), 8000) == ()
    assert distinct(forms(full=8000), 8000) == forms(full=8000)


@given(any_forms(), st.integers(1, 20_000))
def test_distinct_forms_grow(made: tuple[Form, ...], max_full: int) -> None:
    kept = distinct(made, max_full)
    assert all(form in made for form in kept)
    assert all(form.mode != "full" or form.tokens <= max_full for form in kept)
    assert all(later.tokens > NEARLY * form.tokens for form, later in pairwise(kept))


def test_the_first_files_grow_while_later_ones_come_in() -> None:
    queue = [forms(outline=100, excerpt=200, full=400)] * 7
    by_limit = {limit: modes(grown(queue, pinned=0, spent=0, limit=limit)) for limit in (99, 100, 200, 300, 400, 9999)}
    assert by_limit[99] == {}
    assert by_limit[100] == {0: "outline"}
    assert by_limit[200] == {0: "excerpt"}
    assert by_limit[300] == {0: "excerpt", 1: "outline"}
    assert by_limit[400] == {0: "excerpt", 1: "outline", 2: "outline"}
    assert by_limit[9999] == dict.fromkeys(range(7), "full")
    assert modes(grown(queue, pinned=0, spent=0, limit=1000))[0] == "full"


def test_all_pinned_files_come_in_before_any_grows() -> None:
    queue = [forms(outline=100, excerpt=200), *[forms(full=2000)] * 2, forms(outline=10)]
    assert modes(grown(queue, pinned=3, spent=0, limit=4100)) == {0: "outline", 1: "full", 2: "full"}
    assert modes(grown(queue, pinned=3, spent=0, limit=4099)) == {0: "outline", 1: "full"}


def test_a_large_form_waits_until_it_is_a_small_part() -> None:
    queue = [forms(outline=500, full=6000), *[forms(excerpt=1000)] * 40]
    for limit in (6500, 20_000, 24_000 + 5499):
        shown = modes(grown(queue, pinned=0, spent=0, limit=limit))
        assert shown[0] == "outline"
        assert len(shown) == 1 + (limit - 500) // 1000 or limit > 24_000
    assert modes(grown(queue, pinned=0, spent=0, limit=24_500 + 5500))[0] == "full"


def test_of_what_waits_the_first_comes_in_first() -> None:
    queue = [*[forms(outline=500, full=6000)] * 2, *[forms(excerpt=1000)] * 40]
    shown = modes(grown(queue, pinned=0, spent=0, limit=24_000 + 5500))
    assert (shown[0], shown[1]) == ("full", "outline")


def test_what_a_file_had_before_it_grew_does_not_count_twice() -> None:
    queue = [forms(outline=500, full=6000), *[forms(outline=500, excerpt=1000)] * 20]
    shown = modes(grown(queue, pinned=0, spent=0, limit=20_500))
    assert shown == {0: "outline"} | dict.fromkeys(range(1, 21), "excerpt")


def test_what_waits_in_vain_comes_last() -> None:
    queue = [forms(outline=500, full=6000), forms(outline=500, full=5000)]
    assert modes(grown(queue, pinned=0, spent=0, limit=6500)) == {0: "full", 1: "outline"}
    assert modes(grown(queue, pinned=0, spent=0, limit=11_000)) == {0: "full", 1: "full"}


def test_what_is_in_use_already_counts() -> None:
    queue = [forms(outline=500, full=6000), *[forms(excerpt=1000)] * 40]
    assert modes(grown(queue, pinned=0, spent=30_000, limit=41_000))[0] == "full"
    assert modes(grown(queue, pinned=0, spent=0, limit=11_000))[0] == "outline"
    assert grown(queue, pinned=0, spent=30_000, limit=20_000) == {}


@given(QUEUES, st.integers(0, 3), st.integers(0, 40_000), st.integers(0, 60_000), st.integers(0, 60_000))
def test_a_larger_limit_never_shows_less(
    queue: list[tuple[Form, ...]], pinned: int, spent: int, limit: int, more: int
) -> None:
    less = grown(queue, pinned=pinned, spent=spent, limit=limit)
    wide = grown(queue, pinned=pinned, spent=spent, limit=limit + more)
    assert used(less) <= max(0, limit - spent)
    assert less.keys() <= wide.keys()
    assert all(MODES.index(form.mode) <= MODES.index(wide[file].mode) for file, form in less.items())


@given(QUEUES, st.integers(0, 3))
def test_without_a_limit_all_is_shown_as_large_as_it_may_be(queue: list[tuple[Form, ...]], pinned: int) -> None:
    assert grown(queue, pinned=pinned, spent=0, limit=EVERYTHING) == {n: made[-1] for n, made in enumerate(queue)}


@given(st.lists(any_forms(4000).map(lambda made: distinct(made, 8000)), min_size=1, max_size=8), st.integers(0, 40_000))
def test_little_remains_while_there_is_more_to_show(queue: list[tuple[Form, ...]], limit: int) -> None:
    plenty = [*queue, *[forms(outline=200)] * 400]
    rest = limit - used(grown(plenty, pinned=0, spent=0, limit=limit))
    assert rest <= max(SMALL, SHARE * limit)


@pytest.mark.parametrize("limit", [-1, 0])
def test_no_room_at_all(limit: int) -> None:
    assert grown([forms(outline=1)], pinned=0, spent=0, limit=limit) == {}
