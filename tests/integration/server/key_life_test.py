"""Does a soft-deleted customer key refuse at once, stay recoverable for its 90
days and no longer, across a kill (R-4.25, R-4.10, R-8.1, R-15.4)?
"""
import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from deployment import Refused  # noqa: E402
from server import EAST, PARENT, SYSTEM, USER, WEST, Server  # noqa: E402

KEYS = ("key-" + EAST, "key-" + WEST)


class KeyLife(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True).begin()
        self.addCleanup(self.server.stop)

    def opens(self, copy, initiator=USER):
        return self.server.unwrap("mail", initiator, wrapped_key=copy)

    def deleted(self):
        found = self.server.cli("admin", "key", "deleted")["customerKeys"]
        return [key["name"].rsplit("/", 1)[1] for key in found]

    def free_keys(self):
        """Nothing stored needs them; the copy of before is the client's."""
        refused = self.server.outcome(
            "admin", "SoftDeleteCustomerKey", confirm=True,
            name=f"{PARENT}/customerKeys/{KEYS[0]}")
        self.assertEqual(refused.answer, ("FAILED_PRECONDITION", "KEY_IN_USE"))
        copy = self.server.set_aside("mail", "memo")["mail"]
        self.server.cli("admin", "dep", "update", "mail", "--key-lease", "900")
        self.assertEqual(self.opens(copy).code, "OK")  # a warm lease
        return copy

    def test_deleting_and_recovering(self):
        copy = self.free_keys()
        shown = self.server.cli("admin", "key", "get", KEYS[0])
        self.assertEqual(shown["recoveryLevel"], "Recoverable")
        with self.assertRaises(Refused) as caught:
            self.server.cli("admin", "key", "delete", KEYS[0])
        self.assertIn("confirm", caught.exception.text)
        for key in KEYS:
            self.assertEqual(self.opens(copy).code, "OK")
            gone = self.server.cli("admin", "key", "delete", key, "--confirm")
            self.assertEqual(gone["state"], "CUSTOMER_KEY_STATE_SOFT_DELETED")
        self.assertEqual(self.opens(copy).answer,
                         ("PERMISSION_DENIED", "KEY_ACCESS_DENIED"))
        before = self.server.audit_end()
        self.assertEqual(self.opens(copy, SYSTEM).code, "OK")
        self.assertEqual(len(self.server.ak_records(before)), 1)
        self.assertEqual(sorted(self.deleted()), sorted(KEYS))
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.assertEqual(self.opens(copy).reason, "KEY_ACCESS_DENIED")
        self.assertEqual(self.server.outcome(
            "admin", "GetCustomerKey",
            name=f"{PARENT}/customerKeys/{KEYS[0]}").code, "NOT_FOUND")
        with self.assertRaises(Refused) as caught:
            self.server.cli("admin", "key", "register", KEYS[0], "--token",
                            EAST, "--uri", self.server.uris[KEYS[0]])
        self.assertIn("NAME_TAKEN", caught.exception.text)
        self.server.cli("admin", "key", "recover", KEYS[1])
        self.assertEqual(self.opens(copy).code, "OK")
        self.server.cli("admin", "key", "recover", KEYS[0])
        self.assertEqual(self.deleted(), [])
        self.assertTrue(self.server.test_dep("mail"))

    def test_ninety_days(self):
        copy = self.free_keys()
        self.server.cli("admin", "key", "delete", KEYS[0], "--confirm")
        self.server.advance(days=89, hours=23)
        self.server.end()
        self.server.start()
        time.sleep(1)
        self.assertEqual(self.deleted(), [KEYS[0]])
        self.server.advance(hours=2)
        until = time.monotonic() + 20
        while self.deleted() and time.monotonic() < until:
            time.sleep(0.1)
        self.assertEqual(self.deleted(), [])
        self.assertEqual(
            len(self.server.audit(activity="CustomerKeyRetentionOver")), 1)
        self.assertEqual(self.server.outcome(
            "admin", "RecoverCustomerKey",
            name=f"{PARENT}/customerKeys/{KEYS[0]}").code, "NOT_FOUND")
        # the other key opens; the name is free for the key that is still there
        self.assertEqual(self.opens(copy).code, "OK")
        self.server.cli("admin", "key", "register", KEYS[0], "--token", EAST,
                        "--uri", self.server.uris[KEYS[0]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
