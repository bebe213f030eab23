"""Is a pair of keys that may not carry a DEP refused, each fault with its own
code, and all faults told together (appendix B, 1; R-4.17, R-11.7)?
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import grpc  # noqa: E402
from deployment import Refused  # noqa: E402
from server import (ANNEX, API, EAST, PARENT, WEST, Refusal,  # noqa: E402
                    Server, identity)

FAIL = 2
WORKLOAD = identity("workload")


class Validation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().begin()
        cls.next_id = 0xA0

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def foreign_key(self, token, kind, *more):
        """A key pair as another program makes one; its URI."""
        type(self).next_id += 1
        ident = f"{self.next_id:02x}"
        code, text = self.server.pkcs11_tool(
            token, "--keypairgen", "--key-type", kind, "--id", ident,
            "--label", "foreign-" + ident, *more)
        self.assertEqual(code, 0, text)
        return f"pkcs11:token={token};id=%{ident};type=private"

    def register(self, name, token, uri):
        return self.server.outcome(
            "admin", "RegisterCustomerKey", parent=PARENT,
            customer_key_id=name, token=f"{PARENT}/tokens/{token}", uri=uri)

    def key(self, name, token=EAST, residency="token"):
        self.server.customer_key(name, token, residency=residency)
        return name

    def failed(self, report):
        self.assertEqual(report.passed, not any(
            r.status == FAIL for r in report.results))
        return sorted((r.code, r.customer_key.split("/")[-1])
                      for r in report.results if r.status == FAIL)

    def check(self, keys, faults, residency=1):
        """Validation and creation alike say these faults, and no others; and
        nothing was made."""
        names = [f"{PARENT}/customerKeys/{key}" for key in keys]
        report = self.server.call(
            "admin", "ValidateCustomerKeys", parent=PARENT,
            customer_keys=names, workload_identity=WORKLOAD,
            residency=residency)
        self.assertEqual(self.failed(report), sorted(faults))
        with self.assertRaises(grpc.RpcError) as caught:
            self.server.call("admin", "CreateDep", parent=PARENT,
                             dep_id="refused", customer_keys=names,
                             workload_identity=WORKLOAD, residency=residency)
        refusal = Refusal(API, caught.exception)
        self.assertEqual((refusal.code, refusal.reason),
                         ("FAILED_PRECONDITION", "VALIDATION_FAILED"))
        self.assertEqual(self.failed(refusal.report), sorted(faults))
        deps = self.server.call("admin", "ListDeps", parent=PARENT).deps
        self.assertNotIn("refused", [dep.dep_id for dep in deps])

    def test_good_pair(self):
        """Passes, and changes nothing. R-2.15: SoftHSM has no OAEP with
        SHA-256, which shows here and not on live data."""
        self.key("good-east")
        self.key("good-west", WEST)
        end = self.server.audit_end()
        report = self.server.call(
            "admin", "ValidateCustomerKeys", parent=PARENT,
            customer_keys=[f"{PARENT}/customerKeys/good-{where}"
                           for where in ("east", "west")],
            workload_identity=WORKLOAD, residency=1)
        self.assertEqual(self.failed(report), [])
        self.assertEqual({r.code for r in report.results} >= {
            "TWO_CUSTODY_DOMAINS", "TWO_TOKENS", "KEY_EXISTS", "KEY_TYPE",
            "KEY_SIZE", "KEY_ENABLED", "KEY_NO_EXPIRY", "KEY_NOT_BEFORE",
            "KEY_NON_EXPORTABLE", "KEY_OPS", "PERM_GET", "PERM_WRAP",
            "PERM_UNWRAP", "MECHANISM_PROBE", "ROUND_TRIP", "KEYS_DISTINCT",
            "SOFT_DELETE_90D", "PURGE_PROTECTION", "LICENCE"}, True)
        self.assertEqual(self.server.audit_end(), end)
        self.assertEqual({r.status for r in report.results
                          if r.code == "MECHANISM_PROBE"}, {1})
        dep = self.server.call("admin", "GetDep", name=f"{PARENT}/deps/mail")
        self.assertEqual([key.wrap_algorithm for key in dep.customer_keys],
                         ["RSA-OAEP-SHA1"] * 2)

    def test_what_the_token_says_of_a_key_is_shown(self):
        """R-15.13, R-15.19: measured at registration, and again by each
        validation. Holdfast's own keys never left their token; a key of another
        program is not limited to a mechanism."""
        self.key("shown")
        uri = self.foreign_key(WEST, "rsa:2048", "--usage-wrap",
                               "--usage-decrypt", "--sensitive")
        self.assertEqual(self.register("shown-west", WEST, uri).code, "OK")
        self.server.grant("shown-west")
        said = {}
        for name in ("shown", "shown-west"):
            key = self.server.call("admin", "GetCustomerKey",
                                   name=f"{PARENT}/customerKeys/{name}")
            said[name] = key.versions[0].attributes
            self.assertEqual(
                (said[name].origin, said[name].evidence), (1, 1))
            self.assertTrue(said[name].local and said[name].sensitive and
                            said[name].always_sensitive and
                            said[name].never_extractable)
            self.assertFalse(said[name].extractable)
            self.assertEqual(said[name].measure_time,
                             key.versions[0].create_time)
        self.assertEqual(list(said["shown"].allowed_mechanisms), ["RSA-OAEP"])
        self.assertEqual(list(said["shown-west"].allowed_mechanisms), [])
        report = self.server.call(
            "admin", "ValidateCustomerKeys", parent=PARENT,
            customer_keys=[f"{PARENT}/customerKeys/{name}" for name in said],
            workload_identity=WORKLOAD, residency=1)
        texts = {(r.code, r.customer_key.split("/")[-1]): (r.text, r.evidence)
                 for r in report.results}
        self.assertIn("generated in it, always sensitive, never extractable",
                      texts["KEY_NON_EXPORTABLE", "shown"][0])
        self.assertIn("allows nothing else",
                      texts["MECHANISM_PROBE", "shown"][0])
        self.assertIn("not limited to it",
                      texts["MECHANISM_PROBE", "shown-west"][0])
        self.assertEqual({texts[code, "shown"][1] for code in
                          ("KEY_NON_EXPORTABLE", "MECHANISM_PROBE")}, {1})

    def test_same_token(self):
        self.key("token-a")
        self.key("token-b")
        self.check(["token-a", "token-b"],
                   [("TWO_TOKENS", ""), ("TWO_CUSTODY_DOMAINS", "")])

    def test_same_domain(self):
        self.key("domain-a")
        uri = self.foreign_key(ANNEX, "rsa:2048", "--usage-wrap",
                               "--usage-decrypt", "--sensitive")
        self.assertEqual(self.register("domain-b", ANNEX, uri).code, "OK")
        self.server.grant("domain-b")
        self.check(["domain-a", "domain-b"], [("TWO_CUSTODY_DOMAINS", "")])

    def test_same_key(self):
        self.key("twin-a")
        both = [("TWO_TOKENS", ""), ("TWO_CUSTODY_DOMAINS", ""),
                ("KEYS_DISTINCT", "")]
        self.check(["twin-a", "twin-a"], both)

    def test_elliptic_curve(self):
        uri = self.foreign_key(ANNEX, "EC:prime256v1", "--usage-sign")
        self.assertEqual(self.register("curve", ANNEX, uri).answer,
                         ("INVALID_ARGUMENT", "KEY_TYPE"))

    def test_too_short(self):
        uri = self.foreign_key(EAST, "rsa:1024", "--usage-wrap")
        self.assertEqual(self.register("short", EAST, uri).answer,
                         ("INVALID_ARGUMENT", "KEY_TYPE"))

    def test_extractable(self):
        uri = self.foreign_key(EAST, "rsa:2048", "--usage-wrap",
                               "--usage-decrypt", "--extractable")
        self.assertEqual(self.register("loose", EAST, uri).code, "OK")
        self.server.grant("loose")
        self.check(["loose", "key-" + WEST],
                   [("KEY_NON_EXPORTABLE", "loose")])
        self.check(["key-" + WEST, "loose"],
                   [("KEY_NON_EXPORTABLE", "loose")])

    def test_expiry(self):
        self.key("dated")
        self.server.cli("admin", "key", "update", "dated", "--expires",
                        "2030-01-01T00:00:00Z")
        self.check(["dated", "key-" + WEST], [("KEY_NO_EXPIRY", "dated")])
        self.server.cli("admin", "key", "update", "dated", "--expires",
                        "9999-12-31T00:00:00Z")
        report = self.server.call(
            "admin", "ValidateCustomerKeys", parent=PARENT,
            customer_keys=[f"{PARENT}/customerKeys/{key}"
                           for key in ("dated", "key-" + WEST)],
            workload_identity=WORKLOAD, residency=1)
        self.assertEqual(self.failed(report), [])

    def test_not_before(self):
        """R-4.8"""
        self.key("early")
        self.server.cli("admin", "key", "update", "early", "--not-before",
                        "2040-01-01T00:00:00Z")
        self.check(["early", "key-" + WEST], [("KEY_NOT_BEFORE", "early")])

    def test_disabled(self):
        self.key("off")
        self.server.cli("admin", "key", "update", "off", "--disable")
        self.check(["off", "key-" + WEST], [("KEY_ENABLED", "off")])

    def test_permissions(self):
        name = self.key("bare")
        full = f"{PARENT}/customerKeys/{name}"
        for code, number in (("PERM_GET", 1), ("PERM_WRAP", 2),
                             ("PERM_UNWRAP", 3)):
            self.server.call("admin", "RevokeCustomerKey", name=full,
                             identity=WORKLOAD, permissions=[number])
            self.check([name, "key-" + WEST], [(code, name)])
            self.server.call("admin", "GrantCustomerKey", name=full,
                             identity=WORKLOAD, permissions=[number])

    def test_residency(self):
        """R-15.13: fixed when the key is generated. R-15.3: a DEP goes where
        both its keys allow it, and else stays."""
        self.key("closed")
        self.check(["closed", "key-" + WEST], [("KEY_OPS", "closed")], 2)
        server = self.server
        key = server.dep_with_box("stays", ["closed", "key-" + WEST])[
            1].plaintext_key
        with self.assertRaises(Refused) as caught:
            server.cli("admin", "dep", "update", "stays", "--residency",
                       "memory")
        self.assertIn("KEY_OPS", caught.exception.text)
        self.assertEqual(server.unwrap("stays").key, key)
        key = server.unwrap("mail").key
        for residency in ("memory", "token"):
            shown = server.cli("admin", "dep", "update", "mail",
                               "--residency", residency)
            self.assertEqual(shown["residency"],
                             "RESIDENCY_" + residency.upper())
            self.assertEqual(server.unwrap("mail").key, key)

    def test_unreachable(self):
        """No answer is no pass: there is no DEP on one key (R-6.14)."""
        self.key("far")
        self.server.faults(f"token={EAST} function=C_UnwrapKey "
                           "rv=CKR_DEVICE_ERROR")
        try:
            self.check(["far", "key-" + WEST], [("ROUND_TRIP", "far")])
        finally:
            self.server.clear()

    def test_all_together(self):
        uri = self.foreign_key(EAST, "rsa:2048", "--usage-wrap",
                               "--extractable")
        self.assertEqual(self.register("worst", EAST, uri).code, "OK")
        self.server.cli("admin", "key", "update", "worst", "--expires",
                        "2030-01-01T00:00:00Z", "--not-before",
                        "2029-01-01T00:00:00Z")
        self.server.cli("admin", "key", "update", "worst", "--disable")
        key = "worst"
        self.check([key, "key-" + EAST], [
            ("TWO_TOKENS", ""), ("TWO_CUSTODY_DOMAINS", ""),
            ("KEY_NON_EXPORTABLE", key), ("KEY_NO_EXPIRY", key),
            ("KEY_NOT_BEFORE", key), ("KEY_ENABLED", key), ("PERM_GET", key),
            ("PERM_WRAP", key), ("PERM_UNWRAP", key)])


class Limit(unittest.TestCase):
    """50 active DEPs of a tenant, and no more (appendix B, 2; R-3.2)."""

    def create(self, server, name, **more):
        return server.outcome(
            "admin", "CreateDep", parent=PARENT, dep_id=name,
            customer_keys=[f"{PARENT}/customerKeys/key-{token}"
                           for token in (EAST, WEST)],
            workload_identity=WORKLOAD, **more)

    def test_the_51st(self):
        limit = ("RESOURCE_EXHAUSTED", "DEP_LIMIT")
        with Server().begin() as server:
            there = len(server.call("admin", "ListDeps", parent=PARENT).deps)
            # one that is disabled does not count
            self.assertEqual(
                self.create(server, "spare", disabled=True).code, "OK")
            for i in range(there, 50):
                self.assertEqual(self.create(server, f"dep-{i}").code, "OK")
            refused = self.create(server, "dep-50")
            self.assertEqual(refused.answer, limit)
            self.assertIsNone(refused.retry_ms)  # to wait does not help
            server.cli("admin", "dep", "update", "dep-49", "--disable")
            self.assertEqual(self.create(server, "dep-50").code, "OK")
            for name in ("dep-49", "spare"):
                with self.assertRaises(Exception) as caught:
                    server.cli("admin", "dep", "update", name, "--enable")
                self.assertIn("DEP_LIMIT", str(caught.exception))
            deps = server.call("admin", "ListDeps", parent=PARENT,
                               page_size=1000).deps
            self.assertEqual((len(deps), sum(dep.enabled for dep in deps)),
                             (52, 50))


if __name__ == "__main__":
    unittest.main()
