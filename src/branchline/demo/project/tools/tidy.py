"""Takes white space off the ends of lines: tidy.py [--check] FILE..."""

import sys

check = "--check" in sys.argv
untidy = []
for name in sys.argv[1:]:
    if name == "--check":
        continue
    with open(name, encoding="utf-8", newline="") as file:
        text = file.read()
    tidy = "".join(line.rstrip() + "\n" for line in text.rstrip().splitlines())
    if tidy != text:
        untidy.append(name)
        if not check:
            with open(name, "w", encoding="utf-8", newline="") as file:
                file.write(tidy)
for name in untidy:
    print(name + (": white space at the end of a line" if check else ": made tidy"))
sys.exit(bool(untidy))
