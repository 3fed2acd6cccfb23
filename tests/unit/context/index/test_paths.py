"""What paths say, and that it survives being stored."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.index.indexed import Paths, terms_in

TREE = ["docs/retry.md", "pkg.json", "src/app/retryPolicy.py", "tests/test_retry.py", "vendor/retry.py"]


def test_each_file_has_its_category_and_code_its_terms() -> None:
    about = Paths.of(TREE)
    assert list(about.categories) == ["docs", "other", "code", "tests", "code"]
    assert about.vendored == {4}
    assert about.holding("retry") == [2, 4]
    assert about.holding("retrypolicy") == [2]
    assert about.holding("py") == about.holding("nothing") == []


def test_the_ending_of_a_name_is_no_term() -> None:
    assert terms_in("src/app/layout.tsx") == {"src", "app", "layout"}


@given(st.lists(st.text(max_size=30), max_size=20, unique=True))
def test_what_is_stored_is_the_same(paths: list[str]) -> None:
    about = Paths.of(paths)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(about), type=Paths)
    assert (again.categories, again.vendored) == (about.categories, about.vendored)
    assert all(again.holding(term) == about.holding(term) for path in paths for term in terms_in(path))
