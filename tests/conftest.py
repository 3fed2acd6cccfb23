"""For every test: programs of ours that tests start may keep their compiled modules, or each start pays for all."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Tests watch from outside what agents and gates do; those of the sandbox ask for it.
os.environ.setdefault("BRANCHLINE_SANDBOX", "1")

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
