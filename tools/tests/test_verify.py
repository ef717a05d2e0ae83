# SPDX-License-Identifier: Apache-2.0
"""Counting in tools/verify.py."""

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import verify  # noqa: E402


class Counting(unittest.TestCase):
    """What runners print, in numbers."""

    def test_cargo_test(self):
        log = ("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n"
               "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n")
        self.assertEqual(verify.count_rust(log), verify.Counts(15, 2, 1))

    def test_cargo_nextest(self):
        log = "     Summary [   4.233s] 106 tests run: 104 passed (1 slow), 1 failed, 1 timed out, 3 skipped\n"
        self.assertEqual(verify.count_rust(log), verify.Counts(104, 2, 3))

    def test_unittest(self):
        self.assertEqual(verify.count_python("Ran 14 tests in 0.1s\n\nOK (skipped=1)\n"), verify.Counts(13, 0, 1))
        self.assertEqual(verify.count_python("Ran 9 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n"),
                         verify.Counts(6, 3, 0))


class Running(unittest.TestCase):
    """Steps and what they need."""

    def setUp(self):
        verify.LOGS.mkdir(parents=True, exist_ok=True)

    def run_steps(self, *steps: verify.Step) -> verify.Counts:
        """Runs the steps without their lines."""
        run = verify.Run(list(steps))
        run.say = lambda _: None
        with contextlib.redirect_stdout(io.StringIO()):
            return run.all()

    def test_a_step_waits_for_what_it_needs(self):
        total = self.run_steps(verify.Step("unit second", ["true"], ("unit first",)), verify.Step("unit first", ["true"]))
        self.assertEqual(total, verify.Counts(2, 0, 0))

    def test_what_needs_a_failed_step_is_skipped(self):
        first, second = verify.Step("unit first", ["false"]), verify.Step("unit second", ["true"], ("unit first",))
        third = verify.Step("unit third", ["true"], ("unit second",))
        self.assertEqual(self.run_steps(first, second, third), verify.Counts(0, 1, 2))

    def test_a_command_that_is_missing_fails(self):
        self.assertEqual(self.run_steps(verify.Step("unit missing", ["./no-such-command"])), verify.Counts(0, 1, 0))

    def test_a_runner_that_ran_nothing_fails(self):
        self.assertEqual(self.run_steps(verify.Step("unit empty", ["true"], count=verify.count_rust)).failed, 1)

    def test_a_step_can_skip_itself(self):
        command = ["echo", "skipped: no such machine"]
        steps = [verify.Step("unit skipping", command), verify.Step("unit after", ["true"], ("unit skipping",))]
        self.assertEqual(self.run_steps(*steps), verify.Counts(1, 0, 1))


if __name__ == "__main__":
    unittest.main()
