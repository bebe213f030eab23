"""Does the service go on when the process that has a token crashes, hangs, is
stopped or grows, with nobody's call failing while another token is there, and
without a second try of a wrong PIN?
"""
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (AK_TOKEN, BUILD, EAST, PARENT, SYSTEM, USER,  # noqa: E402
                    WEST, Server, identity)

PATIENCE = 60
SERVICE_TOKEN = "holdfast-service"


class Base(unittest.TestCase):
    limits = {}
    options = {}

    def setUp(self):
        self.server = Server(self.limits)
        self.server.token_options = self.options
        self.addCleanup(self.server.stop)
        self.server.begin()
        self.keys = {box: self.server.unwrap(box).key
                     for box in ("mail", "memo")}
        self.begin = self.server.audit_end()

    def until(self, condition):
        until = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def worker(self, token):
        """Process ids of the supervisor and of its only worker."""
        found = []

        def there():
            supervisor, workers = self.server.workers().get(token, (0, []))
            found[:] = [supervisor, *workers]
            return len(found) == 2
        self.until(there)
        return found

    def opened(self, token):
        """How often a worker has opened it."""
        return len([line for line in self.server.log_lines("token.open")
                    if line["name"] == token])

    def lines(self, event, token):
        return [line for line in self.server.log_lines(event)
                if line["name"] == token]

    def condition(self, who, token):
        return self.server.cli(who, "token", "get", token)

    def opens(self):
        for box, key in self.keys.items():
            for initiator in (USER, SYSTEM):
                outcome = self.server.unwrap(box, initiator)
                self.assertEqual(outcome.key, key, outcome)

    def replaced(self, token, opened, others):
        """Calls go on until another worker is there; nothing else changed."""
        self.until(lambda: self.opens() or self.opened(token) > opened)
        self.server.heal("mail")
        self.opens()
        for other, pids in others.items():
            self.assertEqual(self.worker(other), pids)
        self.assertEqual(self.server.ak_records(self.begin), [])


