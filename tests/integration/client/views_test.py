#!/usr/bin/python3
"""What people see of an answer: an order that was only checked, DEPs by name,
files that were written, a status page for whoever asks."""
import json
import secrets
import unittest

from cli_test import CUSTOMER_KEYS, Case, DEP, DEPS, TENANT

ASSIGNMENTS = "holdfast.v1.AssignmentService/"
GEOS = "holdfast.v1.GeoService/"
FILES = "holdfast.v1.FileKeyService/"
TOKENS = "holdfast.v1.TokenService/"
TENANTS = "holdfast.v1.TenantService/"
UP = {"grpc.health.v1.Health/Check": [{"response": {"status": "SERVING"}}]}
REFUSED = {"code": 7, "message": "not yours", "reason": "ROLE_REQUIRED"}


class PreviewTest(Case):
    NEW = {"name": "", "uid": "00000000-0000-0000-0000-000000000000",
           "depId": "mail", "state": "DEP_STATE_ENABLED", "keyLease": "60s",
           "customerKeys": [
               {"customerKey": f"{TENANT}/customerKeys/root-{side}",
                "wrapAlgorithm": "none"} for side in "ab"]}
    ORDER = ["dep", "create", "mail", "--customer-key", "root-a",
             "--customer-key", "root-b", "--workload-identity", "spiffe://c/w",
             "--validate-only"]

    def test_checked_and_nothing_changed(self):
        self.script({DEPS + "CreateDep": [{"response": self.NEW}]})
        lines = self.good(*self.ORDER).splitlines()
        self.assertIn('"dep create"', lines[0])
        self.assertIn("Nothing was changed", lines[0])
        shown = dict(line.split(None, 1) for line in lines[2:])
        self.assertEqual(shown["DEP"].strip(), "mail")
        self.assertIn("root-a, root-b", lines[4])
        # nothing that is not there yet
        for line in lines[2:]:
            value = line.split("  ", 1)[1].strip()
            self.assertNotIn(value, ("", "-", "0", "UNSPECIFIED",
                                     "none, none", self.NEW["uid"]))

    def test_programs_get_what_they_got(self):
        self.script({DEPS + "CreateDep": [{"response": self.NEW}]})
        told = json.loads(self.good("--json", *self.ORDER))
        self.assertEqual(told["uid"], self.NEW["uid"])

    def test_an_order_that_is_done_shows_everything(self):
        self.script({DEPS + "CreateDep": [{"response": self.NEW}]})
        shown = self.good(*self.ORDER[:-1])
        self.assertNotIn("Nothing was changed", shown)
        self.assertIn("AVAILABILITY KEY  -", shown)

    def test_an_operation_too(self):
        self.script({DEPS + "RewrapDep": [{"response": {
            "kind": "rewrap", "object": DEP["name"], "totalCount": "7",
            "state": "OPERATION_STATE_RUNNING"}}]})
        shown = self.good("dep", "rewrap", "mail", "--validate-only")
        self.assertIn("Nothing was changed", shown)
        self.assertRegex(shown, r"TOTAL +7\n")
        self.assertNotIn("OPERATION ", shown)

    def test_a_count_of_none_is_told(self):
        self.script({"holdfast.v1.KeyService/RetireEarlierKeys": [
            {"response": {}}]})
        self.assertRegex(
            self.good("mailbox", "retire-keys", "a", "--validate-only"),
            r"RETIRED KEYS +0\n")


