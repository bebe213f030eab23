"""Does a wrapped key open for its own mailbox, DEP and generation and for
nothing else, without ever leading to the availability key (appendix B, 14; N10,
N11, N13 to N19)?
"""
import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (EAST, PARENT, SYSTEM, TENANT, USER, WEST,  # noqa: E402
                    Server, identity)

DAMAGED = ("DATA_LOSS", "BLOB_INVALID")
# envelope: "HFE1" | suite 2 | dep 16 | generation 4 | iv 12 | check 16
#         | sealed 32 | tag 16
SUITE, DEP, GENERATION, IV, CHECK, SEALED, TAG = 4, 5, 21, 25, 37, 53, 85
LENGTH = 101


class Binding(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().begin()
        server = cls.server
        cls.blobs, cls.keys = {}, {}
        # two mailboxes under "mail", one under "memo", one under a third DEP
        server.dep_with_box("third")
        for box, dep in (("one", "mail"), ("two", "mail"), ("three", "memo")):
            server.mailbox(box, dep)
        for box in ("one", "two", "three", "third"):
            if box != "third":
                server.call("workload", "GenerateKey",
                            resource=f"{PARENT}/mailboxes/{box}")
            cls.keys[box] = server.unwrap(box).key
            cls.blobs[box] = server.call(
                "workload", "WrapKey", resource=f"{PARENT}/mailboxes/{box}",
                plaintext_key=cls.keys[box],
                access=server.access(USER)).wrapped_key
            assert len(cls.blobs[box]) == LENGTH
        cls.begin = server.audit_end()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def tearDown(self):
        self.assertEqual(self.server.ak_records(self.begin), [])
        for box, blob in self.blobs.items():
            self.assertEqual(self.server.unwrap(box, wrapped_key=blob).key,
                             self.keys[box])

    def refused(self, box, blob, initiators=(USER, SYSTEM)):
        for initiator in initiators:
            outcome = self.server.unwrap(box, initiator,
                                         wrapped_key=bytes(blob))
            self.assertEqual(outcome.answer, DAMAGED, outcome)
            self.assertIsNone(outcome.key)
            self.assertIsNone(outcome.retry_ms)
            yield (outcome.text, outcome.retry_ms)

    def all_alike(self, pairs, initiators=(USER, SYSTEM)):
        said = {words for box, blob in pairs
                for words in self.refused(box, blob, initiators)}
        self.assertEqual(len(said), 1, said)

    def test_of_another_mailbox(self):
        """N10, and with it of another DEP: every blob for every other box."""
        self.all_alike([(box, blob) for box in self.blobs
                        for other, blob in self.blobs.items() if other != box])

    def test_selectors_edited(self):
        """N13, N14: another generation, another DEP there is, one there is
        not."""
        blob = self.blobs["one"]
        pairs = []
        for generation in (0, 2, 3, 0xFFFFFFFF):
            pairs.append(("one", blob[:GENERATION] +
                          generation.to_bytes(4, "big") + blob[IV:]))
        for dep in (self.blobs["three"][DEP:GENERATION],
                    self.blobs["third"][DEP:GENERATION], bytes(16),
                    os.urandom(16)):
            pairs.append(("one", blob[:DEP] + dep + blob[GENERATION:]))
        self.all_alike(pairs)

    def test_every_bit(self):
        """N15: residencies TOKEN and MEMORY."""
        for box in ("one", "three"):
            blob = self.blobs[box]
            flipped = []
            for bit in range(8 * LENGTH):
                other = bytearray(blob)
                other[bit // 8] ^= 1 << bit % 8
                flipped.append((box, other))
            self.all_alike(flipped, [USER])

    def test_every_length(self):
        """N16"""
        blob = self.blobs["one"]
        self.all_alike([("one", blob[:n]) for n in range(1, LENGTH)] +
                       [("one", blob + os.urandom(n)) for n in range(1, 65)],
                       [USER])

    def test_spliced(self):
        """N17 to N19: parts of good envelopes put together."""
        one, two = self.blobs["one"], self.blobs["two"]
        again = self.server.call(
            "workload", "WrapKey", resource=f"{PARENT}/mailboxes/one",
            plaintext_key=b"k" * 32,
            access=self.server.access(USER)).wrapped_key
        pairs = []
        for other in (two, again):
            for at in (IV, CHECK, SEALED, TAG):
                pairs.append(("one", one[:at] + other[at:]))
                pairs.append(("one", other[:at] + one[at:]))
        # the heads of two envelopes of one generation are the same
        pairs = [(box, blob) for box, blob in pairs if blob not in (one, again)]
        self.assertGreater(len(pairs), 6)
        for suite in (0, 1, 3, 255):
            pairs.append(("one", one[:SUITE] + bytes([suite]) + one[DEP:]))
        # cut to what suite 1 would be: its check is in no place for one
        pairs.append(("one", one[:SUITE] + b"\1" + one[DEP:CHECK] +
                      one[SEALED:]))
        pairs.append(("one", b"HFE2" + one[SUITE:]))
        self.all_alike(pairs)

    def test_of_another_tenant(self):
        """N11: the same mailbox name, in a tenant of its own."""
        server = self.server
        server.cli("operator", "tenant", "create", "fabrikam", "--licensed")
        server.call("other-admin", "RegisterMailbox",
                    parent="tenants/fabrikam", mailbox_id="one",
                    licensed=True)
        box = "tenants/fabrikam/mailboxes/one"
        made = server.call("other-workload", "GenerateKey", resource=box)
        outcome = server.outcome("other-workload", "UnwrapKey", resource=box,
                                 wrapped_key=self.blobs["one"])
        self.assertEqual(outcome.answer, DAMAGED)
        # and the other way round
        self.all_alike([("one", made.wrapped_key)])

    def test_of_another_workload(self):
        """N12: a mailbox is Exchange's, and a call says no other workload. (That
        a wrap of another would not open is for the unit test: nobody makes
        one.)"""
        for workload, code in ((0, "OK"), (1, "OK"), (2, "INVALID_ARGUMENT"),
                               (-1, "INVALID_ARGUMENT")):
            for method, fields in (
                    ("UnwrapKey", {"wrapped_key": self.blobs["one"]}),
                    ("RewrapKey", {"wrapped_key": self.blobs["one"]}),
                    ("WrapKey", {"plaintext_key": b"k" * 32})):
                access = self.server.access(USER)
                access.workload = workload
                outcome = self.server.outcome(
                    "workload", method, resource=f"{PARENT}/mailboxes/one",
                    access=access, **fields)
                self.assertEqual(outcome.code, code, (workload, method))

    def alerts(self):
        return self.server.log_lines("blob.alert")

    def test_alert(self):
        """Whoever is refused a damaged blob, a person is told: which mailbox,
        who asked, and no key material."""
        for lease, box in (("no", "one"), ("a live", "warm")):
            if box == "warm":
                self.server.dep_with_box(box, key_lease="300")
                self.assertEqual(self.server.unwrap(box).code, "OK")
            name = f"{PARENT}/mailboxes/{box}"
            blob = bytearray(self.server.call(
                "workload", "WrapKey", resource=name, plaintext_key=b"k" * 32,
                access=self.server.access(USER)).wrapped_key)
            blob[TAG] ^= 1
            before = len(self.alerts())
            time.sleep(1)  # so that no earlier test's have used the second up
            list(self.refused(box, blob, [USER]))
            said = self.alerts()[before:]
            self.assertEqual(len(said), 1, lease)
            self.assertEqual(
                {key: said[0][key] for key in
                 ("level", "tenant", "resource", "caller", "method")},
                {"level": "error", "tenant": TENANT, "resource": name,
                 "caller": identity("workload"), "method": "UnwrapKey"})

    def test_alerts_are_bounded(self):
        """A flood of damaged blobs is no flood of lines, and none is lost
        count of."""
        time.sleep(1)
        before = len(self.alerts())
        began = time.monotonic()
        blob = bytearray(self.blobs["one"])
        blob[TAG] ^= 1
        for _ in range(200):
            list(self.refused("one", blob, [USER]))
        time.sleep(1)
        list(self.refused("one", blob, [USER]))
        said = self.alerts()[before:]
        seconds = time.monotonic() - began
        self.assertLess(len(said), 201)
        self.assertLessEqual(len(said), 10 * (seconds + 1))
        self.assertEqual(
            sum(1 + line["lines_left_out"] for line in said), 201)

    def outage(self, rv):
        self.server.faults(*[f"token={token} function=C_UnwrapKey rv={rv}"
                             for token in (EAST, WEST)])

    def test_in_a_revocation(self):
        """A damaged envelope while both customer keys refuse: for a user it is
        that refusal, and no availability key is used."""
        server = self.server
        blob = bytearray(self.blobs["one"])
        blob[TAG] ^= 1
        try:
            self.outage("CKR_ACTION_PROHIBITED")
            outcome = server.unwrap("one", wrapped_key=bytes(blob))
            self.assertEqual(outcome.answer,
                             ("PERMISSION_DENIED", "KEY_ACCESS_DENIED"))
            self.assertEqual(server.ak_records(self.begin), [])
        finally:
            server.heal("mail")

    def test_in_an_outage(self):
        """A damaged envelope while both customer keys are down: it never opens.
        That it is damaged shows only under the DEP key, so that the
        availability key opens that, as for a good one, and is recorded."""
        server = self.server
        blob = bytearray(self.blobs["one"])
        blob[TAG] ^= 1
        try:
            self.outage("CKR_DEVICE_ERROR")
            outcome = server.unwrap("one", wrapped_key=bytes(blob))
            self.assertEqual(outcome.answer, DAMAGED, outcome)
            self.assertIsNone(outcome.key)
            self.assertEqual(len(server.ak_records(self.begin)), 1)
        finally:
            server.heal("mail")
            type(self).begin = server.audit_end()

    def test_moved_dep(self):
        """A blob from before the mailbox moved opens while its generation is
        kept (R-15.1), and a new one is given."""
        server = self.server
        server.mailbox("mover", "mail")
        box = f"{PARENT}/mailboxes/mover"
        made = server.call("workload", "GenerateKey", resource=box)
        server.cli("admin", "mailbox", "assign", "mover", "--dep", "memo")
        first = server.unwrap("mover", wrapped_key=made.wrapped_key)
        self.assertEqual(first.key, made.plaintext_key)
        moved = first.reply.rewrapped_key
        self.assertEqual(len(moved), LENGTH)
        self.assertNotEqual(moved[DEP:IV], made.wrapped_key[DEP:IV])
        for blob in (made.wrapped_key, moved, b""):
            self.assertEqual(server.unwrap("mover", wrapped_key=blob).key,
                             made.plaintext_key)
        # the ciphertext of one under the name of the other
        self.all_alike([
            ("mover", moved[:IV] + made.wrapped_key[IV:]),
            ("mover", made.wrapped_key[:IV] + moved[IV:])])


if __name__ == "__main__":
    unittest.main()
