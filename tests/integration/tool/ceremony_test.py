#!/usr/bin/env python3
"""ceremony_test: two custodians, one token, and every way to be interrupted
(R-4.11, R-15.13).

usage: ceremony_test.py HOLDFAST-HSM KILL-POINTS-LIBRARY FAULT-SHIM EVERY
                        [UNITTEST OPTION...]

EVERY: 1 kills at every point, 7 at every seventh, the first and the last.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

from hsm import (CONFLICT, HALVES, HsmTest, MISSING, MODULE, OK, OTHER,
                 REFUSED, USAGE)

POINTS_MAX = 200


class CeremonyTest(HsmTest):
    kill_points = None
    shim = None
    every = 1

    def plan(self, *lines):
        self.write("plan", 0o600, "".join(line + "\n" for line in lines))

    def common(self, *more):
        return ("--token", "ck1", "--transcript", "t.jsonl", "--key",
                "alice.pem", "--key", "bob.pem", *self.halves("pin", "so-pin"),
                *more)

    def start(self, *more, ask=True, **options):
        run = self.ask if ask else self.run_tool
        return run("ceremony", "start", "--name", "first keys", "--plan",
                   "plan", *self.common(*more), **options)

    def verify(self, **options):
        return self.ask("ceremony", "verify", "--transcript", "t.jsonl",
                        "--public", "bob.pub.pem", "--public",
                        "alice.pub.pem", **options)

    def lines(self):
        """Those that are whole."""
        text = (self.dir / "t.jsonl").read_text()
        return [json.loads(line)
                for line in text[:text.rfind("\n") + 1].splitlines()]

    def lives_to(self, point):
        env = {"HF_KILL_AT": str(point), "HF_REAL_MODULE": MODULE,
               "LD_PRELOAD": self.kill_points}
        if os.environ.get("HF_SANITIZERS"):
            env["ASAN_OPTIONS"] = "verify_asan_link_order=0"
        return env

    def every_point(self, run, least=20):
        """run(n) dies at its n-th point; yields n after each death, with all
        as the killed process left it: at each point in turn, or every so many,
        and always at the first and at the last."""
        last, point = 0, 1
        while self.dies(run, point):
            yield point
            last, point = point, point + self.every
            self.assertLess(point, POINTS_MAX, "it never ends")
        self.assertGreater(point, least)
        tried = last
        while point - tried > 1:  # the last one is between these
            middle = (tried + point) // 2
            if self.dies(run, middle):
                tried = middle
            else:
                point = middle
        if tried > last and self.dies(run, tried):
            yield tried

    def dies(self, run, point):
        done = run(point)
        self.assertIn(done.returncode, (OK, -signal.SIGKILL), done.stderr)
        return done.returncode != OK

    def start_from(self, prepare, *arguments):
        """For every_point: a ceremony that is prepared anew each time."""
        def run(point):
            prepare()
            return self.start("--module", self.kill_points, *arguments,
                              ask=False, expect=None, env=self.lives_to(point))
        return run

    def by_hand(self, label, name, key_id):
        """A pair that may be renamed and destroyed: those of holdfast-hsm may
        not (R-15.13)."""
        self.opensc(label, "--keypairgen", "--key-type", "rsa:2048", "--label",
                    name, "--id", key_id)

    def opensc(self, label, *args):
        return subprocess.run(
            ["pkcs11-tool", "--module", MODULE, "--token-label", label,
             "--login", "--pin", "".join(HALVES["pin"]), *args], env=self.env,
            check=True, capture_output=True, text=True).stdout

    def forget(self):
        """As before everything: a token directory and no transcript."""
        for path in self.dir.glob("t.jsonl*"):
            path.unlink()
        shutil.rmtree(self.dir / "tokens")
        (self.dir / "tokens").mkdir()

    def keep(self, name):
        kept = self.dir / name
        if kept.exists():
            shutil.rmtree(kept)
        kept.mkdir()
        shutil.copytree(self.dir / "tokens", kept / "tokens")
        for path in self.dir.glob("t.jsonl*"):
            shutil.copy(path, kept)

    def bring_back(self, name):
        for path in self.dir.glob("t.jsonl*"):
            path.unlink()
        shutil.rmtree(self.dir / "tokens")
        shutil.copytree(self.dir / name / "tokens", self.dir / "tokens")
        for path in (self.dir / name).glob("t.jsonl*"):
            shutil.copy(path, self.dir)

    def nothing_was_begun(self):
        """The first line is not whole: there is no ceremony yet."""
        path = self.dir / "t.jsonl"
        return not path.exists() or b"\n" not in path.read_bytes()


class Transcripts(CeremonyTest):
    def test_a_ceremony_is_on_record(self):
        self.plan("# contoso's first keys", "", "token init --domain hq",
                  'key generate --name "mail box" --bits 2048',
                  'key roll --name "mail box"')
        done = self.start()
        self.assertEqual((done["state"], done["steps"], done["done"]),
                         ("completed", 3, 3))
        self.assertEqual(self.verify()["state"], "completed")
        lines = self.lines()
        self.assertEqual([line["event"] for line in lines],
                         ["begin"] + ["step", "done"] * 3 + ["end"])
        self.assertEqual(lines[1]["before"], {"present": False})
        made = lines[4]["answer"]
        self.assertEqual(made["attributes"]["extractable"], False)
        # found before, done, found after
        self.assertNotIn(made["id"],
                         [key["id"] for key in lines[3]["before"]["keys"]])
        self.assertIn(made["id"],
                      [key["id"] for key in lines[4]["after"]["keys"]])
        self.assertEqual(len(self.keys("ck1")), 2)
        shown = self.ask("ceremony", "status", "--transcript", "t.jsonl")
        self.assertEqual(shown["state"], "completed")
        # the PIN is the first half and then the second, nothing else
        shutil.copy(self.dir / "pin", self.dir / "whole")
        (self.dir / "whole").chmod(0o600)
        self.run_tool("token", "show", "--token", "ck1", "--pin-file", "whole")

    def test_openssl_alone_checks_the_signatures(self):
        self.plan("token init --domain hq")
        self.start()
        for number, who in ((1, "alice"), (2, "bob")):
            done = subprocess.run(
                ["openssl", "dgst", "-sha256", "-verify", f"{who}.pub.pem",
                 "-signature", f"t.jsonl.{number}.sig", "t.jsonl.statement"],
                cwd=self.dir, capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        digest = subprocess.run(["sha256sum", "t.jsonl"], cwd=self.dir,
                                capture_output=True, check=True, text=True)
        self.assertIn("transcript_sha256=" + digest.stdout.split()[0],
                      (self.dir / "t.jsonl.statement").read_text())

    def test_every_line_that_is_touched_is_found(self):
        self.plan("token init --domain hq", "key generate --name a "
                  "--bits 2048")
        self.start()
        path = self.dir / "t.jsonl"
        whole = path.read_bytes()
        lines = whole.splitlines(keepends=True)
        foreign = lines[1].replace(b'"n":1', b'"n":2')
        self.assertNotEqual(foreign, lines[1])
        for i, line in enumerate(lines):
            edited = line.replace(b'"event":"', b'"event":"x', 1)
            blank = line.replace(b",", b", ", 1)
            cases = {
                "edited": lines[:i] + [edited] + lines[i + 1:],
                "said otherwise": lines[:i] + [blank] + lines[i + 1:],
                "taken out": lines[:i] + lines[i + 1:],
                "doubled": lines[:i + 1] + lines[i:],
                "a foreign one before": lines[:i] + [foreign] + lines[i:],
                "swapped": lines[:i] + lines[i + 1:i + 2] + [line] +
                           lines[i + 2:],
                "cut": lines[:i],
                "torn": lines[:i] + [line[:-1]],
            }
            for what, changed in cases.items():
                text = b"".join(changed)
                if text == whole:
                    continue
                with self.subTest(line=i, what=what):
                    path.write_bytes(text)
                    self.problem("ceremony", "verify", "--transcript",
                                 "t.jsonl", "--public", "alice.pub.pem",
                                 "--public", "bob.pub.pem", expect=CONFLICT)
        path.write_bytes(whole)
        self.verify()

    def test_a_chain_that_was_made_anew_is_not_what_was_signed(self):
        """Somebody who computes all hashes again still cannot sign."""
        self.plan("token init --domain hq")
        self.start()
        signed = {path.name: path.read_bytes()
                  for path in self.dir.glob("t.jsonl*")}
        self.forget()
        self.start()
        for name in ("t.jsonl.statement", "t.jsonl.1.sig", "t.jsonl.2.sig"):
            (self.dir / name).write_bytes(signed[name])
        self.assertIn("another transcript", self.problem(
            "ceremony", "verify", "--transcript", "t.jsonl", "--public",
            "alice.pub.pem", "--public", "bob.pub.pem", expect=CONFLICT))

    def test_signatures_of_others_do_not_count(self):
        self.plan("token init --domain hq")
        self.start()
        self.assertIn("custodian 2", self.problem(
            "ceremony", "verify", "--transcript", "t.jsonl", "--public",
            "alice.pub.pem", "--public", "mallory.pub.pem", expect=CONFLICT))
        one = (self.dir / "t.jsonl.1.sig").read_bytes()
        (self.dir / "t.jsonl.2.sig").write_bytes(one)
        self.assertIn("signature 2", self.problem(
            "ceremony", "verify", "--transcript", "t.jsonl", "--public",
            "alice.pub.pem", "--public", "bob.pub.pem", expect=CONFLICT))
        # one person is not two
        self.plan("token init --domain hq")
        self.forget()
        self.problem("ceremony", "start", "--name", "x", "--plan", "plan",
                     "--token", "ck1", "--transcript", "t.jsonl", "--key",
                     "alice.pem", "--key", "alice.pem",
                     *self.halves("pin", "so-pin"), expect=USAGE)
        self.assertFalse((self.dir / "t.jsonl").exists())


class Orders(CeremonyTest):
    def test_a_dry_run_changes_nothing(self):
        self.plan("token init --domain hq", "key generate --name a "
                  "--bits 2048", "key roll --name a")
        told = self.start("--dry-run")
        self.assertTrue(told["dry_run"])
        self.assertEqual(len(told["steps"]), 3)
        self.assertFalse((self.dir / "t.jsonl").exists())
        self.assertEqual(list((self.dir / "tokens").iterdir()), [])
        self.start()
        before = self.fingerprint()
        keys = self.keys("ck1")
        for words in (("token", "init", "--domain", "hq"),
                      ("key", "generate", "--name", "b"),
                      ("key", "roll", "--name", "a"),
                      ("key", "rename", "--name", "a", "--new-name", "c"),
                      ("key", "destroy", "--id", keys[0][1])):
            with self.subTest(words=words):
                told = self.ask(*words, *self.token("ck1"), "--dry-run")
                self.assertTrue(told["dry_run"])
                self.assertEqual(self.fingerprint(), before)
        told = self.ask("token", "erase", *self.token("ck1"), "--dry-run")
        self.assertEqual(self.fingerprint(), before)
        self.ask("token", "change-pin", "--who", "user", *self.token("ck1"),
                 *self.halves("new-pin"), "--dry-run")
        self.assertEqual(self.keys("ck1"), keys)  # the PIN is as it was

    def test_what_a_plan_must_not_hold(self):
        for line in ("token erase", "key list", "nonsense", "key generate",
                     "key generate --name a --pin-file x",
                     "key generate --name a --token other",
                     'key generate --name "a', "token init --domain hq --json",
                     "token init --domain hq --dry-run"):
            with self.subTest(line=line):
                self.plan(line)
                self.assertIn("line 1", self.problem(
                    "ceremony", "start", "--name", "x", "--plan", "plan",
                    *self.common(), expect=USAGE))
                self.assertFalse((self.dir / "t.jsonl").exists())
        self.plan("# nothing")
        self.start(expect=USAGE, ask=False)

    def test_a_step_that_fails_can_be_mended(self):
        self.init("ck1")
        self.plan("token init --domain elsewhere", "key generate --name a "
                  "--bits 2048")
        self.start(ask=False, expect=CONFLICT)
        self.assertEqual([line["event"] for line in self.lines()],
                         ["begin", "step", "failed"])
        self.assertEqual(self.keys("ck1"), [])
        # who goes on must be who began
        self.problem("ceremony", "resume", "--token", "ck1", "--transcript",
                     "t.jsonl", "--key", "alice.pem", "--key", "mallory.pem",
                     *self.halves("pin", "so-pin"), expect=REFUSED)
        self.problem("ceremony", "start", "--name", "again", "--plan", "plan",
                     *self.common(), expect=CONFLICT)
        # what it did not make stays
        undone = self.ask("ceremony", "undo", *self.common())
        self.assertEqual(undone["state"], "undone")
        self.verify()
        self.assertTrue(self.ask("token", "show", *self.token("ck1"))["canary"])

    def test_halves_are_typed_unseen(self):
        """Neither custodian alone, and neither sees the other's."""
        self.plan("token init --domain hq")
        first, second = "First custodian, ", "Second custodian, "
        pins = {"security officer": ("so-first-", "so-second-x"),
                "user": ("user-first-", "user-second-x")}
        answers = []
        for whose, halves in pins.items():
            for who, half in zip((first, second), halves):
                for before in ("your half of the new ",
                               "your half of the again, new "):
                    answers.append((f"{before}{whose} PIN of token ck1: ",
                                    half))
        args = ["ceremony", "start", "--name", "x", "--plan", "plan",
                "--token", "ck1", "--transcript", "t.jsonl", "--key",
                "alice.pem", "--key", "bob.pem"]
        code, screen = self.type_in(args, answers)
        self.assertEqual(code, OK, screen)
        for halves in pins.values():
            for half in halves:
                self.assertNotIn(half, screen)
        whole = self.write("typed", 0o600, "".join(pins["user"]))
        self.run_tool("token", "show", "--token", "ck1", "--pin-file", whole)

    def test_a_new_half_has_a_least_length(self):
        self.plan("token init --domain hq")
        self.write("pin.1", 0o600, "short")
        self.assertIn("6 bytes", self.problem(
            "ceremony", "start", "--name", "x", "--plan", "plan",
            *self.common(), expect=USAGE))

    def test_no_whole_pin_in_a_ceremony(self):
        self.plan("token init --domain hq")
        self.run_tool("ceremony", "start", "--name", "x", "--plan", "plan",
                      *self.common(), "--pin-file", "pin", expect=USAGE)
        self.run_tool("token", "show", "--token", "ck1", "--pin-half-file",
                      "pin.0", expect=USAGE)


