"""Is our own trouble answered with "come again", and never with the
availability key (R-15.12)?
"""
import os
import pathlib
import resource
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import grpc  # noqa: E402
from server import (API, EAST, PARENT, PATHS, SYSTEM, USER, WEST,  # noqa: E402
                    WHO, Outcome, Refusal, Server)

BOTH = (EAST, WEST)
COME_AGAIN = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


class Base(unittest.TestCase):
    limits = {}

    def setUp(self):
        self.server = Server(self.limits)
        self.addCleanup(self.server.stop)
        self.begin_server()
        self.key = self.server.unwrap("mail").key
        self.begin = self.server.audit_end()

    def begin_server(self):
        self.server.begin()

    def flood(self, count, timeout=30):
        """count calls at once, of users and of the service in turn."""
        stubs = {who: API.stub(self.server.channel(WHO[who]),
                               PATHS["UnwrapKey"]) for who in (USER, SYSTEM)}
        futures = []
        for i in range(count):
            who = (USER, SYSTEM)[i % 2]
            futures.append(stubs[who].future(API.request(
                PATHS["UnwrapKey"], resource=f"{PARENT}/mailboxes/mail",
                access=self.server.access(who)), timeout=timeout))
        outcomes = []
        for future in futures:
            try:
                outcomes.append(Outcome(future.result()))
            except grpc.RpcError as error:
                outcomes.append(Outcome(refusal=Refusal(API, error)))
        return outcomes

    def check(self, outcomes, *codes):
        """Each is right, or says when to come again; no record; how many were
        refused."""
        refused = 0
        for outcome in outcomes:
            if outcome.code == "OK":
                self.assertEqual(outcome.key, self.key)
                continue
            refused += 1
            self.assertIn(outcome.code, codes or COME_AGAIN, outcome)
            if outcome.code in COME_AGAIN:
                self.assertGreater(outcome.retry_ms, 0, outcome)
        self.assertEqual(self.server.ak_records(self.begin), [])
        return refused

    def check_over(self):
        """It passes by itself."""
        self.server.heal("mail")
        for initiator in (USER, SYSTEM):
            self.assertEqual(self.server.unwrap("mail", initiator).key,
                             self.key)
        self.assertEqual(self.server.ak_records(self.begin), [])

    def slow(self, delay_ms, *more):
        self.server.faults(*[f"token={token} function=C_UnwrapKey "
                             f"delay_ms={delay_ms}" for token in BOTH], *more)


class SlowQueue(Base):
    limits = {"slow_threads": 1, "slow_queue": 4}

    def test_full(self):
        self.slow(20)
        outcomes = self.flood(64)
        self.assertGreater(self.check(outcomes), 30)
        self.assertIn(("RESOURCE_EXHAUSTED", "OVERLOADED"),
                      {outcome.answer for outcome in outcomes})
        self.check_over()

    def test_deadline_in_the_queue(self):
        """The caller's time is over before the token is asked."""
        self.slow(300)
        outcomes = self.flood(5, timeout=0.2)
        self.assertEqual(self.check(outcomes, "DEADLINE_EXCEEDED",
                                    *COME_AGAIN), 5)
        self.check_over()


class DataCalls(Base):
    limits = {"data_calls": 4, "slow_threads": 4}

    def test_full(self):
        self.slow(20)
        outcomes = self.flood(64)
        self.assertGreater(self.check(outcomes), 30)
        self.assertIn(("RESOURCE_EXHAUSTED", "OVERLOADED"),
                      {outcome.answer for outcome in outcomes})
        self.check_over()


class Shares(Base):
    """One tenant's calls that wait for its tokens take half of what may be in
    flight, and the others' calls get in."""
    limits = {"data_calls": 8, "slow_threads": 64}

    def test_another_tenant_gets_in(self):
        self.slow(700)
        stub = API.stub(self.server.channel(WHO[USER]), PATHS["UnwrapKey"])
        request = API.request(PATHS["UnwrapKey"],
                              resource=f"{PARENT}/mailboxes/mail",
                              access=self.server.access(USER))
        mine = [stub.future(request, timeout=30) for _ in range(16)]
        refused = [call.exception() for call in mine[4:]]
        theirs = self.server.unwrap("mail", who="other-workload")
        self.assertEqual([call.done() for call in mine[:4]], [False] * 4)
        # let in, and then told that there is no such tenant
        self.assertEqual(theirs.reason, "NOT_FOUND", theirs)
        for error in refused:
            refusal = Refusal(API, error)
            self.assertEqual((refusal.code, refusal.reason),
                             ("RESOURCE_EXHAUSTED", "OVERLOADED"))
            self.assertIn("of this tenant", refusal.text)
        self.assertEqual([call.result().plaintext_key for call in mine[:4]],
                         [self.key] * 4)
        self.check_over()


