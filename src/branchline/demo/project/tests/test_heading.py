import unittest

from tally.heading import heading


class Heading(unittest.TestCase):
    def test_it_names_what_was_counted(self):
        self.assertIn("a.txt", heading("a.txt"))
