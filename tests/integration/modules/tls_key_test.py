"""Does the server shake hands with a TLS key that lies in a token, and what does
it say when it cannot have it? The PIN comes from its file and is tried once.
"""
import os
import pathlib
import signal
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2] / "support"))
from deployment import Deployment  # noqa: E402

BUILD = pathlib.Path(os.environ.get("HF_BUILD", HERE.parents[3] / "build/release")).resolve()
SHIM = BUILD / "tests/fault/shim/libhf_fault_shim.so"
TOKEN = "holdfast-tls"
LIMIT_S = 60


class TlsKey(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # only the TLS key's module is the shim, which counts: the tokens have
        # SoftHSM itself
        cls.holdfast = cls.enterClassContext(Deployment(BUILD))
        cls.holdfast.env["HF_FAULT_MODULE"] = cls.holdfast.softhsm
        cls.holdfast.env["HF_FAULT_CONTROL"] = str(cls.holdfast.home / "faults")
        (cls.holdfast.home / "faults").write_text("function=C_Login log=1\n")
        cls.holdfast.provision()
        for name in (TOKEN, "another-tls"):
            cls.holdfast.hsm("token", "init", "--label", name, "--domain", "holdfast",
                             "--so-pin-file", cls.holdfast.pin(name + ".so"),
                             "--pin-file", cls.holdfast.pin(name))
        cls.made = cls.init(TOKEN)
        cls.other = cls.init("another-tls")
        public = cls.holdfast.home / "tls.pub.pem"
        public.write_text(cls.made["key"]["public_key"])
        for name in ("server.pem", "server.key"):
            (cls.holdfast.home / "pki" / name).unlink()
        cls.holdfast.ca("server", "server", public)

    @classmethod
    def init(cls, token):
        return cls.holdfast.hsm("tls", "init", "--token", token, "--pin-file",
                                cls.holdfast.pin(token))

    def setUp(self):
        self.configure(self.made["key"]["uri"])
        (self.holdfast.home / "holdfastd.log").unlink(missing_ok=True)
        (self.holdfast.home / "faults.log").unlink(missing_ok=True)
        self.addCleanup(self.holdfast.end)

    def configure(self, uri, pin=TOKEN):
        self.holdfast.tls_key = (
            f"  key_in_token:\n    uri: \"{uri}\"\n    module: {SHIM}\n"
            f"    pin_file: pins/{pin}\n")
        self.holdfast.write_config()

    def wrong_pin(self):
        path = self.holdfast.pin("wrong")
        path.write_text("not-the-pin\n")
        return "wrong"

    def log_ins(self):
        """How often a PIN was offered for the TLS key."""
        path = self.holdfast.home / "faults.log"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def refused(self):
        with self.assertRaises(RuntimeError):
            self.holdfast.start()
        return self.holdfast.log()

    def served(self):
        self.holdfast.cli("operator", "tenant", "list")

    def log_has(self, words):
        until = time.monotonic() + LIMIT_S
        while words not in self.holdfast.log():
            self.assertLess(time.monotonic(), until, self.holdfast.log()[-2000:])
            time.sleep(0.05)

    def test_hands_are_shaken_with_it_and_again_after_a_reload(self):
        self.assertFalse((self.holdfast.home / "pki/server.key").exists())
        self.holdfast.start()
        self.served()
        self.holdfast.server.send_signal(signal.SIGHUP)
        self.log_has("reload")
        self.served()
        self.assertEqual(self.log_ins(), 1)

    def test_a_wrong_pin_is_said_and_tried_once(self):
        self.configure(self.made["key"]["uri"], pin=self.wrong_pin())
        log = self.refused()
        self.assertIn("refuses the PIN", log)
        self.assertNotIn("not-the-pin", log)
        self.assertEqual(self.log_ins(), 1)
        # its unit does not start it again: each start would be a try more
        self.assertEqual(self.holdfast.server.returncode, 77)

    def test_a_reload_offers_no_pin(self):
        self.holdfast.start()
        pin = self.holdfast.pin(TOKEN)
        right = pin.read_text()
        self.addCleanup(pin.write_text, right)
        self.served()
        pin.write_text("not-the-pin\n")
        self.holdfast.server.send_signal(signal.SIGHUP)
        self.log_has("reload")
        self.served()
        self.assertEqual(self.log_ins(), 1)

    def test_the_key_of_another_certificate_is_refused(self):
        self.configure(self.other["key"]["uri"], pin="another-tls")
        self.assertIn("is not the certificate's", self.refused())

    def test_a_key_that_is_not_there_is_said(self):
        self.configure(f"pkcs11:token={TOKEN};object=nobody;type=private")
        self.assertIn("no such private key", self.refused())

    def test_a_uri_with_a_pin_is_refused_and_not_repeated(self):
        self.configure(self.made["key"]["uri"] + "?pin-value=1234567")
        log = self.refused()
        self.assertIn("without a PIN", log)
        self.assertNotIn("1234567", log)

    def test_a_pin_file_that_others_can_read_is_refused(self):
        pin = self.holdfast.pin(TOKEN)
        pin.chmod(0o644)
        self.addCleanup(pin.chmod, 0o600)
        self.assertIn("owner-only", self.refused())


if __name__ == "__main__":
    unittest.main()
