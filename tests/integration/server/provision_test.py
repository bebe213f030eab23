"""Does the main job set up on real parts: tokens, certificates, tenant, keys?

What it made is kept in the build folder for the other tests here to copy.
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import EAST, WEST, Server  # noqa: E402


class Provision(unittest.TestCase):
    def test_set_up(self):
        with Server().begin(anew=True) as server:
            keys = server.cli("admin", "key", "list")["customerKeys"]
            self.assertEqual({key["name"].split("/")[-1] for key in keys},
                             {"key-" + EAST, "key-" + WEST})
            for name in ("mail", "memo"):
                self.assertEqual(server.unwrap(name).code, "OK")
            self.assertEqual(server.keep(), 0)


if __name__ == "__main__":
    unittest.main()
