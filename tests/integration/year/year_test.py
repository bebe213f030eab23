"""Can a tenant live a year with Holdfast: come, roll its keys, sit out an outage,
revoke and think better of it, lose both keys and recover, offboard, purge, and
audit all of it, with ten thousand mailboxes, of which no key is ever lost and
none is opened after its purge? (T1 to T11, A1 to A5, S1 to S4, M1, M2, M8, R-4.25,
R-5.3, R-5.16, R-6.12, R-7.1, R-7.3, R-7.10, R-8.2, R-9.3, R-10.2)

A function a month. Between them the clock moves on, what is due is done, and a
sample of everything is opened.
"""
import json
import os
import unittest

from tenant import (DESTROYED, EAST, GEO, PARENT, REFUSED, SAMPLE, SYSTEM,
                    TOKENS, USER, WEST, Tenant, box_name, deployment, identity)

# a tenth in a plain run; whole takes three minutes
SHARE = 1 if os.environ.get("HF_YEAR") == "whole" else 10
SALES, LEGAL, OTHERS = (count // SHARE for count in (3000, 2000, 5000))
CHAT = "teams-chat"


class Year(unittest.TestCase):
    def setUp(self):
        self.we = Tenant(self)
        self.addCleanup(self.we.server.stop)
        self.server = self.we.server

    def test_a_year(self):
        for month in (
                self.january_onboarding, self.february_ten_thousand_mailboxes,
                self.march_the_rest_of_the_tenant, self.april_a_roll,
                self.may_an_outage, self.june_a_revocation_and_its_undo,
                self.july_a_roll_of_the_files, self.august_late_arrivals,
                self.september_both_keys_lost, self.october_offboarding,
                self.november_a_purge, self.december_the_books):
            month()
            self.we.nothing_is_lost()
            self.we.time_passes()
            self.we.nothing_is_lost()

    def january_onboarding(self):
        """Keys are validated, scenarios enabled, policies made; an officer is
        named who may approve a purge; the files come first."""
        we = self.we
        for name, scenario, who, people in (
                ("sales", "exchange-mailbox", "workload", ()),
                ("legal", "exchange-mailbox", "workload", ()),
                ("whole", "multi-workload", "m365", ("m365",))):
            keys = we.pair(name, ("workload", "system", *people))
            for verb, result in (("validate", "validationResult"),
                                 ("enable", "enablementResult")):
                made = self.server.cli(
                    "admin", "onboarding", verb, *keys, "--scenario", scenario,
                    "--workload-identity", identity(who))
                self.assertRegex(made[result], "PASSED|ENABLED")
        we.policy("admin", "sales", ["sales-" + token for token in TOKENS])
        we.policy("admin", "legal", ["legal-" + token for token in TOKENS])
        we.policy("compliance", "whole", ["whole-" + token for token in TOKENS],
                  "--type", "multi-workload", workload="m365")
        self.officer = we.officer()
        we.pair("files", ("files",))
        self.server.cli("keeper", "geo", "register", "EMEA", "--primary",
                        f"files-{EAST}:1", "--secondary", f"files-{WEST}:1",
                        "--workload-identity", identity("files"))
        for name in ("finance", "hr", "board"):
            we.site(name)
        we.geo_is(1)

    def february_ten_thousand_mailboxes(self):
        we = self.we
        we.arrive("sales", SALES, dep="sales")
        we.arrive("legal", LEGAL, dep="legal")
        we.arrive("others", OTHERS)
        self.assertEqual(len(we.keys), 10000 // SHARE)
        for group, dep in (("sales", "sales"), ("legal", "legal")):
            shown = self.server.call("admin", "GetDep",
                                     name=f"{PARENT}/deps/{dep}")
            self.assertEqual((shown.key_counts.newest,
                              shown.mailbox_counts.encrypted_percent),
                             (len(we.groups[group]), 100))

    def march_the_rest_of_the_tenant(self):
        """The multi-workload DEP comes over who has none of his own."""
        we = self.we
        self.server.cli("m365", "workload", "register", CHAT)
        self.before = self.server.call("m365", "GenerateKey",
                                       resource=f"{PARENT}/workloads/{CHAT}")
        begun = self.server.cli("compliance", "tenant", "assign", "whole")
        we.ended(begun["name"])
        self.whole = self.server.call("compliance", "GetTenantAssignment",
                                      parent=PARENT).dep
        for box in we.some("others"):
            self.assertEqual(we.policy_of(box), self.whole)
        for box in we.some("sales", "legal"):
            self.assertNotEqual(we.policy_of(box), self.whole)
        self.chat()

    def chat(self):
        """What there was stays openable; what is new has a key of its own."""
        self.assertEqual(self.server.outcome(
            "m365", "UnwrapKey", resource=f"{PARENT}/workloads/{CHAT}",
            wrapped_key=self.before.wrapped_key).key,
            self.before.plaintext_key)

    def april_a_roll(self):
        """Touched mailboxes go over by themselves, the others by order."""
        we = self.we
        for token in TOKENS:
            we.new_version("sales", token)
        begun = self.server.cli("admin", "dep", "refresh", "sales")
        touched = we.some("sales")
        we.opens(touched)
        dep = lambda: self.server.call("admin", "GetDep",
                                       name=f"{PARENT}/deps/sales")
        self.assertEqual((dep().generation, dep().key_counts.newest),
                         (2, len(touched)))
        we.ended(self.server.cli("admin", "dep", "rewrap", "sales")["name"])
        we.ended(begun["name"])
        counts = dep().key_counts
        self.assertEqual((counts.newest, counts.earlier),
                         (len(we.groups["sales"]), 0))
        for box in we.some("sales"):  # kept by a client, of before the roll
            self.assertEqual(we.ask(box, wrapped_key=we.copies[box]).key,
                             we.keys[box])

    def may_an_outage(self):
        """Both tokens are down: users are served all the same, and each time
        is on record. No lease of April serves in May."""
        we = self.we
        we.files_open()
        self.server.faults(*[f"token={token} function=C_UnwrapKey "
                             "rv=CKR_DEVICE_ERROR" for token in TOKENS])
        self.server.advance(minutes=16)
        we.opens(we.some(), by_ak=True)
        we.opens(we.some(), SYSTEM, by_ak=True)
        we.files_open()  # from the cached TIK, without the availability key
        self.server.heal("sales", "legal", self.whole.rsplit("/", 1)[1])
        we.uses_are_on_record()

    def june_a_revocation_and_its_undo(self):
        we = self.we
        keys = ["legal-" + token for token in TOKENS]
        we.opens(we.some("legal"))
        we.forbid(keys)
        we.refuses(we.some("legal"), REFUSED)
        we.opens(we.some("legal"), SYSTEM, by_ak=True)
        we.opens(we.some("sales", "others"))
        we.permit(keys)
        we.opens(we.some("legal"))
        we.uses_are_on_record()
        self.june = self.export("june.jsonl")

    def july_a_roll_of_the_files(self):
        """One key of the geo is exchanged, the other stays. The availability
        keys have gone over to new ones by themselves, half a year after."""
        we = self.we
        we.new_version("files", EAST)
        self.server.cli("keeper", "geo", "roll", "EMEA", "--slot", "primary",
                        "--customer-key", f"files-{EAST}:2")
        geo = we.geo_is(2)
        self.assertEqual((geo.primary.version, geo.secondary.version), (2, 1))
        self.assertEqual(geo.name, GEO)
        we.until(lambda: len(we.records("AvailabilityKeyRolled")) >= 3,
                 "the availability keys are rolled")

    def august_late_arrivals(self):
        """A few mailboxes wait for the mover until somebody is told; a key
        that nobody needs is thrown away, for ninety days."""
        we = self.we
        late = [f"late-{number}" for number in range(SAMPLE)]
        for box in late:
            self.server.call("admin", "RegisterMailbox", parent=PARENT,
                             mailbox_id=box, licensed=True, unencrypted=True)
        we.assign(late, "sales")
        self.server.advance(days=6)
        self.assertEqual(we.records("EncryptionOverdue"), [])
        self.server.advance(days=1, minutes=11)
        we.until(lambda: len(we.records("EncryptionOverdue")) == len(late),
                 "they are overdue")
        for _ in late:
            claimed = self.server.call("workload", "ClaimMove", parent=PARENT)
            box = claimed.name.rsplit("/", 1)[1]
            made = self.server.call("workload", "GenerateKey",
                                    resource=claimed.name)
            we.keys[box] = made.plaintext_key
            self.server.call("workload", "CompleteMove", name=claimed.name,
                             claim=claimed.claim)
        we.groups["late"] = late
        self.server.customer_key("spare", EAST)
        self.server.cli("admin", "key", "delete", "spare", "--confirm")

    def september_both_keys_lost(self):
        """Two new keys, a new DEP, and the availability key once for each
        mailbox that nobody touches until an administrator orders it."""
        we = self.we
        boxes = we.groups["sales"] + we.groups["late"]
        we.forbid(["sales-" + token for token in TOKENS])
        we.refuses(we.some("sales"), REFUSED)
        we.policy("admin", "rescue", we.pair("rescue"))
        we.assign(boxes, "rescue")
        touched = we.some("sales")
        we.opens(touched, SYSTEM, by_ak=True)
        operation = we.ended(
            self.server.cli("admin", "dep", "rewrap", "sales")["name"])
        self.assertEqual(operation.done_count, operation.total_count)
        we.moved_by_ak += len(boxes) - len(touched)
        shown = self.server.call("admin", "GetDep",
                                 name=f"{PARENT}/deps/rescue")
        self.assertEqual(shown.key_counts.newest, len(boxes))
        we.uses_are_on_record()

    def october_offboarding(self):
        """The multi-workload DEP leaves; then its keys may go, too."""
        we = self.we
        begun = self.server.cli("operator", "tenant", "offboard", "--ticket",
                                "T-10", "--contact", "ann", "--reason",
                                "another provider")
        we.ended(begun["name"])
        self.server.cli("compliance", "dep", "update", self.whole, "--disable")
        we.forbid(["whole-" + token for token in TOKENS],
                  ("workload", "system", "m365"))
        for box in we.some("others"):
            self.assertEqual(we.policy_of(box), "")
        self.chat()

    def november_a_purge(self):
        """Legal leaves, for ever; of the others nothing is lost."""
        we = self.we
        we.until(lambda: len(we.records("CustomerKeyRetentionOver")) == 1,
                 "the key thrown away in August is gone")
        we.forbid(["legal-" + token for token in TOKENS])
        asked = self.server.cli("admin", "purge", "request", "legal",
                                "--reason", "sold", "--contact",
                                "ciso@contoso.example", "--confirm")
        purge = asked["name"].rsplit("/", 1)[1]
        self.server.cli("ada", "purge", "approve", purge, "--key",
                        self.officer, "--confirm")
        begun = self.server.cli("operator", "purge", "execute", purge,
                                "--confirm")
        we.opens(we.some("legal"), SYSTEM, by_ak=True)  # in its hold
        self.server.advance(hours=73)
        we.ended(begun["name"])
        we.gone |= set(we.groups["legal"])
        where = self.server.home / "legal"
        self.server.cli("auditor", "purge", "certificate", purge, "--out",
                        where)
        self.assertTrue(self.server.cli(
            "auditor", "purge", "verify", "--certificate", f"{where}.txt",
            "--signature", f"{where}.sig", "--public-key",
            f"{where}.pem")["verified"])
        self.assertIn(f"resources_tombstoned={LEGAL}\n",
                      where.with_suffix(".txt").read_text())

    def december_the_books(self):
        """Every mailbox there ever was, once; and the audit of the year."""
        we = self.we
        left = [box for box in we.keys if box not in we.gone]
        replies = we.many("workload", "UnwrapKey",
                          [{"resource": box_name(box)} for box in left])
        for box, reply in zip(left, replies):
            self.assertEqual(reply.plaintext_key, we.keys[box], box)
        self.permit_again()
        for box in we.some("legal", of_each=200 // SHARE):
            for copy in (b"", we.copies[box]):
                for initiator in (USER, SYSTEM):
                    outcome = we.ask(box, initiator, wrapped_key=copy)
                    self.assertEqual(outcome.answer, DESTROYED, box)
        we.uses_are_on_record()
        self.audit()

    def permit_again(self):
        """Whatever is granted again: destroyed is destroyed."""
        self.we.permit(["legal-" + token for token in TOKENS])

    def export(self, name):
        path = self.server.home / name
        self.server.cli("auditor", "audit", "export", path)
        return path

    def signed(self):
        """The service's public key, when all there is by now is signed."""
        self.server.cli("admin", "dep", "update", "rescue", "--description",
                        "a year")
        end = max(one.index for one in self.we.records("UpdateDep"))
        self.we.until(lambda: self.server.call(
            "auditor", "ListCheckpoints", parent=PARENT,
            page_size=1).checkpoints[0].audit_index >= end, "a checkpoint")
        prefix = self.server.home / "audit"
        self.server.cli("auditor", "audit", "checkpoints", "--out", prefix)
        return end, prefix.with_suffix(".pem")

    def audit(self):
        """Exported, and verified offline by what was signed, and by what was
        kept in June; changed in one place, it is not."""
        end, key = self.signed()
        books = self.export("december.jsonl")
        verify = ("auditor", "audit", "verify", books, "--public-key", key,
                  "--checkpoints", self.june)
        shown = self.server.cli(*verify)
        self.assertEqual((shown["intact"], shown["absent"]), (True, 0))
        self.assertGreater(shown["records"], len(self.we.keys))
        self.assertGreaterEqual(shown["covered"], end)
        lines = books.read_text().splitlines()
        at = next(at for at in range(len(lines) // 2, len(lines))
                  if json.loads(lines[at]).get("json"))
        changed = json.loads(lines[at])
        changed["json"] = changed["json"].replace("contoso", "contosa", 1)
        lines[at] = json.dumps(changed)
        books.write_text("\n".join(lines) + "\n")
        with self.assertRaises(deployment.Refused) as caught:
            self.server.cli(*verify)
        self.assertEqual(caught.exception.code, 7)


if __name__ == "__main__":
    unittest.main(verbosity=2)
