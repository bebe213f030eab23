#!/usr/bin/env python3
"""backup_test: a token is backed up as its vendor can, and a restored one is
known by the fingerprints of its keys (R-4.18, R-4.19, R-15.5).

usage: backup_test.py HOLDFAST-HSM KILL-POINTS-LIBRARY EVERY
                      [UNITTEST OPTION...]
"""
import json
import os
import shutil
import signal
import sys
import unittest

from ceremony_test import CeremonyTest, POINTS_MAX
from hsm import CONFLICT, HsmTest, OTHER, REFUSED


class Backup(CeremonyTest):
    def setUp(self):
        super().setUp()
        self.init("ck1")
        for name in ("a", "b"):
            self.ask("key", "generate", *self.token(
                "ck1", "--name", name, "--bits", "2048"))

    def backup(self, *more, **options):
        return self.ask("token", "backup", *self.token("ck1"), "--manifest",
                        "m.json", *more, **options)

    def check(self, **options):
        run = self.problem if "expect" in options else self.ask
        return run("token", "check-restored", *self.token("ck1"),
                   "--manifest", "m.json", **options)

    def test_a_token_comes_back_from_its_backup(self):
        made = self.backup("--out", "copy")
        self.assertEqual((made["keys"], made["copied"]), (3, True))
        keys = self.keys("ck1")
        folder = next((self.dir / "tokens").iterdir())
        shutil.rmtree(folder)
        shutil.copytree(self.dir / "copy", folder)
        checked = self.check()
        self.assertEqual((checked["keys"], checked["proved"],
                          checked["more"]), (3, 3, []))
        self.assertEqual(self.keys("ck1"), keys)
        # a manifest holds no secret, and is never overwritten
        self.run_tool("token", "backup", *self.token("ck1"), "--manifest",
                      "m.json", expect=CONFLICT)

    def test_a_token_that_is_not_the_one(self):
        self.backup("--out", "copy")
        manifest = json.loads((self.dir / "m.json").read_text())
        self.ask("key", "generate", *self.token("ck1", "--name", "c",
                                                "--bits", "2048"))
        self.assertEqual(self.check()["more"], ["c"])
        for what, value in (("public_key_sha256", "00" * 32), ("id", "00"),
                            ("name", "other")):
            with self.subTest(what=what):
                changed = json.loads(json.dumps(manifest))
                key = next(k for k in changed["keys"] if k["name"] == "b")
                key[what] = value
                self.write("m.json", 0o600, json.dumps(changed))
                self.assertIn("into service", self.check(expect=CONFLICT))
        self.write("m.json", 0o600, "{}")
        self.check(expect=OTHER)

    def test_availability_keys_are_never_backed_up(self):
        """R-15.5: a backup would outlive deletion."""
        self.init("ak")
        self.ask("ak", "init", *self.token("ak"))
        why = self.problem("token", "backup", *self.token("ak"), "--manifest",
                           "ak.json", "--out", "ak.copy", expect=REFUSED)
        self.assertIn("never backed up", why)
        self.assertFalse((self.dir / "ak.json").exists())
        self.assertFalse((self.dir / "ak.copy").exists())

    def test_a_dry_run_writes_nothing(self):
        self.backup("--out", "copy", "--dry-run")
        self.assertFalse((self.dir / "m.json").exists())
        self.assertFalse((self.dir / "copy").exists())

    def test_a_refused_step_takes_nothing_for_its_own(self):
        """What was there before the ceremony is no backup of this token, also
        when the step runs again; nor does the ceremony overwrite it."""
        self.plan("token backup --manifest m.json --out copy")
        (self.dir / "copy").mkdir()
        self.write("copy/notes", 0o600, "of somebody")
        self.start(ask=False, expect=CONFLICT)
        self.assertFalse((self.dir / "m.json").exists())
        self.problem("ceremony", "resume", *self.common(), expect=CONFLICT)
        shutil.rmtree(self.dir / "copy")
        self.write("m.json", 0o600, "of somebody")
        self.problem("ceremony", "resume", *self.common(), expect=CONFLICT)
        self.assertEqual((self.dir / "m.json").read_text(), "of somebody")
        (self.dir / "m.json").unlink()
        done = self.ask("ceremony", "resume", *self.common())
        self.assertEqual(done["state"], "completed")
        self.check()

    def test_a_killed_step_looks_before_it_believes(self):
        """Between the kill and the resumption somebody put another there."""
        self.plan("token backup --manifest m.json --out copy")
        self.keep("prepared")
        for point in range(1, POINTS_MAX, 3):
            self.bring_back("prepared")
            self.start("--module", self.kill_points, ask=False,
                       expect=-signal.SIGKILL, env=self.lives_to(point))
            if (self.dir / "copy").exists():
                break
            for path in self.dir.glob("m.json*"):
                path.unlink()
            shutil.rmtree(self.dir / "copy.part", ignore_errors=True)
        manifest = (self.dir / "m.json").read_text()
        self.write("m.json", 0o600, manifest.replace('"a"', '"other"'))
        self.problem("ceremony", "resume", *self.common(), expect=CONFLICT)
        self.write("m.json", 0o600, manifest)
        self.write("copy/more", 0o600, "")
        why = self.problem("ceremony", "resume", *self.common(),
                           expect=CONFLICT)
        self.assertIn("move it away", why)
        (self.dir / "copy" / "more").unlink()
        self.assertEqual((self.dir / "m.json").read_text(), manifest)
        done = self.ask("ceremony", "resume", *self.common())
        self.assertEqual(done["state"], "completed")
        self.assertEqual((self.dir / "m.json").read_text(), manifest)

    def test_at_every_point(self):
        """Issue 4: interrupted at every step, a ceremony resumes."""
        self.plan("token backup --manifest m.json --out copy",
                  "token check-restored --manifest m.json")
        self.keep("prepared")

        def prepare():
            self.bring_back("prepared")
            shutil.rmtree(self.dir / "copy", ignore_errors=True)
            shutil.rmtree(self.dir / "copy.part", ignore_errors=True)
            for path in self.dir.glob("m.json*"):
                path.unlink()

        for point in self.every_point(self.start_from(prepare)):
            with self.subTest(point=point):
                if self.nothing_was_begun():
                    (self.dir / "t.jsonl").unlink(missing_ok=True)
                    self.start()
                else:
                    self.ask("ceremony", "resume", *self.common())
                self.assertEqual(self.verify()["state"], "completed")
                names = {path.name for path in (self.dir / "copy").iterdir()}
                folder = next((self.dir / "tokens").iterdir())
                self.assertEqual(names, {p.name for p in folder.iterdir()})
                self.assertFalse((self.dir / "copy.part").exists())


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    HsmTest.tool = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.kill_points = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.every = int(sys.argv.pop(1))
    unittest.main()
