"""Appendix B, 10: does an assignment change nothing about how a mailbox is
encrypted until somebody opens it, and does its own DEP come before the tenant's?
"""
import acceptance
from server import PARENT

multi_workload, Tenant = acceptance.helpers("multi_workload_test",
                                            "MultiWorkload")
SERVICE_MANAGED, PENDING, ENCRYPTED = 2, 3, 4


class B10(Tenant):
    def look(self, box):
        return self.server.call("admin", "GetMailbox",
                                name=f"{PARENT}/mailboxes/{box}")

    def assign(self, box, *dep):
        self.server.cli("admin", "mailbox", "assign", box, *dep)

    def is_under(self, box, dep, state):
        """What wraps its key, and that this is all that people are shown."""
        shown = self.look(box)
        self.assertEqual((shown.effective_dep, shown.state), (dep, state))
        self.assertEqual(shown.is_encrypted, dep != "")
        self.assertEqual(shown.data_encryption_policy_id, dep[-36:])

    def open_it(self, box, dep):
        was = self.look(box).effective_dep
        for wrapped_by in (was, dep):  # it moved with the first access
            opened = self.open("workload", "mailboxes/" + box)
            self.assertEqual((opened.plaintext_key, opened.dep),
                             (self.free.plaintext_key, wrapped_by))
        self.is_under(box, dep, ENCRYPTED if dep else SERVICE_MANAGED)

    def test_b10_assigned_and_effective(self):
        """M1, M2, M6, M7; R-1.8, R-3.5, R-5.6, R-5.10, R-5.11, R-5.18, R-5.22,
        R-9.5, R-10.3, R-3.1, R-10.8. (Of mailboxes that are not encrypted yet:
        b10_queue_test.py.)"""
        server = self.server
        before = server.audit_end()
        mail, memo = (server.cli("admin", "dep", "get", name)["name"]
                      for name in ("mail", "memo"))
        whole = self.uid("everything")
        for kind, names in ((1, {mail, memo}), (2, {whole})):
            listed = server.call("admin", "ListDeps", parent=PARENT, type=kind)
            self.assertEqual({dep.name for dep in listed.deps}, names)
        # M1, M2
        self.is_under("free", "", SERVICE_MANAGED)
        self.assign("free", "--dep", "mail")
        self.is_under("free", "", PENDING)
        self.open_it("free", mail)
        # M6
        self.assign("free", "--dep", "memo")
        self.is_under("free", mail, PENDING)
        self.open_it("free", memo)
        # M7: with no DEP for the tenant, and back
        self.assign("free", "--none")
        self.is_under("free", memo, PENDING)
        self.open_it("free", "")
        self.assign("free", "--dep", "mail")
        self.open_it("free", mail)
        # the tenant's DEP comes, and takes no mailbox that has its own
        server.call("compliance", "AssignTenant", parent=PARENT,
                    dep=f"{PARENT}/deps/everything")
        self.assertEqual(self.wait(multi_workload.ASSIGNED).dep, whole)
        self.is_under("free", mail, ENCRYPTED)
        self.open_it("free", mail)
        # M7: with one, and on to a DEP of its own again
        self.assign("free", "--none")
        self.is_under("free", mail, PENDING)
        self.open_it("free", whole)
        self.assign("free", "--dep", "memo")
        self.is_under("free", whole, PENDING)
        self.open_it("free", memo)
        # nor is what is under no policy of the tenant's told as a fallback
        self.assertEqual(server.ak_records(before), [])


if __name__ == "__main__":
    acceptance.run()
