"""When the service's token is lost for ever: does the ceremony find what was
done to the store, does it seal nothing that two custodians have not signed, and
do the mailboxes open afterwards (R-15.10)?
"""
import hashlib
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import BUILD, TENANT, Server, identity  # noqa: E402

LOST, NEW, MIRROR = "holdfast-service", "holdfast-service-2", "holdfast-service-3"
KEY, VERSION, GRANT, DEP, GENERATION, RESOURCE = 3, 4, 5, 6, 7, 8
DONE, FAILED, NOT_VERIFIED = 0, 1, 3


class Reseal(unittest.TestCase):
    def setUp(self):
        self.server = Server().begin()
        self.addCleanup(self.server.stop)
        self.home = self.server.home
        self.keys = {box: self.server.unwrap(box).key for box in ("mail", "memo")}
        self.server.end()  # all is signed when it ends
        self.server.start()
        self.server.run(BUILD / "client/cli/holdfast", "--as", "auditor", "audit",
                        "checkpoints", "--out", self.home / "old")
        self.assertEqual(self.server.end(), 0)
        self.reports = 0
        self.lose(self.server.service_tokens)

    def lose(self, tokens):
        for token in tokens:
            for path in (self.home / "tokens").glob("*/token.object"):
                if token.encode() + b" " in path.read_bytes():
                    shutil.rmtree(path.parent)

    def new_token(self, *names):
        self.server.service_tokens = list(names)
        for name in names:
            self.server.hsm("token", "init", "--label", name, "--domain", "holdfast",
                            "--test-only", "--so-pin-file", self.server.pin(name + ".so"),
                            "--pin-file", self.server.pin(name))
        self.server.service_init()
        self.server.write_config()

    def daemon(self, *words, code=DONE):
        done = subprocess.run(
            [str(BUILD / "server/app/holdfastd"), "--config",
             str(self.home / "holdfastd.yaml"), *map(str, words)], env=self.server.env,
            capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stderr

    def check(self, *words, code=DONE):
        self.reports += 1
        path = self.home / f"report-{self.reports}.json"
        self.daemon("--reseal-check", path, "--audit-key", self.home / "old.pem", *words,
                    code=code)
        self.assertTrue(pathlib.Path(f"{path}.txt").read_text())
        return path, json.loads(path.read_text())

    def sign(self, report, domain):
        out = pathlib.Path(f"{report}.{domain}.sig")
        self.server.run("openssl", "dgst", "-sha256", "-sign",
                        self.home / f"custodians/{domain}.key", "-out", out, report)
        return f"{domain}={out}"

    def order(self, report, *domains):
        words = ["--reseal", report]
        for domain in domains or ("headquarters", "escrow"):
            words += ["--signature", self.sign(report, domain)]
        return words

    def opens(self):
        self.server.start()
        for box, key in self.keys.items():
            outcome = self.server.unwrap(box)
            self.assertEqual(outcome.key, key, outcome)

    def store(self, *statement):
        with sqlite3.connect(self.home / "state/holdfast.db") as store:
            found = store.execute(*statement).fetchall()
        store.close()
        return found

    def rows(self, kind):
        return self.store("SELECT key, body FROM record WHERE kind = ? ORDER BY key", (kind,))

    def edit(self, kind, key, body):
        self.store("UPDATE record SET body = ? WHERE kind = ? AND key = ?", (body, kind, key))

    def test_lost_and_sealed_anew(self):
        """The whole way, and what is refused on it."""
        self.assertIn("--reseal-check", self.daemon(code=FAILED))  # the token is gone
        self.new_token(NEW)
        self.assertIn("--reseal-check", self.daemon(code=FAILED))  # another one
        before = (self.home / "state/holdfast.db").read_bytes()
        report, said = self.check()
        self.assertEqual((self.home / "state/holdfast.db").read_bytes(), before)
        self.assertEqual(said["not_verified"], [])
        for kind in ("wrapped copies opened", "stored keys opened", "audit records chained",
                     "audit checkpoints", "grants as the audit chain tells",
                     "DEPs as the audit chain tells", "customer keys proved by their token"):
            self.assertGreater(said["verified"][kind], 0, kind)
        self.assertIn(f"tenants/{TENANT}", [one["name"] for one in said["declared"]])

        # nobody, one, the same one twice, another's signature, another report
        for words in ([], ["headquarters"], ["headquarters", "headquarters"]):
            self.daemon("--reseal", report, *self.order(report, *words)[2:] if words else [],
                        code=FAILED)
        good = self.order(report)
        self.daemon(*good[:-1], good[-1].replace("escrow=", "headquarters="), code=FAILED)
        other = self.home / "other.json"
        other.write_text(report.read_text().replace('"left": 0', '"left":  0'))
        self.daemon("--reseal", other, *good[2:], code=FAILED)
        # a store that is not the one that was looked at
        kept = self.home / "kept"
        shutil.copytree(self.home / "state", kept)
        self.store("DELETE FROM record WHERE kind = ?", (GRANT,))
        self.assertIn("not as it was", self.daemon(*good, code=FAILED))
        shutil.rmtree(self.home / "state")
        shutil.copytree(kept, self.home / "state")

        self.daemon(*good)
        self.daemon(*good)  # once more changes nothing
        self.opens()
        self.server.dep_with_box("after")
        self.server.run(BUILD / "client/cli/holdfast", "--as", "operator", "audit", "checkpoints",
                        "--service", "--out", self.home / "new")
        self.server.end()
        self.assertIn("in use", self.daemon(*good, code=FAILED))
        # what was done, by whom, is in the chain, which both keys vouch for
        self.server.start()
        self.server.run(BUILD / "client/cli/holdfast", "--as", "auditor", "audit", "export",
                        self.home / "audit.jsonl")
        both = self.home / "both.pem"
        both.write_text((self.home / "old.pem").read_text() + (self.home / "new.pem").read_text())
        self.server.run(BUILD / "client/cli/holdfast", "audit", "verify",
                        self.home / "audit.jsonl", "--public-key", both)
        records = self.server.run(BUILD / "client/cli/holdfast", "--as", "operator", "--json",
                                  "audit", "list", "--service")
        self.assertIn("StoreResealed", records)
        self.assertIn(hashlib.sha256(report.read_bytes()).hexdigest(), records)

        # an old store, also one from before, is refused as ever (N21)
        self.server.end()
        shutil.rmtree(self.home / "state")
        shutil.copytree(kept, self.home / "state")
        self.daemon(code=FAILED)

    def test_what_was_done_to_the_store_is_found(self):
        """A DEP's row, swapped copies, a mailbox's row, a forged grant: each by
        its name, and only what is accepted is sealed."""
        self.new_token(NEW)
        deps = {body: key for key, body in self.rows(DEP) if b"mail" in body}
        (body, key), = deps.items()
        self.edit(DEP, key, body.replace(b"mail", b"mile"))

        size = (256).to_bytes(4, "big")
        a, b = [(k, v) for k, v in self.rows(GENERATION) if len(v) > 900]
        at = [v.index(size) + 4 for v in (a[1], b[1])]
        copies = [v[i:i + 256] for v, i in zip((a[1], b[1]), at)]
        for (k, v), i, copy in zip((a, b), at, reversed(copies)):
            self.edit(GENERATION, k, v[:i] + copy + v[i + 256:])

        key, body = next((k, v) for k, v in self.rows(RESOURCE) if b"memo" in v)
        i = body.index(b"HFE1") + 50
        self.edit(RESOURCE, key, body[:i] + bytes([body[i] ^ 1]) + body[i + 1:])

        known, forged = identity("workload"), identity("stranger").ljust(len(identity("workload")),
                                                                       "x")[:len(identity("workload"))]
        key, body = next((k, v) for k, v in self.rows(GRANT) if known.encode() in v)
        self.store("INSERT INTO record SELECT 5, ?, 1, mac, previous_mac, ? FROM record "
                   "WHERE kind = 5 AND key = ?",
                   (key[:16] + hashlib.sha256(forged.encode()).digest(),
                    body.replace(known.encode(), forged.encode()), key))

        report, said = self.check(code=NOT_VERIFIED)
        bad = {one["name"]: one["why"] for one in said["not_verified"]}
        def one(word, why):
            names = [name for name in bad if word in name]
            self.assertEqual(len(names), 1 if word != "copies/ck1" else 2, bad)
            self.assertIn(why, bad[names[0]])
            return names
        names = one("mailboxes/memo", "does not open")
        names += one("copies/ck1", "does not open")
        names += one("grants/" + forged, "no audit record")
        names += [name for name in bad if "/deps/" in name and name.count("/") == 3]
        self.assertEqual(sorted(names), sorted(bad))
        self.daemon(*self.order(report), code=FAILED)
        # all but one accepted is not enough
        words = [word for name in names[1:] for word in ("--accept", name)]
        report, said = self.check(*words, code=NOT_VERIFIED)
        self.assertEqual(said["left"], 1, said["not_verified"])
        self.daemon(*self.order(report), code=FAILED)
        report, said = self.check(*words, "--accept", names[0])
        self.daemon(*self.order(report))
        self.server.start()
        self.assertEqual(self.server.unwrap("mail").key, self.keys["mail"])

    def test_a_chain_that_was_cut_or_edited_cannot_be_accepted(self):
        self.new_token(NEW)
        last, = self.store("SELECT max(idx) FROM audit")[0]
        row = self.store("SELECT * FROM audit WHERE idx = ?", (last,))[0]
        self.store("DELETE FROM audit WHERE idx = ?", (last,))
        _, said = self.check("--accept", "audit/end", code=NOT_VERIFIED)
        self.assertEqual([one["name"] for one in said["not_verified"]], ["audit/end"])
        self.store("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", row)
        self.check()
        body, = self.store("SELECT body FROM audit WHERE idx = 6")[0]
        self.store("UPDATE audit SET body = ? WHERE idx = 6",
                   (body.replace(b"true", b"TRUE"),))
        _, said = self.check("--accept", "audit/records/6", code=NOT_VERIFIED)
        self.assertIn("audit/records/6", [one["name"] for one in said["not_verified"]])

    def test_killed_at_any_time(self):
        """However far it came, the next one ends with a store that opens."""
        self.new_token(NEW, MIRROR)  # a mirrored one, this time
        kept = self.home / "kept"
        for name in ("state", "tokens"):
            shutil.copytree(self.home / name, kept / name)
        report, _ = self.check()
        order = self.order(report)
        delay, whole = 0.05, False
        while not whole:
            for name in ("state", "tokens"):
                shutil.rmtree(self.home / name)
                shutil.copytree(kept / name, self.home / name)
            one = subprocess.Popen(
                [str(BUILD / "server/app/holdfastd"), "--config",
                 str(self.home / "holdfastd.yaml"), *map(str, order)], env=self.server.env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                whole = one.wait(timeout=delay) == DONE
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait(timeout=60)
            self.daemon(*order)
            delay *= 2
        self.opens()
        self.server.dep_with_box("after")


if __name__ == "__main__":
    unittest.main()
