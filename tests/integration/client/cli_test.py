#!/usr/bin/python3
"""The command as people and scripts use it, against a server that answers as
told: exit codes, what is said, what is sent, where keys go, seal and open."""
import base64
import hashlib
import json
import os
import pathlib
import pty
import re
import random
import secrets
import socket
import socketserver
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from scripted_server import Refusal, Server

HOLDFAST = os.environ["HF_HOLDFAST"]
TENANT = "tenants/contoso"
KEYS = "holdfast.v1.KeyService/"
DEPS = "holdfast.v1.DepService/"
CUSTOMER_KEYS = "holdfast.v1.CustomerKeyService/"
DEP = {"name": f"{TENANT}/deps/5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b",
       "uid": "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b", "depId": "mail",
       "state": "DEP_STATE_ENABLED", "enabled": True,
       "health": "DEP_HEALTH_HEALTHY", "keyLease": "60s", "generation": 1,
       "customerKeys": [{"customerKey": f"{TENANT}/customerKeys/root-a"},
                        {"customerKey": f"{TENANT}/customerKeys/root-b"}]}


class KeyServer(Server):
    """Remembers the keys of mailboxes; what it wraps is a random handle."""

    def __init__(self, folder):
        super().__init__(folder)
        self.stored, self.wraps, self.denied = {}, {}, False
        self.move_next = False

    def wrap(self, mailbox, key):
        handle = b"HFE1" + secrets.token_bytes(97)
        self.wraps[handle] = (mailbox, key)
        return handle

    def answer(self, method, request):
        if not method.startswith(KEYS):
            return super().answer(method, request)
        if self.denied and request.access.initiator != 2:
            raise Refusal(7, "access to the key is denied",
                          "KEY_ACCESS_DENIED")
        values = {"dep": DEP["name"], "generation": 1}
        verb = method[len(KEYS):]
        if verb == "GenerateKey":
            if request.resource in self.stored:
                raise Refusal(9, "it has a key", "STATE_CONFLICT")
            key = secrets.token_bytes(32)
            self.stored[request.resource] = self.wrap(request.resource, key)
            values["plaintext_key"] = key
            values["wrapped_key"] = self.stored[request.resource]
        elif verb == "RenewKey":
            key = secrets.token_bytes(32)
            values["replaced_wrapped_key"] = self.stored[request.resource]
            self.stored[request.resource] = self.wrap(request.resource, key)
            values["plaintext_key"] = key
            values["wrapped_key"] = self.stored[request.resource]
        elif verb == "RetireEarlierKeys":
            values["retired_count"] = 1 if request.confirm else 0
        elif verb == "WrapKey":
            values["wrapped_key"] = self.wrap(request.resource,
                                              request.plaintext_key)
        else:
            values.update(self.open(verb, request))
        return self.contract.methods[method][1](**values)

    def open(self, verb, request):
        handle = request.wrapped_key or self.stored.get(request.resource, b"")
        mailbox, key = self.wraps.get(handle, (None, None))
        if mailbox != request.resource:
            raise Refusal(15, "the wrapped key does not open", "BLOB_INVALID")
        if verb == "RewrapKey":
            return {"wrapped_key": self.wrap(mailbox, key)}
        values = {"plaintext_key": key}
        if self.move_next:
            self.move_next = False
            self.stored[mailbox] = self.wrap(mailbox, key)
            values["rewrapped_key"] = self.stored[mailbox]
            del self.wraps[handle]
        return values


