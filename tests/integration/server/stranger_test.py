"""Is an identity without a grant refused whatever lease is live, without the
availability key (N07), and another tenant's token and key missing (N06)?
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (EAST, PARENT, SYSTEM, USER, WEST, Server,  # noqa: E402
                    identity)

REFUSED = ("PERMISSION_DENIED", "KEY_ACCESS_DENIED")
DOWN = [f"token={token} function={function} rv=CKR_DEVICE_ERROR"
        for token in (EAST, WEST) for function in ("C_UnwrapKey", "C_Decrypt")]


class Stranger(unittest.TestCase):
    """stranger has every role of a workload, and no grant."""
    ak_lease_ms = 0

    @classmethod
    def setUpClass(cls):
        cls.server = Server({"ak_lease_ms": cls.ak_lease_ms}).begin()
        cls.keys = {box: cls.server.unwrap(box).key for box in ("mail", "memo")}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.heal("mail", "memo")

    def lease(self, seconds):
        for box in self.keys:
            self.server.cli("admin", "dep", "update", box, "--key-lease",
                            str(seconds))

    def check(self, who="stranger"):
        """Refused, by every verb, and the tokens are not asked."""
        before = self.server.audit_end()
        rules = (self.server.home / "faults").read_text().splitlines()
        self.server.faults(*rules, *[f"token={token} function=C_UnwrapKey log=1"
                                     for token in (EAST, WEST)])
        self.server.forget()
        for box in self.keys:
            for initiator in (USER, SYSTEM):
                name = f"{PARENT}/mailboxes/{box}"
                access = self.server.access(initiator)
                for method, fields in (
                        ("UnwrapKey", {}), ("RewrapKey", {}),
                        ("WrapKey", {"plaintext_key": b"k" * 32})):
                    outcome = self.server.outcome(who, method, resource=name,
                                                  access=access, **fields)
                    self.assertEqual(outcome.answer, REFUSED, method)
                    self.assertIsNone(outcome.key or None)
        self.assertEqual(self.server.logged(), 0)
        self.assertEqual(self.server.ak_records(before), [])

    def test_cold(self):
        self.lease(0)
        self.check()

    def test_warm(self):
        self.lease(60)
        try:
            for box, key in self.keys.items():
                self.assertEqual(self.server.unwrap(box).key, key)
            self.check()
            # the lease is there: the tokens are down, and it still serves
            self.server.faults(DOWN[0], DOWN[2])
            self.assertEqual(self.server.unwrap("mail").key, self.keys["mail"])
            self.check()
        finally:
            self.server.clear()
            self.lease(0)

    def test_outage(self):
        """Where table 6-B gives the key to those who hold a grant."""
        self.lease(0)
        self.server.faults(DOWN[0], DOWN[2])
        for initiator in (USER, SYSTEM):
            self.assertEqual(self.server.unwrap("mail", initiator).key,
                             self.keys["mail"])
        self.check()

    def test_only_get_and_wrap(self):
        """What was granted is not what it needs: R-4.5, R-4.27."""
        self.lease(0)
        for token in (EAST, WEST):
            self.server.call("admin", "GrantCustomerKey",
                             name=f"{PARENT}/customerKeys/key-{token}",
                             identity=identity("stranger"), permissions=[1, 2])
        try:
            self.check()
        finally:
            self.server.revoke("key-" + EAST, ["stranger"])
            self.server.revoke("key-" + WEST, ["stranger"])


class StrangerAndAkLease(Stranger):
    """The same, while a lease by the availability key is live."""
    ak_lease_ms = 5000

    def test_ak_lease(self):
        self.lease(0)
        self.server.faults(DOWN[0], DOWN[2])
        for initiator in (USER, SYSTEM):
            self.assertEqual(self.server.unwrap("mail", initiator).key,
                             self.keys["mail"])
        self.check()


class HeldOnce(unittest.TestCase):
    """Who held a grant and lost it is no stranger (R-15.4): table 6-B."""

    def test_one_key_is_enough(self):
        """A grant on one key opens by that key alone; withdrawn, it is
        DENIED."""
        with Server().begin() as server:
            key = server.unwrap("mail").key
            self.assertEqual(server.unwrap("mail", who="stranger").answer,
                             REFUSED)
            server.grant("key-" + EAST, ["stranger"])
            server.faults(f"token={WEST} function=C_UnwrapKey log=1")
            for _ in range(8):
                self.assertEqual(server.unwrap("mail", who="stranger").key, key)
            self.assertEqual(server.logged(), 0)
            server.revoke("key-" + EAST, ["stranger"])
            before = server.audit_end()
            self.assertEqual(server.unwrap("mail", who="stranger").answer,
                             REFUSED)
            self.assertEqual(server.ak_records(before), [])
            self.assertEqual(server.unwrap("mail", SYSTEM, who="stranger").key,
                             key)
            self.assertEqual(len(server.ak_records(before)), 1)


class OtherTenant(unittest.TestCase):
    """N06: by its URI, by its name, or granted to one's own."""

    def test_token_and_key(self):
        with Server().begin() as server:
            server.cli("operator", "tenant", "create", "fabrikam", "--licensed")
            uri = server.uris["key-" + EAST]
            theirs, mine = PARENT, "tenants/fabrikam"
            tries = []
            for parent, token in ((mine, f"{mine}/tokens/{EAST}"),
                                  (mine, f"{theirs}/tokens/{EAST}"),
                                  (theirs, f"{theirs}/tokens/{EAST}")):
                tries.append(("RegisterCustomerKey", dict(
                    parent=parent, customer_key_id="stolen", token=token,
                    uri=uri)))
            for parent in (mine, theirs):
                key = f"{parent}/customerKeys/key-{EAST}"
                tries += [
                    ("GrantCustomerKey", dict(
                        name=key, identity=identity("other-workload"),
                        permissions=[1, 2, 3])),
                    ("RevokeCustomerKey", dict(
                        name=key, identity=identity("workload"))),
                    ("GetCustomerKey", dict(name=key)),
                    ("ValidateCustomerKeys", dict(
                        parent=parent, customer_keys=[
                            key, f"{parent}/customerKeys/key-{WEST}"])),
                    ("CreateDep", dict(
                        parent=parent, dep_id="stolen", customer_keys=[
                            key, f"{parent}/customerKeys/key-{WEST}"]))]
            # from its own namespace, keys of the other
            tries += [("CreateDep", dict(
                parent=mine, dep_id="stolen", customer_keys=[
                    f"{theirs}/customerKeys/key-{token}"
                    for token in (EAST, WEST)]))]
            for method, fields in tries:
                outcome = server.outcome("other-admin", method, **fields)
                self.assertIn(outcome.code, ("NOT_FOUND", "INVALID_ARGUMENT"),
                              (method, fields, outcome))
                if outcome.code == "INVALID_ARGUMENT":
                    # a name outside the parent is wrong whether it is there
                    # or not
                    absent = {
                        key: [v.replace("key-", "no-") for v in value]
                        if isinstance(value, list)
                        else value.replace(EAST, "absent") for key, value in
                        fields.items()}
                    other = server.outcome("other-admin", method, **absent)
                    self.assertEqual(other.answer, outcome.answer)
            self.assertEqual(server.unwrap("mail").code, "OK")
            names = [identity("workload"), identity("system")]
            for key in server.call("admin", "ListCustomerKeys",
                                   parent=PARENT).customer_keys:
                self.assertEqual(sorted(g.identity for g in key.grants),
                                 sorted(names))


if __name__ == "__main__":
    unittest.main()
