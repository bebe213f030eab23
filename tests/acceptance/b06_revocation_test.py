"""Appendix B, 6: with both customer keys revoked, do users fail and the service
go on; and is a grant all it takes for users to work again?
"""
import unittest

import acceptance
from server import EAST, SYSTEM, USER, WEST, Server


class B06(unittest.TestCase):
    def test_b06_revoke_both_and_grant_again(self):
        """R-6.12, R-6.13, R-9.1, R-9.2"""
        with Server().begin() as server:
            # as a customer has it: a lease is live when the keys are revoked
            server.cli("admin", "dep", "update", "mail", "--key-lease", "60")
            key = server.unwrap("mail").key
            before = server.audit_end()
            for token in (EAST, WEST):
                server.revoke("key-" + token)
            self.assertEqual(server.unwrap("mail", USER).answer,
                             acceptance.REFUSED)
            self.assertEqual(server.ak_records(before), [])
            self.assertEqual(server.unwrap("mail", SYSTEM).key, key)
            self.assertEqual(len(server.ak_records(before)), 1)
            self.assertEqual(server.cli("admin", "dep", "get", "mail")
                             ["health"], "DEP_HEALTH_UNHEALTHY")
            self.assertEqual(server.unwrap("mail", USER).answer,
                             acceptance.REFUSED)
            for token in (EAST, WEST):
                server.grant("key-" + token)
            for initiator in (USER, SYSTEM):
                self.assertEqual(server.unwrap("mail", initiator).key, key)
            self.assertEqual(len(server.ak_records(before)), 1)


if __name__ == "__main__":
    acceptance.run()
