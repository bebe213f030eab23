"""Does the daemon work with token processes that somebody else has started, as
the units of deploy/systemd do: without the PIN, across the ends of either, and
for its own user alone?
"""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (BUILD, EAST, USER, WEST, Server)  # noqa: E402

PATIENCE = 60
UNIT = pathlib.Path(os.environ["HF_SOURCE"]) / \
    "deploy/systemd/holdfast-tokend@.service"
NOBODY = 65534


class Listening(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.tokends = {}
        self.addCleanup(self.server.stop)
        self.addCleanup(self.end_tokends)
        self.server.begin()
        self.keys = {box: self.server.unwrap(box).key
                     for box in ("mail", "memo")}
        self.begin = self.server.audit_end()
        self.server.end()
        for token in (EAST, WEST):
            folder = self.server.home / f"run-{token}"
            folder.mkdir()
            self.server.token_options[token] = {
                "module": None, "pin_file": None, "sync": None,
                "sync_path": None, "isolation": None,
                "worker_socket": str(self.socket(token))}
        self.server.write_config()
        for token in (EAST, WEST):
            self.start_tokend(token)
        # out of the daemon's reach, as another user's would be
        for token in (EAST, WEST):
            self.server.pin(token).rename(self.server.home / f"pin-{token}")
        self.server.start()

    def socket(self, token):
        return self.server.home / f"run-{token}/socket"

    def words(self, token):
        """The unit's command, with what systemd would put into it."""
        line, = [line for line in UNIT.read_text().splitlines()
                 if line.startswith("ExecStart=")]
        pin = self.server.home / f"pin-{token}"
        if not pin.exists():
            pin = self.server.pin(token)
        named = {"/usr/bin/holdfast-tokend":
                 str(BUILD / "hsm/tokend/holdfast-tokend"),
                 "/run/holdfast-tokend/%i/socket": str(self.socket(token)),
                 "holdfast": "root", "%i": token,
                 "${MODULE}": self.server.module, "${TOKEN}": token,
                 "${CREDENTIALS_DIRECTORY}/pin": str(pin),
                 "$OPTIONS": f"--syncfs {self.server.home}/tokens"}
        words = []
        for word in line.removeprefix("ExecStart=").split():
            words += named.get(word, word).split()
        self.assertNotIn("%", "".join(words))
        return words

    def start_tokend(self, token):
        with open(self.server.home / "tokend.log", "ab") as log:
            self.tokends[token] = subprocess.Popen(
                self.words(token), env=self.server.env, stderr=log,
                stdin=subprocess.DEVNULL)
        self.until(self.socket(token).is_socket)

    def end_tokends(self):
        for tokend in self.tokends.values():
            tokend.kill()
            tokend.wait()

    def until(self, condition):
        until = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), until, self.server.log()[-3000:])
            time.sleep(0.02)

    def opens(self):
        for box, key in self.keys.items():
            outcome = self.server.unwrap(box, USER)
            self.assertEqual(outcome.key, key, outcome)

    def opened(self, token):
        return len([line for line in self.server.log_lines("token.open")
                    if line["name"] == token])

    def test_served(self):
        """By workers that are not the daemon's children."""
        self.server.heal("mail")
        self.opens()
        self.assertEqual([self.opened(token) for token in (EAST, WEST)], [2, 2])
        self.assertFalse(set(self.server.workers()) & {EAST, WEST})
        self.assertEqual(self.server.ak_records(self.begin), [])

    def test_it_ends_and_comes_back(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            opened = self.opened(EAST)
            self.tokends[EAST].send_signal(how)
            self.tokends[EAST].wait(PATIENCE)
            for _ in range(5):
                self.opens()  # the other token's key opens it
            self.start_tokend(EAST)
            self.until(lambda: self.opened(EAST) > opened)
            self.server.heal("mail")
            self.opens()
        self.assertEqual(self.server.ak_records(self.begin), [])

    def test_the_daemon_ends_and_comes_back(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            opened = self.opened(EAST)
            self.server.end(how)
            self.assertIsNone(self.tokends[EAST].poll())
            self.server.start()
            self.until(lambda: self.opened(EAST) > opened)
            self.server.heal("mail")
            self.opens()

    def test_for_nobody_else(self):
        """One at a time, and of a user that may."""
        path = str(self.socket(EAST))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o660)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as second:
            second.settimeout(PATIENCE)
            second.connect(path)
            self.assertEqual(second.recv(4096), b"")
        self.server.end()
        os.chmod(path, 0o666)
        for folder in (self.server.home, self.socket(EAST).parent):
            os.chmod(folder, 0o755)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                with socket.socket(socket.AF_UNIX,
                                   socket.SOCK_SEQPACKET) as stranger:
                    stranger.settimeout(PATIENCE)
                    stranger.connect(path)
                    code = 0 if stranger.recv(4096) == b"" else 2
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertIn("worker.refused_peer",
                      (self.server.home / "tokend.log").read_text())
        self.server.start()
        self.opens()

    def test_of_another_token(self):
        """Who listens there has the wrong one: nothing is asked of it."""
        self.server.end()
        for token in (EAST, WEST):
            self.tokends[token].terminate()
            self.tokends[token].wait(PATIENCE)
        words = [WEST if word == EAST else word for word in self.words(EAST)]
        words = [str(self.server.home / f"pin-{WEST}")
                 if word.endswith(f"pin-{EAST}") else word for word in words]
        self.start_tokend(WEST)
        with open(self.server.home / "tokend.log", "ab") as log:
            self.tokends[EAST] = subprocess.Popen(
                words, env=self.server.env, stderr=log,
                stdin=subprocess.DEVNULL)
        self.until(self.socket(EAST).is_socket)
        self.server.start()
        self.until(lambda: [line for line in
                            self.server.log_lines("worker.no_link")
                            if line["name"] == EAST])
        self.opens()
        self.assertEqual(self.opened(EAST), 2)  # only before


if __name__ == "__main__":
    unittest.main()
