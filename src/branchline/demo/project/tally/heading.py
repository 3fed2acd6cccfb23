"""The first line of a report."""


def heading(name):
    """Return the line that names what was counted."""
    return "Tally of " + name
