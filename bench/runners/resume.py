"""What a resume does before its first new attempt: `resume.py ROOT RUN_ID` prints seconds, records and completed tasks."""

import sys
import time
from pathlib import Path

from branchline.core.scheduler import decide
from branchline.core.states import State
from branchline.engine.recover import clock
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths

paths = RunPaths(Path(sys.argv[1]), sys.argv[2])
began = time.perf_counter()
reading = read(paths)
state = require(reading, paths)
commands = decide(state, clock())
seconds = time.perf_counter() - began
completed = sum(record.state == State.COMPLETED for record in state.records.values())
print(seconds, len(reading.records), completed, len(commands))
