"""Does a token that opens a wrapped key to a wrong one, and calls that CKR_OK,
ever give one to anybody? (The key check of an envelope; tables 6-A and 6-B:
such an answer is BAD_BLOB.)
"""
import json
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (API, EAST, PARENT, PATHS, SYSTEM, USER, WEST,  # noqa: E402
                    Server)

BOTH = (EAST, WEST)
CALLS, OUTSTANDING = 400, 32
A_SECOND_S = 1.1  # has so many alerts at most
DAMAGED = ("DATA_LOSS", "BLOB_INVALID")


def lies(token, *words):
    return " ".join((f"token={token} function=C_Decrypt lie=flip",) + words)


class Liar(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().begin()
        cls.server.dep_with_box("hot", key_lease="60")
        cls.keys = {box: cls.server.unwrap(box).key for box in ("mail", "hot")}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.heal("mail", "hot")
        time.sleep(A_SECOND_S)
        self.begin = self.server.audit_end()
        self.told = len(self.alerts())

    def tearDown(self):
        # one of the two is healthy, or both lie: never the availability key
        self.assertEqual(self.server.ak_records(self.begin), [])

    def alerts(self):
        return [line["token"] for line in self.server.log_lines("token.alert")]

    def opens(self, box, initiator=USER):
        outcome = self.server.unwrap(box, initiator)
        self.assertEqual(outcome.code, "OK", outcome)
        self.assertEqual(outcome.key, self.keys[box])

    def test_with_a_lease(self):
        """The lease is in one of them: that one lies, then the other."""
        for token in (EAST, WEST, EAST):
            self.server.faults(lies(token))
            for initiator in (USER, SYSTEM, USER):
                self.opens("hot", initiator)
        told = self.alerts()[self.told:]
        self.assertIn(WEST, told)
        self.assertIn(EAST, told)

    def test_without_a_lease(self):
        """The commitment is right, and the key after it is not."""
        for token in BOTH:
            time.sleep(A_SECOND_S)
            for _ in range(40):
                self.server.faults(lies(token, "after=1", "count=1"))
                self.opens("mail")
        self.assertEqual(set(self.alerts()[self.told:]), set(BOTH))

    def test_many_at_once(self):
        """Calls under way while first one of them lies, and then the other."""
        stub = API.stub(self.server.channel("workload"), PATHS["UnwrapKey"])
        request = API.request(PATHS["UnwrapKey"],
                              resource=f"{PARENT}/mailboxes/hot",
                              access=self.server.access(USER))
        calls = [stub.future(request, timeout=60) for _ in range(OUTSTANDING)]
        for i in range(CALLS):
            if i % 50 == 0:
                self.server.faults(lies(BOTH[i // 50 % 2]))
            self.assertEqual(calls[i % OUTSTANDING].result().plaintext_key,
                             self.keys["hot"])
            if i + OUTSTANDING < CALLS:
                calls[i % OUTSTANDING] = stub.future(request, timeout=60)

    def test_both(self):
        """BAD_BLOB + BAD_BLOB, for everybody, and nothing is held against them
        once they tell the truth."""
        for box in ("hot", "mail"):
            self.server.faults(*[lies(token) for token in BOTH])
            for initiator in (USER, SYSTEM):
                outcome = self.server.unwrap(box, initiator)
                self.assertEqual(outcome.answer, DAMAGED, outcome)
                self.assertIsNone(outcome.key)
            self.server.heal(box)
            self.opens(box)

    def test_rewrap(self):
        """What goes on from a key that was opened goes on from the right one."""
        resource = f"{PARENT}/mailboxes/mail"
        copy = self.server.call("workload", "WrapKey", resource=resource,
                                plaintext_key=self.keys["mail"],
                                access=self.server.access(USER)).wrapped_key
        for token in BOTH:
            for _ in range(10):
                # the commitment; the key; what it is sealed in is opened too
                self.server.faults(lies(token, "after=1", "count=1"))
                copy = self.server.call(
                    "workload", "RewrapKey", resource=resource,
                    wrapped_key=copy,
                    access=self.server.access(USER)).wrapped_key
                self.server.clear()
                outcome = self.server.unwrap("mail", wrapped_key=copy)
                self.assertEqual(outcome.key, self.keys["mail"], outcome)

    def test_what_is_told(self):
        """The alert names the token and the DEP, and tells nothing of a key."""
        self.server.faults(lies(EAST))
        self.opens("hot")
        self.server.faults(lies(WEST))
        self.opens("hot")
        lines = self.server.log_lines("token.alert")[self.told:]
        self.assertTrue(lines)
        for line in lines:
            self.assertEqual(set(line), {"time", "level", "event", "token",
                                         "dep", "generation", "what",
                                         "lines_left_out"})
            self.assertEqual(line["level"], "error")
            self.assertNotIn(self.keys["hot"].hex(), json.dumps(line))


if __name__ == "__main__":
    unittest.main(verbosity=2)
