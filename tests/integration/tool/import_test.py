#!/usr/bin/env python3
"""import_test: a customer's own key comes into a token (R-4.13, R-15.13).

usage: import_test.py HOLDFAST-HSM KILL-POINTS-LIBRARY FAULT-SHIM EVERY
                      [UNITTEST OPTION...]
"""
import base64
import hashlib
import json
import os
import subprocess
import sys
import unittest

from ceremony_test import CeremonyTest
from hsm import (CONFLICT, HALVES, HsmTest, MISSING, MODULE, OTHER, REFUSED,
                 USAGE)


class ImportTest(CeremonyTest):
    def setUp(self):
        super().setUp()
        self.init("ck1")
        self.make_source("own", 2048)

    def make_source(self, name, bits):
        self.openssl("genrsa", "-out", f"{name}.pem", str(bits))
        (self.dir / f"{name}.pem").chmod(0o600)
        der = self.openssl("pkey", "-in", f"{name}.pem", "-pubout", "-outform",
                           "DER")
        return hashlib.sha256(der).hexdigest()

    def hash_of(self, name):
        return hashlib.sha256(self.openssl(
            "pkey", "-in", f"{name}.pem", "-pubout", "-outform",
            "DER")).hexdigest()

    def prepare(self, out="prepared.json", token="ck1"):
        return self.ask("key", "import-prepare", *self.token(token), "--key",
                        "alice.pem", "--out", out)

    def wrap(self, *more, source="own.pem", out="package.json",
             public="alice.pub.pem", **options):
        run = self.problem if "expect" in options else self.ask
        return run("key", "import-wrap", "--prepared", "prepared.json",
                   "--public", public, "--source", source, "--out", out, *more,
                   **options)

    def bring(self, *more, package="package.json", fingerprint=None, **options):
        run = self.problem if "expect" in options else self.ask
        return run("key", "import", *self.token("ck1"), "--name", "own", "--in",
                   package, "--public-key-sha256",
                   fingerprint or self.hash_of("own"), *more, **options)

    def roles(self):
        return sorted(key["role"] for key in self.ask(
            "key", "list", *self.token("ck1"))["keys"])


