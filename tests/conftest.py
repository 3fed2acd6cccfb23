"""For every test: programs of ours that tests start may keep their compiled modules, or each start pays for all."""

import atexit
import os
import shutil
import tempfile

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Tests watch from outside what agents and gates do; those of the sandbox ask for it.
os.environ.setdefault("BRANCHLINE_SANDBOX", "1")

from hypothesis import settings

# Workspaces lie outside the repositories that tests make: here, and gone at the end.
STATE = tempfile.mkdtemp(prefix="bl-")
os.environ["BRANCHLINE_STATE"] = STATE
atexit.register(shutil.rmtree, STATE, ignore_errors=True)

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
