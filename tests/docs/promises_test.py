#!/usr/bin/env python3
"""Every test that docs/promises.md names exists.

    promises_test.py REPOSITORY
"""

import pathlib
import re
import sys
import unittest

REPOSITORY = pathlib.Path(sys.argv.pop(1)).resolve()
PROMISES = (REPOSITORY / "docs" / "promises.md").read_text().split("\n## ", 1)[1]
FOLDERS = ["src", "tests", "ep"]


def written_tests():
    found = set()
    for folder in FOLDERS:
        for file in (REPOSITORY / folder).rglob("*_test.cpp"):
            for suite, name in re.findall(
                    r"^(?:TEST|TEST_F|TEST_P)\(\s*(\w+),\s*(\w+)\)", file.read_text(), re.M):
                found.add(f"{suite}.{name}")
        for kind in ("*.py", "*.mjs"):
            found.update(
                file.name for file in (REPOSITORY / folder).rglob(kind)
                if "node_modules" not in file.parts)
    return found


class Promises(unittest.TestCase):
    def test_each_names_tests_that_exist(self):
        named = re.findall(r"`([A-Za-z_]+\.\w+)`", PROMISES)
        self.assertGreater(len(named), 20)
        written = written_tests()
        self.assertEqual([name for name in named if name not in written], [])

    def test_no_promise_is_without_a_test(self):
        promises = re.split(r"^- ", PROMISES, flags=re.M)[1:]
        self.assertEqual([text for text in promises if not re.search(r"\(`\w+\.\w+`", text)], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
