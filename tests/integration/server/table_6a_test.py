"""Does every code of table 6-A become the class the table says (R-15.9, R-15.12),
on SoftHSM, through the whole server, for TOKEN and MEMORY residency?

The class shows in what table 6-B makes of it when both keys say the same, and
in the record of the SYSTEM call.
"""
import json
import math
import pathlib
import shutil
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (ATTEMPT_MS, EAST, PARENT, SYSTEM, USER, WEST,  # noqa: E402
                    Server, identity)

BOTH = (EAST, WEST)
AK = ("OK", None)
REFUSED = ("PERMISSION_DENIED", "KEY_ACCESS_DENIED")
DAMAGED = ("DATA_LOSS", "BLOB_INVALID")
OURS = ("UNAVAILABLE", "SERVICE_UNAVAILABLE")
# class -> what a user and what the service is told when both keys say so
SAYS = {
    "DENIED": (REFUSED, AK),
    "TRANSIENT": (AK, AK),
    "BAD_BLOB": (DAMAGED, DAMAGED),
    "OURS": (OURS, OURS),
}
CODES = {
    "DENIED": ("CKR_KEY_FUNCTION_NOT_PERMITTED", "CKR_ACTION_PROHIBITED",
               "CKR_PIN_INCORRECT", "CKR_PIN_LOCKED", "CKR_PIN_EXPIRED"),
    "TRANSIENT": ("CKR_TOKEN_NOT_PRESENT", "CKR_DEVICE_ERROR",
                  "CKR_DEVICE_REMOVED", "CKR_DEVICE_MEMORY",
                  "CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED",
                  # after one repair
                  "CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED",
                  "CKR_USER_NOT_LOGGED_IN",
                  # no code of the standard's
                  "0x80001234"),
    "BAD_BLOB": ("CKR_WRAPPED_KEY_INVALID", "CKR_WRAPPED_KEY_LEN_RANGE",
                 "CKR_ENCRYPTED_DATA_INVALID",
                 "CKR_ENCRYPTED_DATA_LEN_RANGE"),
    "OURS": ("CKR_HOST_MEMORY", "CKR_SESSION_COUNT",
             "CKR_CRYPTOKI_NOT_INITIALIZED", "CKR_MECHANISM_INVALID",
             "CKR_MECHANISM_PARAM_INVALID", "CKR_ARGUMENTS_BAD"),
}
ROWS = [(name, code) for name, codes in CODES.items() for code in codes]
# where the one root operation of a residency happens; no other call of a
# customer's token has this function, or it is not made with a lease of 0 s
PLACES = {"mail": "C_UnwrapKey", "memo": "C_Decrypt"}


def rules(tokens, function, what):
    return [f"token={token} function={function} log=1 {what}"
            for token in tokens]


