import unittest

from tally.words import words


class Words(unittest.TestCase):
    def test_white_space_separates_them(self):
        self.assertEqual(words("one  two\nthree"), ["one", "two", "three"])

    def test_an_empty_text_has_none(self):
        self.assertEqual(words(""), [])