class Killed(Base):
    def others(self, token):
        return {other: self.worker(other)
                for other in (EAST, WEST, AK_TOKEN, SERVICE_TOKEN)
                if other != token}

    def test_worker(self):
        """However it ends, also by a stop, and that of which token ever."""
        for token in (EAST, WEST):
            for how in (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP):
                with self.subTest(token=token, how=how):
                    opened, others = self.opened(token), self.others(token)
                    supervisor, worker = self.worker(token)
                    os.kill(worker, how)
                    self.replaced(token, opened, others)
                    now = self.worker(token)
                    told = self.condition("operator", token)
                    self.assertEqual(told["condition"], "TOKEN_CONDITION_OPEN")
                    self.assertEqual(told["worker"], opened + 1)
                    self.assertEqual(told["workerRestarts"], opened)
                    self.assertEqual(now[0], supervisor)
                    self.assertNotEqual(now[1], worker)

    def test_supervisor(self):
        """Its worker ends with it; another one is started."""
        for how in (signal.SIGKILL, signal.SIGSTOP):
            with self.subTest(how=how):
                opened, others = self.opened(EAST), self.others(EAST)
                before = self.worker(EAST)
                os.kill(before[0], how)
                self.replaced(EAST, opened, others)
                self.assertFalse(set(self.worker(EAST)) & set(before))
                for pid in before:
                    self.until(lambda: not os.path.exists(f"/proc/{pid}"))

    def test_service_and_availability(self):
        """No other token can help: what needs them waits for a little, or is
        asked again, and is answered then."""
        opened = {token: self.opened(token)
                  for token in (SERVICE_TOKEN, AK_TOKEN)}
        for i in range(3):
            os.kill(self.worker(SERVICE_TOKEN)[1], signal.SIGKILL)
            # its record has a MAC by that token, and the epoch is there
            self.server.call("admin", "GrantCustomerKey",
                             name=f"{PARENT}/customerKeys/key-{EAST}",
                             identity=identity("stranger"),
                             permissions=[i + 1])
        self.until(lambda: self.opened(SERVICE_TOKEN) > opened[SERVICE_TOKEN])
        self.server.faults(*[f"token={token} function=C_UnwrapKey "
                             "rv=CKR_DEVICE_ERROR" for token in (EAST, WEST)])
        for i in range(3):
            os.kill(self.worker(AK_TOKEN)[1], signal.SIGKILL)
            outcome = self.server.unwrap("mail")
            self.assertEqual(outcome.key, self.keys["mail"], outcome)
        self.assertEqual(len(self.server.ak_records(self.begin)), 3)
        self.until(lambda: self.opened(AK_TOKEN) > opened[AK_TOKEN])
        self.server.heal("mail")

    def test_leases_of_a_lost_worker(self):
        """A handle of before never reaches a key of after: the hot lane goes
        on with another lease (token.h, generation)."""
        self.server.cli("admin", "dep", "update", "mail", "--key-lease", "900")
        self.assertEqual(self.server.unwrap("mail").key, self.keys["mail"])
        for token in (EAST, WEST):
            os.kill(self.worker(token)[1], signal.SIGKILL)
            for _ in range(20):
                outcome = self.server.unwrap("mail")
                self.assertEqual(outcome.key, self.keys["mail"], outcome)
            self.until(lambda: self.opened(token) == 2)
            self.server.heal("mail")

    def test_nothing_is_left(self):
        """However the daemon ends, its processes end with it."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            pids = self.server.processes()
            self.assertEqual(len(pids), 1 + 2 * 5)
            self.server.end(how)
            for pid in pids:
                self.until(lambda: not self.lives(pid))
            self.server.start()

    def test_nothing_is_left_of_a_stopped_supervisor(self):
        pids = self.server.processes()
        for supervisor, _ in self.server.workers().values():
            os.kill(supervisor, signal.SIGSTOP)
        self.server.end(signal.SIGKILL)
        for pid in pids:
            self.until(lambda: not self.lives(pid))

    @staticmethod
    def lives(pid):
        """Not even as a zombie of ours; who takes away orphans is the machine's
        affair."""
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] not in "ZX"


class Module(Base):
    """What the module does."""

    def test_crash(self):
        """Class TRANSIENT (table 6-A): the other key opens it."""
        for function in ("C_UnwrapKey", "C_Decrypt"):
            with self.subTest(function=function):
                opened = self.opened(EAST)
                self.server.faults(
                    f"token={EAST} function={function} crash=1")
                ended = len(self.lines("worker.ended", EAST))
                self.until(lambda: self.opens() or
                           len(self.lines("worker.ended", EAST)) > ended)
                self.server.clear()
                self.replaced(EAST, opened, {})

    def test_hang(self):
        """In a call of each lane: the worker is replaced, and those that hang
        are not waited for."""
        for function in ("C_UnwrapKey", "C_Decrypt"):
            with self.subTest(function=function):
                opened, worker = self.opened(EAST), self.worker(EAST)
                gone = self.given_up()
                self.server.faults(
                    f"token={EAST} function={function} hang=1 after=200")
                self.until(lambda: self.opens() or self.given_up() > gone)
                self.server.clear()
                self.replaced(EAST, opened, {})
                self.until(lambda: self.worker(EAST) != worker)

    def given_up(self):
        return sum(len(self.lines(event, EAST))
                   for event in ("worker.worn", "worker.killed"))

    def test_both_crash(self):
        """An outage: the availability key serves, and is recorded."""
        self.server.faults(*[f"token={token} function=C_UnwrapKey crash=1"
                             for token in (EAST, WEST)])
        outcome = self.server.unwrap("mail")
        self.assertEqual(outcome.key, self.keys["mail"], outcome)
        self.assertEqual(len(self.server.ak_records(self.begin)), 1)
        self.server.heal("mail")


class Grown(Base):
    """A worker that has grown is replaced while calls go on."""
    options = {token: {"worker_memory_mb": 1} for token in (EAST, WEST)}

    def test_recycled(self):
        """By SoftHSM's own leak: 245 bytes for each session object."""
        self.server.cli("admin", "dep", "update", "memo", "--key-lease", "900")
        stop, wrong = threading.Event(), []

        def load(box):
            while not stop.is_set():
                outcome = self.server.unwrap(box)
                if outcome.key != self.keys[box]:
                    wrong.append(outcome)
        threads = [threading.Thread(target=load, args=(box,))
                   for box in ("mail", "mail", "memo")]
        for thread in threads:
            thread.start()
        try:
            self.until(lambda: any(self.lines("worker.worn", token) and
                                   self.opened(token) > 1
                                   for token in (EAST, WEST)))
            time.sleep(1)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(self.server.ak_records(self.begin), [])
        for token in (EAST, WEST):  # what is drained has ended
            self.worker(token)
            self.assertEqual(self.lines("worker.ended", token), [])