class TokenQueue(Base):
    """More calls than the token's own queue holds."""
    limits = {"slow_threads": 64, "token_queue": 1}

    def test_full(self):
        self.slow(30)
        outcomes = self.flood(128)
        self.assertGreater(self.check(outcomes), 0)
        self.check_over()


class TokenSessions(Base):
    """Fewer sessions than threads."""
    limits = {"slow_threads": 64, "token_sessions": 5}
    opening = ("C_OpenSession", "C_CloseSession")

    def begin_server(self):
        self.watch()
        super().begin_server()

    def watch(self, *more):
        self.server.faults(*[f"token={token} function={function} log=1"
                             for token in BOTH for function in self.opening],
                           *more)

    def sessions(self, token):
        opened, closed = (self.server.logged(token, function)
                          for function in self.opening)
        return opened - closed

    def test_few(self):
        """All there may be are in use, and not one more."""
        self.watch(*[f"token={token} function=C_UnwrapKey delay_ms=10"
                     for token in BOTH])
        self.check(self.flood(128))
        self.assertEqual([self.sessions(token) for token in BOTH],
                         [self.limits["token_sessions"]] * len(BOTH))
        self.check_over()


class Waiting(Base):
    """Time in our queue is not the token's: many wait for longer than an
    attempt may last."""
    limits = {"slow_threads": 64, "slow_queue": 1024}

    def test_long_queue(self):
        self.slow(150)
        began = time.monotonic()
        outcomes = self.flood(128)
        # it was a queue indeed: longer than the deadline of an attempt
        self.assertGreater(time.monotonic() - began, 1.0)
        self.check(outcomes)
        self.assertGreater(sum(o.code == "OK" for o in outcomes), 0)
        self.check_over()

    def test_one_token_hangs(self):
        """The other one answers, slowly: nobody gets the availability key for
        having waited."""
        self.server.faults(
            f"token={EAST} function=C_UnwrapKey hang=1",
            f"token={WEST} function=C_UnwrapKey delay_ms=60")
        outcomes = self.flood(64)
        self.check(outcomes)
        self.assertGreater(sum(o.code == "OK" for o in outcomes), 0)
        self.check_over()


class Descriptors(Base):
    @staticmethod
    def lowest_free(pid):
        used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        return min(set(range(len(used) + 1)) - used)

    def test_none_left(self):
        """No descriptor is left: it looks like a deleted key (facts of
        SoftHSM), and is neither a refusal nor an outage of the customer's."""
        for box in ("mail", "memo"):
            for initiator in (USER, SYSTEM):
                self.assertEqual(self.server.unwrap(box, initiator).code, "OK")
        pids = [self.server.server.pid,
                *(self.server.workers()[token][1][0] for token in BOTH)]
        was = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE)
               for pid in pids}
        free = {pid: self.lowest_free(pid) for pid in pids}
        for more in (0, 1, 2, 3, 4):
            for pid in pids:
                resource.prlimit(pid, resource.RLIMIT_NOFILE,
                                 (free[pid] + more, was[pid][1]))
            try:
                outcomes = [self.server.unwrap(box, initiator)
                            for _ in range(4) for box in ("mail", "memo")
                            for initiator in (USER, SYSTEM)]
            finally:
                for pid in pids:
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, was[pid])
            for outcome in outcomes:
                if outcome.code != "OK":
                    self.assertIn(outcome.code, COME_AGAIN, (more, outcome))
                    self.assertGreater(outcome.retry_ms, 0)
            if more == 0:
                self.assertIn("UNAVAILABLE", {o.code for o in outcomes})
            self.assertEqual(self.server.ak_records(self.begin), [])
            self.check_over()


if __name__ == "__main__":
    unittest.main()
