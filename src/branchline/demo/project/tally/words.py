"""Words."""


def words(text):
    """Return the words of a text, in their order."""
    return text.split()
