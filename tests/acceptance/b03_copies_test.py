"""Appendix B, 3: is a DEP key kept in three wrapped copies, each of which alone
recovers it, by the path that may use it, when the other two are lost for ever?

A copy is lost with the key it is wrapped under: that is destroyed in its token.
(A copy taken out of the store makes the record invalid, and such a record is
refused: R-15.7.)
"""
import acceptance
from server import AK_TOKEN, EAST, PARENT, SYSTEM, USER, WEST

validation, Pairs = acceptance.helpers("validation_test", "Validation")
EVERY = {EAST, WEST, AK_TOKEN}


class B03(Pairs):
    def destroy(self, token, *which):
        for kind in ("privkey", "pubkey") if token != AK_TOKEN else (
                "secrkey",):
            code, text = self.server.pkcs11_tool(
                token, "--delete-object", "--type", kind, *which)
            self.assertEqual(code, 0, text)

    def dep(self, name):
        """A DEP on keys of its own, with a mailbox; its key, and how to name
        each of its three roots in its token."""
        roots, keys = {}, []
        for token in (EAST, WEST):
            uri = self.foreign_key(token, "rsa:2048", "--usage-wrap",
                                   "--usage-decrypt", "--sensitive")
            key = f"{name}-{token}"
            self.assertEqual(self.register(key, token, uri).code, "OK")
            self.server.grant(key)
            keys.append(key)
            roots[token] = ("--id", f"{self.next_id:02x}")
        dep, made = self.server.dep_with_box(name, keys, residency="memory")
        roots[AK_TOKEN] = ("--label", f"hf-ak:{dep['uid']}:1")
        return made.plaintext_key, roots

    def lose(self, name, *tokens):
        key, roots = self.dep(name)
        self.assertEqual(self.server.unwrap(name).key, key)
        for token in tokens:
            self.destroy(token, *roots[token])
        before = self.server.audit_end()
        user = self.server.unwrap(name, USER)
        system = self.server.unwrap(name, SYSTEM)
        return key, user, system, len(self.server.ak_records(before))

    def test_b03_any_copy_recovers_the_dep_key(self):
        """R-2.1, R-2.7, R-6.7, R-6.9, R-8.8, R-15.9"""
        for survivor in (EAST, WEST):
            key, user, system, uses = self.lose(
                "only-" + survivor, *(EVERY - {survivor}))
            self.assertEqual((user.key, system.key), (key, key), survivor)
            self.assertEqual(uses, 0)
        # keys that are gone are, to a user, keys that were withdrawn
        key, user, system, uses = self.lose("only-service", EAST, WEST)
        self.assertEqual(user.answer, acceptance.REFUSED)
        self.assertEqual(system.key, key)
        self.assertEqual(uses, 1)
        # and without any of the three there is no way
        key, user, system, uses = self.lose("none", *EVERY)
        self.assertEqual(user.answer, acceptance.REFUSED)
        self.assertEqual((system.code, system.key), ("UNAVAILABLE", None))
        self.assertEqual(uses, 0)
        listed = self.server.call("admin", "GetDep", name=f"{PARENT}/deps/none")
        self.assertEqual(listed.generation, 1)


if __name__ == "__main__":
    acceptance.run()
