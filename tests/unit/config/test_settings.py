import msgspec
import pytest

from branchline.config.settings import Settings, recorded_settings
from branchline.errors import InvalidInput


def test_a_run_that_has_pinned_an_unknown_key_does_not_go_on_without_it() -> None:
    with pytest.raises(InvalidInput, match=r"another version of Branchline: .*`cassettes`") as caught:
        recorded_settings({"settings": {"version": 1, "cassettes": {"mode": "replay"}}})
    assert "branchline run" in caught.value.hint


def test_pinned_settings_are_read_as_they_were() -> None:
    settings = Settings(version=1, max_parallel=7)
    assert recorded_settings({"settings": msgspec.to_builtins(settings)}) == settings
