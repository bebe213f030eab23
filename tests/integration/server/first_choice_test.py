"""Is the customer key that is asked first a fair coin, the second always the
other one, and neither ever asked twice (R-6.4 to R-6.6)?
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (API, EAST, PARENT, PATHS, USER, WEST,  # noqa: E402
                    Server)

CALLS = 10000
OUTSTANDING = 64


class FirstChoice(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        # a fresh worker tests itself: an unwrap that no call is behind
        cls.server.token_options = {token: {"worker_memory_mb": 0}
                                    for token in (EAST, WEST)}
        cls.server.begin()
        cls.key = cls.server.unwrap("mail").key

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.heal("mail")
        self.server.forget()

    def watch(self, *more):
        self.server.faults(
            *[f"token={token} function=C_UnwrapKey log=1"
              for token in (EAST, WEST)], *more)

    def order(self):
        lines = (self.server.home / "faults.log").read_text().splitlines()
        return [line.split()[0] for line in lines]

    def test_distribution(self):
        """47 to 53 % of 10,000 calls: for a fair coin 6 standard deviations,
        so it is off by itself once in 500 million runs."""
        self.watch()
        stub = API.stub(self.server.channel("workload"), PATHS["UnwrapKey"])
        request = API.request(PATHS["UnwrapKey"],
                              resource=f"{PARENT}/mailboxes/mail",
                              access=self.server.access(USER))
        calls = [stub.future(request, timeout=60) for _ in range(OUTSTANDING)]
        for i in range(CALLS):
            self.assertEqual(calls[i % OUTSTANDING].result().plaintext_key,
                             self.key)
            if i + OUTSTANDING < CALLS:
                calls[i % OUTSTANDING] = stub.future(request, timeout=60)
        east = self.server.logged(EAST)
        # with no lease each call is one root operation, of one key
        self.assertEqual(east + self.server.logged(WEST), CALLS)
        self.assertGreater(east, 0.47 * CALLS)
        self.assertLess(east, 0.53 * CALLS)

    def test_independent(self):
        """A choice says nothing of the next: neither taken in turn nor kept.
        Of 400 successors a fair coin has 200 changes, sigma 10."""
        self.watch()
        for _ in range(401):
            self.assertEqual(self.server.unwrap("mail").key, self.key)
        order = self.order()
        self.assertEqual(len(order), 401)
        changes = sum(a != b for a, b in zip(order, order[1:]))
        self.assertGreater(changes, 140)
        self.assertLess(changes, 260)

    def test_second_is_the_other(self):
        """Both refuse: two attempts, one of each key, in either order."""
        self.watch(*[f"token={token} function=C_UnwrapKey "
                     "rv=CKR_ACTION_PROHIBITED" for token in (EAST, WEST)])
        first = set()
        for _ in range(40):
            self.server.forget()
            self.assertEqual(self.server.unwrap("mail").answer,
                             ("PERMISSION_DENIED", "KEY_ACCESS_DENIED"))
            order = self.order()
            self.assertEqual(sorted(order), sorted((EAST, WEST)))
            first.add(order[0])
        self.assertEqual(first, {EAST, WEST})

    def test_other_after_a_failure(self):
        """One refuses: it is asked at most once, and the other one answers."""
        for broken, whole in ((EAST, WEST), (WEST, EAST)):
            self.watch(f"token={broken} function=C_UnwrapKey "
                       "rv=CKR_ACTION_PROHIBITED")
            seen = set()
            for _ in range(40):
                self.server.forget()
                self.assertEqual(self.server.unwrap("mail").key, self.key)
                order = tuple(self.order())
                self.assertIn(order, {(whole,), (broken, whole)})
                seen.add(order)
            self.assertEqual(len(seen), 2)


if __name__ == "__main__":
    unittest.main()
