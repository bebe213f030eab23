"""Does any one of the three wrapped copies recover the DEP key, by the path
that may use it, and do customers lose and regain access by grants alone
(appendix B, 3 and 6)?
"""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (AK_TOKEN, EAST, PARENT, SYSTEM, USER,  # noqa: E402
                    WEST, Server)

OUTAGE = ("UNAVAILABLE", "KEY_UNAVAILABLE")
REFUSED = ("PERMISSION_DENIED", "KEY_ACCESS_DENIED")
BOXES = ("mail", "memo")


class Recovery(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().begin()
        cls.keys = {box: cls.server.unwrap(box).key for box in BOXES}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.heal(*BOXES)

    def without(self, *tokens):
        """All root operations of these tokens fail. (The AK token's are
        C_UnwrapKey for either residency.)"""
        self.server.faults(*[
            f"token={token} function={function} rv=CKR_DEVICE_ERROR"
            for token in tokens for function in ("C_UnwrapKey", "C_Decrypt")
            if (token, function) != (AK_TOKEN, "C_Decrypt")])

    def test_each_copy_alone(self):
        for without, uses in (((WEST, AK_TOKEN), 0), ((EAST, AK_TOKEN), 0),
                              ((EAST, WEST), 1)):
            for box in BOXES:
                for initiator in (USER, SYSTEM):
                    with self.subTest(without=without, box=box, who=initiator):
                        self.server.heal(*BOXES)
                        before = self.server.audit_end()
                        if box == "mail":
                            # there C_Decrypt opens the mailbox key as well
                            self.server.faults(*[
                                f"token={token} function=C_UnwrapKey "
                                "rv=CKR_DEVICE_ERROR" for token in without])
                        else:
                            self.without(*without)
                        outcome = self.server.unwrap(box, initiator)
                        self.assertEqual(outcome.key, self.keys[box], outcome)
                        self.assertEqual(len(self.server.ak_records(before)),
                                         uses)

    def test_no_copy(self):
        for initiator in (USER, SYSTEM):
            self.server.heal(*BOXES)
            before = self.server.audit_end()
            self.server.faults(*[
                f"token={token} function=C_UnwrapKey rv=CKR_DEVICE_ERROR"
                for token in (EAST, WEST, AK_TOKEN)])
            outcome = self.server.unwrap("mail", initiator)
            self.assertEqual(outcome.answer, OUTAGE)
            self.assertIsNone(outcome.key)
            self.assertEqual(self.server.ak_records(before), [])

    def test_copies_open(self):
        """TestDep says of each customer key both: that it does a round trip,
        and that the stored copy opens with it (R-11.10). It never asks the
        availability key."""
        before = self.server.audit_end()
        report = self.server.call("admin", "TestDep",
                                  name="tenants/contoso/deps/mail")
        self.assertTrue(report.passed, report)
        for code in ("ROUND_TRIP", "COPY_OPENS"):
            said = [r for r in report.results if r.code == code]
            self.assertEqual(len(said), 2, (code, report))
            self.assertEqual(len({r.customer_key for r in said}), 2, report)
        self.assertEqual(self.server.ak_records(before), [])
        self.without(EAST)
        report = self.server.call("admin", "TestDep",
                                  name="tenants/contoso/deps/memo")
        self.assertEqual({r.customer_key.rsplit("/", 1)[1]
                          for r in report.results
                          if r.code == "COPY_OPENS" and r.status == 2},
                         {"key-" + EAST}, report)

    def test_revoke_and_grant_again(self):
        health = []
        for key in (EAST, WEST):
            self.server.revoke("key-" + key)
            health.append(self.server.cli("admin", "dep", "get",
                                          "mail")["health"])
        try:
            self.assertEqual(health, ["DEP_HEALTH_DEGRADED",
                                      "DEP_HEALTH_UNHEALTHY"])
            for box in BOXES:
                before = self.server.audit_end()
                self.assertEqual(self.server.unwrap(box).answer, REFUSED)
                self.assertEqual(self.server.ak_records(before), [])
                self.assertEqual(self.server.unwrap(box, SYSTEM).key,
                                 self.keys[box])
                self.assertEqual(len(self.server.ak_records(before)), 1)
        finally:
            self.server.grant("key-" + EAST)
        # and with no other step
        before = self.server.audit_end()
        for box in BOXES:
            for initiator in (USER, SYSTEM):
                self.assertEqual(self.server.unwrap(box, initiator).key,
                                 self.keys[box])
        self.assertEqual(self.server.ak_records(before), [])
        self.server.grant("key-" + WEST)
        self.assertEqual(self.server.cli("admin", "dep", "get", "mail")
                         ["health"], "DEP_HEALTH_HEALTHY")

    def test_new_keys_after_a_loss(self):
        """R-8.2: new keys, a new DEP, assigned; the availability key opens the
        lost one's for the move, and for nothing after it."""
        server = self.server
        for name in ("lost", "found"):
            for token in (EAST, WEST):
                server.customer_key(f"{name}-{token}", token)
        _, made = server.dep_with_box(
            "lost", [f"lost-{token}" for token in (EAST, WEST)])
        for token in (EAST, WEST):
            server.revoke(f"lost-{token}")
        self.assertEqual(server.unwrap("lost").answer, REFUSED)
        server.dep_with_box("found",
                            [f"found-{token}" for token in (EAST, WEST)])
        server.cli("admin", "mailbox", "assign", "lost", "--dep", "found")
        self.assertEqual(server.unwrap("lost").answer, REFUSED)
        before = server.audit_end()
        self.assertEqual(server.unwrap("lost", SYSTEM).key, made.plaintext_key)
        self.assertEqual(len(server.ak_records(before)), 1)
        before = server.audit_end()
        for initiator in (USER, SYSTEM):
            self.assertEqual(server.unwrap("lost", initiator).key,
                             made.plaintext_key)
        self.assertEqual(server.ak_records(before), [])

    def test_revoking_one_of_two_identities(self):
        """A grant is an identity's own."""
        for key in (EAST, WEST):
            self.server.revoke("key-" + key, ["workload"])
        try:
            self.assertEqual(self.server.unwrap("mail").answer, REFUSED)
            before = self.server.audit_end()
            self.assertEqual(self.server.unwrap("mail", USER,
                                                who="system").key,
                             self.keys["mail"])
            self.assertEqual(self.server.ak_records(before), [])
        finally:
            for key in (EAST, WEST):
                self.server.grant("key-" + key, ["workload"])


class Probes(unittest.TestCase):
    def test_what_they_ask(self):
        """R-6.27: in an outage the customer keys and never the availability
        key; and nothing of a customer's: a key that has opened nothing yet is
        probed alike."""
        with Server({"probe_interval_ms": 1000}).begin() as server:
            server.customer_key("unused", EAST)
            server.end()
            server.start()
            server.settled()
            health = server.call(
                "admin", "GetCustomerKey",
                name=f"{PARENT}/customerKeys/unused").health
            self.assertEqual(health.state, 1)
            server.faults(*[f"token={token} function=C_UnwrapKey {what}"
                            for token in (EAST, WEST)
                            for what in ("log=1", "rv=CKR_DEVICE_ERROR")],
                          f"token={AK_TOKEN} log=1")
            before = server.audit_end()
            until = time.monotonic() + 30
            while min(server.logged(token) for token in (EAST, WEST)) < 3:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.05)
            self.assertEqual(server.logged(AK_TOKEN), 0)
            self.assertEqual(server.ak_records(before), [])


if __name__ == "__main__":
    unittest.main()
