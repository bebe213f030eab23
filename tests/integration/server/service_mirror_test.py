"""Does the service go on without one of its own two tokens, and does one that
missed something ever make an old store look right (R-15.10, R-15.22; N21)?
"""
import json
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from deployment import Refused  # noqa: E402
from server import BUILD, Server  # noqa: E402

FIRST, MIRROR = "holdfast-service", "holdfast-service-b"
AWAY = "service_token.mirror_away"
IN_STEP = "service_token.mirror_in_step"


class ServiceMirror(unittest.TestCase):
    def setUp(self):
        self.server = Server(service_mirror=True)
        self.addCleanup(self.server.stop)
        self.server.begin(anew=True)
        self.key = self.server.unwrap("mail").key
        self.assertIsNotNone(self.key)
        self.aside = self.server.home / "aside"
        self.aside.mkdir()
        self.changes = 0

    def folder(self, token):
        for path in (self.server.home / "tokens").glob("*/token.object"):
            if token.encode() + b" " in path.read_bytes():
                return path.parent
        raise AssertionError(f"no token {token}")

    def take(self, token):
        """The token's folder is gone; how to put it back."""
        place = self.folder(token)
        shutil.move(place, self.aside / token)
        return lambda: shutil.move(self.aside / token, place)

    def copy(self, token, name):
        shutil.copytree(self.folder(token), self.aside / name)

    def change(self):
        """A sealed change: it needs the MAC key, an epoch and a record."""
        self.changes += 1
        name = f"box-{self.changes}"
        self.server.dep_with_box(name)
        return name

    def opens(self, box="mail", key=None):
        outcome = self.server.unwrap(box)
        self.assertIsNotNone(outcome.key, outcome)
        if key:
            self.assertEqual(outcome.key, key)

    def until_logged(self, event, token, count=1):
        until = time.monotonic() + 60
        while sum(line["label"] == token for line in
                  self.server.log_lines(event)) < count:
            self.assertLess(time.monotonic(), until, f"{event} of {token}")
            time.sleep(0.05)

    def refused(self, word):
        done = subprocess.run(
            [str(BUILD / "server/app/holdfastd"), "--config",
             str(self.server.home / "holdfastd.yaml")], env=self.server.env,
            capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 1)
        self.assertIn(word, done.stderr)

    def test_a_token_is_lost_while_it_runs(self):
        """Calls and changes go on; the log says so; it starts with one; the
        stale one alone, and named alone, is refused; brought back, it catches
        up."""
        for gone, stays in ((FIRST, MIRROR), (MIRROR, FIRST)):
            with self.subTest(gone=gone):
                put_back = self.take(gone)
                self.opens(self.change())
                self.until_logged(AWAY, gone)
                self.assertEqual(self.server.end(), 0)
                self.server.start()
                self.opens(key=self.key)
                self.opens(self.change())
                self.server.end()
                # the one that missed it, alone, with the store as it was then
                put_back()
                put_other_back = self.take(stays)
                self.refused("may know of a later state")
                self.server.service_tokens = [gone]
                self.server.write_config()
                self.refused("has a mirror")
                self.server.service_tokens = [FIRST, MIRROR]
                self.server.write_config()
                put_other_back()
                count = sum(line["label"] == gone for line in
                            self.server.log_lines(IN_STEP))
                self.server.start()
                self.until_logged(IN_STEP, gone, count + 1)
                self.opens(self.change())
                self.server.end()
                self.server.start()

    def test_a_token_comes_back_while_it_runs(self):
        count = len([line for line in self.server.log_lines(IN_STEP)
                     if line["label"] == MIRROR])
        put_back = self.take(MIRROR)
        self.until_logged(AWAY, MIRROR)
        self.opens(self.change())
        put_back()
        self.until_logged(IN_STEP, MIRROR, count + 1)
        self.opens(self.change())
        self.opens(key=self.key)

    def test_an_old_store_is_refused(self):
        """Put back with the store of then: N21, with either token away."""
        old = self.server.home / "old"
        self.server.end()
        shutil.copytree(self.server.home / "state", old)
        self.server.start()
        put_back = self.take(FIRST)
        self.change()
        self.server.end()
        shutil.rmtree(self.server.home / "state")
        shutil.copytree(old, self.server.home / "state")
        self.refused("rolled back")  # the one that knows
        put_back()
        self.refused("rolled back")  # both
        self.take(MIRROR)
        self.refused("may know of a later state")  # the one that does not

    def test_a_token_is_lost_while_nothing_runs(self):
        """The operator says so; then the other one serves alone."""
        self.server.end()
        self.take(FIRST)
        self.refused("forget-mirror")
        told = self.server.hsm("service", "forget-mirror", "--token", MIRROR, "--mirror", FIRST,
                               "--pin-file", self.server.pin(MIRROR))
        self.assertEqual(told["members"], 1)
        self.server.service_tokens = [MIRROR]
        self.server.write_config()
        self.server.start()
        self.opens(key=self.key)
        self.opens(self.change())

    def test_each_signs_for_itself(self):
        """audit verify takes what either signed, by the keys of both."""
        def signed():
            return len({json.loads(line)["auditIndex"] for line in self.server.run(
                BUILD / "client/cli/holdfast", "--as", "auditor", "audit",
                "checkpoints", "--lines").splitlines()})
        for token in (FIRST, MIRROR):
            before = signed()
            put_back = self.take(MIRROR if token == FIRST else FIRST)
            self.change()
            until = time.monotonic() + 60
            while signed() == before:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.2)
            count = len(self.server.log_lines(IN_STEP))
            put_back()
            until = time.monotonic() + 60
            while len(self.server.log_lines(IN_STEP)) == count:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.05)
        out = self.server.home / "audit"
        self.server.run(BUILD / "client/cli/holdfast", "--as", "auditor",
                        "audit", "checkpoints", "--out", out)
        pem = pathlib.Path(f"{out}.pem").read_text()
        self.assertEqual(pem.count("BEGIN PUBLIC KEY"), 2)
        self.server.run(BUILD / "client/cli/holdfast", "--as", "auditor",
                        "audit", "export", self.server.home / "audit.jsonl")
        self.server.run(BUILD / "client/cli/holdfast", "audit", "verify",
                        self.server.home / "audit.jsonl", "--public-key",
                        f"{out}.pem")
        one = pem[:pem.index("END PUBLIC KEY")] + "END PUBLIC KEY-----\n"
        pathlib.Path(f"{out}.pem").write_text(one)
        with self.assertRaises(Refused):
            self.server.run(BUILD / "client/cli/holdfast", "audit", "verify",
                            self.server.home / "audit.jsonl", "--public-key",
                            f"{out}.pem")


if __name__ == "__main__":
    unittest.main()