class NamesTest(Case):
    BOXES = [{"name": f"{TENANT}/mailboxes/m{n}", "assignedDep": DEP["name"],
              "effectiveDep": DEP["name"]} for n in range(3)]

    def asked(self, verb):
        return [c for c in self.calls() if c["method"] == DEPS + verb]

    def boxes(self, items):
        return {ASSIGNMENTS + "ListMailboxes": [
            {"response": {"mailboxes": items}}]}

    def test_a_list_shows_deps_by_name_and_asks_once(self):
        self.script({**self.boxes(self.BOXES),
                     DEPS + "ListDeps": [{"response": {"deps": [DEP]}}]})
        shown = self.good("mailbox", "list")
        self.assertNotIn(DEP["uid"], shown)
        self.assertEqual(shown.count("mail "), 6)
        self.assertEqual(len(self.asked("ListDeps")), 1)
        self.script({GEOS + "ListSites": [{"response": {"sites": [
            {"name": f"{TENANT}/sites/s", "effectiveDep": DEP["name"]}]}}],
            DEPS + "ListDeps": [{"response": {"deps": [DEP]}}]})
        shown = self.good("site", "list")
        self.assertNotIn(DEP["uid"], shown)
        self.assertIn(" mail ", shown)

    def test_programs_get_the_uuid(self):
        self.script(self.boxes(self.BOXES))
        told = json.loads(self.good("--json", "mailbox", "list"))
        self.assertEqual(told["mailboxes"], json.loads(json.dumps(
            [{**told["mailboxes"][n], **self.BOXES[n]} for n in range(3)])))
        self.assertEqual(self.asked("ListDeps"), [])

    def test_not_asked_for_nothing(self):
        self.script(self.boxes([{"name": f"{TENANT}/mailboxes/m"}]))
        self.good("mailbox", "list")
        self.assertEqual(self.asked("ListDeps"), [])

    def test_what_cannot_be_found_out_stays(self):
        other = DEP["name"][:-1] + "c"
        for answer in (REFUSED, {"response": {"deps": [
                dict(DEP, name=other)]}}):
            self.script({**self.boxes(self.BOXES),
                         DEPS + "ListDeps": [answer]})
            self.assertEqual(
                self.good("mailbox", "list").count(DEP["uid"]), 6)


class FilesTest(Case):
    def path(self):
        return str(self.folder / secrets.token_hex(4))

    def test_what_was_written_is_said(self):
        name, wrapped, key = secrets.token_hex(4), self.path(), self.path()
        done = self.run_holdfast("mailbox", "generate-key", name, "--out",
                                 wrapped, "--key-out", key)
        self.assertIn(f"wrote the key to {key}\n", done.stderr)
        self.assertIn(f"wrote the wrapped key to {wrapped}\n", done.stderr)
        again, other = self.path(), self.path()
        done = self.run_holdfast("unwrap", name, "--out", other, "--key-out",
                                 again)
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"{other} was not written", done.stderr)
        done = self.run_holdfast("--json", "unwrap", name, "--key-out",
                                 self.path())
        self.assertEqual(done.stderr, "")
        self.assertEqual(json.loads(done.stdout)["wrappedKey"], None)

    def test_of_sites(self):
        wrapped, key = self.path(), self.path()
        answer = {"plaintextKey": "a" * 43 + "=", "wrappedKey": "d3JhcHBlZA=="}
        self.script({FILES + "CreateSiteKey": [{"response": answer}],
                     FILES + "UnwrapSiteKey": [
                         {"response": {"plaintextKey": "a" * 43 + "="}}]})
        done = self.run_holdfast("site", "create-key", "s", "--out", wrapped)
        self.assertIn("site s has a key", done.stderr)
        self.assertIn(f"wrote the wrapped key to {wrapped}\n", done.stderr)
        done = self.run_holdfast("site", "unwrap-key", "s", "--key-out", key,
                                 "--out", self.path())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("was not written", done.stderr)
        self.assertIn(f"wrote the key to {key}\n", done.stderr)

    def test_a_mistyped_geo(self):
        site = {"name": f"{TENANT}/sites/s", "geo": f"{TENANT}/geos/EMEAA"}
        self.script({GEOS + "RegisterSite": [{"response": site}],
                     GEOS + "GetSite": [
                         {"code": 9, "message": "none",
                          "reason": "GEO_NOT_REGISTERED"},
                         {"response": site}]})
        words = ["site", "register", "s", "--geo", "EMEAA"]
        done = self.run_holdfast(*words)
        self.assertEqual(done.returncode, 0)
        self.assertIn("no customer keys are registered for geo EMEAA",
                      done.stderr)
        self.assertIn("holdfast geo list", done.stderr)
        self.assertEqual(self.run_holdfast(*words).stderr, "")
        asked = len(self.calls())
        self.run_holdfast(*words, "--validate-only")
        self.assertEqual(len(self.calls()), asked + 1)


