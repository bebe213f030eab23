"""Appendix B, 2: may a tenant have 50 active mailbox DEPs and not one more,
until one of them is disabled?
"""
import acceptance
from server import PARENT, Server

validation, Limit = acceptance.helpers("validation_test", "Limit")


class B02(Limit):
    def test_b02_fifty_deps(self):
        """R-3.2, R-3.6"""
        with Server().begin() as server:
            there = len(server.call("admin", "ListDeps", parent=PARENT).deps)
            for number in range(there + 1, 51):
                self.assertEqual(
                    self.create(server, f"dep-{number}").code, "OK", number)
            self.assertEqual(self.create(server, "dep-51").answer,
                             ("RESOURCE_EXHAUSTED", "DEP_LIMIT"))
            server.cli("admin", "dep", "update", "dep-50", "--disable")
            self.assertEqual(self.create(server, "dep-51").code, "OK")
            self.assertEqual(self.create(server, "dep-52").answer,
                             ("RESOURCE_EXHAUSTED", "DEP_LIMIT"))


if __name__ == "__main__":
    acceptance.run()
