# SPDX-License-Identifier: Apache-2.0
"""tools/fuzz: what libFuzzer prints, and inputs that fail."""

import contextlib
import importlib.util
import io
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

# By its path: there are other modules with this name.
SPEC = importlib.util.spec_from_file_location("fuzz_run", Path(__file__).resolve().parent.parent / "fuzz" / "run.py")
run = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = run
SPEC.loader.exec_module(run)

LOG = """INFO: seed corpus: files: 6 min: 44b max: 94b total: 395b rss: 29Mb
#7\tINITED cov: 370 ft: 434 corp: 6/395b exec/s: 0 rss: 30Mb
#300000\tDONE   cov: 480 ft: 585 corp: 94/8481b lim: 1600 exec/s: 42857 rss: 30Mb
Done 300000 runs in 7 second(s)
"""


def program(folder: Path, script: str) -> Path:
    """A program in place of a target."""
    path = folder / "frame"
    path.write_text(f"#!/bin/sh\nfor word; do case $word in -artifact_prefix=*) at=${{word#*=}};; esac; done\n{script}")
    path.chmod(0o755)
    return path


class Fuzz(unittest.TestCase):
    """Without libFuzzer."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        patch = mock.patch.object(run, "OUT", self.folder / "out")
        patch.start()
        self.addCleanup(patch.stop)

    def fuzz(self, script: str) -> run.Result:
        with contextlib.redirect_stdout(io.StringIO()):
            return run.fuzz(program(self.folder, script), 10, 1, 1)

    def test_counts_are_what_libfuzzer_prints(self):
        self.assertEqual(run.parse(LOG), (300_000, 6, 94, 480))
        with self.assertRaises(run.FuzzError):
            run.parse("no such program")

    def test_a_good_run_has_no_crashes(self):
        result = self.fuzz(f"cat <<'END'\n{LOG}END\n")
        self.assertEqual(result, run.Result(300_000, 6, 94, 480, []))

    def test_an_input_that_fails_is_named(self):
        result = self.fuzz(f"cat <<'END'\n{LOG}END\necho bad > ${{at}}crash-1\nexit 77\n")
        self.assertEqual([path.name for path in result.crashes], ["crash-1"])

    def test_a_run_that_fails_by_itself_is_an_error(self):
        with self.assertRaises(run.FuzzError):
            self.fuzz(f"cat <<'END'\n{LOG}END\nexit 1\n")


if __name__ == "__main__":
    unittest.main()