class Table(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().begin()
        cls.keys = {box: cls.server.unwrap(box).key for box in PLACES}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.heal(*PLACES)
        self.server.forget()

    def ask(self, box, initiator, **fields):
        """(outcome, records): the key is the right one, if there is one."""
        before = self.server.audit_end()
        outcome = self.server.unwrap(box, initiator, **fields)
        self.assertIn(outcome.key, (None, self.keys[box]))
        return outcome, [json.loads(record.json)["details"] for record in
                         self.server.ak_records(after=before)]

    def check_both(self, box, name, **fields):
        """Both keys are in class name now."""
        for initiator, says in zip((USER, SYSTEM), SAYS[name]):
            outcome, records = self.ask(box, initiator, **fields)
            self.assertEqual(outcome.answer, says, outcome)
            results = [record["results"] for record in records]
            self.assertEqual(results, [[name] * 2] if says == AK else [])

    def check_one(self, box, broken):
        """One key does not open; nobody notices, in whatever order."""
        for _ in range(60):
            outcome, records = self.ask(box, USER)
            self.assertEqual((outcome.answer, records), (AK, []), outcome)
            if self.server.logged(broken, PLACES[box]):
                return
        self.fail("60 calls and the broken key was never first")

    def test_codes_of_both(self):
        for box, function in PLACES.items():
            for name, code in ROWS:
                with self.subTest(box=box, code=code):
                    self.setUp()
                    self.server.faults(*rules(BOTH, function, "rv=" + code))
                    self.check_both(box, name)
                    for token in BOTH:
                        self.assertGreaterEqual(
                            self.server.logged(token, function), 2)

    def test_codes_of_one(self):
        for box, function in PLACES.items():
            for i, (_, code) in enumerate(ROWS):
                with self.subTest(box=box, code=code):
                    self.setUp()
                    broken = BOTH[i % 2]
                    self.server.faults(*rules([broken], function, "rv=" + code))
                    self.check_one(box, broken)

    def test_unknown_code_is_told(self):
        """TRANSIENT plus an alert."""
        before = len(self.server.log())
        self.server.faults(*rules(BOTH, "C_UnwrapKey", "rv=0x80001234"))
        self.check_both("mail", "TRANSIENT")
        said = [json.loads(line) for line in
                self.server.log()[before:].splitlines()]
        self.assertTrue([line for line in said
                         if line["level"] in ("error", "warn")
                         and line.get("rv") == 0x80001234], said)

    def test_doubt(self):
        """A general error, when a canary under the same key is fine."""
        for box, function in PLACES.items():
            with self.subTest(box=box):
                self.setUp()
                for initiator in (USER, SYSTEM):
                    self.server.faults(*rules(
                        BOTH, function, "count=1 rv=CKR_GENERAL_ERROR"), *rules(
                        BOTH, function, "after=2 count=1 rv=CKR_GENERAL_ERROR"))
                    outcome, records = self.ask(box, initiator)
                    self.assertEqual((outcome.answer, records), (DAMAGED, []))

    def test_repair(self):
        """A session lost once is mended inside the attempt (R-6.6), and that
        is said (not each time: the log leaves out what repeats)."""
        said = len(self.server.log_lines("token.session_repaired"))
        for box, function in PLACES.items():
            for code in ("CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED",
                         "CKR_USER_NOT_LOGGED_IN", "CKR_DEVICE_REMOVED"):
                with self.subTest(box=box, code=code):
                    self.setUp()
                    self.server.faults(*rules(BOTH, function, ""), *[
                        f"token={token} function={function} count=1 rv={code}"
                        for token in BOTH])
                    outcome, records = self.ask(box, USER)
                    self.assertEqual((outcome.answer, records), (AK, []))
                    # of one token only: the second was not asked
                    asked = [self.server.logged(token, function)
                             for token in BOTH]
                    self.assertEqual(sorted(asked), [0, 2])
        self.assertGreater(len(self.server.log_lines("token.session_repaired")),
                           said)

    def test_late(self):
        """No answer within the attempt's deadline: TRANSIENT."""
        for box, function in PLACES.items():
            for what in (f"delay_ms={2 * ATTEMPT_MS}", "hang=1"):
                with self.subTest(box=box, what=what):
                    self.setUp()
                    self.server.faults(*rules(BOTH, function, what))
                    began = time.monotonic()
                    self.check_both(box, "TRANSIENT")
                    took_ms = (time.monotonic() - began) * 1000
                    # the second call meets breakers that are open (R-15.4b)
                    self.assertGreaterEqual(took_ms, 2 * ATTEMPT_MS - 50)
                    asked = [self.server.logged(token, function)
                             for token in BOTH]
                    # and the probes of an open breaker that were due by now:
                    # 1 s after its time-out, then after 2, 4, ... s more
                    probes = int(math.log2(time.monotonic() - began + 0.05))
                    for count in asked:
                        self.assertIn(count, range(1, probes + 2))

    def test_one_late(self):
        """A key that hangs costs its attempt and nothing else."""
        for i, (box, function) in enumerate(PLACES.items()):
            with self.subTest(box=box):
                self.setUp()
                self.server.faults(*rules([BOTH[i]], function, "hang=1"))
                self.check_one(box, BOTH[i])

    def test_grants(self):
        """Withdrawn: DENIED, and no token is asked."""
        self.server.faults(*[f"token={token} log=1" for token in BOTH])
        for name in BOTH:
            self.server.revoke("key-" + name)
        try:
            self.server.forget()
            for box in PLACES:
                self.check_both(box, "DENIED")
            self.assertEqual(self.server.logged(), 0)
            self.server.grant("key-" + EAST)
            for box in PLACES:
                outcome, records = self.ask(box, USER)
                self.assertEqual((outcome.answer, records), (AK, []))
            self.assertEqual(self.server.logged(WEST), 0)
        finally:
            for name in BOTH:
                self.server.grant("key-" + name)

    def test_disabled(self):
        """Disabled: DENIED, and no token is asked."""
        kept = self.server.set_aside(*PLACES)
        self.server.faults(*[f"token={token} log=1" for token in BOTH])
        for name in BOTH:
            self.server.cli("admin", "key", "update", "key-" + name,
                            "--disable")
        try:
            self.server.forget()
            for box in PLACES:
                self.check_both(box, "DENIED", wrapped_key=kept[box])
            self.assertEqual(self.server.logged(), 0)
        finally:
            for name in BOTH:
                self.server.cli("admin", "key", "update", "key-" + name,
                                "--enable")
            self.server.put_back(*PLACES)


class Missing(unittest.TestCase):
    """R-15.9, with a server of its own for each way to be missing."""

    def setUp(self):
        self.server = Server().begin()
        self.addCleanup(self.server.stop)
        self.box, self.key = "mail", self.server.unwrap("mail").key

    def ask(self, initiator):
        before = self.server.audit_end()
        outcome = self.server.unwrap(self.box, initiator)
        self.assertIn(outcome.key, (None, self.key))
        return outcome, [json.loads(record.json)["details"]["results"]
                         for record in self.server.ak_records(after=before)]

    def folder(self, token):
        for path in (self.server.home / "tokens").glob("*/token.object"):
            if token.encode() in path.read_bytes():
                return path.parent
        raise AssertionError("no folder of " + token)

    def objects(self, token):
        return set(self.folder(token).glob("*.object"))

    def test_deleted(self):
        """Gone from the token, which answers still: DENIED for everybody."""
        files = {}
        for token in BOTH:
            before = self.objects(token)
            self.server.customer_key("gone-" + token, token)
            files[token] = self.objects(token) - before
            self.assertGreaterEqual(len(files[token]), 2)
        _, made = self.server.dep_with_box("gone", ["gone-" + t for t in BOTH])
        self.box, self.key = "gone", made.plaintext_key
        for path in files[EAST]:
            path.unlink(missing_ok=True)
        for _ in range(8):
            outcome, results = self.ask(USER)
            self.assertEqual((outcome.answer, results), (AK, []), outcome)
        for path in files[WEST]:
            path.unlink(missing_ok=True)
        for _ in range(2):
            outcome, results = self.ask(USER)
            self.assertEqual((outcome.answer, results), (REFUSED, []), outcome)
        outcome, results = self.ask(SYSTEM)
        self.assertEqual((outcome.answer, results), (AK, [["DENIED"] * 2]))
        outcome = self.server.unwrap("mail")  # its keys are still there
        self.assertEqual(outcome.code, "OK", outcome)
        # reported, and never forgotten
        told = self.server.log_lines("key.missing")
        self.assertEqual({line["label"] for line in told if
                          line["confirmed"] == "yes"}, {"gone-" + t for t in BOTH})
        known = self.server.call("admin", "ListCustomerKeys", parent=PARENT)
        self.assertLessEqual({"gone-" + t for t in BOTH}, {
            key.name.rpartition("/")[2] for key in known.customer_keys})

    def test_deleting_is_refused(self):
        """R-15.13: not even the token's user can."""
        ident = self.server.uris["key-" + EAST].split("id=")[1].split(";")[0]
        code, text = self.server.pkcs11_tool(
            EAST, "--delete-object", "--type", "privkey", "--id",
            ident.replace("%", ""))
        self.assertEqual(code, 1)
        self.assertIn("0x1b", text)  # CKR_ACTION_PROHIBITED

    def test_token_folder_away(self):
        """The tokens do not answer; that is not a customer's refusal."""
        away = self.server.home / "away"
        away.mkdir()
        moved = [self.folder(token) for token in BOTH]
        for folder in moved:
            shutil.move(folder, away / folder.name)
        try:
            for _ in range(3):
                outcome, results = self.ask(SYSTEM)
                self.assertEqual(outcome.answer, AK, outcome)
                self.assertNotIn("DENIED", results[0])
            outcome, results = self.ask(USER)
            self.assertNotEqual(outcome.code, "DATA_LOSS")
            self.assertEqual(len(results), outcome.code == "OK")
        finally:
            for folder in moved:
                shutil.move(away / folder.name, folder)
        self.server.heal("mail")
        for _ in range(4):
            outcome, results = self.ask(USER)
            self.assertEqual((outcome.answer, results), (AK, []), outcome)

    def test_not_confirmed(self):
        """Neither key nor canary is to be found: DENIED for users, TRANSIENT
        for the service."""
        self.server.faults(*[
            rule for token in BOTH for rule in (
                f"token={token} function=C_UnwrapKey "
                "rv=CKR_KEY_HANDLE_INVALID",
                f"token={token} function=C_FindObjects lie=empty")])
        outcome, results = self.ask(USER)
        self.assertEqual((outcome.answer, results), (REFUSED, []), outcome)
        outcome, results = self.ask(SYSTEM)
        self.assertEqual((outcome.answer, results), (AK, [["MISSING"] * 2]))
        # reported once, however often it is asked for
        told = self.server.log_lines("key.missing")
        self.assertEqual(sorted((line["label"], line["confirmed"])
                                for line in told),
                         sorted(("key-" + t, "no") for t in BOTH))
        self.server.heal("mail")
        outcome, results = self.ask(USER)
        self.assertEqual((outcome.answer, results), (AK, []))
        self.assertTrue(self.server.log_lines("key.found"))

    def test_login_refused(self):
        """The token refuses the log-in: DENIED; the PIN is offered once."""
        time.sleep(2.1)  # a module just initialised is not renewed
        self.server.faults(*[
            rule for token in BOTH for rule in (
                f"token={token} function=C_UnwrapKey count=1 "
                "rv=CKR_KEY_HANDLE_INVALID",
                f"token={token} function=C_FindObjects count=4 lie=empty",
                f"token={token} function=C_Login rv=CKR_PIN_LOCKED log=1")])
        outcome, results = self.ask(USER)
        self.assertEqual((outcome.answer, results), (REFUSED, []), outcome)
        outcome, results = self.ask(SYSTEM)
        self.assertEqual((outcome.answer, results), (AK, [["DENIED"] * 2]))
        for _ in range(5):
            self.assertEqual(self.ask(USER)[0].answer, REFUSED)
        for token in BOTH:
            self.assertEqual(self.server.logged(token, "C_Login"), 1)


if __name__ == "__main__":
    unittest.main()
