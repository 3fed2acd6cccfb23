"""python3 -m tally FILE"""

import sys

from tally.heading import heading
from tally.words import words

with open(sys.argv[1], encoding="utf-8") as file:
    print(heading(sys.argv[1]))
    print("words:", len(words(file.read())))
