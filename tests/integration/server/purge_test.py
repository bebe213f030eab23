"""Does a purge on real tokens end a DEP for ever: in order, through kills, in
the face of saved blobs, restored stores and tokens, and nothing else (3.2 T8 to
T11, 9.3, R-15.6, R-15.15, R-15.16; appendix B, 11; N20 to N26)?
"""
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (AK_TOKEN, EAST, PARENT, SYSTEM, USER, WEST,  # noqa: E402
                    Server)
from deployment import Refused, identity  # noqa: E402

PHASES = ("HOLDING", "TOMBSTONING", "DESTROYING", "VERIFYING", "FORGETTING",
          "PURGED")
NUMBERS = {name: number for number, name in enumerate(PHASES, 3)}
BOXES = ("leave", "second", "third")
TOMBSTONE, CERTIFICATE, DELETION = 20, 28, 29


class Purge(unittest.TestCase):
    def setUp(self):
        self.server = Server(moving_clock=True).begin()
        self.addCleanup(self.server.stop)
        for token in (EAST, WEST):
            self.server.customer_key("l-" + token, token)
        self.dep, made = self.server.dep_with_box(
            "leave", ["l-" + EAST, "l-" + WEST])
        self.blobs = {"leave": made.wrapped_key}
        for box in BOXES[1:]:
            self.server.mailbox(box, "leave")
            self.blobs[box] = self.server.call(
                "workload", "GenerateKey",
                resource=f"{PARENT}/mailboxes/{box}").wrapped_key
        self.officers()

    # --- steps ------------------------------------------------------------

    def officers(self):
        words = []
        for who in ("ada", "bert"):
            key = self.server.home / f"{who}.officer.key"
            subprocess.run(["openssl", "genpkey", "-algorithm", "EC",
                            "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                            key], check=True, capture_output=True)
            subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out",
                            key.with_suffix(".pem")], check=True,
                           capture_output=True)
            words += ["--approver",
                      f"{identity(who)}={key.with_suffix('.pem')}"]
        set_ = self.server.cli("admin", "approvers", "set", *words)
        self.assertEqual(len(set_["approvers"]), 2)
        time.sleep(0.01)  # officers come before what they approve

    def revoke(self):
        for token in (EAST, WEST):
            self.server.revoke("l-" + token)

    def request(self):
        self.revoke()
        asked = self.server.cli(
            "admin", "purge", "request", "leave", "--reason", "we leave",
            "--contact", "ciso@contoso.example", "--confirm")
        return asked["name"].rsplit("/", 1)[1]

    def execute(self):
        """Asked for, signed, begun; its id."""
        purge = self.request()
        self.server.cli("ada", "purge", "approve", purge, "--key",
                        self.server.home / "ada.officer.key", "--confirm")
        begun = self.server.cli("operator", "purge", "execute", purge,
                                "--confirm")
        self.assertEqual(begun["kind"], "purge")
        return purge

    def phase(self, purge):
        return self.server.call("admin", "GetPurge",
                                name=f"{PARENT}/purges/{purge}").phase

    def reached(self, purge, phase):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.phase(purge) >= NUMBERS[phase]:
                return
            time.sleep(0.01)
        raise AssertionError(f"{phase} is not reached: {self.phase(purge)} "
                             + self.server.log()[-1500:])

    def ak_objects(self):
        """What bears the DEP's name in the AK token, by a process that is not
        ours."""
        code, text = self.server.pkcs11_tool(AK_TOKEN, "--list-objects",
                                             "--type", "secrkey")
        self.assertEqual(code, 0, text)
        return text.count("hf-ak:" + self.dep["uid"])

    def all_gone(self):
        """I2: no envelope of them opens, stored or kept, for anybody."""
        for box, blob in self.blobs.items():
            for initiator in (USER, SYSTEM):
                self.assertEqual(self.server.unwrap(box, initiator).reason,
                                 "KEY_DESTROYED", box)
                self.assertEqual(
                    self.server.unwrap(box, initiator,
                                       wrapped_key=blob).reason,
                    "KEY_DESTROYED", box)
        self.assertEqual(self.ak_objects(), 0)
        # and of the others nothing is lost
        self.assertEqual(self.server.unwrap("mail").code, "OK")

    # --- tests ------------------------------------------------------------

    def test_the_whole_way(self):
        """R-9.10 to R-9.16, R-9.20, T8, T10, T11, M8, N20."""
        self.assertEqual(self.ak_objects(), 1)
        refused = self.server.outcome(
            "admin", "RequestPurge", dep=f"{PARENT}/deps/leave", reason="r",
            contact="c", confirm=True)
        self.assertEqual(refused.reason, "KEYS_STILL_USABLE")
        purge = self.execute()
        time.sleep(1)
        self.assertEqual(self.phase(purge), NUMBERS["HOLDING"])
        self.assertEqual(self.server.unwrap("leave", SYSTEM).code, "OK")
        self.server.advance(hours=71)
        time.sleep(1)
        self.assertEqual(self.phase(purge), NUMBERS["HOLDING"])
        self.assertEqual(self.ak_objects(), 1)
        self.server.advance(hours=1)
        self.reached(purge, "PURGED")
        self.all_gone()
        self.check_certificate(purge)
        dep = self.server.call("admin", "GetDep", name=f"{PARENT}/deps/leave")
        self.assertEqual(dep.state, 5)  # PURGED
        box = self.server.call("admin", "GetMailbox",
                               name=f"{PARENT}/mailboxes/leave")
        self.assertEqual(box.state, 9)  # PURGE_MARKED
        for token in (EAST, WEST):  # the copies are gone as well
            self.server.grant("l-" + token)
        self.all_gone()
        steps = self.server.audit(activity="PurgeStep")
        self.assertEqual(len(steps), 6)

    def check_certificate(self, purge):
        """R-9.20: OpenSSL alone can check it."""
        where = self.server.home / "gone"
        self.server.cli("auditor", "purge", "certificate", purge, "--out",
                        where)
        parts = [where.with_suffix(s) for s in (".pem", ".sig", ".txt")]
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", parts[0], "-signature",
             parts[1], parts[2]], capture_output=True, text=True, check=False)
        self.assertIn("Verified OK", done.stdout)
        verify = ["auditor", "purge", "verify", "--public-key", parts[0]]
        these = ["--signature", parts[1], "--certificate", parts[2]]
        said = self.server.cli(*verify, *these, "--purge", purge, "--dep",
                               "leave")
        self.assertEqual(
            (said["verified"], said["purge"], said["dep"]),
            (True, f"{PARENT}/purges/{purge}", self.dep["uid"]))
        with self.assertRaises(Refused):
            self.server.cli(*verify, *these, "--dep", "mail")
        # the same key's word about something else is none about a purge
        other = self.server.home / "other"
        self.server.cli("admin", "catalogue", "backup", "--out", other)
        with self.assertRaises(Refused) as caught:
            self.server.cli(*verify, "--signature", f"{other}.sig",
                            "--certificate", f"{other}.json")
        self.assertIn("no certificate of a purge", caught.exception.text)
        text = parts[2].read_text()
        for line in ("resources_tombstoned=3\n", "residual_wrap=none\n",
                     "verified=holdfast-hsm, process "):
            self.assertIn(line, text)
        parts[2].write_text(text.replace("resources_tombstoned=3",
                                         "resources_tombstoned=4"))
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", parts[0], "-signature",
             parts[1], parts[2]], capture_output=True, text=True, check=False)
        self.assertIn("Verification failure", done.stdout + done.stderr)

    def test_nobody_signs_unseen(self):
        """R-9.14, N60: what is signed was shown and agreed to, or is the file
        that was read; and it is the document of this purge."""
        purge = self.request()
        words = ["ada", "purge", "approve", purge, "--key",
                 self.server.home / "ada.officer.key"]
        with self.assertRaises(Refused) as caught:
            self.server.cli(*words)
        self.assertIn("holdfast-approval-v1\n", caught.exception.text)
        self.assertIn("--confirm", caught.exception.text)
        read = self.server.home / "read.txt"
        self.server.cli("ada", "purge", "document", purge, "--out", read)
        text = read.read_bytes()
        read.write_bytes(text.replace(b"we leave", b"they leave"))
        with self.assertRaises(Refused) as caught:
            self.server.cli(*words, "--document", read)
        self.assertIn("not the document to be signed", caught.exception.text)
        read.write_bytes(text)
        with self.assertRaises(Refused):  # the other one is signed then
            self.server.cli(*words, "--document", read,
                            "--accept-earlier-wraps")
        self.assertEqual(self.phase(purge), 1)
        signed = self.server.cli(*words, "--document", read)
        self.assertEqual(signed["phase"], "PURGE_PHASE_APPROVED")

    def test_n26_killed_at_every_step(self):
        """R-3.16, R-9.13: it resumes at the step it was in."""
        purge = self.execute()
        self.server.advance(hours=72)
        for phase in PHASES[:-1]:
            self.reached(purge, phase)
            before = self.phase(purge)
            self.server.end(signal.SIGKILL)
            self.server.start()
            self.assertGreaterEqual(self.phase(purge), before)
        self.reached(purge, "PURGED")
        self.all_gone()

    def test_n28_a_renewed_key_holds_no_purge_up(self):
        """R-15.15: EARLIER_WRAPS while an envelope of before opens the key
        that is stored; with another key, and the earlier one retired, none."""
        self.server.cli("admin", "mailbox", "register", "early",
                        "--licensed")
        box = f"{PARENT}/mailboxes/early"
        kept = self.server.call("workload", "GenerateKey", resource=box)
        self.server.cli("admin", "mailbox", "assign", "early", "--dep",
                        "leave")
        moved = self.server.call("workload", "UnwrapKey", resource=box)
        self.assertEqual(len(moved.rewrapped_key), 101)
        purge = self.request()
        name = f"{PARENT}/purges/{purge}"
        self.server.cli("ada", "purge", "approve", purge, "--key",
                        self.server.home / "ada.officer.key", "--confirm")
        refused = self.server.outcome("operator", "ExecutePurge", name=name,
                                      confirm=True)
        self.assertEqual(refused.reason, "EARLIER_WRAPS")
        # the workload gets at its keys again; it encrypts with another one
        for token in (EAST, WEST):
            self.server.grant("l-" + token)
        refused = self.server.outcome("workload", "RenewKey", resource=box)
        self.assertEqual(refused.reason, "DEP_NOT_ENABLED")
        self.server.call("workload", "UnwrapKey", resource=box,
                         wrapped_key=kept.wrapped_key)

    def test_a_renewed_key_is_purged_alone(self):
        """R-15.15: renewed, retired, then asked for: nothing of before opens,
        and the certificate has nothing residual to name."""
        self.server.cli("admin", "mailbox", "register", "early",
                        "--licensed")
        box = f"{PARENT}/mailboxes/early"
        kept = self.server.call("workload", "GenerateKey", resource=box)
        self.server.cli("admin", "mailbox", "assign", "early", "--dep",
                        "leave")
        moved = self.server.call("workload", "UnwrapKey", resource=box)
        new = self.server.call("workload", "RenewKey", resource=box)
        self.assertEqual(new.replaced_wrapped_key, moved.rewrapped_key)
        old = (kept.wrapped_key, moved.rewrapped_key)
        for blob in old:
            self.assertEqual(self.server.call(
                "workload", "UnwrapKey", resource=box,
                wrapped_key=blob).plaintext_key, kept.plaintext_key)
        shown = self.server.cli("admin", "mailbox", "get", "early")
        self.assertEqual(len(shown["earlierKeys"]), 1)
        done = self.server.cli("workload", "mailbox", "retire-keys", "early",
                               "--confirm")
        self.assertEqual(done["retiredCount"], 1)
        for start_again in (False, True):
            if start_again:
                self.server.end()
                self.server.start()
            self.assertEqual([self.server.unwrap(
                "early", wrapped_key=blob).reason for blob in old],
                ["BLOB_INVALID", "KEY_RETIRED"])
            self.assertEqual(self.server.call(
                "workload", "UnwrapKey", resource=box).plaintext_key,
                new.plaintext_key)
        purge = self.execute()
        self.server.advance(hours=72)
        self.reached(purge, "PURGED")
        self.blobs["early"] = new.wrapped_key
        self.all_gone()
        for blob in old:
            self.assertEqual(self.server.unwrap(
                "early", wrapped_key=blob).reason, "KEY_DESTROYED")
        certificate = self.server.call(
            "admin", "GetPurgeCertificate", name=f"{PARENT}/purges/{purge}")
        self.assertIn(b"\nresidual_wrap=none\n", certificate.certificate)

    def test_a_mailbox_is_deleted(self):
        """R-15.15, R-15.20: tombstoned by its id, under every root, for ever;
        a deletion that is taken out of the store is noticed."""
        kept = self.blobs["second"]
        done = self.server.cli("admin", "mailbox", "delete", "second",
                               "--confirm")
        self.assertEqual(done["name"], f"{PARENT}/mailboxes/second")
        self.assertEqual(self.server.cli("admin", "dep", "get", "leave")
                         ["assignedCount"], 2)
        for start_again in (False, True):
            if start_again:
                self.server.end()
                self.server.start()
            for initiator in (USER, SYSTEM):
                for fields in ({}, {"wrapped_key": kept}):
                    self.assertEqual(self.server.unwrap(
                        "second", initiator, **fields).reason,
                        "KEY_DESTROYED")
            self.assertEqual(self.server.outcome(
                "admin", "RegisterMailbox", parent=PARENT,
                mailbox_id="second", kind=1).reason, "KEY_DESTROYED")
            self.assertEqual(self.server.unwrap("third").code, "OK")
        purge = self.execute()
        self.server.advance(hours=72)
        self.reached(purge, "PURGED")
        self.all_gone()
        self.server.end()
        with sqlite3.connect(self.server.home / "state/holdfast.db") as db:
            gone = db.execute("DELETE FROM record WHERE kind = ?",
                              (DELETION,)).rowcount
        db.close()
        self.assertEqual(gone, 1)
        with self.assertRaises(RuntimeError):
            self.server.start()

    def test_n21_n22_a_store_of_before(self):
        """R-15.22: a store from before the purge is refused at the start."""
        self.server.end()
        store = self.server.home / "state/holdfast.db"
        kept = self.server.home / "kept"
        kept.mkdir()
        for path in store.parent.glob("holdfast.db*"):
            shutil.copy2(path, kept)
        self.server.start()
        purge = self.execute()
        self.server.advance(hours=72)
        self.reached(purge, "PURGED")
        self.server.end()
        for path in store.parent.glob("holdfast.db*"):
            path.unlink()
        for path in kept.iterdir():
            shutil.copy2(path, store.parent)
        with self.assertRaises(RuntimeError):
            self.server.start()

    def test_n23_n25_an_availability_key_comes_back(self):
        """A token directory of before the purge: what it brings is destroyed
        again at the start, and reported; it opens nothing."""
        self.server.end()
        tokens = self.server.home / "tokens"
        kept = self.server.home / "kept"
        shutil.copytree(tokens, kept)
        self.server.start()
        purge = self.execute()
        self.server.advance(hours=72)
        self.reached(purge, "PURGED")
        self.server.end()
        back = [path for path in kept.rglob("*.object")
                if not (tokens / path.relative_to(kept)).exists()]
        for path in back:
            to = tokens / path.relative_to(kept)
            shutil.copy2(path, to)
            shutil.copy2(path.with_suffix(".lock"), to.with_suffix(".lock"))
        self.assertEqual(self.ak_objects(), 1)
        self.server.start()
        until = time.monotonic() + 30
        while self.ak_objects() > 0 and time.monotonic() < until:
            time.sleep(0.1)
        self.all_gone()
        found = self.server.audit(activity="DestroyedKeyCameBack")
        self.assertEqual(len(found), 1)
        self.assertIn(purge, found[0].json)

    def test_n24_rows_are_taken_out(self):
        """A tombstone that is deleted, or a mailbox's row that is put back: no
        key opens; the next start is refused."""
        purge = self.execute()
        store = self.server.home / "state/holdfast.db"
        self.server.advance(hours=72)
        self.reached(purge, "PURGED")
        self.server.end()
        with sqlite3.connect(store) as db:
            gone = db.execute("DELETE FROM record WHERE kind = ?",
                              (TOMBSTONE,)).rowcount
        db.close()
        self.assertEqual(gone, 3)
        with self.assertRaises(RuntimeError):
            self.server.start()
        self.assertIn("sealed 3 tombstones, the store holds 0",
                      self.server.log())


if __name__ == "__main__":
    unittest.main()
