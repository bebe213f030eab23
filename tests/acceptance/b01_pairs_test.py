"""Appendix B, 1: does a pair of keys in two tokens of two custody domains carry
a DEP, and is every other pair refused, each fault with a code of its own and
all of them told at once?
"""
import acceptance
from server import ANNEX, EAST, PARENT, WEST, identity

validation, Pairs = acceptance.helpers("validation_test", "Validation")


class B01(Pairs):
    def test_b01_which_pairs_carry_a_dep(self):
        """R-1.12, R-2.12, R-3.7, R-4.1, R-4.5 to R-4.7, R-4.17"""
        server = self.server
        for name, token in (("east", EAST), ("east-2", EAST), ("west", WEST),
                            ("dated", EAST), ("bare", WEST)):
            self.key(name, token)
        made = server.call(
            "admin", "CreateDep", parent=PARENT, dep_id="accepted",
            customer_keys=[f"{PARENT}/customerKeys/{key}"
                           for key in ("east", "west")],
            workload_identity=identity("workload"))
        self.assertEqual((made.state, made.generation), (1, 1))

        tokens = [("TWO_TOKENS", ""), ("TWO_CUSTODY_DOMAINS", "")]
        self.check(["east", "east-2"], tokens)
        self.check(["east", "east"], [*tokens, ("KEYS_DISTINCT", "")])
        self.assertEqual(self.register("annex", ANNEX, self.foreign_key(
            ANNEX, "rsa:2048", "--usage-wrap", "--usage-decrypt",
            "--sensitive")).code, "OK")
        server.grant("annex")
        self.check(["east", "annex"], [("TWO_CUSTODY_DOMAINS", "")])
        # not even registered: they could never wrap
        for kind in ("EC:prime256v1", "rsa:1024"):
            uri = self.foreign_key(EAST, kind, "--usage-sign")
            self.assertEqual(self.register("unfit", EAST, uri).answer,
                             ("INVALID_ARGUMENT", "KEY_TYPE"), kind)
        self.assertEqual(self.register("loose", EAST, self.foreign_key(
            EAST, "rsa:2048", "--usage-wrap", "--usage-decrypt",
            "--extractable")).code, "OK")
        server.grant("loose")
        self.check(["loose", "west"], [("KEY_NON_EXPORTABLE", "loose")])
        server.cli("admin", "key", "update", "dated", "--expires",
                   "2030-01-01T00:00:00Z")
        self.check(["dated", "west"], [("KEY_NO_EXPIRY", "dated")])
        server.call("admin", "RevokeCustomerKey", permissions=[3],
                    name=f"{PARENT}/customerKeys/bare",
                    identity=identity("workload"))
        self.check(["east", "bare"], [("PERM_UNWRAP", "bare")])
        # both keys at fault, in different ways: nothing is kept back
        server.cli("admin", "key", "update", "loose", "--expires",
                   "2030-01-01T00:00:00Z")
        self.check(["loose", "bare"], [
            ("KEY_NON_EXPORTABLE", "loose"), ("KEY_NO_EXPIRY", "loose"),
            ("PERM_UNWRAP", "bare")])


if __name__ == "__main__":
    acceptance.run()
