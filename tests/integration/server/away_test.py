"""Does the daemon serve everybody else while one customer's token is away or
refuses its PIN, also from the start on, and take the token in when it is back
(table 6-A; R-6.26)?
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (AK_TOKEN, BUILD, EAST, PARENT, SYSTEM, USER,  # noqa: E402
                    WEST, Server)

UNAVAILABLE = "token.unavailable"
REFUSED = "token.pin_refused"
SERVICE = "holdfast-service"


class Away(unittest.TestCase):
    def setUp(self):
        self.server = Server().begin()
        self.addCleanup(self.server.stop)
        self.keys = {box: self.server.unwrap(box).key
                     for box in ("mail", "memo")}
        self.begin = self.server.audit_end()
        self.server.end()

    def log_of(self, event, token):
        return [line for line in self.server.log_lines(event)
                if line["name"] == token]

    def opens(self, box, initiator=USER):
        outcome = self.server.unwrap(box, initiator)
        self.assertEqual(outcome.key, self.keys[box], outcome)

    def reachable(self, token):
        return self.server.call("admin", "GetToken",
                                name=f"{PARENT}/tokens/{token}").reachable

    def until(self, condition):
        until = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)

    def until_reachable(self, token):
        self.until(lambda: self.reachable(token))

    def away(self, token):
        """Takes the token's folder out of SoftHSM's; where it was."""
        for path in (self.server.home / "tokens").glob("*/token.object"):
            if token.encode() in path.read_bytes():
                place = path.parent
                shutil.move(place, self.server.home / "away")
                return place
        raise AssertionError(f"no token {token}")

    def test_one_is_away(self):
        """The other key opens what both open; nothing else is touched."""
        self.away(EAST)
        self.server.start()
        for box in ("mail", "memo"):
            for initiator in (USER, SYSTEM):
                self.opens(box, initiator)
        self.assertEqual(self.server.ak_records(self.begin), [])
        self.assertFalse(self.reachable(EAST))
        self.assertTrue(self.reachable(WEST))
        self.assertTrue(self.log_of(UNAVAILABLE, EAST))
        self.assertEqual(self.log_of(UNAVAILABLE, WEST), [])

    def test_both_do_not_answer(self):
        """An outage from the start on, as at any other time: the availability
        key serves, and is recorded. Then the tokens are back."""
        self.server.faults(*[f"token={token} function=C_OpenSession "
                             "rv=CKR_TOKEN_NOT_PRESENT"
                             for token in (EAST, WEST)])
        self.server.start()
        self.opens("mail")
        self.assertEqual(len(self.server.ak_records(self.begin)), 1)
        self.server.clear()
        for token in (EAST, WEST):
            self.until_reachable(token)
        self.server.heal("mail")
        used = len(self.server.ak_records(self.begin))
        self.opens("mail")
        self.assertEqual(len(self.server.ak_records(self.begin)), used)
        for token in (EAST, WEST):
            self.assertTrue(self.log_of("token.open", token))

    def test_wrong_pin(self):
        """Both PINs are wrong: a refusal, so that users get no availability
        key. None is offered twice; right ones are taken up by themselves."""
        right = {token: self.server.pin(token).read_text()
                 for token in (EAST, WEST)}
        for token in right:
            self.server.pin(token).write_text("0000000000000000\n")
        self.server.faults(*[f"token={token} function=C_Login log=1"
                             for token in right])
        self.server.start()
        self.assertEqual(self.server.unwrap("mail").answer,
                         ("PERMISSION_DENIED", "KEY_ACCESS_DENIED"))
        self.assertEqual(self.server.ak_records(self.begin), [])
        self.opens("mail", SYSTEM)
        self.until(lambda: all(self.log_of(REFUSED, token) for token in right))
        before = self.server.workers()
        for token in right:
            self.assertEqual(before[token][1], [])  # nobody tries it again
            os.kill(before[token][0], signal.SIGKILL)
        # not even who is started anew, and has never tried it
        self.until(lambda: all(len(self.log_of(UNAVAILABLE, token)) >= 2
                               for token in right))
        for token in right:
            self.assertNotEqual(self.server.workers()[token][0],
                                before[token][0])
            self.assertEqual(self.server.logged(token, "C_Login"), 1)
        for token, pin in right.items():
            self.server.pin(token).write_text(pin)
        for token in right:
            self.until_reachable(token)
        self.server.heal("mail")
        self.opens("mail")

    def test_wrong_pin_of_the_services_token(self):
        """It ends the daemon, after one try, by an exit code after which its
        unit does not start it again: it would be tried until it is locked."""
        unit = pathlib.Path(os.environ["HF_SOURCE"]) / \
            "deploy/systemd/holdfastd.service"
        code, = [line.partition("=")[2] for line in
                 unit.read_text().splitlines()
                 if line.startswith("RestartPreventExitStatus=")]
        self.server.pin(SERVICE).write_text("0000000000000000\n")
        self.server.faults(f"token={SERVICE} function=C_Login log=1")
        done = subprocess.run(
            [BUILD / "server/app/holdfastd", "--config",
             self.server.home / "holdfastd.yaml"], env=self.server.env,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, int(code), done.stderr)
        self.assertEqual(self.server.logged(SERVICE, "C_Login"), 1)

    def test_empty_pin_file(self):
        """Our own trouble is neither an outage nor a refusal (R-15.12)."""
        for token in (EAST, WEST):
            self.server.pin(token).write_text("")
        self.server.start()
        for initiator in (USER, SYSTEM):
            outcome = self.server.unwrap("mail", initiator)
            self.assertEqual(outcome.code, "UNAVAILABLE", outcome)
            self.assertGreater(outcome.retry_ms, 0)
        self.assertEqual(self.server.ak_records(self.begin), [])

    def test_hanging(self):
        """A module that does not answer delays the start, within bounds."""
        self.server.faults(f"token={EAST} function=C_OpenSession hang=1")
        began = time.monotonic()
        self.server.start()
        self.assertLess(time.monotonic() - began, 20)
        self.opens("mail")
        self.server.clear()
        self.until_reachable(EAST)

    def test_own_tokens_are_needed(self):
        """Without the AK token there is no start."""
        self.away(AK_TOKEN)
        with self.assertRaises(RuntimeError) as refused:
            self.server.start()
        self.assertIn(AK_TOKEN, str(refused.exception))


if __name__ == "__main__":
    unittest.main()
