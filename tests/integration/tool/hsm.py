"""What the tests of holdfast-hsm share: a SoftHSM of the test's own, two
custodians with half of each PIN, and the command itself."""
import hashlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

MODULE = next(path for path in (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so")
    if os.path.exists(path))
OK, OTHER, USAGE, REFUSED, MISSING, CONFLICT, UNREACHABLE = range(7)
TIMEOUT_S = 240
HALVES = {"pin": ("first-user-", "second-user"),
          "so-pin": ("first-officer-", "second-officer"),
          "new-pin": ("first-coming-", "second-coming")}
SECRETS = [half for pair in HALVES.values() for half in pair]


class HsmTest(unittest.TestCase):
    tool = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-ops-"))
        self.addCleanup(shutil.rmtree, self.dir)
        (self.dir / "tokens").mkdir()
        conf = self.write("softhsm2.conf", 0o600,
                          f"directories.tokendir = {self.dir}/tokens\n"
                          "objectstore.backend = file\nlog.level = ERROR\n")
        for name, halves in HALVES.items():
            for i, half in enumerate(halves):
                self.write(f"{name}.{i}", 0o600, half)
            self.write(name, 0o600, "".join(halves))
        self.env = dict(os.environ, SOFTHSM2_CONF=str(conf))
        for who in ("alice", "bob", "mallory"):
            self.ask("custodian", "new", "--out", f"{who}.pem", "--public",
                     f"{who}.pub.pem")

    def write(self, name, mode, text):
        path = self.dir / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def halves(self, *which):
        return [word for name in which for i in (0, 1)
                for word in (f"--{name}-half-file", f"{name}.{i}")]

    def run_tool(self, *args, expect=OK, env=(), **options):
        """Runs without a terminal; no secret may ever be in what comes out."""
        done = subprocess.run(
            [self.tool, *map(str, args)], env=dict(self.env, **dict(env)),
            cwd=self.dir, capture_output=True, text=True, timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL, start_new_session=True, check=False,
            **options)
        if expect is not None:
            self.assertEqual(done.returncode, expect,
                             done.stdout + done.stderr)
        for secret in SECRETS:
            self.assertNotIn(secret, done.stdout + done.stderr)
        return done

    def ask(self, *args, **options):
        return json.loads(self.run_tool(*args, "--json", **options).stdout)

    def problem(self, *args, expect, **options):
        done = self.run_tool(*args, "--json", expect=expect, **options)
        self.assertEqual(done.stdout, "")
        return json.loads(done.stderr)["error"]["message"]

    def token(self, label, *args):
        return ("--token", label, *self.halves("pin"), *args)

    def init(self, label, *args):
        return self.ask("token", "init", "--label", label, "--domain", "hq",
                        *self.halves("pin", "so-pin"), *args)

    def keys(self, label):
        """Name and id of each key but the canary."""
        return sorted((key["name"], key["id"]) for key in
                      self.ask("key", "list", *self.token(label))["keys"]
                      if key["role"] != "canary")

    def fingerprint(self):
        """Of all that is in all tokens. SoftHSM rewrites token.object at each
        log-in, and its generation files whenever it looks."""
        whole = hashlib.sha256()
        for path in sorted((self.dir / "tokens").rglob("*.object")):
            if path.name != "token.object":
                whole.update(str(path).encode() + path.read_bytes())
        return whole.hexdigest()

    def in_use(self, keys=(), age_s=0, sign=True):
        """What holdfast catalogue backup writes, of all tokens there are; keys:
        (name, fingerprint, serial, names of DEPs). Returns the options."""
        tokens = [{"name": "t" + token["serial"], "serial": token["serial"]}
                  for token in self.ask("token", "list")["tokens"]]
        document = {
            "format": "holdfast-catalogue-1", "tenant": "contoso",
            "timeMs": int((time.time() - age_s) * 1000), "tokens": tokens,
            "customerKeys": [
                {"name": name, "token": "t" + serial,
                 "versions": [{"version": 1, "fingerprint": fingerprint}]}
                for name, fingerprint, serial, _ in keys],
            "deps": [
                {"name": dep, "state": state, "generations": [
                    {"generation": 1,
                     "customerKeys": [{"name": name, "version": 1}]}]}
                for name, _, _, deps in keys for dep, state in deps]}
        self.write("contoso.json", 0o600, json.dumps(document))
        if not (self.dir / "audit.pem").exists():
            self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                         "ec_paramgen_curve:P-256", "-out", "audit.key")
            self.openssl("pkey", "-in", "audit.key", "-pubout", "-out",
                         "audit.pem")
        if sign:
            self.openssl("dgst", "-sha256", "-sign", "audit.key", "-out",
                         "contoso.sig", "contoso.json")
        return ["--in-use", "contoso.json", "--in-use-public", "audit.pem"]

    def openssl(self, *args):
        return subprocess.run(["openssl", *args], cwd=self.dir, check=True,
                              capture_output=True, timeout=TIMEOUT_S).stdout

    def type_in(self, args, answers):
        """Runs on a terminal of its own and types each answer when its prompt
        ends what is on the screen; returns the exit code and the screen."""
        child, screen = pty.fork()
        if child == 0:
            os.chdir(self.dir)
            os.execve(self.tool, [self.tool, *map(str, args)], self.env)
        shown = b""
        waiting = list(answers)
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                self.fail(f"still waiting for something: {shown!r}")
            if not select.select([screen], [], [], 1)[0]:
                continue
            try:
                piece = os.read(screen, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
            if waiting and shown.endswith(waiting[0][0].encode()):
                os.write(screen, waiting.pop(0)[1].encode() + b"\n")
        _, status = os.waitpid(child, 0)
        os.close(screen)
        self.assertEqual(waiting, [], shown)
        return os.waitstatus_to_exitcode(status), shown.decode()
