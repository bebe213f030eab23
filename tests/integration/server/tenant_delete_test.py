"""Does the end of a tenant, on real tokens, end every DEP of it, of every type,
through a kill at every step, and nothing of its neighbour? (R-15.17, I2, N20,
N26)
"""
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (AK_TOKEN, EAST, PARENT, SYSTEM, WEST,  # noqa: E402
                    Server, deployment, identity)

deployment.PEOPLE = {
    **deployment.PEOPLE,
    "compliance": ("contoso/compliance", "contoso", ["compliance-admin"]),
    "m365": ("contoso/m365", "contoso", ["workload-m365"]),
    "files": ("contoso/files", "contoso", ["workload-sharepoint"]),
    "keeper": ("contoso/keeper", "contoso", ["sharepoint-admin"]),
}
GEO_TOKEN = "holdfast-sharepoint-ak"
REGISTERED = 2
PHASES = ("HOLDING", "TOMBSTONING", "DESTROYING", "VERIFYING", "FORGETTING",
          "PURGED")
NUMBERS = {name: number for number, name in enumerate(PHASES, 3)}


class TenantDelete(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True, sharepoint=True)
        self.server.begin(anew=True)
        self.addCleanup(self.server.stop)
        for key in ("key-" + EAST, "key-" + WEST):
            self.server.grant(key, ["files"])
            self.server.grant(key, ["m365"])
        self.things = [
            ("workload", "UnwrapKey", f"{PARENT}/mailboxes/mail"),
            ("workload", "UnwrapKey", f"{PARENT}/mailboxes/memo"),
        ]
        self.no_policy()
        self.geo()
        self.everything()
        self.kept = [self.stored(*thing) for thing in self.things]
        self.server.cli("operator", "tenant", "create", "fabrikam")
        self.officers()

    def stored(self, who, method, resource):
        return self.server.call(who, method, resource=resource).plaintext_key

    def no_policy(self):
        self.server.cli("admin", "mailbox", "register", "loose")
        self.server.call("workload", "GenerateKey",
                         resource=f"{PARENT}/mailboxes/loose")
        self.things.append(
            ("workload", "UnwrapKey", f"{PARENT}/mailboxes/loose"))

    def geo(self):
        self.server.cli("files", "site", "register", "finance", "--geo",
                        "EMEA")
        self.server.call("files", "CreateSiteKey",
                         resource=f"{PARENT}/sites/finance")
        self.server.cli("keeper", "geo", "register", "EMEA", "--primary",
                        f"key-{EAST}:1", "--secondary", f"key-{WEST}:1",
                        "--workload-identity", identity("files"))
        until = time.monotonic() + 60
        while self.server.call("keeper", "GetGeo",
                               name=f"{PARENT}/geos/EMEA").state != REGISTERED:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        self.things.append(
            ("files", "UnwrapSiteKey", f"{PARENT}/sites/finance"))

    def everything(self):
        self.server.cli(
            "compliance", "dep", "create", "everything", "--type",
            "multi-workload", "--customer-key", "key-" + EAST,
            "--customer-key", "key-" + WEST, "--workload-identity",
            identity("m365"))
        self.server.call("m365", "RegisterWorkload", parent=PARENT,
                         workload_id="teams-chat")
        self.server.cli("compliance", "tenant", "assign", "everything")
        self.server.call("m365", "GenerateKey",
                         resource=f"{PARENT}/workloads/teams-chat")
        self.things.append(
            ("m365", "UnwrapKey", f"{PARENT}/workloads/teams-chat"))

    def officers(self):
        words = []
        for who in ("ada", "bert"):
            key = self.server.home / f"{who}.officer.key"
            subprocess.run(["openssl", "genpkey", "-algorithm", "EC",
                            "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                            key], check=True, capture_output=True)
            subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out",
                            key.with_suffix(".pem")], check=True,
                           capture_output=True)
            words += ["--approver",
                      f"{identity(who)}={key.with_suffix('.pem')}"]
        self.server.cli("admin", "approvers", "set", *words)
        time.sleep(0.01)  # officers come before what they approve

    def execute(self):
        """Asked for, signed by two, begun; its id."""
        asked = self.server.cli("admin", "tenant", "delete", "--reason",
                                "we leave", "--contact", "ciso@contoso",
                                "--confirm")
        self.assertEqual((asked["wholeTenant"], asked["approvalsNeeded"],
                          asked["dep"]), (True, 2, ""))
        purge = asked["name"].rsplit("/", 1)[1]
        for who in ("ada", "bert"):
            refused = self.server.outcome("operator", "ExecutePurge",
                                          name=asked["name"], confirm=True)
            self.assertEqual(refused.reason, "STATE_CONFLICT")
            self.server.cli(who, "purge", "approve", purge, "--key",
                            self.server.home / f"{who}.officer.key", "--confirm")
        begun = self.server.cli("operator", "purge", "execute", purge,
                                "--confirm")
        self.assertEqual(begun["kind"], "delete-tenant")
        return purge

    def phase(self, purge):
        return self.server.call("admin", "GetPurge",
                                name=f"{PARENT}/purges/{purge}").phase

    def reached(self, purge, phase):
        until = time.monotonic() + 90
        while time.monotonic() < until:
            if self.phase(purge) >= NUMBERS[phase]:
                return
            time.sleep(0.01)
        raise AssertionError(f"{phase} is not reached: {self.phase(purge)} "
                             + self.server.log()[-1500:])

    def objects(self, token, kind):
        """By a process that is not ours."""
        code, text = self.server.pkcs11_tool(token, "--list-objects", "--type",
                                             kind)
        self.assertEqual(code, 0, text)
        return text.count("hf-ak:")

    def all_gone(self):
        for who, method, resource in self.things:
            outcome = self.server.outcome(who, method, resource=resource)
            self.assertEqual(outcome.answer, (
                "FAILED_PRECONDITION", "TENANT_DELETED"), resource)
        self.assertEqual(self.server.unwrap("mail", SYSTEM).reason,
                         "TENANT_DELETED")
        self.assertEqual(self.objects(GEO_TOKEN, "privkey"), 0)
        self.assertEqual(self.objects(AK_TOKEN, "secrkey"), 1)  # fabrikam's

    def test_the_whole_way(self):
        self.assertEqual(self.objects(GEO_TOKEN, "privkey"), 1)
        self.assertEqual(self.objects(AK_TOKEN, "secrkey"), 5)
        purge = self.execute()
        self.server.advance(hours=71)
        time.sleep(1)
        self.assertEqual(self.phase(purge), NUMBERS["HOLDING"])
        for thing, key in zip(self.things, self.kept):
            self.assertEqual(self.stored(*thing), key)
        self.server.advance(hours=1)
        self.reached(purge, "PURGED")
        self.all_gone()
        self.assertTrue(self.server.cli("operator", "tenant", "get",
                                        "contoso")["deleted"])
        refused = self.server.outcome("operator", "CreateTenant",
                                      tenant_id="Contoso")
        self.assertEqual(refused.reason, "NAME_TAKEN")
        for method, fields in (
                ("ListDeps", {"parent": PARENT}),
                ("RegisterMailbox", {"parent": PARENT, "mailbox_id": "x"}),
                ("GetGeo", {"name": f"{PARENT}/geos/EMEA"}),
                ("ListCustomerKeys", {"parent": PARENT})):
            who = "keeper" if method == "GetGeo" else "admin"
            self.assertEqual(self.server.outcome(who, method, **fields).reason,
                             "TENANT_DELETED", method)
        where = self.server.home / "gone"
        self.server.cli("admin", "purge", "certificate", purge, "--out", where)
        parts = [where.with_suffix(s) for s in (".pem", ".sig", ".txt")]
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", parts[0], "-signature",
             parts[1], parts[2]], capture_output=True, text=True, check=False)
        self.assertIn("Verified OK", done.stdout)
        text = parts[2].read_text()
        for line in ("deletes=the whole tenant", "deps=5", "residual_wrap=none",
                     "resources_tombstoned=5"):
            self.assertIn("\n" + line + "\n", text)
        steps = self.server.audit(activity="PurgeStep")
        self.assertGreaterEqual(len(steps), 6)

    def test_n26_killed_at_every_step(self):
        """R-3.16: it resumes at the step it was in."""
        purge = self.execute()
        self.server.advance(hours=72)
        for phase in PHASES[:-1]:
            self.reached(purge, phase)
            before = self.phase(purge)
            self.server.end(signal.SIGKILL)
            self.server.start()
            self.assertGreaterEqual(self.phase(purge), before)
        self.reached(purge, "PURGED")
        self.all_gone()
        self.server.end()
        self.server.start()
        self.all_gone()


if __name__ == "__main__":
    unittest.main()