class Interrupted(CeremonyTest):
    """Issue 4: a ceremony interrupted at every step resumes or undoes."""

    def go_on(self, verb, *more):
        """What an operator does then; a ceremony of which not even the first
        line was written is begun instead."""
        if self.nothing_was_begun():
            (self.dir / "t.jsonl").unlink(missing_ok=True)
            return None
        return self.ask("ceremony", verb, *self.common(*more))

    def test_at_every_point_of_a_first_ceremony(self):
        self.plan("token init --domain hq",
                  "key generate --name a --bits 2048")
        for point in self.every_point(self.start_from(self.forget)):
            with self.subTest(point=point):
                self.keep("killed")
                done = self.go_on("resume") or self.start()
                self.assertEqual(done["state"], "completed")
                self.verify()
                self.assertEqual([name for name, _ in self.keys("ck1")],
                                 ["a"])
                self.bring_back("killed")
                ended = b'"event":"end"' in (
                    self.dir / "t.jsonl").read_bytes() if (
                    self.dir / "t.jsonl").exists() else False
                if ended:
                    continue
                self.undo_and_do_again()

    def undo_and_do_again(self):
        if self.nothing_was_begun():
            return
        undone = self.ask("ceremony", "undo", *self.common(*self.in_use()))
        self.assertEqual(undone["state"], "undone")
        self.verify()
        self.nothing_is_left()
        for path in self.dir.glob("t.jsonl*"):
            path.unlink()
        self.start()
        self.assertEqual([name for name, _ in self.keys("ck1")], ["a"])

    def nothing_is_left(self):
        """A token that was initialised stays so, with nothing in it."""
        for token in self.ask("token", "list")["tokens"]:
            self.assertNotEqual(token["state"], "ready")

    def test_at_every_point_of_a_roll_and_a_new_pin(self):
        self.init("ck1")
        self.ask("key", "generate", *self.token("ck1", "--name", "a",
                                                "--bits", "2048"))
        before = self.keys("ck1")
        self.keep("prepared")
        self.plan("key roll --name a", "token change-pin --who user")
        new = self.halves("new-pin")

        for point in self.every_point(self.start_from(
                lambda: self.bring_back("prepared"), *new)):
            with self.subTest(point=point):
                done = self.go_on_with_either_pin("resume", new) or \
                    self.start(*new)
                self.assertEqual(done["state"], "completed")
                self.verify()
                keys = self.keys_with("new-pin")
                self.assertEqual(len(keys), 2)
                self.assertIn(before[0], keys)
                self.problem("key", "list", *self.token("ck1"),
                             expect=REFUSED)

    def go_on_with_either_pin(self, verb, new):
        """The PIN is what it was, until the transcript says that the step that
        changes it is done."""
        if self.nothing_was_begun():
            return self.go_on(verb)
        done = any(line["event"] == "done" and line["step"] == 1
                   for line in self.lines())
        if not done:
            return self.go_on(verb, *new)
        return self.ask("ceremony", verb, "--token", "ck1", "--transcript",
                        "t.jsonl", "--key", "alice.pem", "--key", "bob.pem",
                        *self.halves("so-pin"), "--pin-half-file",
                        "new-pin.0", "--pin-half-file", "new-pin.1")

    def keys_with(self, pin):
        return sorted((key["name"], key["id"]) for key in self.ask(
            "key", "list", "--token", "ck1", "--pin-file", pin)["keys"]
            if key["role"] != "canary")

    def test_an_undo_at_every_point(self):
        self.plan("token init --domain hq", "key generate --name a "
                  "--bits 2048", "key generate --name a --bits 4096")
        self.start(ask=False, expect=CONFLICT)  # a has 2048 bits
        evidence = self.in_use()
        self.keep("failed")

        def run(point):
            self.bring_back("failed")
            return self.run_tool(
                "ceremony", "undo", *self.common("--module", self.kill_points),
                *evidence, expect=None, env=self.lives_to(point))

        for point in self.every_point(run, least=10):
            with self.subTest(point=point):
                # whoever says resume in an undo goes on undoing
                text = (self.dir / "t.jsonl").read_bytes()
                whole = text[:text.rfind(b"\n") + 1]
                begun = b'"event":"undo"' in whole
                ended = b'"event":"end"' in whole
                verb = "resume" if ended or (begun and point % 2) else "undo"
                self.ask("ceremony", verb, *self.common(*evidence))
                self.assertEqual(self.verify()["state"], "undone")
                self.nothing_is_left()

    def test_at_every_point_of_what_is_done_once(self):
        """What a second run does not find as it was: done between a kill and
        the line that says so, it is known to be done."""
        self.init("ck1")
        self.by_hand("ck1", "old", "0a01")
        self.by_hand("ck1", "ended", "0a02")
        self.keep("prepared")
        evidence = self.in_use()
        self.plan("key import-prepare --key alice.pem --out prepared.json "
                  "--id 0a03", "key rename --name old --new-name new",
                  "key destroy --id 0a02")

        def prepare():
            self.bring_back("prepared")
            for path in self.dir.glob("prepared.json*"):
                path.unlink()

        for point in self.every_point(self.start_from(prepare, *evidence)):
            with self.subTest(point=point):
                done = self.go_on("resume", *evidence) or \
                    self.start(*evidence)
                self.assertEqual(done["state"], "completed")
                self.verify()
                self.assertEqual(self.keys("ck1"), [
                    ("holdfast-import", "0a03"), ("new", "0a01")])
                self.assertTrue((self.dir / "prepared.json").exists())
                # both halves of the canary and of these two, no other
                shown = self.opensc("ck1", "--list-objects")
                self.assertEqual(shown.count("Key Object; RSA"), 6)
                self.assertEqual(shown.count("label:      new"), 2)

    def test_a_step_that_was_refused_is_not_done_by_being_repeated(self):
        self.init("ck1")
        evidence = self.in_use()
        for line in ("key destroy --id 0a02",
                     "key rename --name old --new-name new"):
            with self.subTest(line=line):
                self.plan(line)
                self.start(*evidence, ask=False, expect=MISSING)
                self.problem("ceremony", "resume", *self.common(*evidence),
                             expect=MISSING)
                for path in self.dir.glob("t.jsonl*"):
                    path.unlink()


