"""Are the customer keys of a token that was restored into other hardware bound
again by id and fingerprint, and refused where one is another (R-4.18, R-4.19)?
"""
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from deployment import Refused  # noqa: E402
from server import EAST, TENANT, WEST, Server  # noqa: E402

ELSEWHERE = "00000000c0ffee00"


class Rebind(unittest.TestCase):
    def setUp(self):
        self.server = Server().begin()
        self.addCleanup(self.server.stop)

    def serial(self, token):
        uri = self.server.cli("admin", "token", "get", token)["uri"]
        return re.search("serial=([0-9a-f]+)", uri).group(1)

    def move_to(self, token, serial):
        """What a vendor's restore does: the same objects, another serial."""
        old = self.serial(token).encode()
        self.server.end()
        changed = 0
        for path in (self.server.home / "tokens").glob("*/token.object"):
            content = path.read_bytes()
            if old in content:
                path.write_bytes(content.replace(old, serial.encode()))
                changed += 1
        self.assertEqual(changed, 1)
        self.server.start()

    def statement(self, token):
        out = self.server.home / f"custodians/{token}-again.json"
        out.unlink(missing_ok=True)
        domain = self.server.tokens[token]
        self.server.run(
            self.server.build / "hsm/tool/holdfast-hsm", "token", "enroll",
            "--module", self.server.softhsm, "--token", token, "--pin-file",
            self.server.pin(token), "--tenant", TENANT, "--domain", domain,
            "--key", self.server.home / f"custodians/{domain}.key", "--out",
            out)
        return out

    def rebind(self, token, *more):
        return self.server.cli("operator", "token", "rebind", token,
                               "--statement", self.statement(token), *more)

    def test_restored_into_other_hardware(self):
        self.assertTrue(self.server.test_dep("mail"))
        self.move_to(EAST, ELSEWHERE)
        self.assertFalse(self.server.test_dep("mail"))
        bound = self.rebind(EAST)
        self.assertEqual(bound["keyVersions"], 1)
        self.assertIn(ELSEWHERE, bound["token"]["uri"])
        self.assertTrue(self.server.test_dep("mail"))
        self.server.end()
        self.server.start()
        self.assertTrue(self.server.test_dep("mail"))
        self.assertEqual(self.server.unwrap("mail").code, "OK")
        self.assertEqual(len(self.server.audit(activity="RebindKeys")), 1)

    def test_backup_of_the_catalogue(self):
        """Verified offline by the command, and by OpenSSL's alone."""
        out = str(self.server.home / "saved")
        self.server.cli("admin", "catalogue", "backup", "--out", out)
        document = json.loads(pathlib.Path(out + ".json").read_text())
        known = self.server.cli("admin", "key", "list")["customerKeys"]
        self.assertEqual(
            sorted(key["name"] for key in document["customerKeys"]),
            sorted(key["name"].rsplit("/", 1)[1] for key in known))
        self.assertEqual(sorted(dep["name"] for dep in document["deps"]),
                         ["mail", "memo"])
        verify = ["catalogue", "verify", "--document", out + ".json",
                  "--signature", out + ".sig", "--public-key", out + ".pem"]
        self.server.cli("admin", *verify)
        self.server.run("openssl", "dgst", "-sha256", "-verify", out + ".pem",
                        "-signature", out + ".sig", out + ".json")
        text = pathlib.Path(out + ".json").read_text()
        pathlib.Path(out + ".json").write_text(text.replace("mail", "male"))
        with self.assertRaises(Refused):
            self.server.cli("admin", *verify)

    def make(self, token, ident):
        """A key pair as another program makes one, which can be destroyed."""
        code, text = self.server.pkcs11_tool(
            token, "--keypairgen", "--key-type", "rsa:2048", "--id", ident,
            "--label", "foreign", "--usage-wrap", "--usage-decrypt",
            "--sensitive")
        self.assertEqual(code, 0, text)

    def test_another_key_under_the_same_id(self):
        self.make(WEST, "c7")
        self.server.cli("admin", "key", "register", "foreign", "--token", WEST,
                        "--uri", f"pkcs11:token={WEST};id=%c7;type=private")
        before = self.serial(WEST)
        for kind in ("privkey", "pubkey"):
            code, text = self.server.pkcs11_tool(
                WEST, "--delete-object", "--type", kind, "--id", "c7")
            self.assertEqual(code, 0, text)
        self.move_to(WEST, ELSEWHERE)
        for say in ("is not in the token", "another key pair"):
            with self.assertRaises(Refused) as caught:
                self.rebind(WEST)
            self.assertIn("KEY_MISMATCH", caught.exception.text)
            self.assertIn(say, caught.exception.text)
            self.server.end()
            self.make(WEST, "c7")
            self.server.start()
        self.assertEqual(self.serial(WEST), before)
        self.assertEqual(len(self.server.audit(activity="RebindKeys")), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
