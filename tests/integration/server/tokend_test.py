"""Does holdfast-tokend alone keep its time and its PIN: no storm of processes
for a token that is away, and none that a wrong PIN shuts out while it has one
that works?
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

PATIENCE = 60
TOKEND = pathlib.Path(os.environ["HF_BUILD"]) / "hsm/tokend/holdfast-tokend"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so",
           "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
           "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so")
STATE = 1  # hsm/worker/control.h
OPEN, PIN_REFUSED = 1, 3  # hsm/token/token.h
PACKET = struct.Struct("=6IQ256s")


class Tokend(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        (self.home / "tokens").mkdir()
        conf = self.home / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {self.home}/tokens\n")
        self.env = os.environ | {"SOFTHSM2_CONF": str(conf)}
        self.pin = self.home / "pin"
        self.write_pin("1111")
        self.conditions = []
        self.links = []
        self.addCleanup(lambda: [os.close(link) for link in self.links])

    def write_pin(self, text):
        part = self.home / "pin.part"
        part.touch(mode=0o600)
        part.write_text(text + "\n")
        part.rename(self.pin)

    def start(self):
        module = next(path for path in MODULES if os.path.exists(path))
        with open(self.home / "log", "ab") as log:
            self.tokend = subprocess.Popen(
                [TOKEND, "--listen", self.home / "socket", "--module", module,
                 "--token", "east", "--pin-file", self.pin,
                 "--log-level", "debug"],
                env=self.env, stdin=subprocess.DEVNULL, stderr=log)
        self.addCleanup(self.tokend.wait)
        self.addCleanup(self.tokend.kill)

    def log(self, event):
        lines = (self.home / "log").read_text().splitlines(keepends=True)
        read = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line for line in read if line["event"] == event]

    def until(self, condition):
        until = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), until,
                            (self.home / "log").read_text()[-2000:])
            time.sleep(0.01)

    def test_a_token_that_is_away(self):
        """The pauses between two tries double, from the first PIN on."""
        began = time.monotonic()
        self.start()
        self.until(lambda: len(self.log("worker.started")) >= 5)
        self.assertGreater(time.monotonic() - began, 0.1 + 0.2 + 0.4 + 0.8)

    def hear_until(self, condition_is):
        """What it says; keeps each link open."""
        while not self.conditions or not condition_is(self.conditions[-1]):
            packet, links, _, _ = socket.recv_fds(self.peer, PACKET.size, 1)
            self.assertEqual(len(packet), PACKET.size)
            _, kind, condition = PACKET.unpack(packet)[:3]
            self.links += links
            if kind == STATE:
                self.conditions.append(condition)

    def kill_worker(self):
        os.kill(self.log("worker.started")[-1]["pid"], signal.SIGKILL)

    def test_a_wrong_pin_while_a_worker_is_replaced(self):
        """The one that worked before is not given up for it."""
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label",
                        "east", "--pin", "1111", "--so-pin", "222222"],
                       env=self.env, check=True, stdout=subprocess.DEVNULL)
        self.start()
        self.until((self.home / "socket").is_socket)
        self.peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.peer.close)
        self.peer.settimeout(PATIENCE)
        self.peer.connect(str(self.home / "socket"))
        for _ in range(5):  # the pauses grow
            self.hear_until(lambda condition: condition == OPEN)
            self.kill_worker()
            self.hear_until(lambda condition: condition != OPEN)
        self.write_pin("9999")
        self.tokend.send_signal(signal.SIGHUP)
        self.hear_until(lambda condition: condition == OPEN)
        self.until(lambda: self.log("token.pin_refused"))
        self.assertEqual(len(self.log("token.pin_refused")), 1)
        self.assertNotIn(PIN_REFUSED, self.conditions)


if __name__ == "__main__":
    unittest.main()
