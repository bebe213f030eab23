"""The process that uses two tokens through the token port (actor.c), its rules
of the fault shim, and the folder of tokens it works on."""

import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("HF_BUILD", "build/release"))
ACTOR = BUILD / "tests/fault/matrix/fault_actor"
TOKEND = BUILD / "hsm/tokend/holdfast-tokend"
SHIM = BUILD / "tests/fault/shim/libhf_fault_shim.so"
PIN, SO_PIN = "123456", "654321"
LABELS = {"a": "fault-a", "b": "fault-b"}
# longer than anything here takes; a case that needs it has failed
PATIENCE_S = 40
PLACES = ("/usr/lib/softhsm/libsofthsm2.so",
          "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
          "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
          "/usr/local/lib/softhsm/libsofthsm2.so")


def module():
    named = os.environ.get("HF_SOFTHSM_MODULE")
    return named or next(place for place in PLACES if os.path.exists(place))


class Dead(Exception):
    """The actor's process has ended."""


class Answer:
    def __init__(self, line):
        words = line.split(" ", 5)
        self.number = int(words[0])
        self.status = words[1].removeprefix("HF_E_").removeprefix("HF_")
        self.ms = int(words[2])
        self.rv = words[3]
        self.verdict = words[4]
        self.detail = words[5] if len(words) > 5 else ""

    @property
    def ok(self):
        return self.status == "OK" and self.verdict != "wrong"

    def __str__(self):
        return f"{self.status} {self.verdict} rv={self.rv} {self.ms} ms"


class Place:
    """A folder with the tokens, SoftHSM's configuration, and the rules."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.tokens = self.folder / "tokens"
        self.control = self.folder / "faults"
        self.log = self.folder / "faults.log"
        self.tokens.mkdir(exist_ok=True)
        pin = self.folder / "pin"
        pin.touch(mode=0o600)
        pin.write_text(PIN)
        (self.folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {self.tokens}\n"
            "objectstore.backend = file\nlog.level = ERROR\n")
        self.environment = dict(
            os.environ, SOFTHSM2_CONF=str(self.folder / "softhsm2.conf"),
            HF_FAULT_MODULE=module(), HF_FAULT_CONTROL=str(self.control))
        self.arm()

    def arm(self, *rules):
        """These rules and no others: another file, so that the shim cannot
        miss the change."""
        beside = self.folder / "faults.new"
        beside.write_text("".join(rule + "\n" for rule in rules))
        os.replace(beside, self.control)

    def logged(self, token, function):
        if not self.log.exists():
            return 0
        line = f"{LABELS[token]} {function}"
        return self.log.read_text().splitlines().count(line)

    def run(self, *words):
        return subprocess.run([str(word) for word in words], check=True,
                              capture_output=True, text=True, timeout=120,
                              env=self.environment).stdout

    def enumerate(self):
        """What a fresh process sees without the shim: {(token, kind, name)}."""
        lines = self.run(ACTOR, "--enumerate", module()).splitlines()
        return {tuple(line.split()) for line in lines}


def prepare(folder):
    """The tokens that every case begins with."""
    place = Place(folder)
    for label in LABELS.values():
        place.run("softhsm2-util", "--init-token", "--free", "--label", label,
                  "--pin", PIN, "--so-pin", SO_PIN)
    place.run(ACTOR, "--prepare", module(), folder)
    return place


def copy(made, folder):
    shutil.copytree(made.tokens, pathlib.Path(folder) / "tokens")
    shutil.copy(made.folder / "world", folder)
    return Place(folder)


def scratch():
    """Where syncing costs nothing, if there is such a place."""
    where = os.environ.get("TMPDIR")
    if where is None and os.access("/dev/shm", os.W_OK):
        where = "/dev/shm"
    return tempfile.TemporaryDirectory(prefix="holdfast-matrix-", dir=where)


class Actor:
    def __init__(self, place, turn=0, workers=True):
        """workers: each token in a process of its own, as the daemon has it."""
        self.errors = open(place.folder / "actor.log", "a+")
        words = [ACTOR, SHIM, place.folder, turn] + ([TOKEND] if workers else [])
        self.process = subprocess.Popen(
            [str(word) for word in words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env=place.environment)
        self.number = 0
        self.rest = b""
        self.answers = {}

    def send(self, op, token="a", attempt_ms=2000):
        self.number += 1
        line = f"{self.number} {op} {token} {attempt_ms}\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Dead(op)
        return self.number

    def wait(self, number, patience_s=PATIENCE_S):
        """The answer; None when there is none in time."""
        until = time.monotonic() + patience_s
        while number not in self.answers:
            left = until - time.monotonic()
            if left <= 0:
                return None
            ready, _, _ = select.select([self.process.stdout], [], [], left)
            if not ready:
                return None
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise Dead(f"exit code {self.process.wait(PATIENCE_S)}")
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                answer = Answer(line.decode())
                self.answers[answer.number] = answer
        return self.answers.pop(number)

    def do(self, op, token="a", attempt_ms=2000):
        answer = self.wait(self.send(op, token, attempt_ms))
        if answer is None:
            raise AssertionError(f"{op} {token}: no answer in {PATIENCE_S} s")
        return answer

    def end(self):
        """The exit code, None when it does not end and has to be killed."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        self.process.stdout.close()
        self.errors.close()
        return code
