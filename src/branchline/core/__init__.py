"""The pure core: no clock, disk, process, randomness or logging.

`decide(state, now) -> events` says what is to be written down now; the engine writes it, then does what it says: it starts
attempts and ends them. What comes of those are events too, and `RunState.apply(event)` takes all of them in.
"""