class Dangerous(CeremonyTest):
    """What something depends on is not destroyed."""

    def setUp(self):
        super().setUp()
        self.serial = self.init("ck1")["serial"]
        made = self.ask("key", "generate", *self.token(
            "ck1", "--name", "a", "--bits", "2048"))
        self.id, self.hash = made["id"], made["public_key_sha256"]
        self.before = self.keys("ck1")

    def erase(self, *more, **options):
        return self.problem("token", "erase", *self.token("ck1"),
                            *self.halves("so-pin"), *more, **options)

    def test_a_token_in_use_is_not_emptied(self):
        used = self.in_use([("mbx", self.hash, self.serial,
                             [("exo-dep", "ENABLED"), ("ended-dep", "PURGED")])])
        for words in (("token", "erase", *self.halves("so-pin")),
                      ("key", "destroy", "--id", self.id)):
            why = self.problem(*words, *self.token("ck1"), *used,
                               expect=REFUSED)
            self.assertIn("exo-dep", why)
            self.assertNotIn("ended-dep", why)
        self.assertEqual(self.keys("ck1"), self.before)

    def test_what_is_no_evidence(self):
        good = self.in_use()
        self.in_use(age_s=3660)
        self.assertIn("more than an hour old", self.erase(*good, expect=REFUSED))
        self.in_use(age_s=-3600)
        self.erase(*good, expect=REFUSED)
        self.in_use()
        self.in_use([("mbx", self.hash, self.serial, [("d", "ENABLED")])],
                    sign=False)
        self.assertIn("not signed", self.erase(*good, expect=REFUSED))
        self.erase(*good[:2], expect=USAGE)
        # a service that does not know the token says nothing about it
        self.in_use()
        text = (self.dir / "contoso.json").read_text()
        self.write("contoso.json", 0o600, text.replace(self.serial, "other"))
        self.openssl("dgst", "-sha256", "-sign", "audit.key", "-out",
                     "contoso.sig", "contoso.json")
        self.assertIn("does not know", self.erase(*good, expect=REFUSED))
        # and without a terminal nobody can confirm
        self.assertIn("--in-use", self.erase(expect=REFUSED))
        self.assertEqual(self.keys("ck1"), self.before)

    def test_two_people_can_order_it_all_the_same(self):
        prompt = "type the serial of the token: "
        args = ["token", "erase", *self.token("ck1"), *self.halves("so-pin")]
        code, screen = self.type_in(args, [(prompt, self.serial),
                                           (prompt, "something else")])
        self.assertEqual(code, REFUSED, screen)
        self.assertEqual(self.keys("ck1"), self.before)
        code, screen = self.type_in(args, [(prompt, self.serial)] * 2)
        self.assertEqual(code, OK, screen)
        self.init("ck1")
        self.assertEqual(self.keys("ck1"), [])

    def test_a_key_that_is_not_destroyable_says_so(self):
        """R-15.13: CKA_DESTROYABLE is false where honoured."""
        why = self.problem("key", "destroy", "--id", self.id,
                           *self.token("ck1"), *self.in_use(), expect=REFUSED)
        self.assertIn("CKA_DESTROYABLE", why)
        self.assertEqual(self.keys("ck1"), self.before)
        # nor renamed: it is not modifiable
        self.problem("key", "rename", "--name", "a", "--new-name", "b",
                     *self.token("ck1"), expect=REFUSED)
        self.assertEqual(self.keys("ck1"), self.before)

    def test_a_token_of_availability_keys_is_the_services(self):
        """R-15.5: also where all its keys are pairs, as SharePoint's are."""
        self.init("files-ak")
        self.ask("ak", "init", *self.token("files-ak"))
        before = self.keys("files-ak")
        self.assertTrue(before)
        for words in (("token", "erase", *self.halves("so-pin"), *self.in_use()),
                      ("key", "generate", "--name", "mail")):
            for more in ((), ("--dry-run",)):
                why = self.problem(*words, *self.token("files-ak"), *more,
                                   expect=REFUSED)
                self.assertIn("keys of the service", why)
        self.assertEqual(self.keys("files-ak"), before)

    def test_keys_of_one_id_would_go_together(self):
        """A token destroys and renames by the id alone."""
        self.by_hand("ck1", "twin", self.id)
        before = self.keys("ck1")
        self.assertEqual(len(before), 2)
        for words in (("key", "destroy", "--id", self.id, *self.in_use()),
                      ("key", "rename", "--name", "twin", "--new-name", "b")):
            why = self.problem(*words, *self.token("ck1"), expect=CONFLICT)
            self.assertIn("2 keys", why)
        self.assertEqual(self.keys("ck1"), before)

    def test_an_undo_leaves_what_it_did_not_make(self):
        """A ceremony in a token that was there before: its key cannot be
        destroyed, which the transcript says, and the other stays."""
        self.plan(f"key generate --name a --id {self.id}", "key roll --name a",
                  "key generate --name a --bits 4096")
        self.start(ask=False, expect=CONFLICT)
        undone = self.ask("ceremony", "undo", *self.common(*self.in_use()))
        self.assertEqual(undone["state"], "undone in part")
        self.verify()
        results = [line["result"] for line in self.lines()
                   if line["event"] == "undone"]
        self.assertEqual(len(results), 3)
        self.assertIn("not there", results[0])
        self.assertIn("CKA_DESTROYABLE", results[1])
        self.assertIn("was there before", results[2])
        self.assertIn(self.before[0], self.keys("ck1"))

    def test_an_undo_spares_a_token_with_a_key_of_another(self):
        self.forget()
        self.plan("token init --domain hq", "key generate --name a "
                  "--bits 2048", "key generate --name a --bits 4096")
        self.start(ask=False, expect=CONFLICT)
        self.ask("key", "generate", *self.token("ck1", "--name", "theirs",
                                                "--bits", "2048"))
        why = self.problem("ceremony", "undo", *self.common(*self.in_use()),
                           expect=REFUSED)
        self.assertIn("theirs", why)
        self.assertEqual(len(self.keys("ck1")), 2)

    def test_another_token_of_the_label_is_another(self):
        """Whose PIN, steps and keys are not this ceremony's, though it has a
        key of the very id that the ceremony makes."""
        self.plan("key generate --name b --bits 2048",
                  "key generate --name a --bits 4096")
        self.start(ask=False, expect=CONFLICT)
        made = self.lines()[2]["answer"]["id"]
        shutil.rmtree(self.dir / "tokens")
        (self.dir / "tokens").mkdir()
        other = self.init("ck1")["serial"]
        self.by_hand("ck1", "b", made)
        before = self.keys("ck1")
        self.assertEqual(before, [("b", made)])
        for words in (("resume",), ("undo", *self.in_use())):
            why = self.problem("ceremony", words[0],
                               *self.common(*words[1:]), expect=CONFLICT)
            self.assertIn(other, why)
            self.assertIn(self.serial, why)
        self.assertEqual(self.keys("ck1"), before)
        self.assertEqual([line["event"] for line in self.lines()[-2:]],
                         ["resume", "resume"])

    def test_an_undo_spares_what_came_into_use(self):
        self.forget()
        self.plan("token init --domain hq", "key generate --name a "
                  "--bits 2048", "key generate --name a --bits 4096")
        self.start(ask=False, expect=CONFLICT)
        serial = self.lines()[2]["after"]["serial"]
        made = self.lines()[4]["answer"]
        why = self.problem(
            "ceremony", "undo", *self.common(*self.in_use(
                [("mbx", made["public_key_sha256"], serial,
                  [("exo-dep", "ENABLED")])])), expect=REFUSED)
        self.assertIn("exo-dep", why)
        self.assertEqual(self.keys("ck1"), [("a", made["id"])])

    def test_the_services_own_tokens_are_not_emptied(self):
        """R-15.5, R-15.10."""
        self.init("ak")
        self.ask("service", "init", *self.token("ak"))
        before = self.fingerprint()
        self.problem("token", "erase", *self.token("ak"),
                     *self.halves("so-pin"), *self.in_use(), expect=REFUSED)
        self.assertEqual(self.fingerprint(), before)


