"""In `make test` of each attack the first variant; of all others `make attacks`: each is a run of its own."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the other variants wait for those who ask for them, but for those that need no folder: they are quick."""
    for item in items:
        if (
            "tests/attacks" in item.path.as_posix()
            and isinstance(item, pytest.Function)
            and "tmp_path" in item.fixturenames
        ):
            variant = getattr(item, "callspec", None)
            if variant is not None and any(variant.indices.values()):
                item.add_marker(pytest.mark.heavy)
