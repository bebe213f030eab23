"""Is a withdrawal in effect before its reply: does no call that began after it
succeed, whatever leases were live and however many calls were under way
(R-15.4)?
"""
import pathlib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import grpc  # noqa: E402
from server import (API, EAST, PARENT, PATHS, SYSTEM, USER, WEST,  # noqa: E402
                    Refusal, Server, identity)

THREADS = 8
ROUNDS = 6


class Hammer:
    """Threads that unwrap without a pause, each on a connection of its own;
    calls has (began, answer) of each call."""

    def __init__(self, server, box, who="workload", wrapped_key=b""):
        self.calls, self.over = [], False
        self.wrapped_key = wrapped_key
        self.server, self.box, self.who = server, box, who
        self.threads = [threading.Thread(target=self.run)
                        for _ in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        channel = self.server.new_channel(self.who)
        stub = API.stub(channel, PATHS["UnwrapKey"])
        request = API.request(PATHS["UnwrapKey"],
                              resource=f"{PARENT}/mailboxes/{self.box}",
                              wrapped_key=self.wrapped_key,
                              access=self.server.access(USER))
        while not self.over:
            began = time.monotonic()
            try:
                stub(request, timeout=20)
                answer = "OK"
            except grpc.RpcError as error:
                answer = Refusal(API, error).reason
            self.calls.append((began, answer))
        channel.close()

    def count(self, answer, since=0.0):
        return sum(1 for began, what in list(self.calls)
                   if what == answer and began > since)

    def wait(self, answer, since, count=50):
        until = time.monotonic() + 20
        while self.count(answer, since) < count:
            if time.monotonic() > until:
                raise AssertionError(f"no {answer}: {self.calls[-5:]}")
            time.sleep(0.01)

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()


class Revocation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server({"ak_lease_ms": 5000}).begin()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def key_call(self, method, token, **fields):
        self.server.call("admin", method,
                         name=f"{PARENT}/customerKeys/key-{token}", **fields)

    def revoke(self, token):
        self.key_call("RevokeCustomerKey", token, identity=identity("workload"))

    def grant(self, token):
        self.key_call("GrantCustomerKey", token, identity=identity("workload"),
                      permissions=[1, 2, 3])

    def enable(self, token, enabled):
        mask = API.message("google.protobuf.FieldMask")
        self.key_call("UpdateCustomerKey", token, enabled=enabled,
                      update_mask=mask(paths=["enabled"]))

    def hammer(self, box, lease, take, give, **how):
        """take and give again, under load."""
        self.server.cli("admin", "dep", "update", box, "--key-lease",
                        str(lease))
        before = self.server.audit_end()
        hammer = Hammer(self.server, box, **how)
        try:
            for i in range(ROUNDS):
                hammer.wait("OK", time.monotonic())
                for token in ((EAST, WEST), (WEST, EAST))[i % 2]:
                    take(token)
                replied = time.monotonic()
                hammer.wait("KEY_ACCESS_DENIED", replied)
                self.assertEqual(hammer.count("OK", replied), 0)
                give((EAST, WEST)[i % 2])
                granted = time.monotonic()
                hammer.wait("OK", granted)
                # and the other way round: a grant is in effect as well
                self.assertEqual(hammer.count("KEY_ACCESS_DENIED", granted), 0)
                give((WEST, EAST)[i % 2])
        finally:
            hammer.stop()
            for token in (EAST, WEST):
                give(token)
        # nothing else was ever said, but to come again
        self.assertLessEqual({answer for _, answer in hammer.calls},
                             {"OK", "KEY_ACCESS_DENIED", "KEY_UNAVAILABLE"})
        self.assertEqual(self.server.ak_records(before), [])

    def test_revoke(self):
        for box in ("mail", "memo"):
            for lease in (0, 60):
                with self.subTest(box=box, lease=lease):
                    self.hammer(box, lease, self.revoke, self.grant)

    def test_disable(self):
        """While no stored key needs them (R-7.13): with kept copies."""
        kept = self.server.set_aside("mail", "memo")
        self.addCleanup(self.server.put_back, "mail", "memo")
        for box in kept:
            with self.subTest(box=box):
                self.hammer(box, 60, lambda token: self.enable(token, False),
                            lambda token: self.enable(token, True),
                            wrapped_key=kept[box])

    def test_one_of_two(self):
        """One key withdrawn: it is not used any more, and nobody notices."""
        self.server.cli("admin", "dep", "update", "mail", "--key-lease", "0")
        hammer = Hammer(self.server, "mail")
        try:
            hammer.wait("OK", 0)
            self.revoke(EAST)
            self.server.faults(f"token={EAST} function=C_UnwrapKey log=1")
            self.server.forget()
            since = time.monotonic()
            hammer.wait("OK", since, 300)
            self.assertEqual(self.server.logged(), 0)
            self.assertEqual(hammer.count("KEY_UNAVAILABLE", since), 0)
        finally:
            hammer.stop()
            self.server.clear()
            self.grant(EAST)
        # a call that was under way may have to come again
        self.assertLessEqual({answer for _, answer in hammer.calls},
                             {"OK", "KEY_UNAVAILABLE"})

    def test_under_an_ak_lease(self):
        """R-15.4a: an outage, users on the availability key; then a
        refusal."""
        self.server.heal("mail")
        self.server.faults(*[f"token={token} function=C_UnwrapKey "
                             "rv=CKR_DEVICE_ERROR" for token in (EAST, WEST)])
        hammer = Hammer(self.server, "mail")
        try:
            hammer.wait("OK", 0)
            self.revoke(WEST)
            replied = time.monotonic()
            hammer.wait("KEY_ACCESS_DENIED", replied)
            self.assertEqual(hammer.count("OK", replied), 0)
            self.assertEqual(self.server.unwrap("mail", SYSTEM).code, "OK")
            hammer.wait("KEY_ACCESS_DENIED", time.monotonic())
            self.assertEqual(hammer.count("OK", replied), 0)
        finally:
            hammer.stop()
            self.server.clear()
            self.grant(WEST)
            self.server.heal("mail")


if __name__ == "__main__":
    unittest.main()