class Pins(Base):
    def log_in_calls(self):
        return self.server.logged(EAST, "C_Login")

    def watch(self):
        self.server.faults(f"token={EAST} function=C_Login log=1")

    def test_a_wrong_one_beside_the_right_one(self):
        """Tried once, in a worker of its own; the one before goes on, and is
        told of; then the right one, changed in the token as well."""
        right = self.server.pin(EAST).read_text()
        before = self.worker(EAST)
        self.watch()
        self.server.pin(EAST).write_text("0000000000000000\n")
        self.server.server.send_signal(signal.SIGHUP)
        self.until(lambda: self.lines("token.pin_refused", EAST))
        self.assertEqual(self.worker(EAST), before)
        self.assertEqual(self.log_in_calls(), 1)
        told = self.condition("operator", EAST)
        self.assertEqual(told["condition"], "TOKEN_CONDITION_OPEN")
        self.assertIn("PIN", told["conditionReason"])
        self.assertEqual(self.condition("admin", EAST).get("conditionReason",
                                                           ""), "")
        self.opens()
        # the worker that has the right one may be replaced as well
        opened = self.opened(EAST)
        os.kill(before[1], signal.SIGKILL)
        self.replaced(EAST, opened, {})
        self.assertEqual(self.log_in_calls(), 2)
        self.watch()  # healing ends all rules
        new, opened = os.urandom(8).hex(), self.opened(EAST)
        self.change_pin(right.strip(), new)
        self.server.pin(EAST).write_text(new + "\n")
        self.until(lambda: self.opens() or self.log_in_calls() > 2)
        self.until(lambda: self.opened(EAST) > opened)
        self.opens()
        self.assertEqual(self.log_in_calls(), 3)
        self.assertEqual(len(self.lines("token.pin_refused", EAST)), 1)
        # and now the old one is no more
        opened = self.opened(EAST)
        os.kill(self.worker(EAST)[1], signal.SIGKILL)
        self.replaced(EAST, opened, {})

    def test_a_crash_in_the_log_in(self):
        """Whether the token has counted it nobody knows: it is tried once
        more, and then taken for refused; the worker before goes on."""
        before = self.worker(EAST)
        self.server.faults(f"token={EAST} function=C_Login log=1 crash=1")
        self.server.pin(EAST).write_text("0000000000000000\n")
        self.server.server.send_signal(signal.SIGHUP)
        self.until(lambda: self.lines("token.pin_refused", EAST))
        self.assertEqual(self.log_in_calls(), 2)
        told = self.condition("operator", EAST)
        self.assertIn("taken for refused", told["conditionReason"])
        self.assertEqual(self.worker(EAST), before)
        self.opens()

    def change_pin(self, old, new):
        done = subprocess.run(
            ["pkcs11-tool", "--module", self.server.softhsm, "--token-label",
             EAST, "--login", "--pin", old, "--change-pin", "--new-pin", new],
            env=self.server.env, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Late(Base):
    """A token that is opened by a person, later than the daemon starts."""
    rules = []

    def setUp(self):
        self.server = Server(self.limits)
        self.addCleanup(self.server.stop)
        self.server.begin()
        self.keys = {box: self.server.unwrap(box).key
                     for box in ("mail", "memo")}
        self.begin = self.server.audit_end()
        self.server.end()
        self.server.token_options = self.options
        self.server.write_config()
        self.server.faults(f"token={EAST} function=C_Login log=1",
                           *[rule.format(pins=self.server.home / "pins")
                             for rule in self.rules])
        self.server.start()

    def until_condition(self, name):
        self.until(lambda: self.condition("operator", EAST)["condition"] ==
                   "TOKEN_CONDITION_" + name)


class Activation(Late):
    """Who has the PIN brings it."""
    options = {EAST: {"pin_file": None, "pin": "activation"}}

    def activate(self, pin):
        aside = self.server.home / "pins/entered"
        aside.touch(mode=0o600)
        aside.write_text(pin)
        done = subprocess.run(
            [str(BUILD / "hsm/tool/holdfast-hsm"), "token", "activate",
             "--token", EAST, "--pin-file", str(aside), "--socket",
             str(self.server.home / f"state/{EAST}.activation")],
            env=self.server.env, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=PATIENCE)
        return done.returncode, done.stderr + done.stdout

    def test_life(self):
        """Until it is activated it is away, for everybody as in an outage; a
        mistyped PIN is tried once; a worker that is replaced needs nobody."""
        self.assertTrue(self.lines("token.awaiting_activation", EAST))
        self.assertEqual(self.condition("operator", EAST)["condition"],
                         "TOKEN_CONDITION_AWAITING_ACTIVATION")
        self.assertEqual(self.server.workers()[EAST][1], [])
        self.opens()
        self.assertEqual(self.server.ak_records(self.begin), [])
        socket = self.server.home / f"state/{EAST}.activation"
        self.assertEqual(socket.stat().st_mode & 0o777, 0o600)
        for tries in (1, 1):
            code, text = self.activate("0000000000000000")
            self.assertEqual(code, 3, text)
            self.assertIn("refuses this PIN", text)
            self.assertEqual(self.server.logged(EAST, "C_Login"), tries)
        self.opens()
        right = self.server.pin(EAST).read_text()
        code, text = self.activate(right)
        self.assertEqual(code, 0, text)
        self.assertIn("open", text)
        self.until_condition("OPEN")
        self.assertEqual(self.server.logged(EAST, "C_Login"), 2)
        self.server.heal("mail")
        self.opens()
        opened = self.opened(EAST)
        os.kill(self.worker(EAST)[1], signal.SIGKILL)
        self.until(lambda: self.opened(EAST) > opened)
        self.server.heal("mail")
        code, text = self.activate(right)
        self.assertEqual(code, 0, text)
        self.assertEqual(self.server.ak_records(self.begin), [])
        for pid in self.server.processes():
            for name in ("cmdline", "environ"):
                self.assertNotIn(right.strip().encode(), pathlib.Path(
                    f"/proc/{pid}/{name}").read_bytes())

    def test_nobody_there(self):
        self.server.end()
        code, text = self.activate("0000000000000000")
        self.assertEqual(code, 6, text)
        self.assertIn("nobody takes a PIN", text)


class Pad(Late):
    """The token has a pad: CKF_PROTECTED_AUTHENTICATION_PATH."""
    options = {EAST: {"pin_file": None, "pin": "pad"}}
    shown = f"token={EAST} function=C_GetTokenInfo flags=0x100"
    rules = [shown, f"token={EAST} function=C_Login delay_ms=2000 "
             "rv=CKR_FUNCTION_CANCELED"]

    def come(self):
        """Somebody stands at the token."""
        self.server.faults(
            self.shown, f"token={EAST} function=C_Login log=1 delay_ms=3000 "
            f"pad={self.server.pin(EAST)}")

    def test_life(self):
        """Nobody comes in time, which is no refusal; then somebody does."""
        self.until_condition("AWAITING_ACTIVATION")
        self.opens()
        self.until(lambda: self.server.logged(EAST, "C_Login") > 1)
        self.assertEqual(self.lines("token.pin_refused", EAST), [])
        self.come()
        self.until_condition("OPEN")
        self.server.heal("mail")
        self.opens()
        self.assertEqual(self.server.ak_records(self.begin), [])

    def test_mistyped(self):
        """It is not asked for again until somebody says so."""
        right = self.server.pin(EAST).read_text()
        self.server.pin(EAST).write_text("0000000000000000\n")
        self.come()
        self.until_condition("PIN_REFUSED")
        tries = self.server.logged(EAST, "C_Login")
        self.assertEqual(len(self.lines("token.pin_refused", EAST)), 1)
        self.server.pin(EAST).write_text(right)
        self.opens()
        self.assertEqual(self.server.logged(EAST, "C_Login"), tries)
        self.server.server.send_signal(signal.SIGHUP)
        self.until_condition("OPEN")
        self.assertEqual(self.server.logged(EAST, "C_Login"), tries + 1)


class Moved(Base):
    """Leases stay with the worker that has them when another takes over."""

    def test_leases(self):
        """By two changed PINs: no call fails, and the leases of before serve
        without another unwrap, until they end; then the worker does."""
        self.server.cli("admin", "dep", "update", "mail", "--key-lease", "900")
        self.opens()
        before = {token: self.worker(token) for token in (EAST, WEST)}
        for token in before:
            new, old = os.urandom(8).hex(), self.server.pin(token)
            done = subprocess.run(
                ["pkcs11-tool", "--module", self.server.softhsm,
                 "--token-label", token, "--login", "--pin",
                 old.read_text().strip(), "--change-pin", "--new-pin", new],
                env=self.server.env, capture_output=True, check=False,
                stdin=subprocess.DEVNULL, timeout=PATIENCE)
            self.assertEqual(done.returncode, 0)
            old.write_text(new + "\n")
        self.until(lambda: all(self.opened(token) == 2 for token in before))
        self.server.faults(*[f"token={token} function=C_UnwrapKey log=1"
                             for token in before])
        for _ in range(20):
            outcome = self.server.unwrap("mail")
            self.assertEqual(outcome.key, self.keys["mail"], outcome)
        self.assertEqual(self.server.logged(function="C_UnwrapKey"), 0)
        held = [token for token, (_, worker) in before.items()
                if worker in self.server.workers()[token][1]]
        self.assertEqual(len(held), 1)  # the one that has the lease
        self.server.cli("admin", "dep", "update", "mail", "--key-lease", "0")
        for token, (supervisor, worker) in before.items():
            now = self.worker(token)
            self.assertEqual(now[0], supervisor)
            self.assertNotEqual(now[1], worker)
        self.opens()
        self.assertEqual(self.server.ak_records(self.begin), [])


if __name__ == "__main__":
    unittest.main()
