"""Unit tests of rules in promtool's format: `read` a test file, `run` it against rule groups.

    test_file = read("rules.test.yaml", text)
    failures = run(test_file, load({"rules.yaml": rules_text}))

No failure means that the tests passed; each failure is a text as promtool prints it.
"""

from __future__ import annotations

from rules.testing.model import TestFile
from rules.testing.read import read
from rules.testing.run import run

__all__ = ["TestFile", "read", "run"]
