"""What the acceptance tests share: the way to the real server, and to what the
tests of tests/integration/server know to do with it.
"""
import importlib
import pathlib
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "integration/server")]

REFUSED = ("PERMISSION_DENIED", "KEY_ACCESS_DENIED")
DAMAGED = ("DATA_LOSS", "BLOB_INVALID")


def helpers(name, case):
    """The module name of the integration tests, and its test case without its
    tests: what it sets up, and what it can do."""
    module = importlib.import_module(name)
    whole = getattr(module, case)
    parts = {word: part for word, part in vars(whole).items()
             if not word.startswith(("test_", "__"))}
    return module, type(case, whole.__bases__, parts)


def run():
    unittest.main(module="__main__", verbosity=2)
