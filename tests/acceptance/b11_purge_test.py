"""Appendix B, 11: is a purge refused while either key may still be used and for
every DEP that has none; does it take a registered officer who is neither its
requester nor its executor; does it go its steps in order through a kill at each;
and does nothing of it open afterwards, for users or for the service?
"""
import json
import signal
import time

import acceptance
from deployment import Refused, identity
from server import EAST, PARENT, WEST

purge_test, Purge = acceptance.helpers("purge_test", "Purge")


class B11(Purge):
    def refuses(self, reason, who, *words):
        with self.assertRaises(Refused) as caught:
            self.server.cli(who, "purge", *words)
        self.assertIn(reason, caught.exception.text)

    def refuses_request(self, dep, reason):
        outcome = self.server.outcome(
            "admin", "RequestPurge", dep=dep, reason="we leave",
            contact="ciso@contoso.example", confirm=True)
        self.assertEqual(outcome.answer, ("FAILED_PRECONDITION", reason))

    def asked_for(self):
        """Not while a permission is left; and not for every DEP."""
        server, leave = self.server, f"{PARENT}/deps/leave"
        self.refuses_request(leave, "KEYS_STILL_USABLE")
        for token, other in ((EAST, WEST), (WEST, EAST)):
            server.revoke("l-" + token)
            self.refuses_request(leave, "KEYS_STILL_USABLE")
            server.grant("l-" + token)
        whole = server.cli(
            "admin", "dep", "create", "whole", "--type", "multi-workload",
            "--customer-key", "l-" + EAST, "--customer-key", "l-" + WEST,
            "--workload-identity", identity("workload"))
        self.revoke()
        self.refuses_request(whole["name"], "STATE_CONFLICT")
        return self.request()

    def signed(self, purge):
        """By whoever is an officer, with his own key."""
        server = self.server
        self.refuses("ROLE_REQUIRED", "admin", "approve", purge, "--key",
                     server.home / "ada.officer.key", "--confirm")
        self.refuses("ROLE_REQUIRED", "operator", "approve", purge, "--key",
                     server.home / "ada.officer.key", "--confirm")
        self.refuses("APPROVER_REFUSED", "bert", "approve", purge, "--key",
                     server.home / "bert.officer.key", "--confirm")
        self.refuses("APPROVAL_INVALID", "ada", "approve", purge, "--key",
                     server.home / "bert.officer.key", "--confirm")
        self.refuses("STATE_CONFLICT", "operator", "execute", purge,
                     "--confirm")
        server.cli("ada", "purge", "approve", purge, "--key",
                   server.home / "ada.officer.key", "--confirm")

    def test_b11_leaving_for_ever(self):
        """T8, T10, T11, M8, R-8.8, R-9.3, R-9.10 to R-9.15, R-9.18, R-3.16.
        (That of a SharePoint geo is refused in check 7.)"""
        server = self.server
        # one officer alone; the other's name and key are known, and no more
        server.cli("admin", "approvers", "set", "--approver",
                   f"{identity('ada')}={server.home / 'ada.officer.pem'}")
        time.sleep(0.01)
        purge = self.asked_for()
        refused = server.outcome("admin", "AssignMailbox",
                                 name=f"{PARENT}/mailboxes/mail",
                                 dep=f"{PARENT}/deps/leave")
        self.assertEqual(refused.answer,
                         ("FAILED_PRECONDITION", "DEP_NOT_ENABLED"))
        self.signed(purge)
        server.cli("operator", "purge", "execute", purge, "--confirm")
        self.reached(purge, "HOLDING")
        self.assertEqual(self.ak_objects(), 1)
        server.advance(hours=72)
        for phase in purge_test.PHASES[:-1]:
            self.reached(purge, phase)
            before = self.phase(purge)
            server.end(signal.SIGKILL)
            server.start()
            self.assertGreaterEqual(self.phase(purge), before)
        self.reached(purge, "PURGED")
        steps = [json.loads(record.json)["details"]
                 for record in server.audit(activity="PurgeStep")]
        self.assertEqual([step["after"] for step in steps if "after" in step],
                         list(purge_test.PHASES[1:]))
        self.all_gone()
        for token in (EAST, WEST):  # whatever is granted again
            server.grant("l-" + token)
        self.all_gone()


if __name__ == "__main__":
    acceptance.run()
