"""Appendix B, 10, of mailboxes that are not encrypted: does each get its key by a
move, by priority and then by age, and is one that waits for seven days told of?
"""
import time

import acceptance
from server import PARENT

moves, Moves = acceptance.helpers("mailbox_moves_test", "MailboxMoves")


class B10(Moves):
    def move(self, box):
        """Claimed as the next one, given its key, completed."""
        claim = self.claim(box)
        made = self.generate(box)
        self.assertEqual(made.code, "OK", made)
        self.assertEqual(self.complete(box, claim)["state"],
                         "MAILBOX_STATE_ENCRYPTED")
        self.assertEqual(self.server.unwrap(box).key, made.key)
        shown = self.get(box)
        self.assertTrue(shown.is_encrypted)
        self.assertEqual(shown.effective_dep, shown.assigned_dep)

    def test_b10_priority_then_age_then_overdue(self):
        """M3 to M5, M9, R-5.12, R-5.13, R-5.16"""
        server = self.server
        self.queue("early-but-low", "--priority", "low")
        for box in ("first", "second", "last"):
            self.queue(box)
        # access moves nothing: there is no key yet
        self.assertEqual(self.generate("first").code, "FAILED_PRECONDITION")
        self.assertFalse(self.get("first").is_encrypted)
        self.move("first")
        self.move("second")
        # a mail user is in no queue; he is encrypted as he arrives
        server.call("admin", "RegisterMailbox", parent=PARENT, kind=2,
                    mailbox_id="arrives", licensed=True, unencrypted=True)
        server.call("admin", "AssignMailbox", dep=f"{PARENT}/deps/mail",
                    name=moves.name("arrives"))
        self.assertFalse(self.get("arrives").is_encrypted)
        self.assertEqual(self.generate("arrives").code, "OK")
        self.assertTrue(self.get("arrives").is_encrypted)
        # the others wait, and are late after a week and not before
        server.advance(days=6, hours=23, minutes=50)
        self.assertFalse(self.get("last").overdue)
        server.advance(minutes=20)
        self.assertTrue(self.get("last").overdue)
        until = time.monotonic() + 30
        while len(server.audit(activity="EncryptionOverdue")) < 2:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.move("last")
        self.move("early-but-low")
        self.assertFalse(self.get("last").overdue)


if __name__ == "__main__":
    acceptance.run()
