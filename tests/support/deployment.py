"""A whole Holdfast on loopback, for tests and benches: SoftHSM tokens, a
development CA, a configuration, holdfastd, and the command as every role.

Everything is made by the programs an operator uses (holdfast-hsm, dev-ca,
holdfast) in a folder of its own; stop() ends only what was started here.
"""

import atexit
import datetime
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TENANT = "contoso"
TRUST = "spiffe://test.holdfast.example"
TOKENS = {"contoso-east": "headquarters", "contoso-west": "escrow"}
PEOPLE = {
    "operator": ("operator", None, ["operator"]),
    "admin": ("contoso/admin", TENANT, ["tenant-admin"]),
    "workload": ("contoso/exchange", TENANT, ["workload-exchange"]),
    "system": ("contoso/indexer", TENANT, ["workload-exchange", "system-workload"]),
    "auditor": ("contoso/auditor", TENANT, ["auditor"]),
    "operator2": ("operator2", None, ["operator"]),
    "operator3": ("operator3", None, ["operator"]),
    "ada": ("contoso/ada", TENANT, ["purge-approver"]),
    "bert": ("contoso/bert", TENANT, ["purge-approver"]),
    "stranger": ("contoso/stranger", TENANT, ["workload-exchange", "system-workload"]),
    "other-admin": ("fabrikam/admin", "fabrikam", ["tenant-admin"]),
    "other-workload": ("fabrikam/exchange", "fabrikam", ["workload-exchange", "system-workload"]),
}


def identity(name):
    return f"{TRUST}/{PEOPLE[name][0]}"


class Refused(Exception):
    """The command ended with an exit code other than 0."""

    def __init__(self, code, text):
        super().__init__(f"exit code {code}: {text}")
        self.code = code
        self.text = text