class PurgeTest(Case):
    PURGES = "holdfast.v1.PurgeService/"
    HELD = {"name": f"{TENANT}/purges/p-1", "phase": "PURGE_PHASE_HOLDING",
            "holdUntilTime": "2031-02-03T04:05:06Z"}

    def test_until_when_it_holds(self):
        """Said when it begins, and to whoever executes once more."""
        for answer, code in (
                ({"response": {"name": f"{TENANT}/operations/o"}}, 0),
                ({"code": 9, "message": "a purge that is HOLDING is not to be "
                  "executed", "reason": "STATE_CONFLICT"}, 5)):
            self.script({self.PURGES + "ExecutePurge": [answer],
                         self.PURGES + "GetPurge": [{"response": self.HELD}]})
            done = self.run_holdfast("purge", "execute", "p-1", "--confirm")
            self.assertEqual(done.returncode, code)
            self.assertIn("2031-02-03T04:05:06", done.stderr)
            self.assertIn('"holdfast purge pause p-1"', done.stderr)
        self.script({self.PURGES + "ExecutePurge": [answer],
                     self.PURGES + "GetPurge": [{"response": dict(
                         self.HELD, phase="PURGE_PHASE_REQUESTED")}]})
        done = self.run_holdfast("purge", "execute", "p-1", "--confirm")
        self.assertNotIn("2031", done.stderr)
        self.assertIn('"holdfast purge show p-1"', done.stderr)


class StatusTest(Case):
    """R-13.3: an operator sees DEPs and tokens, never customer keys."""
    AK = {"response": {"tokens": [{"level": "CAPACITY_LEVEL_LOW"}]}}

    def test_an_operator_and_a_tenant(self):
        self.script({**UP, CUSTOMER_KEYS + "ListCustomerKeys": [REFUSED],
                     DEPS + "ListDeps": [{"response": {"deps": [DEP]}}],
                     TOKENS + "ListTokens": [{"response": {}}],
                     TOKENS + "GetAvailabilityTokens": [self.AK]})
        done = self.run_holdfast("status")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Tokens of availability keys", done.stdout)

    def test_an_operator_and_no_tenant(self):
        self.profile("operator")
        path = self.folder / "client" / "operator.json"
        path.write_text(json.dumps(
            {k: v for k, v in json.loads(path.read_text()).items()
             if k != "tenant"}))
        self.script({**UP, TENANTS + "ListTenants": [
            {"response": {"tenants": [{"name": "tenants/contoso"}]}}],
            TOKENS + "GetAvailabilityTokens": [self.AK]})
        done = self.run_holdfast("status", profile="operator")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("contoso", done.stdout)
        self.assertIn("Tokens of availability keys", done.stdout)

    def test_nobody_else_asks_for_what_is_the_operators(self):
        """Each such call would be a refusal in the audit chain."""
        self.script({**UP, DEPS + "ListDeps": [{"response": {}}],
                     TOKENS + "ListTokens": [{"response": {}}],
                     CUSTOMER_KEYS + "ListCustomerKeys": [{"response": {}}]})
        self.good("status")
        self.assertNotIn(TOKENS + "GetAvailabilityTokens",
                         [call["method"] for call in self.calls()])

    def test_who_may_not_and_is_no_operator(self):
        self.script({**UP, CUSTOMER_KEYS + "ListCustomerKeys": [REFUSED],
                     DEPS + "ListDeps": [{"response": {}}],
                     TOKENS + "ListTokens": [{"response": {}}],
                     TOKENS + "GetAvailabilityTokens": [REFUSED]})
        self.assertEqual(self.run_holdfast("status").returncode, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
