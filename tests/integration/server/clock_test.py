"""Does time come from the clock port everywhere: does a key lease of 15 minutes
end when the clock says so, and does nothing end before?
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import EAST, WEST, Server  # noqa: E402


class Clock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(moving_clock=True).begin()
        cls.server.cli("admin", "dep", "update", "mail", "--key-lease", "900")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def asked(self):
        """How many root operations the next access costs."""
        self.server.faults(*[f"token={token} function=C_UnwrapKey log=1"
                             for token in (EAST, WEST)])
        self.server.forget()
        self.assertEqual(self.server.unwrap("mail").code, "OK")
        return self.server.logged(function="C_UnwrapKey")

    def test_a_lease_ends_when_the_clock_says_so(self):
        self.asked()
        self.assertEqual(self.asked(), 0)  # served by the lease
        self.server.advance(minutes=10)
        self.assertEqual(self.asked(), 0)
        self.server.advance(days=3)
        self.assertEqual(self.asked(), 1)

    def test_records_carry_the_clock_s_time(self):
        before = self.server.audit()[-1].time.seconds
        self.server.advance(days=400)
        self.server.cli("admin", "dep", "update", "mail", "--description", "later")
        self.assertGreater(self.server.audit()[-1].time.seconds - before,
                           399 * 86400)


if __name__ == "__main__":
    unittest.main(verbosity=2)