class Deployment:
    def __init__(self, build, where=None, shim=None, limits=None, env=None, spare=None,
                 moving_clock=False, sharepoint=False, service_mirror=False):
        """build: the build folder. where: a folder to make ours in (default:
        the system's temporary one). shim: a fault shim in front of SoftHSM for
        every token. limits: of the configuration. spare: more tokens, with
        their domains, in which no key is made. moving_clock: the daemon is
        holdfastd-test, whose time advance() moves. sharepoint: there is a
        token for the availability keys of geos, and no token can be
        initialised again by one party (R-4.11). service_mirror: the service's
        token has a mirror (R-15.10)."""
        self.build = pathlib.Path(build)
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-", dir=where))
        self.limits = limits or {}
        self.isolation = "process"  # or "none": as in the configuration
        self.tokens = {**TOKENS, **(spare or {})}
        self.ak_tokens = ["holdfast-ak"] + (["holdfast-sharepoint-ak"] if sharepoint else [])
        self.service_tokens = ["holdfast-service"]
        if service_mirror:
            self.service_tokens.append("holdfast-service-b")
        self.ak_mirrors = []  # of holdfast-ak; see mirror()
        self.protection = "token-protected" if sharepoint else "soft-delete-purge-protected"
        self.softhsm = self._softhsm()
        self.module = str(shim) if shim else self.softhsm
        self.token_options = {}  # label -> what its configuration says otherwise
        self.foreign = {}  # label -> the module of a token that is not SoftHSM's
        self.tls_key = "  key: pki/server.key\n"  # as in the configuration
        self.server = None
        self.port = None
        self.uris = {}
        for name in ("pins", "custodians", "client", "tokens"):
            (self.home / name).mkdir(mode=0o700)
        conf = self.home / "softhsm2.conf"
        conf.write_text(
            f"directories.tokendir = {self.home}/tokens\n"
            "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n")
        self.env = dict(os.environ, SOFTHSM2_CONF=str(conf), HOLDFAST_HOME=str(self.home))
        for name in list(self.env):
            if name.startswith("HOLDFAST_") and name != "HOLDFAST_HOME":
                del self.env[name]
        self.moving_clock = moving_clock
        self.clock_file = self.home / "clock"
        if moving_clock:
            self.clock_file.write_bytes(struct.pack("=q", 0))
            self.env["HF_TEST_CLOCK"] = str(self.clock_file)
        self.env.update(env or {})
        if shim:
            self.env["HF_FAULT_MODULE"] = self.softhsm
            self.env["HF_FAULT_CONTROL"] = str(self.home / "faults")
            (self.home / "faults").write_text("")
        # a test that fails while it sets up leaves nothing behind, either: a
        # server that stays would keep whoever reads its output waiting
        atexit.register(self.stop)

    @staticmethod
    def _softhsm():
        for pattern in ("softhsm/libsofthsm2.so", "*/softhsm/libsofthsm2.so"):
            for path in sorted(pathlib.Path("/usr/lib").glob(pattern)):
                return str(path)
        raise RuntimeError("libsofthsm2.so is not installed")

    # --- programs ---------------------------------------------------------

    def run(self, *words, env=None):
        done = subprocess.run([str(w) for w in words], env=env or self.env,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Refused(done.returncode,
                          "\n".join((done.stderr.strip(), done.stdout.strip())).strip())
        return done.stdout

    def hsm(self, *words):
        label = next((after for word, after in zip(words, words[1:])
                      if word in ("--token", "--label")), None)
        out = self.run(self.build / "hsm/tool/holdfast-hsm", *words, "--module",
                       self.foreign.get(label, self.softhsm), "--json")
        return json.loads(out)

    def cli(self, who, *words):
        """The command as one of PEOPLE; its JSON document."""
        out = self.run(self.build / "client/cli/holdfast", "--as", who, "--json", *words)
        return json.loads(out) if out.strip() else None

    def ca(self, *words):
        self.run(SOURCE / "deploy/tls/dev-ca", words[0], self.home / "pki", *words[1:])

    # --- making it --------------------------------------------------------

    def pin(self, name):
        path = self.home / "pins" / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(os.urandom(8).hex() + "\n")
        return path

    def provision(self, residency="token", bits=2048):
        """Tokens, keys, certificates, configuration."""
        ours = [*self.service_tokens, *self.ak_tokens]
        for token, domain in [*self.tokens.items(), *((name, "holdfast") for name in ours)]:
            self.hsm("token", "init", "--label", token, "--domain", domain,
                     "--deletion-protection", self.protection, "--test-only",
                     "--so-pin-file", self.pin(token + ".so"), "--pin-file", self.pin(token))
        self.service_init()
        for token in self.ak_tokens:
            self.hsm("ak", "init", "--token", token, "--pin-file", self.pin(token))
        for token in TOKENS:
            self.generate(token, f"key-{token}", residency=residency, bits=bits)
        for domain in TOKENS.values():
            self.run(self.build / "hsm/tool/holdfast-hsm", "custodian", "new", "--out",
                     self.home / f"custodians/{domain}.key", "--public",
                     self.home / f"custodians/{domain}.pem")
        self.ca("init")
        self.ca("server", "server")
        for name in PEOPLE:
            self.ca("issue", name, identity(name))
        self.write_config()

    def service_init(self):
        first, *mirrors = self.service_tokens
        words = ["--token", first, "--pin-file", self.pin(first)]
        for mirror in mirrors:
            words += ["--mirror", mirror, "--mirror-pin-file", self.pin(mirror)]
        return self.hsm("service", "init", *words)

    def generate(self, token, name, residency="token", bits=2048, extra=()):
        made = self.hsm("key", "generate", "--token", token, "--name", name, "--bits", bits,
                        "--residency", residency, "--pin-file", self.pin(token), *extra)
        self.uris[name] = made["uri"]
        return made

    def mirror(self, token):
        """Prepares a token that mirrors holdfast-ak, and configures it: the
        server must be started anew, and it is not enrolled."""
        self.hsm("token", "init", "--label", token, "--domain", "holdfast",
                 "--deletion-protection", self.protection, "--test-only",
                 "--so-pin-file", self.pin(token + ".so"), "--pin-file", self.pin(token))
        self.hsm("ak", "init", "--token", token, "--pin-file", self.pin(token))
        self.ak_mirrors.append(token)
        self.write_config()

    def _token_lines(self, label, indent):
        options = {"module": self.module, "label": label, "pin_file": f"pins/{label}",
                   "sync": "syncfs", "sync_path": "tokens", "isolation": self.isolation}
        if label in self.foreign:
            options.update(module=self.foreign[label], sync="none", sync_path=None)
        options.update(self.token_options.get(label, {}))
        return "".join(f"{indent}{key}: {value}\n" for key, value in options.items()
                       if value is not None)

    def write_config(self):
        text = ("listen: 127.0.0.1:0\nstate_dir: state\ntls:\n  certificate: pki/server.pem\n"
                f"{self.tls_key}  client_ca: pki/ca.pem\n  crl: pki/crl.pem\n")
        first, *mirrors = self.service_tokens
        text += "service_token:\n" + self._token_lines(first, "  ")
        if mirrors:
            text += "service_mirrors:\n"
        for mirror in mirrors:
            text += "  -\n" + self._token_lines(mirror, "    ")
        for token in self.ak_tokens:
            option = token.removeprefix("holdfast-").replace("-", "_") + "_token"
            text += f"{option}:\n" + self._token_lines(token, "  ")
        if self.ak_mirrors:
            text += "ak_mirrors:\n"
        for token in self.ak_mirrors:
            text += f"  - name: {token}\n" + self._token_lines(token, "    ")
        text += f"holdfast_hsm: {self.build}/hsm/tool/holdfast-hsm\n"
        text += f"holdfast_tokend: {self.build}/hsm/tokend/holdfast-tokend\n"
        text += "custody_domains:\n"
        for domain in TOKENS.values():
            text += f"  - name: {domain}\n    custodian_key: custodians/{domain}.pem\n"
        text += "tokens:\n"
        for token, domain in self.tokens.items():
            text += f"  - name: {token}\n    custody_domain: {domain}\n"
            text += self._token_lines(token, "    ")
        text += "identities:\n"
        for name, (_, tenant, roles) in PEOPLE.items():
            text += f"  - uri: {identity(name)}\n    roles: [{', '.join(roles)}]\n"
            if tenant:
                text += f"    tenant: {tenant}\n"
        if self.limits:
            text += "limits:\n" + "".join(f"  {k}: {v}\n" for k, v in self.limits.items())
        (self.home / "holdfastd.yaml").write_text(text)

    # --- the server -------------------------------------------------------

    def start(self, program=None, prefix=(), env=None):
        """Starts holdfastd (or a program made of it) and waits until it is ready."""
        port_file = self.home / "port"
        port_file.unlink(missing_ok=True)
        if program is None and self.moving_clock:
            program = self.build / "tests/support/holdfastd-test"
        program = program or self.build / "server/app/holdfastd"
        with open(self.home / "holdfastd.log", "ab") as log:
            self.server = subprocess.Popen(
                [*prefix, str(program), "--config", str(self.home / "holdfastd.yaml"),
                 "--port-file", str(port_file)],
                env=dict(self.env, **(env or {})), stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().strip()):
            if self.server.poll() is not None:
                raise RuntimeError("holdfastd did not start:\n" + self.log()[-2000:])
            if time.monotonic() > deadline:
                raise RuntimeError("holdfastd was not ready in time:\n" + self.log()[-2000:])
            time.sleep(0.02)
        self.port = int(port_file.read_text())
        self._write_profiles()

    def workers(self):
        """label -> (process id of the supervisor, those of its workers), of the
        tokens that have a process of their own."""
        processes = {}
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it has ended meanwhile
            processes[int(folder.name)] = (parent, words)
        found = {}
        for pid, (parent, words) in processes.items():
            if self.server and parent == self.server.pid and "--token" in words:
                found[words[words.index("--token") + 1]] = (
                    pid, sorted(child for child, (of, _) in processes.items() if of == pid))
        return found

    def processes(self):
        """Process ids of the server and of all that it is made of."""
        return [self.server.pid] + [pid for supervisor, workers in self.workers().values()
                                    for pid in (supervisor, *workers)]

    def advance(self, **how_long):
        """Time passes for the service, whole days at once: days=3, hours=4, ...
        (a Deployment with moving_clock). What is due happens within a second."""
        ahead = datetime.timedelta(**how_long) // datetime.timedelta(milliseconds=1)
        with open(self.clock_file, "r+b") as file:
            now, = struct.unpack("=q", file.read(8))
            file.seek(0)
            file.write(struct.pack("=q", now + ahead))

    def _write_profiles(self):
        for name, (_, tenant, _) in PEOPLE.items():
            (self.home / f"client/{name}.json").write_text(json.dumps({
                "target": f"127.0.0.1:{self.port}",
                "ca": str(self.home / "pki/ca.pem"),
                "cert": str(self.home / f"pki/{name}.pem"),
                "key": str(self.home / f"pki/{name}.key"),
                "tenant": tenant or TENANT,
            }))

    def log(self):
        path = self.home / "holdfastd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self, how=signal.SIGTERM):
        """Ends the server; its exit code."""
        if self.server is None:
            return None
        if self.server.poll() is None:
            self.server.send_signal(how)
        code = self.server.wait(timeout=60)
        self.server = None
        return code

    def stop(self):
        """Ends the server and takes the folder away."""
        atexit.unregister(self.stop)
        self.end(signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # --- the main job -----------------------------------------------------

    def onboard(self):
        """The tenant, its tokens, its customer keys and their grants."""
        self.cli("operator", "tenant", "create", TENANT, "--licensed")
        for token, domain in self.tokens.items():
            out = self.home / f"custodians/{token}.json"
            self.run(self.build / "hsm/tool/holdfast-hsm", "token", "enroll", "--module",
                     self.foreign.get(token, self.softhsm), "--token", token, "--pin-file", self.pin(token), "--tenant",
                     TENANT, "--domain", domain, "--key",
                     self.home / f"custodians/{domain}.key", "--out", out)
            self.cli("operator", "token", "enroll", token, "--statement", out)
        for token in TOKENS:
            self.cli("admin", "key", "register", f"key-{token}", "--token", token, "--uri",
                     self.uris[f"key-{token}"])
            self.grant(f"key-{token}")

    def grant(self, key, people=("workload", "system")):
        for name in people:
            self.cli("admin", "key", "grant", key, "--identity", identity(name))

    def revoke(self, key, people=("workload", "system")):
        for name in people:
            self.cli("admin", "key", "revoke", key, "--identity", identity(name))

    def dep(self, name, *more):
        words = []
        for token in TOKENS:
            words += ["--customer-key", f"key-{token}"]
        return self.cli("admin", "dep", "create", name, *words, "--workload-identity",
                        identity("workload"), *more)

    def mailbox(self, name, dep=None):
        self.cli("admin", "mailbox", "register", name, "--licensed")
        if dep:
            self.cli("admin", "mailbox", "assign", name, "--dep", dep)
