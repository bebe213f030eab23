"""Appendix B, 7: with both keys of a SharePoint geo down, are files read from the
cached TIK, with an alert before its time is over and not after it, and never by
the availability key; and is recovery by several people what it takes to restore
the geo under new keys, so that the old ones are needed no more?
"""
import json
import time

import acceptance
from server import AK_USED, ANNEX, API, EAST, PARENT, WEST, identity

geo_test, Geo = acceptance.helpers("geo_test", "Geo")
SITES = ("finance", "hr", "law")


class B07(Geo):
    def uses(self):
        return len(self.server.audit(activity=AK_USED))

    def states(self):
        """Each state the geo came to, as it is on record."""
        found = []
        for record in self.server.audit():
            after = json.loads(record.json).get("details", {}).get("after")
            if record.object == geo_test.GEO and isinstance(after, dict) \
                    and "state" in after and after["state"] not in found[-1:]:
                found.append(after["state"])
        return found

    def look(self, geo):
        """What people are shown of a geo and its DEP; which has no purge."""
        server = self.server
        self.assertEqual(
            [ref.customer_key.rsplit("/", 1)[1]
             for ref in (geo.primary, geo.secondary)],
            ["key-" + EAST, "key-" + WEST])
        self.assertEqual((geo.percent, geo.site_count, geo.tik_version),
                         (100, len(SITES), 1))
        self.assertTrue(geo.availability_key.id)
        self.assertFalse(geo.recovery.recovery_enabled)
        for site in SITES:
            self.assertEqual(server.call(
                "keeper", "GetSite", name=f"{PARENT}/sites/{site}"
            ).effective_dep, geo.dep)
        listed = server.call("keeper", "ListDeps", parent=PARENT, type=3)
        self.assertEqual([dep.name for dep in listed.deps], [geo.dep])
        self.assertEqual(server.outcome(
            "admin", "RequestPurge", dep=geo.dep, reason="we leave",
            contact="ciso@contoso.example", confirm=True).answer,
            ("FAILED_PRECONDITION", "STATE_CONFLICT"))

    def out_of_reach(self):
        """24 hours of an outage, on the clock of the service."""
        server = self.server
        self.all_read()  # the TIK is cached
        self.outage()
        server.advance(hours=21, minutes=45)
        time.sleep(1.5)  # whatever is due happens
        self.assertFalse(self.geo().tik_refresh_failing)
        self.all_read()
        late = 0
        while not self.geo().tik_refresh_failing:
            self.assertLess(late, 90, "no alert inside the two hours")
            server.advance(minutes=5)
            late += 5
            time.sleep(1)
            self.all_read()
        self.assertTrue(server.log_lines("tik.refresh_failing"))
        server.advance(minutes=140 - late)
        for site in SITES:
            self.assertEqual(self.read(site).answer,
                             ("UNAVAILABLE", "KEY_UNAVAILABLE"))
        self.assertEqual(self.uses(), 0)

    def new_pair(self):
        ref, pair = API.message("holdfast.v1.KeyVersionRef"), {}
        for slot, token in (("primary", ANNEX), ("secondary", WEST)):
            self.server.customer_key("new-" + token, token)
            self.server.grant("new-" + token, ["files"])
            pair[slot] = ref(version=1, customer_key=(
                f"{PARENT}/customerKeys/new-{token}"))
        return dict(pair, workload_identity=identity("files"))

    def test_b07_cache_alert_and_recovery(self):
        """S1, S2, S7 to S9, R-6.19 to R-6.24, R-8.5, R-8.6, R-10.4, R-2.2,
        R-9.19, R-3.1, R-10.8"""
        server = self.server
        for site in SITES:
            self.site(site)
            self.blob(site)
        self.register()
        self.look(self.wait(1))
        self.out_of_reach()
        server.clear()
        for token in (EAST, WEST):
            server.revoke("key-" + token, ["files", "workload", "system"])
        server.call("keeper", "FlushTik", name=geo_test.GEO)
        pair = self.new_pair()
        self.refused("keeper", "RestoreGeo", "RECOVERY_NOT_ENABLED", **pair)
        server.call("keeper", "RequestRecovery", name=geo_test.GEO)
        server.call("operator", "EnableRecovery", name=geo_test.GEO,
                    ticket="T-7")
        server.call("operator-2", "ConfirmRecovery", name=geo_test.GEO)
        self.assertEqual(self.read("law").answer, acceptance.REFUSED)
        self.assertEqual(self.uses(), 0)
        server.call("keeper", "RestoreGeo", name=geo_test.GEO, **pair)
        self.assertFalse(self.wait(1).recovery.recovery_enabled)
        self.assertEqual(self.states(), [
            "REGISTERING", "REGISTERED", "RECOVERING", "REGISTERED"])
        done = self.uses()
        self.assertGreater(done, 0)
        # the old keys are withdrawn as before; nothing cached helps
        server.call("keeper", "FlushTik", name=geo_test.GEO)
        self.all_read()
        self.assertEqual(self.uses(), done)


if __name__ == "__main__":
    acceptance.run()
