"""Does the quickstart's tour go to its end on the programs of this build, and
show a newcomer what it promises: the main job, a revocation, a roll, a recovery,
a purge with its certificate, and the keys as they hang together?
"""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

QUICKSTART = pathlib.Path(os.environ["HF_SOURCE"]) / "deploy/quickstart"
BUILD = os.environ["HF_BUILD"]
# in this order; what differs from run to run is left to a pattern
TOUR = [
    r"1\. Tokens", r"2\. A development CA", r"3\. holdfastd", r"4\. The tenant",
    r"customer keys validated: \d+ checks passed",
    r"5\. The data encryption policy", r"6\. A mailbox of 5 messages",
    r"7\. Revocation", r"PERMISSION_DENIED / KEY_ACCESS_DENIED",
    r"Fallback to Availability Key", r"byte for byte what it was",
    r"8\. Rolling", r"\$ holdfast --as admin dep refresh mail",
    r"\$ holdfast --as admin dep rewrap mail --wait", r"rewrap  100 %",
    r"9\. Recovery", r"\$ holdfast --as admin dep create rescue ",
    r"\$ holdfast --as admin mailbox assign \S+ --dep rescue",
    r"Alice's mailbox opens again, with the new keys",
    r"10\. Purge", r"\$ holdfast --as admin approvers set --approver ",
    r"\$ holdfast --as admin purge request mail ",
    r"\$ holdfast --as officer purge approve \S+ --key \S+ --document ",
    r"72 hours, unless a configuration shortens it",
    r"\$ holdfast --as operator purge execute \S+ --confirm --wait",
    r"purge  100 %", r"\$ holdfast --as auditor purge certificate ",
    r"dep_name=mail", r"resources_tombstoned=1", r"residual_wrap=none",
    r"\$ holdfast --as auditor purge verify ", r"The signature is good\.",
    r"FAILED_PRECONDITION / KEY_DESTROYED", r"Alice's opens",
    r"11\. More than mailboxes",
    r"\$ holdfast --as admin tenant assign everything --wait",
    r"\$ holdfast --as admin geo register EMEA ",
    r"The key hierarchy", r"CK1 contoso-new-east", r"CK2 contoso-new-west",
    r"AK ", r"DEP rescue: DEP key, generation 1",
    r"mailbox key of alice@contoso\.example",
    r"multi-workload DEP everything: DEP key, generation 1",
    r"workload key of teams-chat",
    r"geo EMEA: intermediate key \(TIK\), version 1", r"site key of finance",
    r"blob key", r"To try next", r"quickstart: ok",
]
A_PAGE_OR_TWO = 140


class Quickstart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="holdfast-")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name) / "home"
        self.env = dict(os.environ, HOLDFAST_HOME=str(self.home))

    def tour(self, *words):
        return subprocess.run(
            [QUICKSTART, "--once", "--no-install", *words], env=self.env,
            capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL)

    def test_the_tour(self):
        done = self.tour("--programs", BUILD)
        self.assertEqual((done.returncode, done.stderr), (0, ""),
                         done.stdout[-2000:])
        lines = done.stdout.splitlines()
        self.assertEqual(lines[-1], "quickstart: ok")
        # how often progress is told depends on the machine
        told = [line for line in lines if not re.search(r" \d+ %  ", line)]
        self.assertLess(len(told), A_PAGE_OR_TWO)
        at = 0
        for pattern in TOUR:
            while at < len(lines) and not re.search(pattern, lines[at]):
                at += 1
            self.assertLess(at, len(lines), f"{pattern}: not in its place\n"
                            + done.stdout)
            at += 1
        self.certificate()

    def test_the_tour_with_the_tls_key_in_a_token(self):
        done = self.tour("--programs", BUILD, "--tls-key-in-token")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("TLS key is in the token holdfast-tls", done.stdout)
        self.assertTrue((self.home / "pki/server.pem").exists())
        self.assertFalse((self.home / "pki/server.key").exists())

    def certificate(self):
        """OpenSSL's own command checks it, too."""
        checked = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", self.home / "purge.pem",
             "-signature", self.home / "purge.sig", self.home / "purge.txt"],
            capture_output=True, text=True, check=False)
        self.assertIn("Verified OK", checked.stdout)

    def test_a_folder_of_somebody_else_is_left_alone(self):
        self.home.mkdir()
        kept = self.home / "kept"
        kept.write_text("mine")
        done = self.tour("--programs", BUILD)
        self.assertEqual(done.returncode, 1)
        self.assertIn("quickstart did not make it", done.stderr)
        self.assertEqual(kept.read_text(), "mine")


if __name__ == "__main__":
    unittest.main(verbosity=2)
