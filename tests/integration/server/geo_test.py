"""Does a SharePoint geo, on real tokens, bring its sites under two customer
keys, read on from the cached TIK through an outage and not a day longer, roll,
and come back after the loss of both keys by three people's hands? (S1 to S10,
R-5.19 to R-5.22, R-6.16 to R-6.19, R-6.22, R-8.5 to R-8.8, R-10.4)
"""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (AK_USED, ANNEX, API, EAST, PARENT, WEST,  # noqa: E402
                    Server, deployment, identity)

deployment.PEOPLE = {
    **deployment.PEOPLE,
    "files": ("contoso/files", "contoso", ["workload-sharepoint"]),
    "keeper": ("contoso/keeper", "contoso", ["sharepoint-admin"]),
    "operator-2": ("operator-2", None, ["operator"]),
}
GEO = f"{PARENT}/geos/EMEA"
REGISTERED = 2
ENCRYPTED = 4


class Geo(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True, sharepoint=True)
        self.server.begin(anew=True)
        self.addCleanup(self.server.stop)
        self.keys, self.blobs = {}, {}
        for key in ("key-" + EAST, "key-" + WEST):
            self.server.grant(key, ["files"])

    def site(self, name):
        self.server.cli("files", "site", "register", name, "--geo", "EMEA")
        made = self.server.call("files", "CreateSiteKey",
                                resource=f"{PARENT}/sites/{name}")
        self.keys[name] = made.plaintext_key
        return made

    def blob(self, site):
        made = self.server.call("files", "WrapBlobKey", blob_id="chunk-1",
                                resource=f"{PARENT}/sites/{site}")
        self.blobs[site] = made

    def read(self, site):
        return self.server.outcome(
            "files", "UnwrapBlobKey", resource=f"{PARENT}/sites/{site}",
            blob_id="chunk-1", wrapped_key=self.blobs[site].wrapped_key)

    def all_read(self):
        for site, made in self.blobs.items():
            self.assertEqual(self.read(site).key, made.plaintext_key, site)
        for site, key in self.keys.items():
            outcome = self.server.outcome("files", "UnwrapSiteKey",
                                          resource=f"{PARENT}/sites/{site}")
            self.assertEqual(outcome.key, key, site)

    def geo(self):
        return self.server.call("keeper", "GetGeo", name=GEO)

    def wait(self, tik_version):
        """The percentage never falls on the way (R-5.20)."""
        until, percent = time.monotonic() + 60, 0
        while True:
            geo = self.geo()
            self.assertGreaterEqual(geo.percent, percent)
            percent = geo.percent
            self.assertEqual(percent == 100, geo.state == REGISTERED, geo)
            if geo.state == REGISTERED and geo.tik_version == tik_version:
                return geo
            self.assertLess(time.monotonic(), until, geo)
            time.sleep(0.05)

    def register(self):
        return self.server.cli(
            "keeper", "geo", "register", "EMEA", "--primary",
            f"key-{EAST}:1", "--secondary", f"key-{WEST}:1",
            "--workload-identity", identity("files"))

    def refused(self, who, method, reason, **fields):
        outcome = self.server.outcome(who, method, name=GEO, **fields)
        self.assertEqual(outcome.answer, ("FAILED_PRECONDITION", reason),
                         outcome)

    def outage(self):
        self.server.faults(*(
            f"token={token} function=C_UnwrapKey rv=CKR_DEVICE_ERROR"
            for token in (EAST, WEST)))

    def state(self, site):
        return self.server.call("admin", "GetSite",
                                name=f"{PARENT}/sites/{site}").state

    def test_register_outage_and_roll(self):
        self.assertEqual(self.site("finance").dep, "")
        self.blob("finance")
        outcome = self.server.outcome("admin", "GetSite",
                                      name=f"{PARENT}/sites/finance")
        self.assertEqual(outcome.reason, "GEO_NOT_REGISTERED")
        self.assertEqual(self.register()["kind"], "register-geo")
        geo = self.wait(1)
        self.assertEqual(self.state("finance"), ENCRYPTED)
        self.assertEqual((geo.primary.version, geo.secondary.version), (1, 1))
        made = self.site("later")
        self.assertNotEqual(made.dep, "")
        self.blob("later")
        self.all_read()
        again = self.server.outcome("keeper", "RegisterGeo", parent=PARENT,
                                    geo_id="EMEA")
        self.assertNotEqual(again.code, "OK")

        # Table 6-C: an outage of both is bridged, but not for ever, and never
        # by the availability key.
        before = self.server.audit_end()
        self.outage()
        self.all_read()
        self.server.advance(hours=23)
        self.all_read()
        self.server.advance(hours=2)
        self.assertEqual(self.read("finance").code, "UNAVAILABLE")
        self.assertEqual(self.server.audit(before, AK_USED), [])
        self.server.clear()
        self.server.advance(minutes=10)
        until = time.monotonic() + 30
        while self.read("finance").code != "OK":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.all_read()

        # S3 to S5: one key at a time, the other stays.
        self.server.generate(EAST, "next")
        self.server.cli("admin", "key", "register", "key-" + EAST, "--token",
                        EAST, "--uri", self.server.uris["next"])
        self.assertEqual(self.geo().primary.version, 1)
        begun = self.server.cli("keeper", "geo", "roll", "EMEA", "--slot",
                                "primary", "--customer-key", f"key-{EAST}:2")
        self.assertEqual(begun["kind"], "roll-geo")
        geo = self.wait(2)
        self.assertEqual((geo.primary.version, geo.secondary.version), (2, 1))
        self.all_read()
        self.server.end()
        self.server.start()
        self.all_read()

    def test_recovery(self):
        for site in ("finance", "hr"):
            self.site(site)
            self.blob(site)
        self.register()
        first = self.wait(1)
        for token in (EAST, WEST):
            # nobody is left whose unwrap the service could go by
            self.server.revoke("key-" + token, ["files", "workload", "system"])
        self.server.cli("keeper", "geo", "flush", "EMEA")
        self.assertEqual(self.read("finance").reason, "KEY_ACCESS_DENIED")

        # Three people, none twice, in order.
        ref = API.message("holdfast.v1.KeyVersionRef")
        names = ["new-" + ANNEX, "new-" + WEST]
        for name, token in zip(names, (ANNEX, WEST)):
            self.server.customer_key(name, token)
            self.server.grant(name, ["files"])
        pair = {
            "primary": ref(customer_key=f"{PARENT}/customerKeys/{names[0]}",
                           version=1),
            "secondary": ref(customer_key=f"{PARENT}/customerKeys/{names[1]}",
                             version=1),
            "workload_identity": identity("files"),
        }
        self.refused("keeper", "RestoreGeo", "RECOVERY_NOT_ENABLED", **pair)
        self.server.cli("keeper", "geo", "request-recovery", "EMEA")
        self.refused("keeper", "RestoreGeo", "RECOVERY_NOT_ENABLED", **pair)
        self.server.cli("operator", "geo", "enable-recovery", "EMEA",
                        "--ticket", "INC-42", "--window-hours", "2")
        self.refused("keeper", "RestoreGeo", "RECOVERY_NOT_ENABLED", **pair)
        self.refused("operator", "ConfirmRecovery", "SECOND_PERSON_REQUIRED")
        shown = self.server.cli("operator-2", "geo", "confirm-recovery",
                                "EMEA")
        self.assertEqual(shown["recovery"]["state"],
                         "GEO_RECOVERY_STATE_OPEN")
        # nor does an open recovery serve a reader
        self.assertEqual(self.read("finance").reason, "KEY_ACCESS_DENIED")
        self.assertEqual(self.server.audit(0, AK_USED), [])
        begun = self.server.cli(
            "keeper", "geo", "restore", "EMEA", "--primary", names[0] + ":1",
            "--secondary", names[1] + ":1", "--workload-identity",
            identity("files"))
        self.assertEqual(begun["kind"], "restore-geo")
        geo = self.wait(1)
        self.assertNotEqual(geo.dep, first.dep)
        self.assertFalse(geo.recovery.recovery_enabled)  # S9
        self.assertEqual(self.state("hr"), ENCRYPTED)
        self.assertNotEqual(self.server.audit(0, AK_USED), [])
        self.all_read()
        self.refused("keeper", "RestoreGeo", "RECOVERY_NOT_ENABLED", **pair)
        self.server.end()
        self.server.start()
        self.all_read()


if __name__ == "__main__":
    unittest.main()