class Import(ImportTest):
    def test_a_key_that_would_not_be_locked_is_not_kept(self):
        self.prepare()
        self.wrap()
        before = self.fingerprint()
        control = self.dir / "faults"
        env = {"HF_FAULT_MODULE": MODULE, "HF_FAULT_CONTROL": str(control)}
        through = ("--module", self.shim)
        # the token's self-test unwraps as well, and passes
        control.write_text("function=C_UnwrapKey log=1\n")
        self.bring("--dry-run", *through, env=env)
        count = len((self.dir / "faults.log").read_text().splitlines())
        control.write_text(
            f"function=C_UnwrapKey after={count + 1} lie=loose\n")
        self.assertIn("nothing was kept", self.bring(
            *through, env=env, expect=REFUSED))
        self.assertEqual(self.fingerprint(), before)
        # nor one that the token cannot serve
        control.write_text(
            "function=C_EncryptInit rv=CKR_MECHANISM_INVALID\n")
        for more in ((), ("--dry-run",)):
            self.assertIn("it lacks", self.bring(
                *through, *more, env=env, expect=REFUSED))
        self.assertEqual(self.fingerprint(), before)
        self.bring()

    def test_a_key_comes_in_and_works(self):
        for bits, residency in ((2048, "token"), (3072, "memory"),
                                (4096, "token")):
            with self.subTest(bits=bits):
                for name in ("prepared.json", "package.json"):
                    (self.dir / name).unlink(missing_ok=True)
                told = self.make_source("own", bits)
                self.prepare()
                wrapped = self.wrap()
                self.assertEqual(wrapped["public_key_sha256"], told)
                made = self.ask("key", "import", *self.token("ck1"), "--name",
                                f"own{bits}", "--in", "package.json",
                                "--public-key-sha256", told, "--residency",
                                residency)
                self.assertEqual((made["bits"], made["public_key_sha256"]),
                                 (bits, told))
                self.assertTrue(made["imported"])
                shown = self.ask("key", "show", *self.token(
                    "ck1", "--name", f"own{bits}"))["attributes"]
                self.assertEqual(
                    {name: shown[name] for name in (
                        "sensitive", "extractable", "unwrap_template",
                        "unwrap", "decrypt", "modifiable", "destroyable",
                        "wrap", "sign")},
                    {"sensitive": True, "extractable": False,
                     "unwrap_template": True, "unwrap": True,
                     "decrypt": residency == "memory", "modifiable": False,
                     "destroyable": False, "wrap": False, "sign": False})
                # for ever: it was not made here
                for name in ("local", "never_extractable", "always_sensitive"):
                    self.assertFalse(shown[name], name)
                # the transport key has gone
                self.assertNotIn("import transport key", self.roles())

    def test_what_was_changed_on_the_way_is_refused(self):
        self.prepare()
        self.wrap()
        whole = json.loads((self.dir / "package.json").read_text())
        before = self.roles()
        for member in ("wrapped_aes_key", "wrapped_private_key"):
            good = base64.b64decode(whole[member])
            for name, bad in (("first", bytes([good[0] ^ 1]) + good[1:]),
                              ("last", good[:-1] + bytes([good[-1] ^ 1])),
                              ("short", good[:-8]),
                              ("long", good + bytes(8))):
                with self.subTest(member=member, name=name):
                    self.write("bad.json", 0o600, json.dumps(dict(
                        whole, **{member: base64.b64encode(bad).decode()})))
                    self.bring(package="bad.json", expect=REFUSED)
                    self.assertEqual(self.roles(), before)
        for name, text in (("none", "{}"), ("other", json.dumps(dict(
                whole, format="x"))), ("no json", "x")):
            with self.subTest(name=name):
                self.write("bad.json", 0o600, text)
                self.bring(package="bad.json", expect=USAGE)
        self.bring()

    def test_a_key_that_was_put_in_its_place_is_refused(self):
        """Whoever has the transport's public key can wrap a key of theirs: the
        fingerprint that the owner told by another way finds it."""
        self.prepare()
        self.make_source("mallorys", 2048)
        self.wrap(source="mallorys.pem")
        before = self.roles()
        why = self.bring(expect=REFUSED)
        self.assertIn("another key", why)
        self.assertEqual(self.roles(), before)
        self.bring(fingerprint="00", expect=USAGE)

    def test_a_transport_key_that_was_put_in_its_place_is_refused(self):
        self.prepare()
        prepared = json.loads((self.dir / "prepared.json").read_text())
        self.openssl("genrsa", "-out", "theirs.pem", "3072")
        theirs = self.openssl("pkey", "-in", "theirs.pem", "-pubout",
                              "-outform", "DER")
        self.write("prepared.json", 0o600, json.dumps(dict(
            prepared, transport_key=base64.b64encode(theirs).decode())))
        self.wrap(expect=OTHER)  # it does not fit its own statement
        self.assertFalse((self.dir / "package.json").exists())
        self.write("prepared.json", 0o600, json.dumps(prepared))
        self.wrap(public="bob.pub.pem", expect=REFUSED)
        self.assertFalse((self.dir / "package.json").exists())

    def test_twice_and_for_another_token(self):
        made = self.prepare()
        self.wrap()
        first = self.bring("--id", "0a0b")
        again = self.bring("--id", "0a0b")
        self.assertEqual((first["created"], again["created"]), (True, False))
        # the same key under another id, another key under this one
        self.bring("--id", "0c", expect=CONFLICT)
        self.make_source("own", 2048)
        self.bring("--id", "0a0b", expect=CONFLICT)
        # its transport key is gone, so nothing else comes in by it
        self.bring(expect=MISSING)
        self.assertNotIn(made["transport_id"],
                         [key for _, key in self.keys("ck1")])

    def test_a_package_names_no_key_of_anybodys_as_its_transport_key(self):
        """What a package says is its sender's word: it ends no key."""
        self.prepare()
        self.wrap()
        made = self.bring("--id", "0a0b")
        other = self.ask("key", "generate", *self.token(
            "ck1", "--name", "other", "--bits", "2048"))
        package = json.loads((self.dir / "package.json").read_text())
        package["transport_id"] = other["id"]
        self.write("package.json", 0o600, json.dumps(package))
        self.bring("--id", made["id"])
        self.bring("--id", "0c", expect=CONFLICT)
        self.assertEqual(len(self.keys("ck1")), 2)

    def test_a_source_that_is_none(self):
        self.prepare()
        (self.dir / "own.pem").chmod(0o644)
        self.wrap(expect=REFUSED)
        self.write("own.pem", 0o600, "no key")
        self.wrap(expect=USAGE)
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", "own.pem")
        (self.dir / "own.pem").chmod(0o600)
        self.wrap(expect=USAGE)
        self.assertFalse((self.dir / "package.json").exists())

    def test_openssl_alone_wraps_it(self):
        """What --help says to an owner without Holdfast."""
        self.prepare()
        prepared = json.loads((self.dir / "prepared.json").read_text())
        (self.dir / "transport.der").write_bytes(
            base64.b64decode(prepared["transport_key"]))
        self.openssl("rand", "-out", "aes.bin", "32")
        kek = self.openssl(
            "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey",
            "transport.der", "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt",
            "rsa_oaep_md:sha1", "-in", "aes.bin")
        self.openssl("pkcs8", "-topk8", "-nocrypt", "-in", "own.pem",
                     "-outform", "DER", "-out", "key.der")
        key = self.openssl(
            "enc", "-id-aes256-wrap-pad", "-iv", "A65959A6", "-K",
            (self.dir / "aes.bin").read_bytes().hex(), "-in", "key.der")
        self.wrap()
        package = json.loads((self.dir / "package.json").read_text())
        package["wrapped_aes_key"] = base64.b64encode(kek).decode()
        package["wrapped_private_key"] = base64.b64encode(key).decode()
        self.write("package.json", 0o600, json.dumps(package))
        self.assertTrue(self.bring()["created"])

    def test_a_dry_run_changes_nothing(self):
        before = self.fingerprint()
        self.ask("key", "import-prepare", *self.token("ck1"), "--key",
                 "alice.pem", "--out", "prepared.json", "--dry-run")
        self.assertFalse((self.dir / "prepared.json").exists())
        self.assertEqual(self.fingerprint(), before)
        self.prepare()
        self.wrap()
        before = self.fingerprint()
        self.assertIn("unwrap", self.bring("--dry-run")["would"])
        self.assertEqual(self.fingerprint(), before)


