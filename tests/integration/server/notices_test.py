"""R-15.18, on real tokens: is the tenant told of an outage at once and hourly
after, in the list, the log and the audit chain; do users stop at the limit of
their DEP, through a kill, and system access not; and does it end?
"""
import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import EAST, PARENT, SYSTEM, USER, WEST, Server  # noqa: E402

OUTAGE = ("UNAVAILABLE", "KEY_UNAVAILABLE")
LIMIT_H = 4


class Notices(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True).begin()
        self.addCleanup(self.server.stop)

    def fail_both(self):
        self.server.faults(*[
            f"token={token} function={function} rv=CKR_TOKEN_NOT_PRESENT"
            for token in (EAST, WEST)
            for function in ("C_UnwrapKey", "C_OpenSession")])

    def told(self):
        """The events, the newest first."""
        listed = self.server.cli("auditor", "notice", "list", "--dep", "mail")
        return [notice["event"].removeprefix("NOTICE_EVENT_")
                for notice in listed["notices"]]

    def expect_told(self, *events):
        until = time.monotonic() + 60
        while self.told() != list(events):
            self.assertLess(time.monotonic(), until, self.told())
            time.sleep(0.2)

    def user(self):
        return self.server.unwrap("mail", USER)

    def expect_served(self, key):
        outcome = self.user()
        self.assertEqual(outcome.key, key, outcome)

    def test_an_outage(self):
        dep = self.server.cli("admin", "dep", "update", "mail",
                              "--fallback-limit", str(LIMIT_H * 3600))
        self.assertEqual(dep["fallbackLimit"], f"{LIMIT_H * 3600}s")
        self.assertEqual(self.told(), [])
        self.fail_both()
        key = self.user().key
        self.assertIsNotNone(key)
        self.assertEqual(self.told(), ["BEGAN"])  # with the first use
        began = self.server.cli("admin", "dep", "get", "mail")
        self.assertIsNotNone(began["outageStartTime"])
        self.server.advance(hours=1)
        self.expect_served(key)
        self.expect_told("GOES_ON", "BEGAN")
        # whoever restarts the service gives users no second term
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.assertEqual(
            self.server.cli("admin", "dep", "get", "mail")["outageStartTime"],
            began["outageStartTime"])
        self.expect_served(key)
        self.server.advance(hours=LIMIT_H - 1)
        self.assertEqual(self.user().answer, OUTAGE)
        self.assertEqual(self.server.unwrap("mail", SYSTEM).key, key)
        self.expect_told("LIMIT_REACHED", "GOES_ON", "BEGAN")
        self.server.heal("mail")
        self.expect_served(key)
        self.expect_told("ENDED", "LIMIT_REACHED", "GOES_ON", "BEGAN")
        self.assertIsNone(
            self.server.cli("admin", "dep", "get", "mail")["outageStartTime"])
        lines = self.server.log_lines("fallback.notice")
        self.assertEqual([line["notice"] for line in lines],
                         ["BEGAN", "GOES_ON", "LIMIT_REACHED", "ENDED"])
        records = self.server.audit(activity="FallbackNotice")
        self.assertEqual(len(records), 4)
        self.assertTrue(all(record.object.startswith(PARENT + "/deps/")
                            for record in records))
        # no limit: as long as it lasts
        self.server.cli("admin", "dep", "update", "mail",
                        "--no-fallback-limit")
        self.fail_both()
        self.expect_served(key)
        self.server.advance(days=40)
        self.expect_served(key)

    def test_a_revocation(self):
        """Is no outage: what the customer did, the customer is not told."""
        self.server.revoke("key-" + EAST)
        self.server.revoke("key-" + WEST)
        self.assertEqual(self.server.unwrap("mail", SYSTEM).code, "OK")
        self.assertEqual(self.told(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
