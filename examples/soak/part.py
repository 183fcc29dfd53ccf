"""Runs every so many'th test of the host scripts: part.py NUMBER PARTS. `run test` starts all parts at once.

Each part has a sandbox of its own: a test may break the endpoint for everybody.
"""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path

from sandbox.programs import link_programs


def single(tests: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from single(test)
        else:
            yield test


def main() -> bool:
    number, parts = map(int, sys.argv[1:])
    tests = list(single(unittest.defaultTestLoader.discover(str(Path(__file__).parent))))
    with tempfile.TemporaryDirectory() as programs:
        link_programs(Path(programs))
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
        return unittest.TextTestRunner().run(unittest.TestSuite(tests[number::parts])).wasSuccessful()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