class InterruptedImport(ImportTest):
    def test_at_every_point(self):
        """Issue 4: a ceremony interrupted at every step resumes."""
        self.prepare()
        self.wrap()
        self.plan("key import --name own --in package.json "
                  f"--public-key-sha256 {self.hash_of('own')}")
        self.keep("prepared")
        for point in self.every_point(self.start_from(
                lambda: self.bring_back("prepared")), least=15):
            with self.subTest(point=point):
                if self.nothing_was_begun():
                    (self.dir / "t.jsonl").unlink(missing_ok=True)
                    self.start()
                else:
                    self.ask("ceremony", "resume", *self.common())
                self.assertEqual(self.verify()["state"], "completed")
                self.assertEqual(self.roles(), ["canary", "customer key"])
                # both halves, once
                self.assertEqual(self.objects_seen_by_opensc(), 4)

    def objects_seen_by_opensc(self):
        """Objects of keys in the token, counted by OpenSC."""
        shown = subprocess.run(
            ["pkcs11-tool", "--module", MODULE, "--token-label", "ck1",
             "--login", "--pin", "".join(HALVES["pin"]), "--list-objects"],
            env=self.env, capture_output=True, text=True, check=True).stdout
        return shown.count("Key Object; RSA")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    HsmTest.tool = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.kill_points = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.shim = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.every = int(sys.argv.pop(1))
    unittest.main()
