"""Does a multi-workload DEP, on real tokens, come over a tenant, bow to a
mailbox's own DEP, survive a restart, recover from the loss of both keys, and
leave without a trace? (A1 to A5, R-2.3, R-5.3 to R-5.6, R-8.4, R-9.4 to R-9.9,
R-12.4, R-12.5)
"""
import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (ANNEX, PARENT, WEST, Server, deployment,  # noqa: E402
                    identity)

deployment.PEOPLE = {
    **deployment.PEOPLE,
    "compliance": ("contoso/compliance", "contoso", ["compliance-admin"]),
    "m365": ("contoso/m365", "contoso", ["workload-m365"]),
}
CHAT, SIGNALS, PCS = "teams-chat", "exchange-signals", "cloud-pcs"
NEW_KEYS = ("annex-2", "west-2")
OLD_KEYS = ("key-contoso-east", "key-contoso-west")
UNASSIGNED, ASSIGNING, ASSIGNED, OFFBOARDING = 1, 2, 3, 4


class MultiWorkload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # people of its own: certificates are made with the deployment
        cls.server = Server({"ak_lease_ms": 5000}).begin(anew=True)
        for key in OLD_KEYS:
            cls.permit(key)
        cls.dep("everything", OLD_KEYS)
        cls.server.call("admin", "RegisterMailbox", parent=PARENT,
                        mailbox_id="free", licensed=True)
        cls.free = cls.generate("workload", "mailboxes/free")
        for word, who in ((CHAT, "m365"), (SIGNALS, "workload"),
                          (PCS, "m365")):
            cls.server.call(who, "RegisterWorkload", parent=PARENT,
                            workload_id=word)
        cls.chat = cls.generate("m365", "workloads/" + CHAT)
        cls.signals = cls.generate("workload", "workloads/" + SIGNALS)
        cls.pcs = cls.generate("m365", "workloads/" + PCS)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    @classmethod
    def permit(cls, key):
        for who in ("m365", "workload"):
            cls.server.call("admin", "GrantCustomerKey",
                            name=f"{PARENT}/customerKeys/{key}",
                            identity=identity(who), permissions=[1, 2, 3])

    @classmethod
    def dep(cls, name, keys):
        words = [word for key in keys for word in ("--customer-key", key)]
        return cls.server.cli(
            "compliance", "dep", "create", name, "--type", "multi-workload",
            *words, "--workload-identity", identity("m365"))

    @classmethod
    def generate(cls, who, resource):
        return cls.server.call(who, "GenerateKey",
                               resource=f"{PARENT}/{resource}")

    def open(self, who, resource, wrapped=b""):
        return self.server.call(who, "UnwrapKey",
                                resource=f"{PARENT}/{resource}",
                                wrapped_key=wrapped)

    def assignment(self):
        return self.server.call("compliance", "GetTenantAssignment",
                                parent=PARENT)

    def wait(self, state):
        until = time.monotonic() + 60
        while self.assignment().state != state:
            self.assertLess(time.monotonic(), until, self.assignment())
            time.sleep(0.05)
        return self.assignment()

    def uid(self, name):
        return self.server.call("compliance", "GetDep",
                                name=f"{PARENT}/deps/{name}", type=2).name

    def revoke(self, keys):
        for key in keys:
            self.server.call("admin", "RevokeCustomerKey",
                             name=f"{PARENT}/customerKeys/{key}",
                             identity=identity("m365"))
            for who in ("workload", "system"):
                self.server.call("admin", "RevokeCustomerKey",
                                 name=f"{PARENT}/customerKeys/{key}",
                                 identity=identity(who))

    def test_a_life(self):
        """One tenant from A1 to A5."""
        self.come()
        self.switch()
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.stay()
        self.lose_both_keys()
        self.leave()

    def come(self):
        begun = self.server.cli("compliance", "tenant", "assign", "everything")
        self.assertEqual(begun["kind"], "assign-tenant")
        done = self.wait(ASSIGNED)
        self.assertEqual((done.dep, done.percent, done.remaining_count,
                          done.overdue),
                         (self.uid("everything"), 100, 0, False))
        # Exchange existing and new
        free = self.open("workload", "mailboxes/free")
        self.assertEqual((free.plaintext_key, free.dep),
                         (self.free.plaintext_key, done.dep))
        signals = self.open("workload", "workloads/" + SIGNALS)
        self.assertEqual((signals.plaintext_key, signals.dep),
                         (self.signals.plaintext_key, done.dep))
        # chat new alone; what was before stays where it was
        new = self.open("m365", "workloads/" + CHAT)
        self.assertNotEqual(new.plaintext_key, self.chat.plaintext_key)
        self.assertEqual(new.dep, done.dep)
        old = self.open("m365", "workloads/" + CHAT, self.chat.wrapped_key)
        self.assertEqual((old.plaintext_key, old.dep),
                         (self.chat.plaintext_key, ""))
        type(self).new_chat = new
        #
        own = self.open("workload", "mailboxes/mail")
        self.assertNotIn(own.dep, ("", done.dep))
        #
        for words in (("dep", "update", done.dep, "--disable"),):
            with self.assertRaises(deployment.Refused) as refused:
                self.server.cli("compliance", *words)
            self.assertIn("assigned to the tenant", refused.exception.text)

    def switch(self):
        """R-12.4, R-12.5"""
        self.assertEqual(self.open("m365", "workloads/" + PCS).dep, "")
        shown = self.server.cli("compliance", "workload", "switch", PCS, "--on",
                                "--items", "20000")
        self.assertEqual(shown["state"], "WORKLOAD_STATE_ENCRYPTED")
        opened = self.open("m365", "workloads/" + PCS)
        self.assertEqual((opened.plaintext_key, opened.dep),
                         (self.pcs.plaintext_key, self.uid("everything")))

    def stay(self):
        """After kill -9."""
        self.assertEqual(self.assignment().state, ASSIGNED)
        self.assertEqual(self.open("m365", "workloads/" + CHAT).plaintext_key,
                         self.new_chat.plaintext_key)
        old = self.open("m365", "workloads/" + CHAT, self.chat.wrapped_key)
        self.assertEqual(old.plaintext_key, self.chat.plaintext_key)

    def lose_both_keys(self):
        """R-8.4; and R-9.9: no way out by offboarding."""
        self.revoke(OLD_KEYS)
        refused = self.server.outcome("m365", "UnwrapKey",
                                      resource=f"{PARENT}/workloads/{CHAT}")
        self.assertEqual(refused.reason, "KEY_ACCESS_DENIED")
        refused = self.server.outcome("operator", "OffboardTenant",
                                      parent=PARENT, ticket="T-1", contact="c",
                                      reason="r")
        self.assertEqual(refused.answer, ("FAILED_PRECONDITION",
                                          "CUSTOMER_KEY_DENIED"))
        self.assertEqual(self.assignment().state, ASSIGNED)
        before = self.server.audit_end()
        for key, token in zip(NEW_KEYS, (ANNEX, WEST)):
            self.server.customer_key(key, token)
            self.permit(key)
        self.dep("rescue", NEW_KEYS)
        self.server.call("compliance", "AssignTenant", parent=PARENT,
                         dep=f"{PARENT}/deps/rescue")
        done = self.wait(ASSIGNED)
        self.assertEqual((done.number, done.dep), (2, self.uid("rescue")))
        for who, resource, key in (
                ("workload", "mailboxes/free", self.free),
                ("workload", "workloads/" + SIGNALS, self.signals),
                ("m365", "workloads/" + PCS, self.pcs),
                ("m365", "workloads/" + CHAT, self.new_chat)):
            opened = self.open(who, resource)
            self.assertEqual((opened.plaintext_key, opened.dep),
                             (key.plaintext_key, done.dep), resource)
        self.assertTrue(self.server.ak_records(before))

    def leave(self):
        """A4, A5; R-9.4, R-9.6"""
        begun = self.server.cli(
            "operator", "tenant", "offboard", "--ticket", "T-42", "--contact",
            "ann", "--reason", "leaving")
        self.assertEqual(begun["kind"], "offboard-tenant")
        done = self.wait(UNASSIGNED)
        self.assertEqual((done.dep, done.ticket), ("", "T-42"))
        self.revoke(NEW_KEYS)
        for who, resource, key in (
                ("workload", "mailboxes/free", self.free),
                ("workload", "workloads/" + SIGNALS, self.signals),
                ("m365", "workloads/" + PCS, self.pcs),
                ("m365", "workloads/" + CHAT, self.new_chat)):
            opened = self.open(who, resource)
            self.assertEqual((opened.plaintext_key, opened.dep),
                             (key.plaintext_key, ""), resource)
        old = self.open("m365", "workloads/" + CHAT, self.chat.wrapped_key)
        self.assertEqual(old.plaintext_key, self.chat.plaintext_key)
        shown = self.server.cli("compliance", "dep", "update",
                                self.uid("rescue"), "--disable")
        self.assertFalse(shown["enabled"])

    def test_the_command(self):
        """The words of the catalogue, as people see them."""
        listed = self.server.cli("compliance", "workload", "list")["workloads"]
        words = [one["name"].rsplit("/", 1)[1] for one in listed]
        self.assertIn("planner", words)
        self.assertEqual(len(words), len(set(words)))
        with self.assertRaises(deployment.Refused) as refused:
            self.server.cli("compliance", "workload", "register", "teams-files")
        self.assertIn("SHAREPOINT_GEO", refused.exception.text)


if __name__ == "__main__":
    unittest.main()
