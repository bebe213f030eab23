"""Appendix B, 9: does a refresh make a new generation that touched mailboxes move
to, while the others open with the old key version; is that version kept from
deletion as long as they need it, and the availability key left alone?
"""
import acceptance
from server import EAST, PARENT, SYSTEM, USER, WEST

rolling, Rolling = acceptance.helpers("rolling_test", "Rolling")


class B09(Rolling):
    def open_copy(self, box, copy):
        return self.server.unwrap(box, wrapped_key=copy)

    def test_b09_touched_mailboxes_move(self):
        """T5, T7, R-7.2 to R-7.6, R-7.13, R-3.5, R-5.18"""
        server = self.server
        before = self.dep()
        copies = {box: server.call(
            "workload", "RewrapKey", resource=f"{PARENT}/mailboxes/{box}",
            access=server.access(USER)).wrapped_key for box in self.keys}
        for token in (EAST, WEST):
            self.new_version(token)
        begun = server.cli("admin", "dep", "refresh", "roll")
        dep = self.dep()
        self.assertEqual((before.generation, dep.generation), (1, 2))
        self.assertEqual(dep.availability_key, before.availability_key)
        end = server.audit_end()
        self.opens("one", USER)
        self.opens("two", SYSTEM)
        self.moved("one", "two")
        # an old version opens what is under it, no availability key needed
        self.assertEqual(self.open_copy("one", copies["one"]).key,
                         self.keys["one"])
        self.assertEqual(server.ak_records(end), [])
        for token in (EAST, WEST):
            self.assertEqual(self.dependants(token, 1), ["roll", "three"])
            self.assertEqual(self.disable(token, 1).answer,
                             ("FAILED_PRECONDITION", "KEY_IN_USE"))
        self.assertEqual(server.outcome(
            "admin", "SoftDeleteCustomerKey", confirm=True,
            name=f"{PARENT}/customerKeys/r-{EAST}").answer,
            ("FAILED_PRECONDITION", "KEY_IN_USE"))
        self.opens("three")
        self.opens("roll")
        self.moved(*self.keys)
        self.ended(begun["name"])
        # nothing is there any more, and only now it may go
        for token in (EAST, WEST):
            self.assertEqual(self.disable(token, 1).code, "OK")
        self.assertEqual(self.open_copy("one", copies["one"]).answer,
                         acceptance.REFUSED)
        for box in self.keys:
            self.opens(box)
        self.assertEqual(self.dep().availability_key, before.availability_key)


if __name__ == "__main__":
    acceptance.run()
