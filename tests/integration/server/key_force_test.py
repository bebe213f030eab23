"""Do two approvers, and nobody less, have a key on a real token disabled or
deleted that stored keys need (R-7.13, R-7.2; N60)? Is its object shown, and
registered once (R-4.15)?
"""
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from deployment import Refused, identity  # noqa: E402
from server import EAST, PARENT, WEST, Server  # noqa: E402

KEY = "key-" + EAST


class KeyForce(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True).begin()
        self.addCleanup(self.server.stop)
        self.home = self.server.home
        self.officers()

    def officers(self):
        words = []
        for who in ("ada", "bert"):
            key = self.home / f"{who}.officer.key"
            self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                         "ec_paramgen_curve:P-256", "-out", key)
            self.openssl("pkey", "-in", key, "-pubout", "-out",
                         key.with_suffix(".pem"))
            words += ["--approver",
                      f"{identity(who)}={key.with_suffix('.pem')}"]
        self.server.cli("admin", "approvers", "set", *words)
        self.server.advance(seconds=2)  # officers come before the document

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    def draft(self, change, name):
        out = self.home / name
        self.server.cli("admin", "key", "force-document", KEY, "--change",
                        change, "--out", out)
        return out

    def signed(self, document):
        """By one with the command, by the other with OpenSSL's alone; what a
        request says of both."""
        words = ["--force-document", document]
        for who in ("ada", "bert"):
            key = self.home / f"{who}.officer.key"
            out = document.with_suffix("." + who)
            if who == "ada":
                self.server.cli("admin", "key", "force-sign", "--document",
                                document, "--key", key, "--out", out)
            else:
                self.openssl("dgst", "-sha256", "-sign", key, "-out", out,
                             document)
            words += ["--approval", f"{identity(who)}={out}"]
        return words

    def refused(self, reason, *words):
        with self.assertRaises(Refused) as caught:
            self.server.cli("admin", "key", *words)
        self.assertIn(reason, caught.exception.text)

    def key(self):
        return self.server.cli("admin", "key", "get", KEY)

    def test_disabled_and_not_twice(self):
        self.refused("KEY_IN_USE", "update", KEY, "--disable")
        document = self.draft("disable", "disable.txt")
        text = document.read_text()
        for line in ("holdfast-approval-v1", "verb=UpdateCustomerKey",
                     f"object={PARENT}/customerKeys/{KEY}/versions/1",
                     "stored_keys_that_need_it=2"):
            self.assertIn(line, text.splitlines())
        words = self.signed(document)
        self.refused("--approval", "update", KEY, "--disable", *words[:4])
        self.refused("APPROVAL_INVALID", "delete", KEY, "--confirm", *words)
        twice = words[:4] + words[2:4]
        self.refused("APPROVAL_INVALID", "update", KEY, "--disable", *twice)
        self.assertTrue(self.key()["versions"][0]["enabled"])
        self.server.cli("admin", "key", "update", KEY, "--disable", *words)
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.assertFalse(self.key()["versions"][0].get("enabled", False))
        # the other key opens what needs this one
        self.assertEqual(self.server.unwrap("mail").code, "OK")
        done = self.server.audit(activity="UpdateCustomerKey")[-1]
        for who in ("ada", "bert"):
            self.assertIn(identity(who), str(done))
        self.server.cli("admin", "key", "update", KEY, "--enable")
        self.refused("APPROVAL_INVALID", "update", KEY, "--disable", *words)

    def test_deleted_and_recovered(self):
        self.refused("KEY_IN_USE", "delete", KEY, "--confirm")
        words = self.signed(self.draft("soft-delete", "delete.txt"))
        self.server.cli("admin", "key", "delete", KEY, "--confirm", *words)
        self.assertEqual(self.server.unwrap("mail").code, "OK")
        self.server.cli("admin", "key", "recover", KEY)
        self.refused("APPROVAL_INVALID", "delete", KEY, "--confirm", *words)
        words = self.signed(self.draft("soft-delete", "late.txt"))
        self.server.advance(days=14, seconds=1)
        self.refused("APPROVAL_INVALID", "delete", KEY, "--confirm", *words)

    def test_one_object_one_name(self):
        """R-4.15"""
        version = self.key()["versions"][0]
        self.assertEqual(version["label"], KEY)
        self.assertIn(f"object={KEY};", version["uri"])
        for name in ("another", KEY):
            self.refused("ALREADY_REGISTERED", "register", name, "--token",
                         EAST, "--uri", self.server.uris[KEY])
        self.server.customer_key("next-" + WEST, WEST)


if __name__ == "__main__":
    unittest.main(verbosity=2)
