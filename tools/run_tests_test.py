#!/usr/bin/env python3
"""tools/run_tests: budgets stay under what is promised; the summary says what the reports say."""

import contextlib
import io
import os
import subprocess
import tempfile
import unittest

from tidy_test import load

run_tests = load("run_tests")

REPORT = """<?xml version="1.0"?>
<testsuite>
  <testcase name="good_test" status="run" time="0.5"/>
  <testcase name="{name}" status="{status}" time="1.25"><skipped message="{skip}"/></testcase>
</testsuite>
"""


class RunTests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def report(self, label, name, status, skip=""):
        path = run_tests.results_file(self.folder.name, label)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(REPORT.format(name=name, status=status, skip=skip))

    def summary(self):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            passed = run_tests.summary([self.folder.name])
        return passed, output.getvalue()

    def test_the_budgets_add_up_to_under_fifteen_minutes(self):
        self.assertLess(sum(stage.seconds for stage in run_tests.STAGES), 15 * 60)

    def test_tests_of_several_stages_are_counted_once(self):
        self.report("unit", "other_test", "run")
        self.report("model", "third_test", "run")
        passed, text = self.summary()
        self.assertTrue(passed)
        self.assertIn("100% tests passed, 0 tests failed out of 3", text)
        self.assertIn("Total Test time (real) =    3.00 sec", text)

    def test_a_failure_is_named(self):
        self.report("unit", "bad_test", "fail")
        passed, text = self.summary()
        self.assertFalse(passed)
        self.assertIn("50% tests passed, 1 tests failed out of 2", text)
        self.assertIn("\tbad_test (Failed)", text)

    def test_a_test_that_skips_itself_is_named_and_is_no_failure(self):
        self.report("unit", "skipping_test", "notrun", "SKIP_RETURN_CODE=77")
        passed, text = self.summary()
        self.assertTrue(passed)
        self.assertIn("***Skipped", text)

    def test_a_test_that_could_not_run_is_a_failure(self):
        self.report("unit", "missing_test", "notrun", "Unable to find executable")
        passed, text = self.summary()
        self.assertFalse(passed)
        self.assertIn("\tmissing_test (Not Run)", text)

    def test_a_stage_that_is_late_is_stopped_with_all_that_it_started(self):
        with subprocess.Popen(["sh", "-c", "cat & wait"], stdin=subprocess.PIPE,
                              start_new_session=True) as late:
            run_tests.stop(late)
            self.assertIsNotNone(late.poll())

    def test_no_tests_at_all_is_no_success(self):
        passed, text = self.summary()
        self.assertFalse(passed)
        self.assertIn("0 tests failed out of 0", text)


if __name__ == "__main__":
    unittest.main()
