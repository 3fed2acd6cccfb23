"""The pure core: no clock, disk, process, randomness or logging.

`decide(state, now) -> commands` has Temporal's arrow: the core returns what it wants done; the engine does it and
appends what happened as events; `RunState.apply(event)` takes them in.
"""
