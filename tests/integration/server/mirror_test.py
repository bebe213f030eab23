"""Does a service whose availability keys have a mirror lose neither a key nor a
deletion when one of their tokens burns: every DEP key in both, either serves
alone, a purge waits for both, a dead one is retired (R-15.2, R-15.5, R-15.6)?
"""
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import AK_TOKEN, EAST, PARENT, SYSTEM, USER, WEST, Server  # noqa: E402
from deployment import Refused, identity  # noqa: E402

# neither label begins with the other: tools look for the beginning
SECOND = "holdfast-mirror"
ENROLLING, ACTIVE, RETIRED = 1, 2, 3
DESTROYING, PURGED = 5, 8
DEPS = 30


class Mirror(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True).begin()
        self.addCleanup(self.server.stop)
        self.keys = {box: self.server.unwrap(box).key
                     for box in ("mail", "memo")}
        self.server.end()
        self.server.mirror(SECOND)

    def begin(self):
        self.server.start()
        self.server.settled()

    # --- looks ------------------------------------------------------------

    def token(self, name):
        return next(token for token in self.server.call(
            "operator", "GetAvailabilityTokens").tokens
                    if token.token_id == name)

    def until(self, condition, seconds=180):
        until = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), until,
                            self.server.log()[-1500:])
            time.sleep(0.05)

    def enrolled(self):
        self.server.cli("operator", "ak-token", "enroll", SECOND)
        self.until(lambda: self.token(SECOND).state == ACTIVE)

    def objects(self, token, dep):
        code, text = self.server.pkcs11_tool(token, "--list-objects", "--type",
                                             "secrkey")
        self.assertEqual(code, 0, text)
        return text.count("hf-ak:" + dep)

    def folder(self, token):
        for path in (self.server.home / "tokens").glob("*/token.object"):
            if token.encode() in path.read_bytes():
                return path.parent
        raise AssertionError(f"no token {token}")

    def away(self, token):
        """Takes it out of the machine; where it is, and was."""
        place = self.folder(token)
        aside = self.server.home / (token + ".away")
        shutil.move(place, aside)
        return aside, place

    def opens_by_availability_key(self):
        """Both customers' tokens are down."""
        self.server.faults(*[f"token={token} function=C_UnwrapKey "
                             "rv=CKR_DEVICE_ERROR" for token in (EAST, WEST)],
                           *[f"token={token} function=C_Decrypt "
                             "rv=CKR_DEVICE_ERROR" for token in (EAST, WEST)])
        for box in self.keys:
            for initiator in (USER, SYSTEM):
                outcome = self.server.unwrap(box, initiator)
                self.assertEqual(outcome.key, self.keys[box], outcome)
        self.server.heal(*self.keys)

    # --- enrolment --------------------------------------------------------

    def test_an_enrolment_of_thirty(self):
        """R-15.5: with progress; cut by a kill it goes on; then either token
        serves alone, also one that was away from the start."""
        self.begin()
        with self.assertRaises(Refused):
            self.server.cli("operator", "ak-token", "enroll", "nobody")
        deps = []
        for i in range(DEPS):
            deps.append(self.server.cli(
                "admin", "dep", "create", f"dep-{i}", "--customer-key",
                "key-" + EAST, "--customer-key", "key-" + WEST,
                "--workload-identity", identity("workload"))["uid"])
        asked = self.server.cli("operator", "ak-token", "enroll", SECOND)
        self.assertGreaterEqual(int(asked["copiesWanted"]), DEPS + 3)
        self.until(lambda: self.token(SECOND).copies >= 2)
        self.server.end(signal.SIGKILL)
        self.server.start()
        seen = self.token(SECOND).copies
        self.assertGreaterEqual(seen, 2)
        while self.token(SECOND).state != ACTIVE:
            now = self.token(SECOND).copies
            self.assertGreaterEqual(now, seen)
            seen = now
            time.sleep(0.05)
        there = self.token(SECOND)
        self.assertEqual(there.copies, there.copies_wanted)
        for dep in deps:
            self.assertEqual(self.objects(SECOND, dep), 1)
        self.server.settled()
        self.opens_by_availability_key()
        for token in (AK_TOKEN, SECOND):
            self.server.end()
            aside, place = self.away(token)
            self.begin()
            self.opens_by_availability_key()
            with self.assertRaises(Refused) as refused:
                self.server.dep_with_box("never")
            self.assertIn("serial", refused.exception.text)
            self.server.end()
            shutil.move(aside, place)

    # --- purge and retirement ---------------------------------------------

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
            words += ["--approver", f"{identity(who)}={key.with_suffix('.pem')}"]
        self.server.cli("admin", "approvers", "set", *words)
        time.sleep(0.01)  # officers come before what they approve

    def purge(self):
        """Begun, its hold over."""
        for token in (EAST, WEST):
            self.server.customer_key("l-" + token, token)
        dep, _ = self.server.dep_with_box("leave", ["l-" + EAST, "l-" + WEST])
        self.officers()
        for token in (EAST, WEST):
            self.server.revoke("l-" + token)
        asked = self.server.cli(
            "admin", "purge", "request", "leave", "--reason", "we leave",
            "--contact", "ciso@contoso.example", "--confirm")
        purge = asked["name"].rsplit("/", 1)[1]
        self.server.cli("ada", "purge", "approve", purge, "--key",
                        self.server.home / "ada.officer.key", "--confirm")
        return dep["uid"], purge

    def execute(self, purge):
        self.server.cli("operator", "purge", "execute", purge, "--confirm")
        self.server.advance(hours=73)

    def phase(self, purge):
        return self.server.call("admin", "GetPurge",
                                name=f"{PARENT}/purges/{purge}").phase

    def certificate(self, purge):
        return self.server.call(
            "admin", "GetPurgeCertificate",
            name=f"{PARENT}/purges/{purge}").certificate.decode()

    def is_waited_for(self, purge, token):
        self.until(lambda: self.phase(purge) == DESTROYING)
        self.until(lambda: [line for line in
                            self.server.log_lines("purge.destroy_failed")
                            if line["token"] == token])
        self.assertEqual(self.phase(purge), DESTROYING)

    def test_a_purge_waits_for_the_mirror(self):
        self.begin()
        self.enrolled()
        serials = [self.token(name).serial for name in ("ak", SECOND)]
        dep, purge = self.purge()
        for token in (AK_TOKEN, SECOND):
            self.assertEqual(self.objects(token, dep), 1)
        self.server.end()
        aside, place = self.away(SECOND)
        self.server.start()
        self.execute(purge)
        self.is_waited_for(purge, SECOND)
        self.assertEqual(self.objects(AK_TOKEN, dep), 0)
        shutil.move(aside, place)
        self.until(lambda: self.phase(purge) == PURGED, seconds=240)
        for token in (AK_TOKEN, SECOND):
            self.assertEqual(self.objects(token, dep), 0)
        text = self.certificate(purge)
        for serial in serials:
            self.assertIn(f"token_serial={serial}\ntoken_state=verified", text)
        self.assertEqual(self.server.unwrap("leave", SYSTEM).reason,
                         "KEY_DESTROYED")

    def test_a_purge_that_is_killed(self):
        """N26 with a mirror: killed again and again it ends, and both tokens
        are empty of it."""
        self.begin()
        self.enrolled()
        dep, purge = self.purge()
        self.execute(purge)
        for pause in (0, 50, 100, 200, 300, 400, 600, 800):
            time.sleep(pause / 1000)
            self.server.end(signal.SIGKILL)
            self.server.start()
        self.until(lambda: self.phase(purge) == PURGED, seconds=240)
        for token in (AK_TOKEN, SECOND):
            self.assertEqual(self.objects(token, dep), 0)
        self.assertEqual(self.certificate(purge).count("token_state=verified"),
                         2)

    def test_the_first_one_burns(self):
        """The mirror serves; three people retire the other; a purge no longer
        waits, its certificate says so, and new DEPs are made in what is left."""
        self.begin()
        self.enrolled()
        serials = [self.token(name).serial for name in ("ak", SECOND)]
        _, purge = self.purge()
        self.server.end()
        shutil.rmtree(self.folder(AK_TOKEN))
        self.begin()
        self.opens_by_availability_key()
        self.execute(purge)
        self.is_waited_for(purge, "ak")
        words = ("ak-token", "retire", "ak", "--serial", serials[0],
                 "--disposal", "burnt in the fire of 4 May")
        self.server.cli("operator", *words)
        with self.assertRaises(Refused) as refused:
            self.server.cli("operator", *words)
        self.assertIn("SECOND_PERSON_REQUIRED", refused.exception.text)
        self.server.cli("operator2", *words)
        self.assertEqual(self.token("ak").state, ACTIVE)
        self.server.cli("operator3", *words)
        self.assertEqual(self.token("ak").state, RETIRED)
        self.until(lambda: self.phase(purge) == PURGED, seconds=240)
        text = self.certificate(purge)
        self.assertIn(f"token_serial={serials[1]}\ntoken_state=verified", text)
        self.assertIn(f"token_serial={serials[0]}\ntoken_state=retired", text)
        self.assertIn("token_disposal=burnt in the fire of 4 May", text)
        self.server.dep_with_box("after")
        self.server.end()
        self.begin()
        self.opens_by_availability_key()


if __name__ == "__main__":
    unittest.main()
