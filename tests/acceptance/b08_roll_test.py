"""Appendix B, 8: is a second roll of a geo's key refused while one is running,
and does the percentage of its sites never fall and end at 100?
"""
import time

import acceptance
from server import API, EAST, PARENT, WEST, identity

geo_test, Geo = acceptance.helpers("geo_test", "Geo")
Ref = API.message("holdfast.v1.KeyVersionRef")
PRIMARY, SECONDARY = 1, 2
ROLLING = 3
SITES = 70  # more than one step of a roll takes


class B08(Geo):
    def next_key(self, token):
        return Ref(customer_key=f"{PARENT}/customerKeys/key-{token}",
                   version=2)

    def roll(self, slot, token):
        return self.server.outcome("keeper", "RollGeoKey", name=geo_test.GEO,
                                   slot=slot, key=self.next_key(token))

    def test_b08_one_roll_at_a_time(self):
        """S3 to S5, R-3.4, R-5.20, R-7.8, R-7.9, R-13.4"""
        server = self.server
        for number in range(SITES):
            site = f"{PARENT}/sites/{number}"
            server.call("files", "RegisterSite", parent=PARENT,
                        site_id=str(number), geo=geo_test.GEO)
            self.keys[str(number)] = server.call(
                "files", "CreateSiteKey", resource=site).plaintext_key
        self.blob("0")
        self.register()
        self.wait(1)
        for token in (EAST, WEST):
            server.generate(token, "next-" + token)
            server.cli("admin", "key", "register", "key-" + token, "--token",
                       token, "--uri", server.uris["next-" + token])
        # a geo has one DEP; other keys come by a roll
        self.assertEqual(server.outcome(
            "keeper", "RegisterGeo", parent=PARENT, geo_id="EMEA",
            primary=self.next_key(EAST), secondary=self.next_key(WEST),
            workload_identity=identity("files")).answer,
            ("ALREADY_EXISTS", "ALREADY_REGISTERED"))
        # slow tokens: what is on the way can be seen
        server.faults(*[f"token={token} function={function} delay_ms=20"
                        for token in (EAST, WEST)
                        for function in ("C_Encrypt", "C_Decrypt")])
        self.assertEqual(self.roll(PRIMARY, EAST).code, "OK")
        seen, until = [], time.monotonic() + 60
        while True:
            geo = self.geo()
            seen.append(geo.percent)
            if geo.state != ROLLING:
                break
            if len(seen) == 1:
                for slot, token in ((SECONDARY, WEST), (PRIMARY, EAST)):
                    self.assertEqual(self.roll(slot, token).answer, (
                        "FAILED_PRECONDITION", "ROLL_IN_PROGRESS"))
            self.assertLess(time.monotonic(), until, seen)
            time.sleep(0.05)
        self.assertGreater(len(seen), 1, "it was over before it was seen")
        self.assertEqual(seen, sorted(seen))
        self.assertTrue(all(percent < 100 for percent in seen[:-1]), seen)
        self.assertGreater(len(set(seen)), 2, seen)
        self.assertEqual(self.wait(2).percent, 100)
        server.clear()
        self.all_read()
        self.assertEqual(self.roll(SECONDARY, WEST).code, "OK")
        geo = self.wait(3)
        self.assertEqual((geo.primary.version, geo.secondary.version), (2, 2))
        self.all_read()


if __name__ == "__main__":
    acceptance.run()