class Doorman(socketserver.ThreadingTCPServer):
    """Relays connections to a port, but for the first few: those it drops."""

    daemon_threads = True

    def __init__(self, port, dropped):
        super().__init__(("127.0.0.1", 0), None)
        self.port, self.left = port, dropped
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        with socket.create_connection(("127.0.0.1", self.port)) as there:
            back = threading.Thread(target=self.pump, args=(there, request))
            back.start()
            self.pump(request, there)
            back.join()

    def verify_request(self, request, client_address):
        self.left -= 1
        return self.left < 0

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory(prefix="holdfast-cli-")
        cls.folder = pathlib.Path(cls.holder.name)
        cls.server = KeyServer(cls.folder)
        cls.server.start()
        (cls.folder / "client").mkdir()
        cls.profile("admin")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.holder.cleanup()

    @classmethod
    def profile(cls, name, **changes):
        values = {"target": f"localhost:{cls.server.port}",
                  "ca": "../ca.pem", "cert": "../client.pem",
                  "key": "../client.key", "tenant": "contoso", **changes}
        (cls.folder / "client" / f"{name}.json").write_text(
            json.dumps(values, indent=1))

    def setUp(self):
        self.script({})
        self.server.denied = self.server.move_next = False
        (self.folder / "calls.jsonl").write_text("")

    def script(self, answers):
        (self.folder / "script.json").write_text(json.dumps(answers))

    def run_holdfast(self, *words, profile="admin", binary=False, **more):
        environment = {"HOLDFAST_HOME": str(self.folder), "PATH": "/bin",
                       **more.pop("environment", {})}
        for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        head = ["--as", profile] if profile else []
        return subprocess.run([HOLDFAST, *head, *words], env=environment,
                              capture_output=True, text=not binary,
                              timeout=60, **more)

    def run_on(self, terminal, stream, *words):
        """With one stream on a terminal."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   stream: terminal}
        return subprocess.run(
            [HOLDFAST, "--as", "admin", *words], timeout=60, **streams,
            env={**os.environ, "HOLDFAST_HOME": str(self.folder)})

    def good(self, *words, **more):
        done = self.run_holdfast(*words, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def calls(self):
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


class ErrorsTest(Case):
    def test_exit_codes_by_class(self):
        expected = {1: 1, 2: 1, 3: 2, 4: 6, 5: 4, 6: 5, 7: 3, 9: 5, 10: 5,
                    11: 2, 12: 1, 13: 1, 15: 7, 16: 3}
        for code, status in expected.items():
            with self.subTest(code=code):
                self.script({DEPS + "GetDep": [{"code": code,
                                                "message": "because"}]})
                done = self.run_holdfast("dep", "get", "mail")
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn("because", done.stderr)
                self.assertEqual(len(self.calls()), 1)
                (self.folder / "calls.jsonl").write_text("")

    def test_exhausted_with_and_without_retry_info(self):
        self.script({DEPS + "GetDep": [
            {"code": 8, "message": "limit", "reason": "DEP_LIMIT"}]})
        self.assertEqual(
            self.run_holdfast("dep", "get", "mail").returncode, 5)
        self.assertEqual(len(self.calls()), 1)
        self.script({DEPS + "GetDep": [
            {"code": 8, "message": "busy", "reason": "OVERLOADED",
             "retry_ms": 20}]})
        done = self.run_holdfast("--timeout", "2", "dep", "get", "mail")
        self.assertEqual(done.returncode, 6)
        self.assertGreater(len(self.calls()), 2)

    def test_unavailable_then_fine(self):
        self.script({DEPS + "GetDep": [{"code": 14}, {"response": DEP}]})
        self.assertIn("mail", self.good("dep", "get", "mail"))
        self.assertEqual(len(self.calls()), 2)

    def test_a_lost_connection_is_made_again(self):
        for dropped in (1, 2):
            with self.subTest(dropped=dropped), \
                    Doorman(self.server.port, dropped) as doorman:
                self.script({DEPS + "GetDep": [{"response": DEP}]})
                self.profile("doorman", target="localhost:"
                             f"{doorman.server_address[1]}")
                self.good("dep", "get", "mail", profile="doorman")
                self.assertLess(doorman.left, 0)
                doorman.shutdown()

    def test_error_says_what_and_what_next(self):
        self.script({DEPS + "CreateDep": [
            {"code": 3, "message": "the request is wrong",
             "reason": "FIELD_INVALID",
             "fields": {"dep_id": "1 to 64 letters"}}]})
        words = ["dep", "create", "x y", "--customer-key", "a",
                 "--customer-key", "b", "--workload-identity", "spiffe://c/w"]
        done = self.run_holdfast(*words)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("INVALID_ARGUMENT / FIELD_INVALID: the request is wrong",
                      done.stderr)
        self.assertIn("DEP: 1 to 64 letters", done.stderr)
        self.assertIn("next: correct the fields", done.stderr)
        document = json.loads(self.run_holdfast("--json", *words).stdout)
        self.assertEqual(document["error"]["reason"], "FIELD_INVALID")
        self.assertEqual(document["error"]["fieldViolations"][0]["field"],
                         "dep_id")

    def test_failed_validation_is_a_table_of_all_checks(self):
        checks = [
            {"code": "TWO_TOKENS", "status": "FAIL", "evidence": "MEASURED",
             "text": "both keys are in one token"},
            {"code": "KEY_SIZE", "status": "PASS", "evidence": "MEASURED",
             "customerKey": f"{TENANT}/customerKeys/root-a", "text": "3072"},
            {"code": "LICENCE", "status": "WARN", "evidence": "DECLARED"}]
        self.script({DEPS + "CreateDep": [
            {"code": 9, "message": "checks failed",
             "reason": "VALIDATION_FAILED", "checks": checks}]})
        words = ["dep", "create", "mail", "--customer-key", "a",
                 "--customer-key", "b", "--workload-identity", "spiffe://c/w"]
        done = self.run_holdfast(*words)
        self.assertEqual(done.returncode, 5)
        for word in ("TWO_TOKENS", "FAIL", "KEY_SIZE", "root-a", "LICENCE",
                     "WARN", "holdfast key validate"):
            self.assertIn(word, done.stderr)
        document = json.loads(self.run_holdfast("--json", *words).stdout)
        self.assertEqual([c["status"] for c in document["error"]["checks"]],
                         ["FAIL", "PASS", "WARN"])

    def test_hostile_words_do_not_reach_the_terminal(self):
        self.script({DEPS + "GetDep": [
            {"code": 5, "message": "x\u001b[2Jy\u009bz", "reason": "A\nB"}]})
        done = self.run_holdfast("dep", "get", "mail")
        self.assertNotIn("\x1b", done.stderr)
        self.assertNotIn("\x9b", done.stderr)
        self.assertIn("x?[2Jy?z", done.stderr)
        evil = dict(DEP, description="\u001b]0;owned\u0007\u001b[2J")
        self.script({DEPS + "GetDep": [{"response": evil}]})
        for words in (("dep", "get", "mail"), ("--json", "dep", "get", "m")):
            out = self.good(*words)
            self.assertNotIn("\x1b", out)
            self.assertNotIn("\\u001b", out)

    def test_hostile_details_are_survived(self):
        for raw in ("ff", "00" * 40, "0a" * 200, "1a7f"):
            self.script({DEPS + "GetDep": [
                {"code": 5, "message": "gone", "details_hex": raw}]})
            done = self.run_holdfast("dep", "get", "mail")
            self.assertEqual(done.returncode, 4, raw)
            self.assertIn("NOT_FOUND: gone", done.stderr)

    def test_no_server_and_wrong_certificates(self):
        self.profile("nobody", target="localhost:1")
        done = self.run_holdfast("--timeout", "2", "status", profile="nobody")
        self.assertEqual(done.returncode, 6)
        self.assertIn("check that the server runs", done.stderr)
        self.profile("stranger", cert="../stranger.pem",
                     key="../stranger.key")
        done = self.run_holdfast("--timeout", "2", "dep", "list",
                                 profile="stranger")
        self.assertEqual(done.returncode, 6)
        self.profile("trusting", ca="../other-ca.pem")
        done = self.run_holdfast("--timeout", "2", "dep", "list",
                                 profile="trusting")
        self.assertEqual(done.returncode, 6)
        self.assertEqual(self.calls(), [])

    def test_file_mistakes_name_the_file(self):
        self.profile("lost", cert="../nowhere.pem")
        done = self.run_holdfast("dep", "list", profile="lost")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nowhere.pem", done.stderr)
        self.profile("swapped", key="../client.pem")
        done = self.run_holdfast("dep", "list", profile="swapped")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no unencrypted private key", done.stderr)

    def test_profile_mistakes_name_file_and_line(self):
        path = self.folder / "client" / "bad.json"
        path.write_text('{\n "target": "x:1",\n "traget": "y"\n}\n')
        done = self.run_holdfast("dep", "list", profile="bad")
        self.assertEqual(done.returncode, 2)
        self.assertIn("bad.json:3:", done.stderr)
        self.assertIn("traget", done.stderr)


class OperationsTest(Case):
    """R-13.4 as people see it: list, show, wait, cancel, and --wait."""
    SERVICE = "holdfast.v1.OperationService/"
    ID = "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b"
    NAME = "tenants/contoso/operations/" + ID

    def at(self, percent, state="RUNNING", **more):
        return {"name": self.NAME, "kind": "rewrap", "percent": percent,
                "state": "OPERATION_STATE_" + state, "totalCount": "200",
                "done": state != "RUNNING", "doneCount": str(2 * percent),
                "object": "tenants/contoso/deps/mail", **more}

    def told(self, *ends):
        """A rewrap whose stream is cut once by a server that shuts down."""
        self.script({
            DEPS + "RewrapDep": [{"response": self.at(0)}],
            self.SERVICE + "WatchOperation": [
                {"stream": [self.at(0), self.at(40)], "code": 14,
                 "message": "the server shuts down", "delay_ms": 300},
                {"stream": [self.at(40), *ends], "delay_ms": 300}],
        })

    def test_wait_on_a_terminal(self):
        self.told(self.at(80), self.at(100, "SUCCEEDED"))
        shown, ours = pty.openpty()
        done = self.run_on(ours, "stderr", "dep", "rewrap", "mail", "--wait")
        os.close(ours)
        text = os.read(shown, 65536).decode()
        os.close(shown)
        self.assertEqual(done.returncode, 0, text)
        self.assertIn("\rrewrap  [#########...............]  40 %  80 of 200",
                      text)
        self.assertRegex(text, r"80 %  160 of 200  \d+/s  \d+ s left")
        self.assertNotIn("\n", text)
        self.assertRegex(done.stdout.decode(), r"STATE +SUCCEEDED")

    def test_wait_elsewhere(self):
        """Plain lines, one a percent; the server that went away is no end."""
        self.told(self.at(80), self.at(80), self.at(100, "SUCCEEDED"))
        done = self.run_holdfast("operation", "wait", self.ID)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split("  ")[1] for line in
                          done.stderr.splitlines()],
                         ["0 %", "40 %", "80 %", "100 %"])
        self.assertNotIn("\r", done.stderr)
        self.assertEqual([call["request"]["name"] for call in self.calls()],
                         [self.NAME] * 2)

    def test_wait_for_programs(self):
        self.told(self.at(100, "SUCCEEDED"))
        done = self.run_holdfast("--json", "dep", "rewrap", "mail", "--wait")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["percent"] for line in lines],
                         [0, 40, 40, 100])

    def test_one_that_does_not_succeed(self):
        for state in ("FAILED", "CANCELLED"):
            self.told(self.at(41, state, error="no such key"))
            done = self.run_holdfast("operation", "wait", self.NAME)
            self.assertEqual(done.returncode, 5)
            self.assertIn("no such key", done.stdout)

    def test_not_waited_for_when_only_checked(self):
        self.script({DEPS + "RewrapDep": [
            {"response": dict(self.at(0), name="")}]})
        self.good("dep", "rewrap", "mail", "--wait", "--validate-only")
        self.assertEqual(len(self.calls()), 1)

    def test_a_server_that_stays_away(self):
        self.script({self.SERVICE + "WatchOperation": [
            {"stream": [self.at(1)], "code": 14, "message": "going"},
            {"code": 14, "message": "gone"}]})
        done = self.run_holdfast("--timeout", "1", "operation", "wait",
                                 self.ID)
        self.assertEqual(done.returncode, 6)
        self.assertIn("gone", done.stderr)
        self.script({self.SERVICE + "WatchOperation": [
            {"stream": [{"raw_hex": "ff"}]}]})
        self.assertEqual(
            self.run_holdfast("operation", "wait", self.ID).returncode, 1)

    def test_wait_so_long(self):
        method = self.SERVICE + "WaitOperation"
        for answer, code in ((self.at(7), 6), (self.at(100, "SUCCEEDED"), 0),
                             (self.at(7, "CANCELLED"), 5)):
            self.script({method: [{"response": answer}]})
            done = self.run_holdfast("operation", "wait", self.ID,
                                     "--seconds", "3")
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(self.calls()[-1]["request"],
                             {"name": self.NAME, "timeout": "3s"})
        self.assertEqual(self.run_holdfast(
            "operation", "wait", self.ID, "--seconds", "0").returncode, 2)

    def test_list_show_cancel(self):
        self.script({
            self.SERVICE + "ListOperations": [
                {"response": {"operations": [self.at(3)],
                              "nextPageToken": "x"}},
                {"response": {"operations": [self.at(4)]}}],
            self.SERVICE + "GetOperation": [{"response": self.at(5)}],
            self.SERVICE + "CancelOperation": [
                {"response": self.at(6, "CANCELLED")}]})
        self.assertEqual(self.good("operation", "list").count("RUNNING"), 2)
        self.assertRegex(self.good("operation", "show", self.ID),
                         r"PERCENT +5")
        self.assertIn("CANCELLED", self.good("operation", "cancel", self.ID,
                                             "--validate-only"))
        asked = self.calls()[-1]["request"]
        self.assertEqual((asked["name"], asked["validateOnly"]),
                         (self.NAME, True))


class CommandsTest(Case):
    def test_every_command_explains_itself(self):
        overview = self.good("--help", profile=None)
        # words, two blanks or more, what it does
        listed = [line[2:].split("  ")[0].split() for line in
                  overview.split("Commands:")[1].split("\n\n")[0].splitlines()
                  if line.startswith("  ")]
        self.assertGreater(len(listed), 25)
        for words in listed:
            page = self.good(*words, "--help", profile=None)
            self.assertIn("Example:\n  holdfast ", page)
            self.assertIn("Exit codes: 0 done", page)

    def test_versions(self):
        """Of all programs of one build, from one place."""
        version = re.search(
            r"^project\(holdfast VERSION ([0-9.]+) ",
            (pathlib.Path(__file__).resolve().parents[3]
             / "CMakeLists.txt").read_text(), re.MULTILINE).group(1)
        self.assertEqual(self.good("--version", profile=None),
                         f"holdfast {version}\n")
        self.script({CUSTOMER_KEYS + "UpdateCustomerKey": [{"response": {}}]})
        self.good("key", "update", "root-a", "--version", "2", "--enable")
        self.assertEqual(self.calls()[0]["request"]["version"], 2)
        daemon = subprocess.run([os.environ["HF_HOLDFASTD"], "--version"],
                                capture_output=True, text=True, check=True)
        self.assertEqual(daemon.stdout, f"holdfastd {version}\n")

    def test_usage_mistakes(self):
        for words in (["dep"], ["dep", "make"], ["dep", "get"],
                      ["dep", "get", "a", "b"], ["dep", "list", "--nope"],
                      ["dep", "create", "x"], ["unwrap", "alice"],
                      ["dep", "create", "x", "--customer-key", "a"],
                      ["key", "update", "a", "--enable", "--disable"],
                      ["key", "update", "a", "--expires", "tomorrow"],
                      ["key", "update", "a"],
                      ["dep", "update", "a", "--key-lease", "901"],
                      ["mailbox", "assign", "a"],
                      ["mailbox", "assign", "a", "--dep", "d", "--priority",
                       "high"],
                      ["mailbox", "claim-move", "--for", "-1"],
                      ["mailbox", "complete-move", "a"],
                      ["mailbox", "fail-move", "a"],
                      ["unwrap", "a", "--raw", "--initiator", "root"],
                      ["unwrap", "a", "--raw", "--request-id", "7"],
                      ["--json", "unwrap", "a", "--raw"],
                      ["--timeout", "0", "dep", "list"]):
            done = self.run_holdfast(*words)
            self.assertEqual(done.returncode, 2, (words, done.stderr))
        self.assertEqual(self.calls(), [])

    def test_create_sends_what_was_asked(self):
        self.script({DEPS + "CreateDep": [{"response": DEP}]})
        out = self.good(
            "--json", "dep", "create", "mail", "--customer-key", "root-a",
            "--customer-key", "root-b", "--residency", "memory",
            "--key-lease", "30", "--workload-identity", "spiffe://c/w",
            "--description", "all mail")
        self.assertEqual(json.loads(out)["depId"], "mail")
        request = self.calls()[0]["request"]
        self.assertEqual(len(request.pop("requestId")), 36)
        self.assertEqual(request, {
            "parent": TENANT, "depId": "mail",
            "customerKeys": [f"{TENANT}/customerKeys/root-a",
                             f"{TENANT}/customerKeys/root-b"],
            "description": "all mail", "residency": "RESIDENCY_MEMORY",
            "keyLease": "30s", "workloadIdentity": "spiffe://c/w",
            "type": "DEP_TYPE_EXCHANGE_MAILBOX"})

    def test_update_masks_only_what_was_given(self):
        self.script({CUSTOMER_KEYS + "UpdateCustomerKey": [{"response": {}}]})
        self.good("key", "update", "root-a", "--disable", "--expires",
                  "2030-01-31", "--etag", "e7")
        request = self.calls()[0]["request"]
        self.assertEqual(request["updateMask"], "enabled,expireTime")
        self.assertEqual(request["expireTime"], "2030-01-31T00:00:00Z")
        self.assertNotIn("enabled", request)
        self.assertEqual(request["etag"], "e7")

    def test_lists_follow_every_page(self):
        names = [dict(DEP, depId=f"dep-{n}") for n in range(5)]
        self.script({DEPS + "ListDeps": [
            {"response": {"deps": names[:2], "nextPageToken": "2"}},
            {"response": {"deps": names[2:4], "nextPageToken": "4"}},
            {"response": {"deps": names[4:]}}]})
        out = json.loads(self.good("--json", "dep", "list"))
        self.assertEqual([d["depId"] for d in out["deps"]],
                         [f"dep-{n}" for n in range(5)])
        tokens = [c["request"].get("pageToken", "") for c in self.calls()]
        self.assertEqual(tokens, ["", "2", "4"])

    def test_table_for_people(self):
        self.script({DEPS + "ListDeps": [{"response": {"deps": [DEP]}}]})
        lines = self.good("dep", "list").splitlines()
        self.assertEqual(lines[0].split()[:4],
                         ["DEP", "UID", "TYPE", "STATE"])
        self.assertIn("root-a, root-b", lines[1])
        self.assertIn("HEALTHY", lines[1])
        self.assertNotIn("DEP_HEALTH", lines[1])

    def test_reports_that_fail_exit_5(self):
        report = {"results": [{"code": "ROUND_TRIP", "status": "FAIL"}],
                  "passed": False}
        self.script({DEPS + "TestDep": [
            {"response": report}, {"response": dict(report, passed=True)}]})
        self.assertEqual(
            self.run_holdfast("dep", "test", "mail").returncode, 5)
        self.assertEqual(
            self.run_holdfast("dep", "test", "mail").returncode, 0)

    def test_token_enroll_takes_the_custodians_file(self):
        statement = {"statement": base64.b64encode(b"says").decode(),
                     "signature": base64.b64encode(b"sign").decode(),
                     "key_sha256": "00" * 32}
        path = self.folder / "statement.json"
        path.write_text(json.dumps(statement))
        self.script({"holdfast.v1.TokenService/EnrollToken": [
            {"response": {"name": f"{TENANT}/tokens/a"}}]})
        self.good("token", "enroll", "a", "--statement", str(path))
        request = self.calls()[0]["request"]
        self.assertEqual(request["statement"], statement["statement"])
        self.assertEqual(request["signature"], statement["signature"])
        path.write_text(json.dumps(dict(statement, signature="%%%%")))
        done = self.run_holdfast("token", "enroll", "a", "--statement",
                                 str(path))
        self.assertEqual(done.returncode, 2)
        self.assertIn('"signature"', done.stderr)

    def test_settings_have_an_order(self):
        self.profile("other", tenant="fabrikam")
        self.script({DEPS + "ListDeps": [{"response": {}}]})
        environment = {"HOLDFAST_TENANT": "from-environment"}
        self.good("dep", "list", profile="other", environment=environment)
        self.good("--tenant", "by-hand", "dep", "list", profile="other",
                  environment=environment)
        environment["HOLDFAST_PROFILE"] = "other"
        self.good("dep", "list", profile=None, environment=environment)
        self.assertEqual([c["request"]["parent"] for c in self.calls()],
                         ["tenants/fabrikam", "tenants/by-hand",
                          "tenants/from-environment"])

    def test_status_is_one_page(self):
        self.script({
            "grpc.health.v1.Health/Check": [
                {"response": {"status": "SERVING"}}],
            DEPS + "ListDeps": [{"response": {"deps": [DEP]}}],
            CUSTOMER_KEYS + "ListCustomerKeys": [
                {"code": 7, "message": "not yours",
                 "reason": "ROLE_REQUIRED"}],
            "holdfast.v1.TokenService/ListTokens": [{"response": {}}]})
        done = self.run_holdfast("status")
        self.assertEqual(done.returncode, 3)
        self.assertIn("SERVING", done.stdout)
        self.assertIn("HEALTHY", done.stdout)
        self.assertIn("not shown: PERMISSION_DENIED", done.stdout)
        document = json.loads(self.run_holdfast("--json", "status").stdout)
        self.assertEqual(document["server"], "SERVING")
        self.assertIsNone(document["customerKeys"])
        # the operator's alone, and nobody else is told of it
        self.assertNotIn("availabilityTokens", document)
        self.script({
            "grpc.health.v1.Health/Check": [
                {"response": {"status": "SERVING"}}],
            "holdfast.v1.TokenService/GetAvailabilityTokens": [{"response": {
                "tokens": [{"level": "CAPACITY_LEVEL_LOW", "percent": 83,
                            "objectCount": "83", "capacityObjects": "100"}]}}],
        })
        done = self.run_holdfast("ak-token", "list")
        self.assertRegex(done.stdout, r"LOW +83 +83")
        done = self.run_holdfast("status")
        self.assertIn("Tokens of availability keys", done.stdout)
        self.assertRegex(done.stdout, r"LOW +83 +83 +100")


class KeysTest(Case):
    def test_keys_go_only_where_asked(self):
        name = secrets.token_hex(4)
        wrapped, key = self.folder / "w.hfe", self.folder / "k.key"
        for path in (wrapped, key):
            path.unlink(missing_ok=True)
        out = self.good("mailbox", "generate-key", name, "--out", str(wrapped))
        _, secret = self.server.wraps[wrapped.read_bytes()]
        self.assertNotIn(secret.hex(), out)
        self.assertNotIn(base64.b64encode(secret).decode(), out)
        self.good("unwrap", name, "--wrapped", str(wrapped), "--key-out",
                  str(key))
        self.assertEqual(key.read_bytes(), secret)
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        done = self.run_holdfast("unwrap", name, "--key-out", str(key))
        self.assertEqual(done.returncode, 1)
        self.assertIn("already there", done.stderr)
        raw = self.good("unwrap", name, "--raw", binary=True)
        self.assertEqual(raw, secret)
        self.assertEqual(self.good("unwrap", name, "--hex"),
                         secret.hex() + "\n")

    def test_a_key_on_a_terminal_is_warned_about(self):
        name = secrets.token_hex(4)
        self.good("mailbox", "generate-key", name)
        shown, ours = pty.openpty()
        done = self.run_on(ours, "stdout", "unwrap", name, "--hex")
        os.close(ours)
        os.close(shown)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"warning: the key is shown on a terminal", done.stderr)

    def test_wrap_and_rewrap(self):
        name = secrets.token_hex(4)
        key, wrapped = self.folder / "b.key", self.folder / "b.hfe"
        key.write_bytes(secrets.token_bytes(32))
        wrapped.unlink(missing_ok=True)
        self.good("wrap", name, "--key-file", str(key), "--out", str(wrapped))
        self.assertEqual(self.server.wraps[wrapped.read_bytes()][1],
                         key.read_bytes())
        out = json.loads(self.good("--json", "rewrap", name, "--wrapped",
                                   str(wrapped)))
        handle = base64.b64decode(out["wrappedKey"])
        self.assertEqual(self.server.wraps[handle][1], key.read_bytes())
        key.write_bytes(b"x" * 33)
        self.assertEqual(
            self.run_holdfast("wrap", name, "--key-file",
                              str(key)).returncode, 2)

    def test_renew_and_retire(self):
        """R-15.15: the new key, and what still opens by the one before."""
        name = secrets.token_hex(4)
        paths = [self.folder / ("renew." + word)
                 for word in ("old", "new", "replaced", "key")]
        for path in paths:
            path.unlink(missing_ok=True)
        old, new, replaced, key = paths
        self.good("mailbox", "generate-key", name, "--out", str(old))
        out = json.loads(self.good(
            "--json", "mailbox", "renew-key", name, "--key-out", str(key),
            "--out", str(new), "--replaced-out", str(replaced)))
        self.assertEqual(base64.b64decode(out["wrappedKey"]),
                         new.read_bytes())
        self.assertEqual(replaced.read_bytes(), old.read_bytes())
        self.assertEqual(self.server.wraps[new.read_bytes()][1],
                         key.read_bytes())
        for words, count in ((["--validate-only"], 0), (["--confirm"], 1)):
            out = json.loads(self.good("--json", "mailbox", "retire-keys",
                                       name, *words))
            self.assertEqual(out["retiredCount"], count)

    def test_system_access_says_why(self):
        self.run_holdfast("unwrap", "nobody", "--raw", "--initiator",
                          "system", "--purpose", "anti-malware",
                          "--request-id",
                          "5F0C7E0A-2A3C-4F0E-9B58-0C1D2E3F4A5B")
        self.assertEqual(self.calls()[0]["request"]["access"], {
            "initiator": "INITIATOR_SYSTEM",
            "systemPurpose": "SYSTEM_PURPOSE_ANTI_MALWARE",
            "workload": "WORKLOAD_EXCHANGE",
            "requestId": "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b"})

    def test_a_key_of_the_wrong_length_is_no_key(self):
        for length in (0, 16, 31, 33, 4096):
            self.script({KEYS + "UnwrapKey": [{"response": {
                "plaintextKey": base64.b64encode(b"k" * length).decode()}}]})
            done = self.run_holdfast("unwrap", "a", "--raw", binary=True)
            self.assertEqual(done.returncode, 1, length)
            self.assertEqual(done.stdout, b"")


class SealTest(Case):
    def setUp(self):
        super().setUp()
        self.mailbox = secrets.token_hex(4)
        self.holder2 = tempfile.TemporaryDirectory(prefix="holdfast-mail-")
        self.mail = pathlib.Path(self.holder2.name) / "Maildir"
        self.messages = {}
        for folder in ("cur", "new", "tmp", ".Sent/cur", ".Sent/new"):
            (self.mail / folder).mkdir(parents=True)
        self.put("cur/1.a:2,S", b"From: a\n\nhello\n")
        self.put("cur/2.b:2,", b"")
        self.put("new/3.c", secrets.token_bytes(300000))
        self.put(".Sent/cur/4.d:2,S", b"From: d\n\n" + b"x" * 8192)
        (self.mail / "tmp" / "5.e").write_bytes(b"not delivered yet")

    def tearDown(self):
        self.holder2.cleanup()

    def put(self, name, text):
        (self.mail / name).write_bytes(text)
        os.utime(self.mail / name, (1000000000, 1000000000))
        self.messages[name] = text

    def seal(self, *more, code=0):
        done = self.run_holdfast("--json", "mailbox", "seal", str(self.mail),
                                 "--mailbox", self.mailbox, *more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def open(self, *more, code=0, folder=None):
        done = self.run_holdfast("--json", "mailbox", "open",
                                 str(folder or self.mail), *more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def files(self):
        found = ((str(p.relative_to(self.mail)), p)
                 for p in self.mail.rglob("*") if p.is_file())
        return {name: p.read_bytes() for name, p in found
                if not name.startswith((".holdfast/", "tmp/"))}

    def assert_all_sealed(self):
        files = self.files()
        self.assertEqual(set(files), {n + ".hfm" for n in self.messages})
        for name, text in self.messages.items():
            sealed = files[name + ".hfm"]
            self.assertEqual(sealed[:4], b"HFM1")
            self.assertEqual(len(sealed), len(text) + 32)
            if len(text) > 8:
                self.assertNotIn(text[:9], sealed)

    def test_there_and_back(self):
        said = self.seal()
        self.assertEqual((said["messages"], said["keyGenerated"]), (4, True))
        self.assert_all_sealed()
        verified = self.open("--verify")
        self.assertEqual(verified["messages"], 4)
        self.assert_all_sealed()
        self.assertEqual(self.open()["messages"], 4)
        self.assertEqual(self.files(), self.messages)
        self.assertEqual(
            (self.mail / "cur/1.a:2,S").stat().st_mtime, 1000000000)
        self.assertEqual((self.mail / "tmp/5.e").read_bytes(),
                         b"not delivered yet")

    def test_twice_is_once(self):
        self.seal()
        before = self.files()
        again = self.seal()
        self.assertEqual((again["messages"], again["already"]), (0, 4))
        self.assertFalse(again["keyGenerated"])
        self.assertEqual(self.files(), before)
        self.open()
        self.assertEqual(self.open()["messages"], 0)
        self.assertEqual(self.files(), self.messages)

    def test_new_mail_is_sealed_under_the_same_key(self):
        self.seal()
        self.put("new/9.z", b"late")
        self.assertEqual(self.seal()["messages"], 1)
        self.assertEqual(self.open("--verify")["messages"], 5)

    def test_interrupted_behind_the_sealing(self):
        """Both are there and the plain one is half wiped: nothing is lost."""
        plain = self.files()
        self.seal()
        (self.mail / "cur/1.a:2,S").write_bytes(b"\0\0\0\0: a")
        self.assertEqual(self.seal()["messages"], 1)
        self.assert_all_sealed()
        (self.mail / "cur/1.a:2,S").write_bytes(b"\0\0\0\0: a")
        (self.mail / "new/.holdfast-new.3.c").write_bytes(b"half")
        self.open()
        self.assertEqual(self.files(), plain)

    def kill_half_way(self, *words):
        """Starts the command and kills it when it has begun to work."""
        before = {p.name for p in (self.mail / "new").iterdir()}
        running = subprocess.Popen(
            [HOLDFAST, "--as", "admin", "mailbox", *words],
            env={**os.environ, "HOLDFAST_HOME": str(self.folder)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None and before == {
                p.name for p in (self.mail / "new").iterdir()}:
            time.sleep(0.001)
        time.sleep(random.random() / 50)
        running.kill()
        return running.wait() != 0

    def test_killed_again_and_again(self):
        for number in range(300):
            self.put(f"new/{number}.k", secrets.token_bytes(20000))
        killed = 0
        for words in (("seal", str(self.mail), "--mailbox", self.mailbox),
                      ("open", str(self.mail))):
            for _ in range(6):
                killed += self.kill_half_way(*words)
            self.good("mailbox", *words)
            if words[0] == "seal":
                self.assert_all_sealed()
        self.assertGreater(killed, 4)
        self.assertEqual(self.files(), self.messages)

    def test_a_damaged_seal_never_costs_the_plain_message(self):
        self.seal()
        sealed = self.mail / "cur/1.a:2,S.hfm"
        sealed.write_bytes(sealed.read_bytes()[:-1] + b"!")
        (self.mail / "cur/1.a:2,S").write_bytes(b"still here")
        done = self.seal(code=7)
        self.assertEqual(done["failed"], 1)
        self.assertEqual((self.mail / "cur/1.a:2,S").read_bytes(),
                         b"still here")

    def test_tampering_is_found_and_the_rest_opens(self):
        self.seal()
        sealed = self.mail / "new/3.c.hfm"
        data = bytearray(sealed.read_bytes())
        data[1000] ^= 1
        sealed.write_bytes(data)
        (self.mail / "cur/2.b:2,.hfm").rename(self.mail / "cur/8.h:2,.hfm")
        said = self.open(code=7)
        self.assertEqual((said["messages"], said["failed"]), (2, 2))
        self.assertEqual(sealed.read_bytes(), bytes(data))
        self.assertFalse((self.mail / "new/3.c").exists())

    def test_flags_may_change(self):
        self.seal()
        (self.mail / "cur/1.a:2,S.hfm").rename(
            self.mail / "cur/1.a:2,RS.hfm")
        self.open()
        self.assertEqual((self.mail / "cur/1.a:2,RS").read_bytes(),
                         self.messages["cur/1.a:2,S"])

    def test_copy_leaves_the_messages(self):
        self.assertEqual(self.seal("--copy")["messages"], 4)
        self.assertEqual(self.files(), self.messages)
        copy = self.mail.with_name("Maildir.sealed")
        self.assertEqual(self.seal("--copy")["already"], 4)
        self.assertEqual(self.open(folder=copy)["messages"], 4)
        for name, text in self.messages.items():
            self.assertEqual((copy / name).read_bytes(), text)

    def test_denied_user_and_allowed_system(self):
        self.seal()
        self.server.denied = True
        said = self.open("--verify", code=3)
        self.assertEqual(said["error"]["reason"], "KEY_ACCESS_DENIED")
        self.assert_all_sealed()
        self.assertEqual(
            self.open("--verify", "--initiator", "system")["messages"], 4)

    def test_a_moved_key_is_kept(self):
        self.seal()
        kept = self.mail / ".holdfast" / "key.hfe"
        before = kept.read_bytes()
        self.server.move_next = True
        self.open("--verify")
        self.assertNotEqual(kept.read_bytes(), before)
        self.assertEqual(self.open()["messages"], 4)

    def test_an_older_copy_of_the_key(self):
        """A folder from a backup, after the keys of then were lost."""
        self.seal()
        kept = self.mail / ".holdfast" / "key.hfe"
        old = kept.read_bytes()
        self.server.move_next = True
        self.open("--verify")
        kept.write_bytes(old)
        done = self.run_holdfast("mailbox", "open", str(self.mail))
        self.assertEqual(done.returncode, 7)
        self.assertIn(f"{self.mail}/.holdfast/key.hfe", done.stderr)
        self.assertIn("rename that file", done.stderr)
        self.assert_all_sealed()
        kept.rename(kept.with_suffix(".old"))
        self.assertEqual(self.open()["messages"], 4)

    def test_a_mailbox_that_has_its_key_already(self):
        name = f"{TENANT}/mailboxes/{self.mailbox}"
        key = secrets.token_bytes(32)
        self.server.stored[name] = self.server.wrap(name, key)
        self.assertFalse(self.seal()["keyGenerated"])
        kept = (self.mail / ".holdfast" / "key.hfe").read_bytes()
        self.assertEqual(self.server.wraps[kept], (name, key))
        requests = [c["request"]["access"]["requestId"] for c in self.calls()]
        self.assertEqual(len(set(requests)), 3)

    def test_a_second_name_for_a_file_is_not_wiped(self):
        os.link(self.mail / "cur/1.a:2,S", self.mail / "linked")
        self.seal()
        self.assertEqual((self.mail / "linked").read_bytes(),
                         self.messages["cur/1.a:2,S"])

    def test_plain_text_is_overwritten(self):
        with open(self.mail / "new/3.c", "rb") as held:
            self.seal()
            held.seek(0)
            self.assertEqual(held.read(), b"\0" * 300000)

    def test_progress_on_a_terminal_and_nowhere_else(self):
        for number in range(130):
            self.put(f"new/{number}.x", b"mail")
        words = ("mailbox", "seal", str(self.mail), "--mailbox", self.mailbox)
        shown, ours = pty.openpty()
        done = self.run_on(ours, "stderr", *words)
        os.close(ours)
        text = os.read(shown, 4096)
        os.close(shown)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"\r  64 messages", text)
        self.assertIn(b"sealed 134 messages", done.stdout)
        plain = self.run_holdfast("mailbox", "open", str(self.mail))
        self.assertEqual(plain.stderr, "")
        self.assertNotIn("\r", plain.stdout)

    def test_wrong_folder_and_wrong_mailbox(self):
        done = self.run_holdfast("mailbox", "seal", str(self.mail / "tmp"),
                                 "--mailbox", "m")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no Maildir", done.stderr)
        self.seal()
        done = self.run_holdfast("mailbox", "open", str(self.mail),
                                 "--mailbox", "other")
        self.assertEqual(done.returncode, 2)
        self.assertIn("was sealed as", done.stderr)

    def test_nothing_is_touched_when_the_service_is_away(self):
        self.script({KEYS + "GenerateKey": [{"code": 14}]})
        self.run_holdfast("--timeout", "1", "mailbox", "seal", str(self.mail),
                          "--mailbox", self.mailbox)
        self.assertEqual(self.files(), self.messages)


class AuditTest(Case):
    def chain(self, count, text="übel"):
        records, previous = [], b"\0" * 32
        for index in range(1, count + 1):
            tenant = b"\0" * 16 if index % 3 == 0 else b"\x11" * 16
            body = json.dumps({"activity": "test", "actor": "a", "object": "o",
                               "n": index, "t": text},
                              ensure_ascii=False).encode()
            ms = 1764000000123 + index
            content = hashlib.sha256(
                tenant + struct.pack(">QI", ms, len(body)) + body).digest()
            digest = hashlib.sha256(
                b"HFA2" + struct.pack(">Q", index) + previous
                + content).digest()
            text = "" if index % 3 == 0 else \
                "11111111-1111-1111-1111-111111111111"
            seconds, part = divmod(ms, 1000)
            when = subprocess.run(
                ["date", "-u", "-d", f"@{seconds}", "+%Y-%m-%dT%H:%M:%S"],
                capture_output=True, text=True, check=True).stdout.strip()
            records.append({
                "index": str(index), "time": f"{when}.{part:03}Z",
                "activity": "test", "actor": "a", "object": "o",
                "json": body.decode(), "tenantUid": text,
                "previousHash": base64.b64encode(previous).decode(),
                "hash": base64.b64encode(digest).decode()})
            previous = digest
        return records

    def verify(self, records, *more):
        path = self.folder / "audit.jsonl"
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n"
                                for r in records))
        return self.run_holdfast(*more, "audit", "verify", str(path))

    def test_intact(self):
        done = self.verify(self.chain(20), "--json")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(json.loads(done.stdout)["links"], 20)
        self.assertEqual(json.loads(done.stdout)["absent"], 0)
        self.assertNotIn("absent", self.verify(self.chain(20)).stdout)

    def test_gaps_of_other_tenants(self):
        records = [r for r in self.chain(20) if int(r["index"]) % 3]
        done = self.verify(records, "--json")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertLess(json.loads(done.stdout)["links"], len(records))
        self.assertEqual(json.loads(done.stdout)["absent"], 6)
        self.assertIn("absent: 6 ", self.verify(records).stdout)

    def test_every_change_is_found_at_its_index(self):
        for change in ({"json": "{}"}, {"index": "99"},
                       {"time": "2025-11-24T16:00:00.124Z"},
                       {"tenantUid": ""}, {"hash": "A" * 43 + "="},
                       {"previousHash": "A" * 43 + "="},
                       {"actor": "b"}, {"object": ""}, {"activity": "none"}):
            records = self.chain(5)
            records[3].update(change)
            done = self.verify(records)
            self.assertEqual(done.returncode, 7, change)
            self.assertIn(f"index {records[3]['index']} ", done.stderr)

    def test_order_and_doubles(self):
        records = self.chain(6)
        swapped = records[:2] + [records[3], records[2]] + records[4:]
        self.assertEqual(self.verify(swapped).returncode, 7)
        self.assertEqual(
            self.verify(records[:3] + records[2:]).returncode, 7)

    def test_a_record_forged_with_its_hash_breaks_the_link(self):
        records = self.chain(6)
        forged = self.chain(6, "forged")
        self.assertEqual(self.verify(forged).returncode, 0)
        done = self.verify(records[:3] + forged[3:4] + records[4:])
        self.assertEqual(done.returncode, 7)
        self.assertIn("index 4 does not link", done.stderr)

    def test_n40_cut_and_forked(self):
        """N40: records cut out of the middle are told by the link behind them,
        a fork by the first record that belongs to the other branch."""
        records = self.chain(8)
        done = self.verify(records[:3] + [
            dict(records[4], index=records[3]["index"])] + records[5:])
        self.assertEqual(done.returncode, 7)
        self.assertIn(f"index {records[3]['index']} ", done.stderr)
        fork = self.chain(8, "fork")
        done = self.verify(records[:5] + fork[5:])
        self.assertEqual(done.returncode, 7)
        self.assertIn("index 6 does not link", done.stderr)
        cut = self.verify(records[:3] + records[5:])
        self.assertIn("absent: 2 ", cut.stdout)

    def test_query_tail_and_export(self):
        records = self.chain(5)
        service = "holdfast.v1.AuditService/"
        self.script({
            service + "QueryAuditRecords": [{"stream": records}],
            service + "ListCheckpoints": [{"response": {"checkpoints": []}}],
            service + "TailAuditRecords": [
                {"stream": records[:3], "code": 14, "message": "going"},
                {"stream": records[3:]}],
        })
        shown = self.good("audit", "query", "--actor", "spiffe://x", "--object",
                          "tenants/t/deps", "--since", "2025-01-31")
        self.assertEqual(len(shown.splitlines()), 5)
        self.assertEqual(shown.splitlines()[0].split("  ")[2], "test")
        asked = self.calls()[-1]["request"]["filter"]
        self.assertEqual(asked, {"actor": "spiffe://x",
                                 "object": "tenants/t/deps",
                                 "fromTime": "2025-01-31T00:00:00Z"})
        # a server that goes away is asked again, behind the last one told
        lines = self.good("audit", "tail", "--from", "1", "--lines")
        self.assertEqual([json.loads(line)["index"]
                          for line in lines.splitlines()],
                         [record["index"] for record in records])
        asked = [call["request"] for call in self.calls()[-2:]]
        self.assertEqual([one["fromIndex"] for one in asked], ["1", "4"])
        path = self.folder / "streamed.jsonl"
        self.assertIn("5 records written",
                      self.good("audit", "export", str(path)))
        self.assertIn("intact: 5 records",
                      self.good("audit", "verify", str(path), profile=None))
        again = self.run_holdfast("audit", "export", str(path))
        self.assertEqual(again.returncode, 2)
        self.assertIn("exists", again.stderr)
        self.assertEqual(
            self.run_holdfast("audit", "query", "--since", "soon").returncode,
            2)

    def new_key(self):
        if not (self.folder / "audit.key").exists():
            subprocess.run(
                ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-out", self.folder / "audit.key"],
                check=True, capture_output=True)
            for form in ("PEM", "DER"):
                subprocess.run(
                    ["openssl", "pkey", "-in", self.folder / "audit.key",
                     "-pubout", "-outform", form, "-out",
                     self.folder / ("audit." + form.lower())], check=True)
        return str(self.folder / "audit.pem")

    def checkpoint(self, record, hash_of=None):
        """As the service signs it, by openssl's command."""
        key = hashlib.sha256((self.folder / "audit.der").read_bytes())
        digest = base64.b64decode(hash_of or record["hash"]).hex()
        text = (f"holdfast-checkpoint-v1\naudit_index={record['index']}\n"
                f"audit_hash={digest}\nspool=none\nspool_records=0\n"
                f"spool_hash={'0' * 64}\nkey={key.hexdigest()}\n"
                "signed_at=2025-11-24T16:00:00Z\n")
        (self.folder / "text").write_text(text)
        subprocess.run(["openssl", "dgst", "-sha256", "-sign",
                        self.folder / "audit.key", "-out",
                        self.folder / "sig", self.folder / "text"], check=True)
        return {"auditIndex": record["index"],
                "createTime": "2025-11-24T16:00:00Z",
                "statement": base64.b64encode(text.encode()).decode(),
                "signature": base64.b64encode(
                    (self.folder / "sig").read_bytes()).decode()}

    def stubs(self, records):
        """As an export shows another tenant's: every third."""
        out = []
        for record in records:
            if int(record["index"]) % 3:
                out.append(record)
                continue
            body = record["json"].encode()
            content = hashlib.sha256(
                b"\0" * 16 + struct.pack(
                    ">QI", 1764000000123 + int(record["index"]), len(body))
                + body).digest()
            out.append({"index": record["index"], "time": None, "json": "",
                        "tenantUid": "",
                        "contentHash": base64.b64encode(content).decode(),
                        "previousHash": record["previousHash"],
                        "hash": record["hash"]})
        return out

    def signed_export(self, count=12, covered=(4, 10)):
        self.new_key()
        records = self.chain(count)
        lines = []
        for record in self.stubs(records):
            lines.append(record)
            if int(record["index"]) in covered:
                lines.append(self.checkpoint(record))
        return records, lines

    def assert_broken(self, lines, text, *more):
        done = self.verify_with(lines, *more)
        self.assertEqual(done.returncode, 7, done.stdout + done.stderr)
        self.assertIn(text, done.stderr)

    def verify_with(self, lines, *more):
        path = self.folder / "audit.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self.run_holdfast("audit", "verify", str(path), "--public-key",
                                 self.new_key(), *more)

    def test_r15_24_checkpoints(self):
        """R-15.24: what the service signed holds, offline, with its public
        key; the records of others count by their hashes."""
        _, lines = self.signed_export()
        done = self.verify_with(lines, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = json.loads(done.stdout)
        self.assertEqual(
            {name: shown[name] for name in (
                "records", "others", "links", "absent", "checkpoints",
                "covered", "signed")},
            {"records": 12, "others": 4, "links": 12, "absent": 0,
             "checkpoints": 2, "covered": 10, "signed": True})
        self.assertIn("all up to index 10", self.verify_with(lines).stdout)
        path = self.folder / "audit.jsonl"
        self.assertIn("not checked: who signed its 2 checkpoints",
                      self.good("audit", "verify", str(path)))

    def test_n40_what_a_checkpoint_covers(self):
        """N40: cut in the middle, cut at the end, edited, reordered, forked,
        each by somebody who makes every hash and link fit again."""
        records, lines = self.signed_export()
        at = [line.get("index") for line in lines].index
        # cut out of the middle: a list of one tenant has such gaps, this not
        self.assert_broken(lines[:at("6")] + lines[at("7"):], "index 6 is missing")
        # off the end, before the last checkpoint
        cut = [line for line in lines if "statement" in line
               or int(line["index"]) < 9]
        self.assert_broken(cut, "index 9 is missing")
        # behind the last checkpoint nobody promises anything
        self.assertEqual(self.verify_with(lines[:-1]).returncode, 0)
        # another history with good links
        forged = self.chain(12, "forged")
        swap = {record["index"]: record for record in self.stubs(forged)}
        self.assert_broken([swap.get(line.get("index"), line)
                            for line in lines],
                           "index 4 is not the record that was signed")
        fork = [swap[line["index"]] if int(line.get("index", 0)) > 7 else line
                for line in lines]
        self.assert_broken(fork, "index 8 does not link")
        # a stub that hides an edit
        stub = dict(lines[at("6")], contentHash="A" * 43 + "=")
        self.assert_broken(lines[:at("6")] + [stub] + lines[at("7"):],
                           "index 6 was changed")
        # a checkpoint in another place
        moved = [line for line in lines if "statement" not in line]
        self.assert_broken(moved + [lines[at("4") + 1]],
                           "index 4 was signed, but")

    def test_n40_who_signed(self):
        """N40: a checkpoint that another key signed, one that was edited, and
        none at all."""
        records, lines = self.signed_export()
        for change in ({"signature": "MAA="},
                       {"statement": lines[-3]["statement"]},
                       {"statement": "aGVsbG8K"}):
            place = [i for i, line in enumerate(lines)
                     if "statement" in line][0]
            changed = lines[:place] + [dict(lines[place], **change)] \
                + lines[place + 1:]
            if change.get("statement") == lines[place]["statement"]:
                continue
            self.assert_broken(changed, "index 4 has a checkpoint behind it")
        bare = [line for line in lines if "statement" not in line]
        self.assert_broken(bare, "no checkpoint is there")
        (self.folder / "audit.key").unlink()
        self.assert_broken(lines, "this key did not sign")

    def test_n40_a_checkpoint_kept_elsewhere(self):
        """N40: who can write the store can drop checkpoints with the records;
        one that was shipped tells."""
        records, lines = self.signed_export()
        kept = self.folder / "kept.jsonl"
        kept.write_text("".join(json.dumps(line) + "\n" for line in lines))
        more = ("--checkpoints", str(kept))
        done = self.verify_with(lines, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        at = [line.get("index") for line in lines].index
        self.assert_broken(lines[:at("8")], "index 8 is missing", *more)
        bare = self.verify_with(
            [line for line in lines if "statement" not in line], *more)
        self.assertEqual(bare.returncode, 0, bare.stderr)
        forged = self.stubs(self.chain(12, "forged"))
        self.assert_broken(forged, "index 4 is not the record", *more)
        path = self.folder / "audit.jsonl"
        done = self.run_holdfast("audit", "verify", str(path), *more)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--public-key", done.stderr)

    def test_export_with_checkpoints(self):
        self.new_key()
        records = self.chain(6)
        service = "holdfast.v1.AuditService/"
        signed = [self.checkpoint(records[4]), self.checkpoint(records[1])]
        public = base64.b64encode(
            (self.folder / "audit.der").read_bytes()).decode()
        self.script({
            service + "QueryAuditRecords": [{"stream": self.stubs(records)}],
            service + "ListCheckpoints": [
                {"response": {"checkpoints": signed, "publicKey": public,
                              "publicKeys": [public]}}],
        })
        path = self.folder / "all.jsonl"
        self.assertIn("4 records written, the hashes of 2 that are others', "
                      "and 2 signed", self.good("audit", "export", str(path)))
        self.assertTrue(self.calls()[-1]["request"]["wholeChain"])
        order = [line.get("index", "signed " + line.get("auditIndex", ""))
                 for line in map(json.loads, path.read_text().splitlines())]
        self.assertEqual(order, ["1", "2", "signed 2", "3", "4", "5",
                                 "signed 5", "6"])
        self.assertIn("2 checkpoints", self.good(
            "audit", "verify", str(path), "--public-key", self.new_key()))
        self.assertEqual(len(self.good("audit", "checkpoints",
                                       "--lines").splitlines()), 2)
        self.assertIn("SIGNED", self.good("audit", "checkpoints"))
        prefix = self.folder / "head"
        self.assertIn("audit_index=5",
                      self.good("audit", "checkpoints", "--out", str(prefix)))
        subprocess.run(["openssl", "dgst", "-sha256", "-verify",
                        f"{prefix}.pem", "-signature", f"{prefix}.sig",
                        f"{prefix}.txt"], check=True, capture_output=True)

    def test_from_the_server_and_by_export(self):
        records = self.chain(4)
        self.script({"holdfast.v1.AuditService/ListAuditRecords": [
            {"response": {"records": records}}]})
        self.assertIn("intact: 4 records", self.good("audit", "verify"))
        lines = self.good("audit", "list", "--lines")
        path = self.folder / "exported.jsonl"
        path.write_text(lines)
        # offline: no profile, no server
        self.assertIn("intact: 4 records",
                      self.good("audit", "verify", str(path), profile=None))
        self.assertIn("test", self.good("audit", "list"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
