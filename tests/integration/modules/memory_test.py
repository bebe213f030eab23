"""Can a customer key in a TPM, by a module without C_UnwrapKey and AES-GCM, carry
a DEP of residency MEMORY, the other key in SoftHSM (R-15.3)? And is one of
residency TOKEN refused, with what is missing by name?
"""
import json
import os
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2] / "support"))
import modules  # noqa: E402
from deployment import Deployment, Refused, TOKENS  # noqa: E402

BUILD = pathlib.Path(os.environ.get("HF_BUILD", HERE.parents[3] / "build/release")).resolve()
SOFT, TPM = TOKENS
NOT_NOW = 5  # FAILED_PRECONDITION, as the command says it


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tpm = modules.Tpm(BUILD / "hsm/tool/holdfast-hsm")
        cls.enterClassContext(tpm)
        cls.holdfast = cls.enterClassContext(Deployment(BUILD, env={
            name: text for name, text in tpm.env.items()
            if name.startswith(("TPM2_", "DBUS_", "TSS2_", "ASAN_"))}))
        cls.holdfast.foreign[TPM] = tpm.path
        cls.holdfast.provision(residency="memory")
        cls.holdfast.start()
        cls.holdfast.onboard()
        cls.holdfast.dep("mail", "--residency", "memory", "--key-lease", "0")
        cls.holdfast.mailbox("alice", dep="mail")
        cls.folder = cls.holdfast.home / "Maildir"
        for name in ("cur", "new", "tmp"):
            (cls.folder / name).mkdir(parents=True)
        cls.letter = b"From: bob@example.org\nSubject: hello\n\nHello, TPM.\n"
        (cls.folder / "cur/1700000000.M1.host:2,S").write_bytes(cls.letter)
        cls.holdfast.cli("workload", "mailbox", "seal", str(cls.folder),
                         "--mailbox", "alice")

    def opens(self):
        """As a user; what the folder then holds is sealed again."""
        self.holdfast.cli("workload", "mailbox", "open", str(self.folder), "--verify")

    def availability_key_uses(self):
        records = self.holdfast.home / "records"
        records.unlink(missing_ok=True)
        self.holdfast.cli("auditor", "audit", "export", str(records))
        return records.read_text().count("Fallback to Availability Key")

    def without(self, key):
        """What opens while this key may not be used: the other one served."""
        before = self.availability_key_uses()
        self.holdfast.revoke(key)
        self.addCleanup(self.holdfast.grant, key)
        self.opens()
        self.assertEqual(self.availability_key_uses(), before)

    def test_either_key_alone_opens_the_mailbox(self):
        self.without(f"key-{SOFT}")  # the TPM decrypts
        self.holdfast.grant(f"key-{SOFT}")
        self.without(f"key-{TPM}")

    def test_both_pass_the_live_check_of_the_dep(self):
        self.assertIn("passed", json.dumps(self.holdfast.cli("admin", "dep", "test", "mail")))

    def test_the_key_is_shown_as_its_token_says(self):
        key = self.holdfast.cli("admin", "key", "get", f"key-{TPM}")["versions"][0]
        self.assertEqual(key["residencies"], ["RESIDENCY_MEMORY"])
        # the TPM has SHA-256, the token that wraps for it has not
        self.assertEqual(key["wrapAlgorithm"], "RSA-OAEP-SHA1")
        self.assertEqual(key["attributes"]["origin"], "GENERATED")
        self.assertTrue(key["attributes"]["neverExtractable"])

    def test_residency_token_is_refused_and_what_is_missing_named(self):
        with self.assertRaises(Refused) as caught:
            self.holdfast.dep("in-token", "--residency", "token")
        self.assertEqual(caught.exception.code, NOT_NOW)
        self.assertIn("KEY_OPS", caught.exception.text)
        self.assertIn("beyond its token: no C_UnwrapKey", caught.exception.text)
        with self.assertRaises(Refused) as caught:
            self.holdfast.cli("admin", "dep", "update", "mail", "--residency", "token")
        self.assertIn("cannot serve residency TOKEN; it lacks: C_UnwrapKey",
                      caught.exception.text)


class OwnTokens(unittest.TestCase):
    def test_availability_keys_are_not_put_where_they_cannot_be(self):
        """Said at the start, with what is missing, not by the first DEP."""
        tpm = self.enterContext(modules.Tpm(BUILD / "hsm/tool/holdfast-hsm"))
        holdfast = self.enterContext(Deployment(BUILD, env={
            name: text for name, text in tpm.env.items()
            if name.startswith(("TPM2_", "DBUS_", "TSS2_", "ASAN_"))}))
        holdfast.provision()
        made = tpm.init("ak-in-a-tpm")
        self.assertEqual(made.returncode, 0, made.stderr)
        holdfast.token_options["holdfast-ak"] = {
            "module": tpm.path, "label": "ak-in-a-tpm", "sync": "none",
            "pin_file": tpm.folder / "pin", "sync_path": None}
        holdfast.write_config()
        with self.assertRaises(RuntimeError):
            holdfast.start()
        self.assertIn("cannot hold availability keys; it lacks: C_UnwrapKey",
                      holdfast.log())


if __name__ == "__main__":
    unittest.main()
