#!/usr/bin/env python3
"""doctor_test: is a person at three in the morning told what is wrong, and what
to type next? (R-15.9, R-15.13)

usage: doctor_test.py HOLDFAST-HSM FAULT-SHIM [UNITTEST OPTION...]
"""
import json
import os
import subprocess
import sys
import unittest

from hsm import (HALVES, HsmTest, MISSING, MODULE, OK, REFUSED, UNREACHABLE,
                 USAGE)


class DoctorTest(HsmTest):
    shim = None

    def through_shim(self, rules):
        """The tool's options and environment for SoftHSM with faults."""
        self.write("faults", 0o600, rules)
        return ("--module", self.shim), {
            "HF_FAULT_MODULE": MODULE,
            "HF_FAULT_CONTROL": str(self.dir / "faults")}

    def calls(self):
        path = self.dir / "faults.log"
        return path.read_text().splitlines() if path.exists() else []

    def findings(self, *args, expect=OK, token="ck1", **options):
        done = self.run_tool("token", "doctor", "--token", token, *args,
                             "--json", expect=expect, **options)
        told = json.loads(done.stdout)
        self.assertEqual(told["healthy"], expect == OK)
        found = {f["code"]: f for f in told["findings"]}
        for finding in told["findings"]:
            self.assertNotEqual(finding["text"], "")
        return found

    def inside(self, **options):
        return self.findings("--try-pin", *self.halves("pin"), **options)

    def opensc(self, *args, label="ck1", login=True):
        pin = ["--login", "--pin", "".join(HALVES["pin"])] if login else []
        done = subprocess.run(
            ["pkcs11-tool", "--module", MODULE, "--token-label", label, *pin,
             *args], env=self.env, cwd=self.dir, capture_output=True,
            text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def faults(self, found):
        return {code for code, f in found.items() if f["severity"] == "fault"}


class Doctor(DoctorTest):
    def test_a_healthy_token(self):
        self.init("ck1")
        self.assertEqual(set(self.findings()), {"pin_not_tried"})
        self.assertEqual(set(self.inside()), set())
        text = self.run_tool("token", "doctor", "--token", "ck1").stdout
        self.assertIn("--try-pin", text)

    def test_a_name_that_was_mistyped(self):
        self.init("ck1")
        self.init("quite-another")
        found = self.findings(token="CK2", expect=MISSING)
        self.assertIn("did you mean ck1", found["token_missing"]["text"])
        found = self.findings(token="nothing-like-it", expect=MISSING)
        self.assertIn("quite-another", found["token_missing"]["text"])
        self.assertIn("token list", found["token_missing"]["next"])

    def test_two_of_a_name(self):
        first = self.init("ck1")
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", "ck1",
             "--so-pin", "12345678", "--pin", "12345678"], env=self.env,
            check=True, capture_output=True)
        found = self.findings(expect=USAGE)
        self.assertIn("--serial", found["token_twice"]["next"])
        self.findings("--serial", first["serial"])

    def test_a_module_that_cannot_be(self):
        found = self.findings("--module", "/nonexistent.so", expect=MISSING)
        self.assertEqual(self.faults(found), {"module_missing"})
        text = self.write("text.so", 0o600, "not a library at all, no")
        self.assertIn("no shared library", self.findings(
            "--module", text, expect=UNREACHABLE)[
                "module_not_loadable"]["text"])
        # the same file, for another processor
        image = bytearray(open(MODULE, "rb").read())
        image[18] ^= 0xff
        other = self.dir / "other.so"
        other.write_bytes(image)
        self.assertIn("module_architecture", self.findings(
            "--module", other, expect=UNREACHABLE))
        # a library that is no module
        self.assertIn("module_not_loadable", self.findings(
            "--module", self.tool, expect=UNREACHABLE))

    def test_softhsm_without_its_files(self):
        self.init("ck1")
        gone = dict(SOFTHSM2_CONF=str(self.dir / "none.conf"))
        self.assertIn("softhsm_configuration",
                      self.findings(env=gone, expect=MISSING))
        (self.dir / "tokens").rename(self.dir / "moved")
        found = self.findings(expect=UNREACHABLE)
        self.assertIn(str(self.dir / "tokens"),
                      found["softhsm_directory"]["text"])
        self.assertNotIn("mkdir", found["softhsm_directory"]["next"])
        (self.dir / "moved").rename(self.dir / "tokens")
        self.findings()

    def test_pins(self):
        self.init("ck1")
        wrong = self.write("wrong", 0o600, "quite-wrong")
        found = self.findings("--try-pin", "--pin-file", wrong,
                              expect=REFUSED)
        self.assertIn("once", found["pin_refused"]["text"])
        # that none was tried is what is said of a file that cannot be used
        self.run_tool("token", "show", *self.token("ck1"))
        wrong.chmod(0o644)
        for name, why in ((wrong, "chmod"), ("none", "cannot be read")):
            found = self.findings("--try-pin", "--pin-file", name)
            self.assertEqual(set(found), {"pin_not_tried"})
            self.assertIn(why, found["pin_not_tried"]["text"])
        wrong.chmod(0o600)
        # emptied: no user PIN any more, and none is tried
        self.ask("token", "change-pin", "--who", "officer", "--token", "ck1",
                 *self.halves("so-pin", "new-pin"))
        subprocess.run(
            ["pkcs11-tool", "--module", MODULE, "--init-token",
             "--token-label", "ck1", "--label", "ck1", "--so-pin",
             "".join(HALVES["new-pin"])], env=self.env, check=True,
            capture_output=True)
        found = self.findings("--try-pin", "--pin-file", wrong,
                              expect=REFUSED)
        self.assertEqual(self.faults(found), {"pin_never_set"})
        self.assertIn("token init", found["pin_never_set"]["next"])
        why = self.problem("token", "show", "--token", "ck1", "--pin-file",
                           wrong, expect=REFUSED)
        self.assertIn("never set", why)
        self.assertNotIn("tried", why)

    def test_one_that_serves_residency_memory_only(self):
        self.init("ck1")
        lacks = "function=C_UnwrapKey rv=CKR_FUNCTION_NOT_SUPPORTED\n"
        options, env = self.through_shim(lacks +
                                         "function=C_Decrypt log=1\n")
        found = self.findings("--try-pin", *self.halves("pin"), *options,
                              env=env)
        self.assertEqual(set(found), set())
        # the canary's is the last, and what it gives is looked at
        options, env = self.through_shim(
            lacks + f"function=C_Decrypt after={len(self.calls()) - 1} "
            "lie=flip\n")
        found = self.findings("--try-pin", *self.halves("pin"), *options,
                              env=env, expect=UNREACHABLE)
        self.assertEqual(self.faults(found), {"canary_silent"})

    def test_the_officers_pin(self):
        self.init("ck1")
        wrong = self.write("wrong", 0o600, "quite-wrong")
        change = ("token", "change-pin", "--who", "officer", "--token", "ck1",
                  *self.halves("new-pin"))
        self.problem(*change, "--so-pin-file", wrong, expect=REFUSED)
        # known for wrong once: the right one is not tried either
        found = self.findings()
        self.assertIn("tried wrong", found["officer_pin"]["text"])
        self.assertIn("officer's", self.problem(
            *change, *self.halves("so-pin"), expect=REFUSED))
        # that a wrong one would lock it is known, and none is offered
        for flags in (0x200000, 0x400000):
            options, env = self.through_shim(
                f"token=ck1 function=C_GetTokenInfo flags={flags:#x}\n"
                "function=C_Login log=1\nfunction=C_InitToken log=1\n")
            self.assertIn("officer_pin", self.findings(*options, env=env))
            self.problem(*change, *self.halves("so-pin"), *options, env=env,
                         expect=REFUSED)
            self.assertEqual(self.calls(), [])
            self.assertIn("none was tried", self.problem(
                "token", "erase", *self.token("ck1"), *self.halves("so-pin"),
                *self.in_use(), *options, env=env, expect=REFUSED))
            self.assertEqual(self.calls(), ["ck1 C_Login"])  # the user's
            (self.dir / "faults.log").unlink()
        # emptying it is the one way back here, and the user PIN is set anew
        self.ask("token", "erase", *self.token("ck1"), *self.halves("so-pin"),
                 *self.in_use())
        options, env = self.through_shim(
            "token=ck1 function=C_GetTokenInfo flags=0x200000\n"
            "function=C_Login log=1\n")
        self.assertIn("none was tried", self.problem(
            "token", "init", "--label", "ck1", "--domain", "hq",
            *self.halves("pin", "so-pin"), *options, env=env, expect=REFUSED))
        self.assertEqual(self.calls(), [])
        self.init("ck1")
        self.assertEqual(set(self.inside()), set())

    def test_what_is_missing_inside(self):
        self.init("ck1")
        self.opensc("--delete-object", "--type", "data", "--label",
                    "holdfast-custody")
        self.assertEqual(set(self.inside()), {"custody_missing"})
        for half in ("privkey", "pubkey"):
            self.opensc("--delete-object", "--type", half, "--label",
                        "holdfast-canary")
        self.assertEqual(set(self.inside()),
                         {"custody_missing", "canary_missing"})
        self.init("ck1")
        self.assertEqual(set(self.inside()), set())

    def test_keys_that_should_not_be(self):
        self.init("ck1")
        self.opensc("--keypairgen", "--key-type", "rsa:2048", "--label", "bad",
                    "--id", "0101", "--extractable", "--usage-decrypt")
        found = self.inside(expect=REFUSED)
        self.assertIn("bad", found["extractable"]["text"])
        self.ask("key", "generate", *self.token("ck1", "--name", "good",
                                                "--bits", "2048"))
        self.ask("key", "roll", *self.token("ck1", "--name", "good"))
        self.assertIn("2 versions", self.inside(expect=REFUSED)[
            "versions"]["text"])
        self.opensc("--keypairgen", "--key-type", "rsa:2048", "--label",
                    "twin", "--id", "0101")
        found = self.inside(expect=REFUSED)
        self.assertIn("same_id", found)

    def test_an_import_that_was_left(self):
        self.init("ck1")
        self.ask("key", "import-prepare", *self.token("ck1"), "--key",
                 "alice.pem", "--out", "prepared.json")
        self.assertIn("key import", self.inside()[
            "import_unfinished"]["next"])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    HsmTest.tool = os.path.abspath(sys.argv.pop(1))
    DoctorTest.shim = os.path.abspath(sys.argv.pop(1))
    unittest.main()
