#!/usr/bin/env python3
"""Claude Code's default prompt, of about 11 thousand tokens, with a window of 32k:
claude_code_long_test.py PROGRAM. What one turn computed, no later one computes again, not even after
a restart of the server."""

import pathlib
import sys
import unittest

import claude_code_report
import support

PROGRAM = pathlib.Path(sys.argv[1]).resolve()


class DefaultPrompt(unittest.TestCase):
    def test_computes_each_token_once(self):
        model = support.make_long_model(PROGRAM)
        rows = claude_code_report.measure(PROGRAM, model)
        print(claude_code_report.table(rows), flush=True)
        first, second, other, restarted, continued = rows
        self.assertGreater(first.prompt, 8000)
        for earlier, later in ((first, second), (restarted, continued)):
            new = later.prompt - earlier.prompt
            self.assertLessEqual(later.computed, new + claude_code_report.BLOCK_TOKENS)
        for row in (other, restarted):
            self.assertLess(row.computed, 0.05 * row.prompt, row.fields())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