class Pins(CeremonyTest):
    def test_a_new_pin_is_proved(self):
        self.init("ck1")
        for who in ("user", "officer"):
            old = self.halves("pin" if who == "user" else "so-pin")
            done = self.ask("token", "change-pin", "--who", who, "--token",
                            "ck1", *old, *self.halves("new-pin"))
            self.assertTrue(done["proved"])
            # the old one is refused from now on
            self.problem("token", "change-pin", "--who", who, "--token",
                         "ck1", *old, *self.halves("new-pin"), expect=REFUSED)
        self.run_tool("token", "show", "--token", "ck1", "--pin-file",
                      "new-pin")

    def test_a_new_pin_that_is_the_old_one(self):
        self.init("ck1")
        self.problem("token", "change-pin", "--who", "user",
                     *self.token("ck1"), "--new-pin-half-file", "pin.0",
                     "--new-pin-half-file", "pin.1", expect=USAGE)
        self.problem("token", "change-pin", "--who", "nobody",
                     *self.token("ck1"), *self.halves("new-pin"),
                     expect=USAGE)
        self.problem("token", "change-pin", "--who", "user", "--token",
                     "none", *self.halves("pin", "new-pin"), expect=MISSING)

    def test_a_change_at_the_tokens_own_pad_is_not_taken_for_done(self):
        self.init("ck1")
        self.plan("token change-pin --who user")
        control = self.dir / "faults"
        env = {"HF_FAULT_MODULE": MODULE, "HF_FAULT_CONTROL": str(control)}
        pad = ("token=ck1 function=C_GetTokenInfo flags=0x100\n"
               "token=ck1 function=C_Login pad=pin")
        control.write_text(pad + " crash=9\n")
        done = self.start("--module", self.shim, ask=False, expect=None,
                          env=env)
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
        self.assertEqual(self.lines()[-1]["event"], "step")
        # what opens it now is the old PIN. SoftHSM has no pad for a new one
        control.write_text(pad + "\n")
        done = self.run_tool("ceremony", "resume",
                             *self.common("--module", self.shim), env=env,
                             expect=OTHER)
        self.assertIn("the PIN is as it was", done.stderr)
        self.assertNotIn("done", [line["event"] for line in self.lines()])


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    HsmTest.tool = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.kill_points = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.shim = os.path.abspath(sys.argv.pop(1))
    CeremonyTest.every = int(sys.argv.pop(1))
    unittest.main()
