"""The configuration file: every mistake is told with its line and what would
be right, and nothing is taken from a file with one.

Argument: the holdfastd program (--check-config).
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
SPIFFE = "spiffe://acme.example/"

GOOD = """\
listen: 127.0.0.1:7443
state_dir: state
tls:
  certificate: cert.pem
  key: cert.pem
  client_ca: cert.pem
  crl: none
service_token: {module: module.so, label: a, pin_file: pin, sync: none}
ak_token: {module: module.so, label: b, pin_file: pin, sync: none}
custody_domains:
  - {name: hq, custodian_key: custodian.pub}
  - {name: branch, custodian_key: ed25519.pub}
tokens:
  - {name: one, custody_domain: hq, module: module.so, label: c, pin_file: pin,
     sync: syncfs, sync_path: .}
  - {name: two, custody_domain: branch, module: module.so, label: c,
     serial: "42", pin_file: pin, sync: none}
identities:
  - {uri: "spiffe://acme.example/admin", tenant: acme, roles: [tenant-admin]}
  - uri: spiffe://acme.example/people/ops_1.x-y
    roles:
      - operator
      - auditor
limits:
  connections: 100
log_level: debug
sharepoint_ak_token: {module: module.so, label: f, pin_file: pin, sync: none}
sharepoint_ak_scope: per-deployment
"""

IN_TOKEN = ("  key_in_token: {uri: 'pkcs11:token=t;object=k', "
            "module: module.so, pin_file: pin}\n")

# (what is replaced, by what, the line it is told for, words of the telling)
MISTAKES = [
    ("listen: 127.0.0.1:7443", "listen: 127.0.0.1", 1, "ADDRESS:PORT"),
    ("listen: 127.0.0.1:7443", "listen: 127.0.0.1:65536", 1, "ADDRESS:PORT"),
    ("listen: 127.0.0.1:7443", "listen: '127.0.0.1: 1'", 1, "ADDRESS:PORT"),
    ("listen: 127.0.0.1:7443", "listen: '::1:7443'", 1, "ADDRESS:PORT"),
    ("listen: 127.0.0.1:7443", "listen: '[127.0.0.1]:7443'", 1,
     "ADDRESS:PORT"),
    ("listen: 127.0.0.1:7443", "listen: 'example.org:7443'", 1,
     "ADDRESS:PORT"),
    ("listen: 127.0.0.1:7443", "listen: [1]", 1, "a list; a single value"),
    ("listen: 127.0.0.1:7443", "listn: 127.0.0.1:7443", 1,
     'unknown key "listn"; known are listen,'),
    ("listen: 127.0.0.1:7443", "listn: 127.0.0.1:7443", 1,
     "listen is missing"),
    ("state_dir: state", "state_dir: ''", 2, "1 to 512 bytes"),
    ("state_dir: state", "state_dir: s\nstate_dir: t", 3, "a second time"),
    ("state_dir: state", "state_dir: " + "s" * 600, 2, "1 to 512 bytes"),
    ("state_dir: state", "state_dir: \"a\\nb\"", 2, "control characters"),
    ("tls:\n", "tls: x\nx:\n", 3, "a single value; a mapping with the keys "
     "certificate, key, key_in_token, client_ca, crl"),
    ("certificate: cert.pem", "certificate: no.pem", 4,
     "No such file or directory"),
    ("  key: cert.pem\n", "", 4, "tls.key is missing"),
    ("  key: cert.pem\n", "  key: cert.pem\n" + IN_TOKEN, 6,
     "give one of them"),
    ("  key: cert.pem\n", IN_TOKEN.replace("token=t;", ""), 5, "RFC 7512"),
    ("  key: cert.pem\n", IN_TOKEN.replace("object=k", "type=private"), 5,
     "RFC 7512"),
    ("  key: cert.pem\n", IN_TOKEN.replace("=k", "=k?pin-value=1234"), 5,
     "without a PIN"),
    ("  key: cert.pem\n", IN_TOKEN.replace("pin_file: pin", "pin_file: no"), 5,
     "No such file"),
    ("crl: none", "crl: no.crl", 7, "No such file"),
    ("sync: none}\nak_token", "sync: maybe}\nak_token", 8,
     "one of none, syncfs"),
    ("label: a,", "label: " + "a" * 33 + ",", 8, "1 to 32 bytes"),
    ("label: a,", "label: b,", 9, "is the one of line 8"),
    ("label: a, pin_file: pin", "label: a, pin_file: open-pin", 8,
     "chmod 600"),
    ("label: a, pin_file: pin", "label: a, pin_file: .", 8, "regular file"),
    ("label: a, pin_file: pin", "label: a, pin_file: no", 8, "No such file"),
    ("label: a, pin_file: pin", "label: a, pin: 1234", 8,
     "pin is activation or pad; no PIN stands in this file"),
    ("label: a, pin_file: pin", "label: a, PIN: 1234", 8,
     'unknown key "PIN"'),
    ("module: module.so, label: a", "module: no.so, label: a", 8,
     "No such file"),
    ("label: a,", "label: a, serial: '12345678901234567',", 8,
     "1 to 16 bytes"),
    ("label: f,", "label: b,", 27, "is the one of line 9"),
    ("log_level: debug", "log_level: debug\nservice_mirrors:\n  - {module: "
     "module.so, label: a, pin_file: pin, sync: none}", 28,
     "is the one of line 8"),
    ("log_level: debug", "log_level: debug\nservice_mirrors: 7", 27,
     "a list"),
    ("label: f, pin_file: pin", "label: f, pin_file: no", 27, "No such file"),
    ("per-deployment", "per-tenant", 28, "one of per-dep, per-deployment"),
    ("sharepoint_ak_token: {module: module.so, label: f, pin_file: pin, "
     "sync: none}\n", "", 27, "goes with sharepoint_ak_token only"),
    ("name: hq,", "name: 'h q',", 11, "letters, digits"),
    ("name: hq,", "name: branch,", 12, "stands in line 11 already"),
    ("custodian_key: custodian.pub", "custodian_key: cert.pem", 11,
     "no public key"),
    ("custodian_key: custodian.pub", "custodian_key: rsa.pub", 11,
     "ECDSA P-256 and Ed25519"),
    ("custody_domain: hq", "custody_domain: moon", 14,
     '"moon" is not among the custody_domains'),
    ("name: one,", "name: two,", 16, "stands in line 14 already"),
    ("label: c,\n     serial: \"42\"", "label: a", 16, "is the one of line 8"),
    ("sync: syncfs, sync_path: .", "sync: syncfs", 14,
     "sync_path is missing"),
    ("sync: syncfs, sync_path: .", "sync: none, sync_path: .", 15,
     "goes with sync: syncfs"),
    ("sync: syncfs, sync_path: .", "sync: syncfs, sync_path: nowhere", 15,
     "No such file"),
    ("identities:\n", "identities: []\nx:\n", 18, "at least one"),
    ("tenant: acme, roles: [tenant-admin]", "tenant: acme, roles: [admin]", 19,
     "\"admin\" is no role; roles are tenant-admin, compliance-admin"),
    ("roles: [tenant-admin]", "roles: [tenant-admin, tenant-admin]", 19,
     "named twice"),
    ("roles: [tenant-admin]", "roles: []", 19, "at least one"),
    ("roles: [tenant-admin]", "roles: tenant-admin", 19,
     "a single value; a list"),
    ("roles: [tenant-admin]", "roles: [vault-contributor, "
     "workload-exchange]", 19, "R-13.2"),
    ("roles: [tenant-admin]", "roles: [vault-contributor, system-workload]",
     19, "R-13.2"),
    ("roles: [tenant-admin]", "roles: [operator]", 19, "leave tenant out"),
    ("tenant: acme, ", "", 19, "only be operator and auditor"),
    ("tenant: acme, ", "tenant: 'a/b', ", 19, "is no tenant's name"),
    ("people/ops_1.x-y", "admin", 20, "stands in line 19 already"),
    (SPIFFE + "admin\"", "https://acme.example/admin\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe://acme.example\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe://acme.example/\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe://acme.example//a\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe://acme.example/../a\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe://Acme.example/a\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe://acme.example/a?b\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe://acme.example:80/a\"", 19, "no SPIFFE ID"),
    (SPIFFE + "admin\"", "spiffe:///a\"", 19, "no SPIFFE ID"),
    ("connections: 100", "connections: 0", 25, "from 1 to 65536"),
    ("connections: 100", "connections: 65537", 25, "from 1 to 65536"),
    ("connections: 100", "connections: -1", 25, "from 1 to 65536"),
    ("connections: 100", "connections: 1e3", 25, "from 1 to 65536"),
    ("connections: 100", "connections: 99999999999999999999", 25,
     "from 1 to 65536"),
    ("connections: 100", "conections: 100", 25, "known are connections,"),
    ("connections: 100",
     "connections: 100\n  connections_per_identity: 101", 26,
     "at most limits.connections (100)"),
    ("label: b, ", "label: b, capacity_objects: 0, ", 9,
     "from 1 to 4294967295"),
    ("log_level: debug", "log_level: debug\nak_mirrors:\n  - {module: module.so, "
     "label: g, pin_file: pin, sync: none}", 28, "needs a name"),
    ("log_level: debug", "log_level: debug\nak_mirrors:\n  - {name: ak, module: "
     "module.so, label: g, pin_file: pin, sync: none}", 28,
     "another token of availability keys"),
    ("log_level: debug", "log_level: debug\nak_mirrors:\n  - {name: m, module: "
     "module.so, label: b, pin_file: pin, sync: none}", 28,
     "needs a token of its own"),
    ("log_level: debug", "log_level: debug\nsharepoint_ak_mirrors:\n"
     "  - {name: m, module: module.so, label: b, pin_file: pin, sync: none}", 28,
     "needs a token of its own"),
    ("label: a, ", "label: a, capacity_objects: 9, ", 8,
     'unknown key "capacity_objects"'),
    # which process has a token, and where its PIN comes from
    ("label: a, ", "label: a, isolation: thread, ", 8, "one of process, none"),
    ("label: a, ", "label: a, worker_memory_mb: -1, ", 8, "from 0 to"),
    ("label: a, ", "label: a, isolation: none, worker_memory_mb: 9, ", 8,
     "goes with isolation: process"),
    ("label: a, ", "label: a, pin: pad, ", 8, "goes without pin"),
    ("label: a, pin_file: pin", "label: a", 8, "pin_file is missing"),
    ("label: a, pin_file: pin", "label: a, isolation: none, pin: activation",
     8, "goes with isolation: process"),
    ("label: a, ", "label: a, activation_socket: here, ", 8,
     "goes with pin: activation"),
    ("label: a, pin_file: pin",
     "label: a, pin: activation, activation_socket: /" + "s" * 107, 8,
     "too long for a socket"),
    ("label: a, ", "label: a, worker_socket: here, ", 8,
     "module goes without worker_socket"),
    ("label: a, ", "label: a, worker_socket: here, ", 8,
     "pin_file goes without worker_socket"),
    ("module: module.so, label: a, pin_file: pin, sync: none",
     "worker_socket: here", 8, "label is missing"),
    ("connections: 100", "connections: 100\n  token_sessions: 4", 26,
     "at least 5 to unwrap, and 0"),
    ("connections: 100", "ak_lease_ms: 10001", 25, "from 0 to 10000"),
    ("connections: 100", "[a]: 1", 25, "a key is a list"),
    ("log_level: debug", "log_level: loud", 26, "debug, info, warn"),
    ("log_level: debug", "log_level: debug\n---\na: b", 27,
     "a second document"),
    ("log_level: debug", "log_level: [", 28, "not YAML"),
    ("log_level: debug", "\tlog_level: debug", 26, "not YAML"),
]


class Config(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hf-config-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name, mode in (("cert.pem", 0o644), ("module.so", 0o644),
                           ("pin", 0o600), ("open-pin", 0o644)):
            (self.folder / name).write_text("x\n")
            (self.folder / name).chmod(mode)
        for name, words in (
                ("custodian", ["-algorithm", "EC", "-pkeyopt",
                               "ec_paramgen_curve:P-256"]),
                ("ed25519", ["-algorithm", "ED25519"]),
                ("rsa", ["-algorithm", "RSA"])):
            key = subprocess.run(["openssl", "genpkey", *words], check=True,
                                 capture_output=True).stdout
            public = subprocess.run(["openssl", "pkey", "-pubout"], input=key,
                                    check=True, capture_output=True).stdout
            (self.folder / (name + ".pub")).write_bytes(public)

    def check(self, text, cwd="/"):
        path = self.folder / "holdfast.yaml"
        path.write_text(text)
        done = subprocess.run([PROGRAM, "--check-config", "--config",
                               str(path)], cwd=cwd, capture_output=True,
                              text=True, timeout=20)
        return done.returncode, done.stdout, done.stderr, str(path)

    def test_good(self):
        code, out, err, path = self.check(GOOD)
        self.assertEqual((code, out, err), (0, path + ": ok\n", ""))
        for listen in ("'[::1]:0'", "0.0.0.0:1", "'[::]:65535'"):
            code, _, err, _ = self.check(
                GOOD.replace("127.0.0.1:7443", listen))
            self.assertEqual((code, err), (0, ""))
        code, _, err, _ = self.check(
            GOOD.replace("label: b, ", "label: b, capacity_objects: 100000, "))
        self.assertEqual((code, err), (0, ""))
        for old, new in (
                ("label: a, ", "label: a, isolation: none, "),
                ("label: a, ", "label: a, isolation: process, "
                 "worker_memory_mb: 0, "),
                ("label: a, pin_file: pin", "label: a, pin: activation"),
                ("label: a, pin_file: pin", "label: a, pin: activation, "
                 "activation_socket: here"),
                ("label: a, pin_file: pin", "label: a, pin: pad"),
                ("module: module.so, label: a, pin_file: pin, sync: none",
                 "worker_socket: here, label: a")):
            self.assertIn(old, GOOD)
            code, _, err, _ = self.check(GOOD.replace(old, new))
            self.assertEqual((code, err), (0, ""), new)
        code, _, err, _ = self.check(
            GOOD.replace("label: b, ", "label: b, name: first, ") +
            "ak_mirrors:\n  - {name: ak, module: module.so, label: g, pin_file: "
            "pin, sync: none, capacity_objects: 5}\nsharepoint_ak_mirrors:\n"
            "  - {name: m, module: module.so, label: h, pin_file: pin, "
            "sync: none}\n")
        self.assertEqual((code, err), (0, ""))

    def test_a_purge_needs_the_pin(self):
        text = GOOD.replace("label: b, pin_file: pin",
                            "label: b, pin: activation")
        code, out, err, _ = self.check(text)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("the token ak of availability keys has no pin_file", out)
        self.assertNotIn("sharepoint-ak of", out)
        code, out, _, _ = self.check(GOOD.replace(
            "label: f, pin_file: pin", "label: f, pin: activation"))
        self.assertIn("the token sharepoint-ak of availability keys", out)

    def test_every_mistake(self):
        for old, new, line, words in MISTAKES:
            self.assertIn(old, GOOD)
            code, out, err, path = self.check(GOOD.replace(old, new, 1))
            self.assertEqual((code, out), (1, ""), (new, err))
            told = [l for l in err.splitlines()
                    if l.startswith("%s:%d: " % (path, line)) and words in l]
            self.assertEqual(len(told), 1, (new, line, words, err))

    def test_all_at_once(self):
        text = GOOD
        for old, new in (("127.0.0.1:7443", "nowhere"),
                         ("certificate: cert.pem", "certificate: no.pem"),
                         ("roles: [tenant-admin]", "roles: [admin]"),
                         ("connections: 100", "connections: 0"),
                         ("log_level: debug", "log_level: loud")):
            text = text.replace(old, new, 1)
        code, _, err, _ = self.check(text)
        self.assertEqual(code, 1)
        self.assertGreaterEqual(len(err.splitlines()), 5, err)

    def test_more_mistakes_than_are_told(self):
        text = GOOD + "\n".join("oops%d: 1" % i for i in range(80)) + "\n"
        code, _, err, _ = self.check(text)
        self.assertEqual(code, 1)
        self.assertEqual(len(err.splitlines()), 51)
        self.assertTrue(err.endswith("and 30 more\n"), err)

    def test_no_file(self):
        for path, words in (("no.yaml", "No such file"),
                            (".", "regular file"), ("/dev/null", "regular")):
            done = subprocess.run([PROGRAM, "--check-config", "--config",
                                   path], cwd=self.folder,
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
            self.assertTrue(done.stderr.startswith(path + ": "))

    def test_the_key_in_a_token_has_a_module_to_itself_in_this_process(self):
        text = GOOD.replace("  key: cert.pem\n", IN_TOKEN)
        self.assertEqual(self.check(text)[0], 0)
        for label in "abcf":
            shared = text.replace(f"label: {label},",
                                  f"label: {label}, isolation: none,", 1)
            code, _, err, _ = self.check(shared)
            self.assertEqual(code, 1)
            self.assertIn("isolation: process", err)

    def test_aliases_are_values(self):
        text = GOOD.replace("sync: none}\nak_token", "sync: none}\nak_token")
        text = text.replace("label: a, pin_file: pin",
                            "label: a, pin_file: &p pin")
        text = text.replace("label: b, pin_file: pin",
                            "label: b, pin_file: *p")
        self.assertEqual(self.check(text)[0], 0)

    def test_words(self):
        for words, code, says in (
                (["--version"], 0, "holdfastd "), (["--help"], 0, "usage"),
                ([], 2, "usage"), (["--what"], 2, "usage"),
                (["--config", "x", "y"], 2, "usage")):
            done = subprocess.run([PROGRAM, *words], capture_output=True,
                                  text=True)
            self.assertEqual(done.returncode, code)
            self.assertIn(says, done.stdout + done.stderr)

    def test_relative_to_the_file(self):
        """From another folder, and through a link to the file."""
        code, _, err, path = self.check(GOOD, cwd=str(self.folder))
        self.assertEqual((code, err), (0, ""))
        elsewhere = pathlib.Path(tempfile.mkdtemp(prefix="hf-config-"))
        self.addCleanup(shutil.rmtree, elsewhere)
        os.symlink(path, elsewhere / "link.yaml")
        done = subprocess.run([PROGRAM, "--check-config", "--config",
                               str(elsewhere / "link.yaml")],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])
