"""Does a mailbox that is not encrypted get to be, in its turn, by a move, on
real tokens and through a kill, and is it told of when a week is over (M3, M4,
M5, M9, R-5.12, R-5.13, R-5.16, R-15.20; appendix B, 10)?
"""
import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import API, PARENT, Server  # noqa: E402

Mask = API.message("google.protobuf.FieldMask")

ENCRYPTED, NOT_ENCRYPTED, ON_ARRIVAL, QUEUED, MOVING = 4, 5, 6, 7, 8
NOBODYS = "11111111-2222-4333-8444-555555555555"


def name(box):
    return f"{PARENT}/mailboxes/{box}"


class MailboxMoves(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True).begin()
        self.addCleanup(self.server.stop)

    def queue(self, box, *words):
        made = self.server.cli("admin", "mailbox", "register", box,
                               "--licensed", "--unencrypted")
        self.assertEqual(made["state"], "MAILBOX_STATE_NOT_ENCRYPTED")
        made = self.server.cli("admin", "mailbox", "assign", box, "--dep",
                               "mail", *words)
        self.assertEqual(made["state"], "MAILBOX_STATE_MOVE_QUEUED")

    def get(self, box):
        return self.server.call("admin", "GetMailbox", name=name(box))

    def claim(self, box, seconds=3600):
        claimed = self.server.cli("workload", "mailbox", "claim-move", "--for",
                                  str(seconds))
        self.assertEqual(claimed["name"], name(box))
        self.assertEqual(self.get(box).state, MOVING)
        return claimed["claim"]

    def refused(self, verb, box, claim, reason="STATE_CONFLICT"):
        outcome = self.server.outcome("workload", verb, name=name(box),
                                      claim=claim)
        self.assertEqual(outcome.answer, ("FAILED_PRECONDITION", reason),
                         outcome)

    def generate(self, box):
        return self.server.outcome("workload", "GenerateKey",
                                   resource=name(box))

    def complete(self, box, claim):
        return self.server.cli("workload", "mailbox", "complete-move", box,
                               "--claim", claim)

    def test_the_queue(self):
        """M3 to M5, R-5.12, R-5.13: priority, then age, each by its move."""
        self.queue("low", "--priority", "low")
        self.queue("first")
        self.queue("second")
        self.assertEqual(self.generate("first").answer,
                         ("FAILED_PRECONDITION", "STATE_CONFLICT"))
        claim = self.claim("first")
        self.refused("CompleteMove", "first", claim)  # it has no key
        made = self.generate("first")
        self.assertEqual(made.code, "OK", made)
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.assertEqual(self.get("first").state, MOVING)
        self.refused("CompleteMove", "first", NOBODYS)
        moved = self.complete("first", claim)
        self.assertEqual((moved["state"], moved["isEncrypted"]),
                         ("MAILBOX_STATE_ENCRYPTED", True))
        self.assertEqual(self.server.unwrap("first").key, made.key)
        self.refused("CompleteMove", "first", claim)
        # one that fails goes behind those of its priority
        claim = self.claim("second")
        self.queue("third")
        self.server.cli("workload", "mailbox", "fail-move", "second",
                        "--claim", claim, "--reason", "too large")
        self.claim("third")
        self.claim("second")
        self.claim("low")
        outcome = self.server.outcome("workload", "ClaimMove", parent=PARENT)
        self.assertEqual(outcome.answer, ("NOT_FOUND", "NOT_FOUND"))

    def test_a_claim_that_is_over(self):
        self.queue("left")
        gone = self.claim("left", 3600)
        self.generate("left")
        self.server.advance(hours=1)
        self.assertEqual(self.get("left").state, QUEUED)
        self.refused("CompleteMove", "left", gone)
        claim = self.claim("left")
        self.refused("CompleteMove", "left", gone)
        self.complete("left", claim)
        self.assertEqual(self.get("left").state, ENCRYPTED)

    def test_a_long_move(self):
        """R-15.20: it renews its claim in time, and loses nothing."""
        self.queue("large")
        claim = self.claim("large", 3600)
        self.generate("large")
        for _ in range(3):
            self.server.advance(minutes=50)
            renewed = self.server.cli("workload", "mailbox", "claim-move",
                                      "--renew", "large", "--claim", claim,
                                      "--for", "3600")
            self.assertEqual(renewed["claim"], claim)
        self.complete("large", claim)
        self.assertEqual(self.get("large").state, ENCRYPTED)

    def test_another_kind(self):
        """M9, R-5.8: who migrated without a key is moved; a licence is needed
        for as long as the mailbox is assigned."""
        self.server.call("admin", "RegisterMailbox", parent=PARENT,
                         mailbox_id="moved", kind=2, licensed=True,
                         unencrypted=True)
        self.server.cli("admin", "mailbox", "assign", "moved", "--dep", "mail")
        wrapped = self.server.outcome("workload", "WrapKey",
                                      resource=name("moved"),
                                      plaintext_key=b"k" * 32)
        self.assertEqual(wrapped.code, "OK", wrapped)
        shown = self.server.cli("admin", "mailbox", "update", "moved",
                                "--kind", "user")
        self.assertEqual(shown["state"], "MAILBOX_STATE_MOVE_QUEUED")
        wrapped = self.server.outcome("workload", "WrapKey",
                                      resource=name("moved"),
                                      plaintext_key=b"k" * 32)
        self.assertEqual(wrapped.answer,
                         ("FAILED_PRECONDITION", "STATE_CONFLICT"))
        mailbox = self.get("moved")
        mailbox.licensed = False
        refused = self.server.outcome("admin", "UpdateMailbox", mailbox=mailbox,
                                      update_mask=Mask(paths=["licensed"]))
        self.assertEqual(refused.answer,
                         ("FAILED_PRECONDITION", "LICENCE_REQUIRED"))

    def test_before_the_migration(self):
        """M9, R-5.17"""
        self.server.call("admin", "RegisterMailbox", parent=PARENT,
                         mailbox_id="hybrid", kind=2, licensed=True,
                         unencrypted=True)
        self.server.call("admin", "AssignMailbox", name=name("hybrid"),
                         dep=f"{PARENT}/deps/mail")
        self.assertEqual(self.get("hybrid").state, ON_ARRIVAL)
        self.assertEqual(self.generate("hybrid").code, "OK")
        self.assertEqual(self.get("hybrid").state, ENCRYPTED)

    def test_overdue(self):
        """R-5.16: seven days, once for each mailbox."""
        self.queue("slow")
        self.server.advance(days=6, hours=23)
        self.assertFalse(self.get("slow").overdue)
        self.server.advance(hours=1, minutes=11)
        self.assertTrue(self.get("slow").overdue)
        until = time.monotonic() + 30
        while not self.server.log_lines("mailbox.encryption_overdue"):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.server.advance(hours=1)
        self.server.end()
        self.server.start()
        self.server.advance(hours=1)
        time.sleep(1)
        self.assertEqual(len(self.server.audit(activity="EncryptionOverdue")),
                         1)
        line, = self.server.log_lines("mailbox.encryption_overdue")
        self.assertEqual((line["code"], line["mailbox"]),
                         ("ENCRYPTION_OVERDUE", name("slow")))


if __name__ == "__main__":
    unittest.main()
