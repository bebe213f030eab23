"""A Deployment behind the fault shim, and stock gRPC clients of it: what the
tests of the whole server share.

HF_BUILD names the build folder. The clients know Holdfast by its descriptor set
alone (tests/unit/rpc/stock.py).
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "unit" / "rpc")]
import grpc  # noqa: E402
import deployment  # noqa: E402
from deployment import TENANT, identity  # noqa: E402,F401
from stock import Api, Refusal  # noqa: E402

BUILD = pathlib.Path(os.environ["HF_BUILD"])
API = Api(str(BUILD / "proto/holdfast.pb"))
PATHS = {method.name: path for path, method in API.methods("holdfast.v1")}
SHIM = BUILD / "tests/fault/shim/libhf_fault_shim.so"
READY = BUILD / "tests/integration/server/ready"
PARENT = f"tenants/{TENANT}"
EAST, WEST = "contoso-east", "contoso-west"
# a third token, in the custody domain of the first
ANNEX, HEADQUARTERS = "contoso-annex", "headquarters"
AK_TOKEN = "holdfast-ak"
AK_USED = "Fallback to Availability Key"
USER, SYSTEM = 1, 2
WHO = {USER: "workload", SYSTEM: "system"}
# an attempt at a customer key that ends without the module being asked again
# counts as its answer; short, so that a hang does not make a test slow
ATTEMPT_MS = 1000
LIMITS = {"ak_lease_ms": 0, "attempt_timeout_ms": ATTEMPT_MS,
          "probe_interval_ms": 3600000}

Context = API.message("holdfast.v1.AccessContext")


class Outcome:
    """What a data-plane call came to: key, or code, reason and retry_ms."""

    def __init__(self, reply=None, refusal=None):
        self.key = getattr(reply, "plaintext_key", None)
        self.code = "OK" if reply is not None else refusal.code
        self.reason = None if reply is not None else refusal.reason
        self.retry_ms = None if reply is not None else refusal.retry_ms
        self.text = "" if reply is not None else refusal.text
        self.reply = reply

    @property
    def answer(self):
        return (self.code, self.reason)

    def __repr__(self):
        return f"{self.code}/{self.reason} retry={self.retry_ms} {self.text}"


class Server(deployment.Deployment):
    def __init__(self, limits=None, shim=True, moving_clock=False,
                 sharepoint=False, service_mirror=False):
        super().__init__(BUILD, shim=SHIM if shim else None,
                         limits=dict(LIMITS, **(limits or {})),
                         spare={ANNEX: HEADQUARTERS},
                         moving_clock=moving_clock, sharepoint=sharepoint,
                         service_mirror=service_mirror)
        self.channels = {}

    def begin(self, anew=False):
        """Started, with the tenant, its keys and grants, and the DEPs "mail"
        (TOKEN) and "memo" (MEMORY) without key lease, each with a mailbox of
        its name: a copy of what provision_test.py made, or all anew."""
        try:
            if (READY / "uris.json").exists() and not anew:
                shutil.copytree(READY, self.home, dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns("softhsm2.conf"))
                self.uris = json.loads((self.home / "uris.json").read_text())
                self.write_config()
                self.start()
                self.settled()
            else:
                # keys of residency memory serve both residencies
                self.provision(residency="memory")
                self.start()
                self.onboard()
                self.dep_with_box("mail")
                self.dep_with_box("memo", residency="memory")
        except BaseException:
            self.stop()
            raise
        return self

    def settled(self):
        """Waits for the probe of each key that follows a start, so that no
        test counts it. (Before any other use of the keys.)"""
        until = time.monotonic() + 60
        while any(key.health.state == 0 for key in self.call(
                "admin", "ListCustomerKeys", parent=PARENT).customer_keys):
            if time.monotonic() > until:
                raise AssertionError("the keys are not probed")
            time.sleep(0.05)

    def keep(self):
        """Ends the server and leaves the folder for begin() to copy."""
        code = self.end(signal.SIGTERM)
        (self.home / "uris.json").write_text(json.dumps(self.uris))
        for name in ("holdfastd.log", "port", "faults", "faults.log"):
            (self.home / name).unlink(missing_ok=True)
        shutil.rmtree(READY, ignore_errors=True)
        shutil.copytree(self.home, READY)
        return code

    def stop(self):
        self.close_channels()
        self.clear()
        super().stop()

    def end(self, *how):
        self.close_channels()
        return super().end(*how)

    def log_lines(self, event):
        lines = [json.loads(line) for line in self.log().splitlines()
                 if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    # --- calls ------------------------------------------------------------

    def new_channel(self, who):
        pem = [(self.home / "pki" / name).read_bytes()
               for name in ("ca.pem", who + ".key", who + ".pem")]
        return grpc.secure_channel(
            f"127.0.0.1:{self.port}", grpc.ssl_channel_credentials(*pem),
            options=[("grpc.use_local_subchannel_pool", 1)])

    def channel(self, who):
        if who not in self.channels:
            self.channels[who] = self.new_channel(who)
        return self.channels[who]

    def close_channels(self):
        for channel in self.channels.values():
            channel.close()
        self.channels = {}

    def call(self, who, method, timeout=20, **fields):
        return API.call(self.channel(who), PATHS[method], timeout=timeout,
                        **fields)

    def patient(self, who, method, **fields):
        """A call that comes again while the service is busy."""
        until = time.monotonic() + 60
        while True:
            try:
                return self.call(who, method, **fields)
            except grpc.RpcError as error:
                if Refusal(API, error).reason != "OVERLOADED" or \
                        time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def outcome(self, who, method, timeout=20, **fields):
        try:
            return Outcome(self.call(who, method, timeout, **fields))
        except grpc.RpcError as error:
            return Outcome(refusal=Refusal(API, error))

    def access(self, initiator, request_id=None):
        return Context(initiator=initiator,
                       system_purpose=4 if initiator == SYSTEM else 0,
                       workload=1, request_id=request_id or str(uuid.uuid4()))

    def unwrap(self, box, initiator=USER, who=None, request_id=None, **fields):
        return self.outcome(who or WHO[initiator], "UnwrapKey",
                            resource=f"{PARENT}/mailboxes/{box}",
                            access=self.access(initiator, request_id),
                            **fields)

    def dep_with_box(self, name, keys=("key-" + EAST, "key-" + WEST),
                     residency="token", key_lease="0"):
        """A DEP, and a mailbox of the same name under it; (dep, key)."""
        words = [word for key in keys for word in ("--customer-key", key)]
        dep = self.cli("admin", "dep", "create", name, *words,
                       "--workload-identity", identity("workload"),
                       "--residency", residency, "--key-lease", key_lease)
        self.mailbox(name, name)
        made = self.call("workload", "GenerateKey",
                         resource=f"{PARENT}/mailboxes/{name}")
        return dep, made

    def set_aside(self, *boxes):
        """Brings the stored keys of these mailboxes under the built-in DEP, so
        that nothing stored needs their customer keys (R-7.13); the copies of
        before, which open still."""
        kept = {}
        for box in boxes:
            resource = f"{PARENT}/mailboxes/{box}"
            kept[box] = self.call("workload", "RewrapKey", resource=resource,
                                  access=self.access(USER)).wrapped_key
            self.cli("admin", "mailbox", "assign", box, "--none")
            self.call("workload", "RewrapKey", resource=resource,
                      access=self.access(USER))
        return kept

    def put_back(self, *boxes):
        for box in boxes:
            self.cli("admin", "mailbox", "assign", box, "--dep", box)
            self.call("workload", "RewrapKey",
                      resource=f"{PARENT}/mailboxes/{box}",
                      access=self.access(USER))

    def customer_key(self, name, token, residency="token", bits=2048):
        """One more key in a token, registered and granted."""
        self.generate(token, name, residency=residency, bits=bits)
        self.cli("admin", "key", "register", name, "--token", token, "--uri",
                 self.uris[name])
        self.grant(name)

    def test_dep(self, name):
        """Live checks on both keys; whether all passed."""
        return self.patient("admin", "TestDep",
                            name=f"{PARENT}/deps/{name}").passed

    def heal(self, *deps):
        """No fault any more, and the service knows it."""
        self.clear()
        until = time.monotonic() + 60
        for name in deps:
            while not self.test_dep(name):
                if time.monotonic() > until:
                    raise AssertionError(f"{name} does not heal")
                time.sleep(0.05)

    # --- audit ------------------------------------------------------------

    def audit(self, after=0, activity=""):
        """Records of the tenant with an index above after."""
        found, token = [], ""
        while True:
            reply = self.patient("auditor", "ListAuditRecords", parent=PARENT,
                                 page_size=1000, page_token=token,
                                 activity=activity)
            found += [r for r in reply.records if r.index > after]
            token = reply.next_page_token
            if not token:
                return found

    def ak_records(self, after=0):
        return self.audit(after, AK_USED)

    def audit_end(self):
        return max((r.index for r in self.audit()), default=0)

    # --- faults -----------------------------------------------------------

    def faults(self, *rules):
        """These rules of tests/fault/shim/rules.h and no others."""
        path = self.home / "faults"
        aside = self.home / "faults.new"
        aside.write_text("".join(rule + "\n" for rule in rules))
        os.replace(aside, path)

    def clear(self):
        if (self.home / "faults").exists():
            self.faults()

    def logged(self, token=None, function=None):
        """How many calls rules with log=1 wrote down; forget() empties it."""
        path = self.home / "faults.log"
        lines = path.read_text().splitlines() if path.exists() else []
        calls = [line.rsplit(" ", 1) for line in lines]
        return sum(1 for at, name in calls if token in (None, at)
                   and function in (None, name))

    def forget(self):
        (self.home / "faults.log").unlink(missing_ok=True)

    def pkcs11_tool(self, token, *words):
        done = subprocess.run(
            ["pkcs11-tool", "--module", self.softhsm, "--token-label", token,
             "--login", "--pin", self.pin(token).read_text().strip(), *words],
            env=self.env, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr
