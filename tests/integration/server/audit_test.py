"""Is the audit of the real service signed, so that its export, the public key
and nothing else show whether it was touched (R-15.24, N40)?
"""
import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import PARENT, Server  # noqa: E402

PATIENCE_S = 120


class Audit(unittest.TestCase):
    def setUp(self):
        self.server = Server().begin()
        self.addCleanup(self.server.stop)

    def wait_for(self, what, said):
        until = time.monotonic() + PATIENCE_S
        while not what():
            self.assertLess(time.monotonic(), until, said)
            time.sleep(0.2)

    def newest(self):
        found = self.server.call("auditor", "ListCheckpoints", parent=PARENT,
                                 page_size=1).checkpoints
        return found[0].audit_index if found else 0

    def wait_until_signed(self):
        end = self.server.audit_end()
        self.wait_for(lambda: self.newest() >= end, "no checkpoint comes")
        return end

    def export(self, name="audit.jsonl"):
        path = self.server.home / name
        made = self.server.cli("auditor", "audit", "export", str(path))
        return path, made

    def key(self):
        """The public key, fetched once, as an auditor would keep it."""
        prefix = self.server.home / "audit"
        if not prefix.with_suffix(".pem").exists():
            self.server.run(self.server.build / "client/cli/holdfast", "--as",
                            "auditor", "audit", "checkpoints", "--out", prefix)
        return prefix.with_suffix(".pem")

    def verify(self, path, *more):
        """Offline: without a profile."""
        return subprocess.run(
            [str(word) for word in (
                self.server.build / "client/cli/holdfast", "--json", "audit",
                "verify", path, "--public-key", self.key(), *more)],
            capture_output=True, text=True)

    def assert_intact(self, path, *more):
        done = self.verify(path, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def assert_broken(self, lines, text, *more):
        path = self.server.home / "touched.jsonl"
        path.write_text("".join(line + "\n" for line in lines))
        done = self.verify(path, *more)
        self.assertEqual(done.returncode, 7, done.stdout)
        self.assertIn(text, done.stdout + done.stderr)

    def test_r15_24_signed_and_checked_offline(self):
        end = self.wait_until_signed()
        path, made = self.export()
        shown = self.assert_intact(path)
        self.assertEqual(shown["absent"], 0)
        self.assertGreaterEqual(shown["covered"], end)
        self.assertGreater(made["others"], 0)  # the service's own records
        self.assertEqual(made["checkpoints"], shown["checkpoints"])
        prefix = self.key().with_suffix("")
        subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", f"{prefix}.pem",
             "-signature", f"{prefix}.sig", f"{prefix}.txt"],
            check=True, capture_output=True)

    def test_n40_touched(self):
        end = self.wait_until_signed()
        path, _ = self.export()
        lines = path.read_text().splitlines()
        index = [json.loads(line).get("index") for line in lines]
        middle = index.index(str(end // 2))
        self.assert_broken(lines[:middle] + lines[middle + 1:],
                           f"index {end // 2} is missing")
        signed = [line for line in lines if "statement" in line
                  or int(json.loads(line)["index"]) < end]
        self.assert_broken(signed, f"index {end} is missing")
        swapped = list(lines)
        swapped[middle], swapped[middle + 1] = lines[middle + 1], lines[middle]
        self.assert_broken(swapped, "index ")

    def test_r15_24_over_a_crash(self):
        """What was signed before a crash holds after it, and what comes is
        signed again; a service that ends leaves nothing unsigned."""
        self.wait_until_signed()
        self.key()
        before, _ = self.export("before.jsonl")
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.server.mailbox("later", "mail")
        self.assertEqual(self.server.end(signal.SIGTERM), 0)
        self.server.start()
        end = self.server.audit_end()
        after, _ = self.export("after.jsonl")
        shown = self.assert_intact(after, "--checkpoints", before)
        self.assertLessEqual(end - shown["covered"], 2)

    def test_r15_24_a_token_that_does_not_sign(self):
        """It is an alert, nobody waits for it, and it is made up for."""
        self.wait_until_signed()
        self.server.faults(
            "token=holdfast-service function=C_SignInit "
            "rv=CKR_DEVICE_ERROR")
        self.server.mailbox("more", "mail")
        self.wait_for(lambda: self.server.log_lines("checkpoint.failed"),
                      "no alert")
        self.assertEqual(self.server.unwrap("memo").code, "OK")
        self.server.clear()
        self.wait_until_signed()
        self.assertTrue(self.server.log_lines("checkpoint.resumed"))


if __name__ == "__main__":
    unittest.main()
