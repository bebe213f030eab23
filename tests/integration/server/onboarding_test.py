"""Does onboarding on real tokens change nothing by VALIDATE, and enable only
after one that passed within a day (appendix B, 15; R-11.4, R-11.7, R-11.8)?
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from deployment import Refused  # noqa: E402
from server import (API, EAST, PARENT, WEST, Server, TENANT,  # noqa: E402
                    identity)

KEYS = ("key-" + EAST, "key-" + WEST)
VALIDATE, ENABLE = 1, 2
MAILBOX, MULTI = 1, 2
PASSED, FAILED = 1, 2
CODES = {
    "TWO_CUSTODY_DOMAINS", "TWO_TOKENS", "DOMAIN_ELIGIBLE", "TOKEN_IN_DOMAIN",
    "KEY_EXISTS", "KEY_TYPE", "KEY_SIZE", "KEY_ENABLED", "KEY_NO_EXPIRY",
    "KEY_NOT_BEFORE", "KEY_NON_EXPORTABLE", "KEY_OPS", "PERM_GET", "PERM_WRAP",
    "PERM_UNWRAP", "SOFT_DELETE_90D", "PURGE_PROTECTION", "TOKEN_PROTECTED",
    "HSM_BACKED", "MECHANISM_PROBE", "ROUND_TRIP", "TOKEN_SHARED",
    "KEYS_DISTINCT", "APPROVERS_RECORDED", "LICENCE"}


class Onboarding(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True).begin()
        self.addCleanup(self.server.stop)

    def submit(self, mode, **fields):
        asked = dict(
            parent=PARENT, scenario=MAILBOX, mode=mode, residency=1,
            customer_keys=[f"{PARENT}/customerKeys/{key}" for key in KEYS],
            workload_identity=identity("workload"))
        return self.server.outcome("admin", "SubmitOnboardingRequest",
                                   **dict(asked, **fields))

    def refused(self, outcome, reason="VALIDATION_REQUIRED"):
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", reason), outcome)

    def state(self):
        """What there is of this tenant, beside requests and records."""
        return [self.server.call("admin", method, parent=PARENT)
                for method in ("ListCustomerKeys", "ListDeps", "ListTokens")]

    def test_validate_then_enable(self):
        before = self.state()
        self.refused(self.submit(ENABLE))
        self.assertEqual(len(self.server.call(
            "admin", "ListOnboardingRequests",
            parent=PARENT).onboarding_requests), 0)
        made = self.submit(VALIDATE).reply
        self.assertEqual((made.validation_result, made.enablement_result),
                         (PASSED, 0))
        self.assertEqual({one.code for one in made.report.results}, CODES)
        for one in made.report.results:
            self.assertIn(one.evidence, (1, 3))
            self.assertTrue(one.text)
            self.assertGreater(one.time.seconds, 0)
        self.assertEqual(self.state(), before)
        self.server.end()
        self.server.start()
        self.assertEqual(self.server.call("auditor", "GetOnboardingRequest",
                                          name=made.name), made)
        self.server.advance(days=1, minutes=1)
        self.refused(self.submit(ENABLE))
        self.assertEqual(self.submit(VALIDATE).code, "OK")
        self.refused(self.submit(ENABLE, scenario=MULTI))
        self.server.advance(hours=23)
        done = self.submit(ENABLE).reply
        self.assertEqual((done.validation_result, done.enablement_result),
                         (PASSED, 1))
        self.assertEqual(
            [one.name for one in self.server.call(
                "operator", "ListOnboardingRequests",
                parent=PARENT).onboarding_requests][0], done.name)

    def test_enable_runs_them_again(self):
        self.assertEqual(self.submit(VALIDATE).code, "OK")
        self.server.revoke(KEYS[1], ("workload",))
        done = self.submit(ENABLE).reply
        self.assertEqual((done.validation_result, done.enablement_result),
                         (FAILED, 2))
        self.assertEqual(list(done.failed_validations),
                         ["PERM_GET", "PERM_WRAP", "PERM_UNWRAP"])

    def test_production(self):
        """R-11.8: nothing of a scenario that is not enabled. Software tokens
        never are (R-4.12, R-4.2). R-4.16: a validation is no longer the
        administrator's choice."""
        mask = API.message("google.protobuf.FieldMask")
        tenant = API.message("holdfast.v1.Tenant")
        self.server.call("operator", "UpdateTenant",
                         tenant=tenant(name=PARENT, production=True),
                         update_mask=mask(paths=["production"]))
        for kind in (MAILBOX, MULTI):
            self.refused(self.server.outcome(
                "admin", "CreateDep", parent=PARENT, dep_id="another",
                type=kind,
                customer_keys=[f"{PARENT}/customerKeys/{key}" for key in KEYS],
                workload_identity=identity("workload")),
                "SCENARIO_NOT_ENABLED")
        made = self.submit(VALIDATE).reply
        self.assertEqual(made.validation_result, FAILED)
        self.assertEqual(list(made.failed_validations),
                         ["DOMAIN_ELIGIBLE", "HSM_BACKED"])
        self.refused(self.submit(ENABLE))

    def test_by_command(self):
        """R-11.3: scenario, two keys, two domains, mode."""
        words = [*KEYS, "--scenario", "exchange-mailbox",
                 "--workload-identity", identity("workload")]
        domains = ["--custody-domain", "headquarters", "--custody-domain"]
        made = self.server.cli("admin", "onboarding", "validate", *words,
                               *domains, "escrow")
        self.assertEqual(made["validationResult"], "VALIDATION_RESULT_PASSED")
        with self.assertRaises(Refused) as caught:
            self.server.cli("admin", "onboarding", "validate", *words,
                            *domains, "nowhere")
        self.assertEqual(caught.exception.code, 5)
        self.assertIn("TOKEN_IN_DOMAIN", caught.exception.text)
        done = self.server.cli("admin", "onboarding", "enable", *words,
                               *domains, "escrow")
        self.assertEqual(done["enablementResult"], "ENABLEMENT_RESULT_ENABLED")
        name = done["name"].rsplit("/", 1)[1]
        self.assertEqual(self.server.cli("admin", "onboarding", "get", name),
                         done)
        found = self.server.cli("auditor", "onboarding", "list")
        self.assertEqual(len(found["onboardingRequests"]), 3)
        self.assertEqual(done["name"],
                         f"tenants/{TENANT}/onboardingRequests/{name}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
