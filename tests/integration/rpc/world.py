"""holdfastd on SoftHSM with certificates of its own, in a temporary folder.

Everything is set up by the commands that operators use: holdfast-hsm for tokens
and custodians, openssl for certificates. HF_BUILD names the build folder.
"""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "unit" / "rpc"))
import grpc
from stock import Api

BUILD = pathlib.Path(os.environ["HF_BUILD"])
DAEMON = os.environ.get("HF_HOLDFASTD", str(BUILD / "server/app/holdfastd"))
TOOL = os.environ.get("HF_HOLDFAST_HSM", str(BUILD / "hsm/tool/holdfast-hsm"))
API = Api(str(BUILD / "proto/holdfast.pb"))
MODULE = next(path for path in (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so")
    if os.path.exists(path))
PATHS = {method.name: path for path, method in API.methods("holdfast.v1")}

# who there is: name -> (tenant, roles)
PEOPLE = {
    "operator": (None, ["operator"]),
    "auditor": (None, ["auditor"]),
    "admin": ("acme", ["tenant-admin"]),
    "exchange": ("acme", ["workload-exchange"]),
    "system": ("acme", ["workload-exchange", "system-workload"]),
    "files": ("acme", ["workload-sharepoint"]),
    "vault": ("acme", ["vault-admin"]),
    "contributor": ("acme", ["vault-contributor"]),
    "looker": ("acme", ["auditor"]),
    "approver": ("acme", ["purge-approver"]),
    "compliance": ("acme", ["compliance-admin"]),
    "sharepoint": ("acme", ["sharepoint-admin"]),
    "mailadmin": ("acme", ["exchange-admin"]),
    "m365": ("acme", ["workload-m365"]),
    "other": ("zeta", ["tenant-admin"]),
    "otherwork": ("zeta", ["workload-exchange", "system-workload"]),
}


def uri_of(name):
    return "spiffe://test.example/" + name


class Pki:
    """A CA, its list, the server's and everybody's certificate."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.write("ca.cnf", """
[ca]
default_ca = own
[own]
database = %(f)s/index
new_certs_dir = %(f)s
certificate = %(f)s/ca.pem
private_key = %(f)s/ca.key
serial = %(f)s/serial
crlnumber = %(f)s/crlnumber
default_md = sha256
default_days = 2
default_crl_days = 2
policy = any
[any]
commonName = optional
""" % {"f": folder})
        self.write("index", "")
        self.write("serial", "1000\n")
        self.write("crlnumber", "01\n")
        self.openssl("req", "-x509", *self.ec("ca"), "-days", "3",
                     "-subj", "/CN=test CA", "-out", "ca.pem",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.crl()
        self.issue("server", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                   "serverAuth")

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True,
                       capture_output=True)

    @staticmethod
    def ec(name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-noenc", "-keyout", name + ".key")

    def issue(self, name, san, purpose):
        self.openssl("req", "-new", *self.ec(name), "-subj", "/CN=" + name,
                     "-out", name + ".csr")
        self.write(name + ".ext", "%s\nextendedKeyUsage=%s\n"
                   "keyUsage=critical,digitalSignature\n"
                   "basicConstraints=CA:FALSE\n" % (san, purpose))
        self.openssl("ca", "-batch", "-notext", "-config", "ca.cnf",
                     "-in", name + ".csr", "-out", name + ".pem",
                     "-extfile", name + ".ext")

    def issue_client(self, name):
        self.issue(name, "subjectAltName=URI:" + uri_of(name), "clientAuth")

    def revoke(self, name):
        self.openssl("ca", "-config", "ca.cnf", "-revoke", name + ".pem")
        self.crl()

    def crl(self):
        self.openssl("ca", "-config", "ca.cnf", "-gencrl", "-out", "new.crl")
        os.replace(self.folder / "new.crl", self.folder / "ca.crl")

    def read(self, name):
        return (self.folder / name).read_bytes()


class World:
    """Tokens, certificates, configuration; the daemon is started by hand."""

    def __init__(self, people=None):
        self.people = dict(PEOPLE if people is None else people)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hf-daemon-"))
        self.process = None
        self.channels = {}
        try:
            self.make()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def make(self):
        (self.folder / "tokens").mkdir(mode=0o700)
        self.write("softhsm2.conf", "directories.tokendir = %s/tokens\n"
                   "objectstore.backend = file\nlog.level = ERROR\n"
                   % self.folder)
        self.env = dict(os.environ,
                        SOFTHSM2_CONF=str(self.folder / "softhsm2.conf"))
        self.write("pin", "1234-user\n", 0o600)
        self.write("so-pin", "1234-officer\n", 0o600)
        for label, domain in (("service", "ours"), ("ak", "ours"),
                              ("first", "hq"), ("second", "branch"),
                              ("third", "hq")):
            self.tool("token", "init", "--token", label, "--domain", domain,
                      "--so-pin-file", "so-pin", "--deletion-protection",
                      "soft-delete-purge-protected")
        self.tool("service", "init", "--token", "service")
        self.tool("ak", "init", "--token", "ak")
        for domain in ("hq", "branch"):
            self.tool("custodian", "new", "--out", domain + ".custodian",
                      "--public", domain + ".pub", pin=False)
        self.pki = Pki(self.folder / "pki")
        for name in self.people:
            self.pki.issue_client(name)
        self.config()

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)

    def tool(self, *words, pin=True):
        words = [TOOL, *words] + (["--pin-file", "pin"] if pin else [])
        done = subprocess.run(words, cwd=self.folder, env=self.env,
                              capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def config(self, **changes):
        """Writes holdfast.yaml; changes are replaced parts of the text."""
        def token(label, extra=""):
            return ("{%smodule: %s, label: %s, pin_file: pin, sync: syncfs, "
                    "sync_path: tokens}" % (extra, MODULE, label))
        text = "listen: 127.0.0.1:0\nstate_dir: state\n"
        text += ("tls: {certificate: pki/server.pem, key: pki/server.key, "
                 "client_ca: pki/ca.pem, crl: pki/ca.crl}\n")
        text += "service_token: %s\nak_token: %s\n" % (token("service"),
                                                      token("ak"))
        text += "holdfast_tokend: %s/hsm/tokend/holdfast-tokend\n" % BUILD
        text += "custody_domains:\n"
        for domain in ("hq", "branch"):
            text += "  - {name: %s, custodian_key: %s.pub}\n" % (domain, domain)
        text += "tokens:\n"
        for label, domain in (("first", "hq"), ("second", "branch"),
                              ("third", "hq")):
            text += "  - %s\n" % token(label, "name: %s, custody_domain: %s, "
                                       % (label, domain))
        text += "identities:\n"
        for name, (tenant, roles) in self.people.items():
            text += "  - {uri: \"%s\", %sroles: [%s]}\n" % (
                uri_of(name), "tenant: %s, " % tenant if tenant else "",
                ", ".join(roles))
        text += "limits: {ak_lease_ms: 0, drain_ms: 2000}\n"
        for old, new in changes.get("replace", ()):
            assert old in text, old
            text = text.replace(old, new)
        self.write("holdfast.yaml", text)

    def start(self, wait_s=30, **popen):
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [DAEMON, "--config", str(self.folder / "holdfast.yaml"),
             "--port-file", str(port_file)],
            env=dict(self.env, **popen.pop("env", {})), cwd="/",
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        until = time.monotonic() + wait_s
        while not port_file.exists():
            if self.process.poll() is not None:
                raise AssertionError("holdfastd ended: " + self.log_text())
            assert time.monotonic() < until, self.log_text()
            time.sleep(0.02)
        self.port = int(port_file.read_text())
        return self

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace")

    def log_lines(self, event=None):
        lines = [json.loads(line) for line in self.log_text().splitlines()
                 if line.startswith("{")]
        return [l for l in lines if event is None or l["event"] == event]

    def wait_log(self, event, count=1, wait_s=10):
        until = time.monotonic() + wait_s
        while len(self.log_lines(event)) < count:
            assert time.monotonic() < until, (event, self.log_text())
            time.sleep(0.02)
        return self.log_lines(event)[-1]

    def channel(self, who):
        if who not in self.channels:
            self.channels[who] = self.new_channel(who)
        return self.channels[who]

    def new_channel(self, who):
        return grpc.secure_channel(
            "127.0.0.1:%d" % self.port, grpc.ssl_channel_credentials(
                self.pki.read("ca.pem"), self.pki.read(who + ".key"),
                self.pki.read(who + ".pem")),
            options=[("grpc.use_local_subchannel_pool", 1)])

    def call(self, who, method, timeout=20, **fields):
        return API.call(self.channel(who), PATHS[method], timeout=timeout,
                        **fields)

    def refused(self, who, method, timeout=20, **fields):
        return API.refusal(self.channel(who), PATHS[method], timeout=timeout,
                           **fields)

    def close_channels(self):
        for channel in self.channels.values():
            channel.close()
        self.channels = {}

    def stop(self, signal=15):
        """Ends the daemon; its exit code."""
        self.close_channels()
        self.process.send_signal(signal)
        code = self.process.wait(timeout=30)
        self.log.close()
        self.process = None
        return code

    def remove(self):
        self.close_channels()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.log.close()
        shutil.rmtree(self.folder)

    # --- the main job, step by step ---------------------------------------

    def enroll(self, tenant, label, domain):
        out = "enrolment-%s-%s" % (tenant, label)
        self.tool("token", "enroll", "--token", label, "--tenant", tenant,
                  "--domain", domain, "--key", domain + ".custodian", "--out",
                  out)
        statement = json.loads((self.folder / out).read_text())
        return self.call("operator", "EnrollToken", parent="tenants/" + tenant,
                         token_id=label,
                         statement=base64.b64decode(statement["statement"]),
                         signature=base64.b64decode(statement["signature"]))

    def key(self, name, token, residency="token"):
        """A key in a token, registered, granted to both workloads."""
        made = json.loads(self.tool("key", "generate", "--token", token,
                                    "--name", name, "--bits", "2048",
                                    "--residency", residency, "--json"))
        self.call("admin", "RegisterCustomerKey", parent="tenants/acme",
                  customer_key_id=name, token="tenants/acme/tokens/" + token,
                  uri=made["uri"])
        full = "tenants/acme/customerKeys/" + name
        for who in ("exchange", "system"):
            self.call("admin", "GrantCustomerKey", name=full,
                      identity=uri_of(who), permissions=[1, 2, 3])
        return full

    def main_job(self, residency="token"):
        """Tenant acme with a DEP, and a mailbox under it with a key."""
        tenant = API.message("holdfast.v1.Tenant")
        self.call("operator", "CreateTenant", tenant_id="acme",
                  tenant=tenant(licensed=True))
        self.call("operator", "CreateTenant", tenant_id="zeta",
                  tenant=tenant(licensed=True))
        self.enroll("acme", "first", "hq")
        self.enroll("acme", "second", "branch")
        keys = [self.key("one", "first", residency),
                self.key("two", "second", residency)]
        self.dep = self.call(
            "admin", "CreateDep", parent="tenants/acme", dep_id="mail",
            customer_keys=keys, residency=2 if residency == "memory" else 1,
            workload_identity=uri_of("exchange"))
        self.box = "tenants/acme/mailboxes/alice@acme.example"
        self.call("admin", "RegisterMailbox", parent="tenants/acme",
                  mailbox_id="alice@acme.example", licensed=True)
        self.call("admin", "AssignMailbox", name=self.box, dep=self.dep.name)
        made = self.call("exchange", "GenerateKey", resource=self.box)
        self.plaintext = made.plaintext_key
        self.wrapped = made.wrapped_key
        return self
