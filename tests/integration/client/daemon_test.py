#!/usr/bin/python3
"""The command and the daemon, on SoftHSM: the main job as people type it."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "rpc"))
from world import World, uri_of

HOLDFAST = os.environ["HF_HOLDFAST"]
FALLBACK = "Fallback to Availability Key"


class MainJob(unittest.TestCase):
    """One story; each step stands on the one before, so it is one test."""

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.remove)
        self.world.start()
        client = self.world.folder / "client"
        client.mkdir()
        for name in self.world.people:
            (client / (name + ".json")).write_text(json.dumps({
                "target": f"localhost:{self.world.port}",
                "ca": "../pki/ca.pem", "cert": f"../pki/{name}.pem",
                "key": f"../pki/{name}.key", "tenant": "acme"}))

    def run_as(self, who, *words, code=0):
        environment = dict(os.environ, HOLDFAST_HOME=str(self.world.folder))
        done = subprocess.run([HOLDFAST, "--as", who, *words],
                              env=environment, capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, code,
                         (words, done.stdout, done.stderr,
                          self.world.log_text()[-2000:]))
        return done

    def json_as(self, who, *words, code=0):
        return json.loads(self.run_as(who, "--json", *words,
                                      code=code).stdout)

    # --- the steps

    def make_tenant(self):
        made = self.json_as("operator", "tenant", "create", "acme",
                            "--licensed")
        self.assertTrue(made["licensed"])
        again = self.run_as("operator", "tenant", "create", "acme", code=5)
        self.assertIn("NAME_TAKEN", again.stderr)
        self.run_as("admin", "tenant", "create", "mine", code=3)
        self.assertEqual([t["name"] for t in self.json_as(
            "operator", "tenant", "list")["tenants"]], ["tenants/acme"])

    def enroll(self, label, domain):
        out = str(self.world.folder / (label + ".json"))
        self.world.tool("token", "enroll", "--token", label, "--tenant",
                        "acme", "--domain", domain, "--key",
                        domain + ".custodian", "--out", out)
        token = self.json_as("operator", "token", "enroll", label,
                             "--statement", out)
        self.assertEqual(token["custodyDomain"], domain)
        self.assertTrue(token["reachable"])

    def make_key(self, name, token):
        made = json.loads(self.world.tool(
            "key", "generate", "--token", token, "--name", name, "--bits",
            "2048", "--json"))
        key = self.json_as("admin", "key", "register", name, "--token", token,
                           "--uri", made["uri"])
        self.assertEqual(key["versions"][0]["bits"], 2048)
        self.grant(name)

    def grant(self, name):
        for who in ("exchange", "system"):
            self.run_as("admin", "key", "grant", name, "--identity",
                        uri_of(who))

    def revoke(self, name):
        for who in ("exchange", "system"):
            self.run_as("admin", "key", "revoke", name, "--identity",
                        uri_of(who))

    def make_dep(self):
        words = ["--customer-key", "one", "--customer-key", "one",
                 "--workload-identity", uri_of("exchange")]
        refused = self.json_as("admin", "dep", "create", "mail", *words,
                               code=5)["error"]
        self.assertEqual(refused["reason"], "VALIDATION_FAILED")
        failed = {c["code"] for c in refused["checks"]
                  if c["status"] == "FAIL"}
        self.assertIn("KEYS_DISTINCT", failed)
        self.assertIn("TWO_CUSTODY_DOMAINS", failed)
        table = self.run_as("admin", "dep", "create", "mail", *words, code=5)
        self.assertRegex(table.stderr, r"KEYS_DISTINCT +\S* *FAIL")
        report = self.json_as("admin", "key", "validate", "one", "two",
                              "--workload-identity", uri_of("exchange"))
        self.assertTrue(report["passed"])
        words[3] = "two"
        dep = self.json_as("admin", "dep", "create", "mail", *words)
        self.assertEqual((dep["depId"], dep["state"]),
                         ("mail", "DEP_STATE_ENABLED"))
        self.assertIn("passed", self.run_as("admin", "dep", "test",
                                            "mail").stdout)
        self.assertIn("mail", self.run_as("admin", "dep", "list").stdout)
        self.run_as("admin", "dep", "get", "nothing", code=4)

    def make_mailbox(self):
        self.run_as("admin", "mailbox", "register", "alice", "--licensed")
        box = self.json_as("admin", "mailbox", "assign", "alice", "--dep",
                           "mail")
        self.assertTrue(box["assignedDep"])
        self.assertFalse(box["isEncrypted"])
        self.mail = self.world.folder / "Maildir"
        for folder in ("cur", "new", "tmp"):
            (self.mail / folder).mkdir(parents=True)
        self.messages = {}
        for number in range(20):
            name = f"cur/{1700000000 + number}.M{number}.host:2,S"
            self.messages[name] = (f"From: bob@example.org\nSubject: "
                                   f"{number}\n\nHello, {number}.\n").encode()
            (self.mail / name).write_bytes(self.messages[name])

    def texts(self):
        return {f"cur/{p.name}": p.read_bytes()
                for p in (self.mail / "cur").iterdir()}

    def opens(self, who="exchange", *more, code=0):
        return self.run_as(who, "mailbox", "open", str(self.mail), "--verify",
                           *more, code=code)

    def seal_and_open(self):
        said = self.json_as("exchange", "mailbox", "seal", str(self.mail),
                            "--mailbox", "alice")
        self.assertEqual((said["messages"], said["keyGenerated"]), (20, True))
        self.assertTrue(all(n.endswith(".hfm") for n in self.texts()))
        box = self.json_as("admin", "mailbox", "get", "alice")
        self.assertTrue(box["isEncrypted"])
        self.assertIn("verified 20 messages", self.opens().stdout)

    def fallbacks(self):
        return self.json_as("looker", "audit", "list", "--activity",
                            FALLBACK)["records"]

    def revoke_and_restore(self):
        self.revoke("one")
        self.opens()
        self.assertEqual(self.fallbacks(), [])
        self.revoke("two")
        refused = self.opens(code=3)
        self.assertIn("KEY_ACCESS_DENIED", refused.stderr)
        self.assertNotRegex(refused.stderr, r"\b(one|two)\b")
        self.assertEqual(self.fallbacks(), [])
        self.opens("exchange", "--initiator", "system", code=3)
        said = self.json_as("system", "mailbox", "open", str(self.mail),
                            "--verify", "--initiator", "system", "--purpose",
                            "search-indexing")
        self.assertEqual(said["messages"], 20)
        records = self.fallbacks()
        self.assertEqual(len(records), 1)
        self.assertIn(said["requestId"], records[0]["json"])
        self.grant("one")
        self.grant("two")
        self.run_as("exchange", "mailbox", "open", str(self.mail))
        self.assertEqual(self.texts(), self.messages)

    def wrapped_keys(self):
        first, second = (str(self.world.folder / n) for n in ("1.hfe",
                                                              "2.hfe"))
        key = self.world.folder / "key"
        self.run_as("exchange", "unwrap", "alice", "--key-out", str(key))
        self.assertEqual(len(key.read_bytes()), 32)
        self.run_as("exchange", "wrap", "alice", "--key-file", str(key),
                    "--out", first)
        self.run_as("exchange", "rewrap", "alice", "--wrapped", first,
                    "--out", second)
        out = self.run_as("exchange", "unwrap", "alice", "--wrapped", second,
                          "--hex").stdout
        self.assertEqual(bytes.fromhex(out.strip()), key.read_bytes())
        blob = pathlib.Path(second)
        whole = blob.read_bytes()
        blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        self.assertIn("BLOB_INVALID", self.run_as(
            "exchange", "unwrap", "alice", "--wrapped", second, "--raw",
            code=7).stderr)

    def audit(self):
        said = self.run_as("looker", "audit", "verify").stdout
        self.assertRegex(said, r"intact: [1-9]\d+ records")
        lines = self.run_as("looker", "audit", "list", "--lines").stdout
        exported = self.world.folder / "audit.jsonl"
        exported.write_text(lines)
        self.run_as("looker", "audit", "verify", str(exported))
        forged = lines.splitlines()
        at = next(i for i, line in enumerate(forged) if uri_of("admin") in line)
        record = json.loads(forged[at])
        record["json"] = record["json"].replace(uri_of("admin"), "nobody")
        self.assertNotEqual(json.loads(forged[at]), record)
        forged[at] = json.dumps(record)
        exported.write_text("\n".join(forged))
        self.assertIn(f"index {record['index']} was changed", self.run_as(
            "looker", "audit", "verify", str(exported), code=7).stderr)

    def status(self):
        page = self.json_as("admin", "status")
        self.assertEqual(page["server"], "SERVING")
        self.assertEqual(page["deps"][0]["health"], "DEP_HEALTH_HEALTHY")
        self.assertEqual(len(page["customerKeys"]), 2)
        self.assertEqual(len(page["tokens"]), 2)
        text = self.run_as("admin", "status").stdout
        self.assertIn("HEALTHY", text)

    def key_and_dep_changes(self):
        refused = self.run_as("admin", "key", "update", "one", "--disable",
                              code=5)
        self.assertIn("KEY_IN_USE", refused.stderr)
        self.assertEqual(
            [one["resource"] for one in self.json_as(
                "admin", "key", "dependants", "one")["dependants"]],
            ["tenants/acme/mailboxes/alice"])
        stale = self.json_as("admin", "dep", "get", "mail")["etag"]
        self.run_as("admin", "dep", "update", "mail", "--description", "new")
        refused = self.run_as("admin", "dep", "update", "mail",
                              "--description", "newer", "--etag", stale,
                              code=5)
        self.assertIn("ETAG_MISMATCH", refused.stderr)
        refused = self.run_as("admin", "dep", "update", "mail", "--disable",
                              code=5)
        self.assertIn("DEP_IN_USE", refused.stderr)
        self.run_as("admin", "mailbox", "assign", "alice", "--none")
        self.opens_unsealed()
        dep = self.json_as("admin", "dep", "update", "mail", "--disable",
                           "--description", "no longer")
        self.assertEqual(dep["state"], "DEP_STATE_DISABLED")
        self.assertEqual(dep["description"], "no longer")

    def opens_unsealed(self):
        self.run_as("exchange", "unwrap", "alice", "--hex")

    def test_main_job(self):
        self.make_tenant()
        self.enroll("first", "hq")
        self.enroll("second", "branch")
        self.make_key("one", "first")
        self.make_key("two", "second")
        self.make_dep()
        self.make_mailbox()
        self.seal_and_open()
        self.revoke_and_restore()
        self.wrapped_keys()
        self.audit()
        self.status()
        self.key_and_dep_changes()
        self.assertEqual(self.world.stop(), 0)
        gone = self.run_as("admin", "status", code=6)
        self.assertIn("check that the server runs", gone.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
