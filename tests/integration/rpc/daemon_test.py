"""holdfastd as an operator meets it: start, reload, stop, and the main job.

HF_BUILD names the build folder.
"""
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc
from world import API, DAEMON, PATHS, PEOPLE, World, uri_of

WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"


def code_of(call):
    """OK, or the name of the code that the call ends with."""
    try:
        call()
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


class MainJob(unittest.TestCase):
    """From a stock client over mTLS to a key that opens, for both homes of an
    unwrapped DEP key."""

    @classmethod
    def setUpClass(cls):
        cls.worlds = {}
        for residency in ("token", "memory"):
            people = {who: PEOPLE[who] for who in (
                "operator", "auditor", "admin", "exchange", "system", "other")}
            cls.worlds[residency] = World(people).start().main_job(residency)

    @classmethod
    def tearDownClass(cls):
        try:
            for world in cls.worlds.values():
                assert world.stop() == 0, world.log_text()
        finally:
            for world in cls.worlds.values():
                world.remove()

    def test_unwrap(self):
        for world in self.worlds.values():
            for blob in (world.wrapped, b""):
                reply = world.call("exchange", "UnwrapKey", resource=world.box,
                                   wrapped_key=blob)
                self.assertEqual(reply.plaintext_key, world.plaintext)
                self.assertEqual(reply.dep, world.dep.name)
                self.assertEqual(reply.rewrapped_key, b"")

    def test_key_is_nowhere_else(self):
        """N42, as far as the disk and the log go."""
        for world in self.worlds.values():
            world.call("exchange", "UnwrapKey", resource=world.box)
            self.assertEqual(len(world.plaintext), 32)
            for folder, _, names in os.walk(world.folder):
                for name in names:
                    path = os.path.join(folder, name)
                    if stat.S_ISREG(os.stat(path).st_mode):
                        with open(path, "rb") as f:
                            data = f.read()
                        self.assertNotIn(world.plaintext, data, path)
                        self.assertNotIn(world.plaintext.hex().encode(), data)

    def test_bad_blobs_are_alike(self):
        """N15, N16: every bit, every cut, one answer."""
        world = self.worlds["memory"]
        answers = set()
        blobs = [world.wrapped[:n] for n in range(1, len(world.wrapped))]
        blobs += [world.wrapped + b"x" * n for n in (1, 16, 64, 500)]
        for i in range(0, len(world.wrapped) * 8, 5):
            blob = bytearray(world.wrapped)
            blob[i // 8] ^= 1 << i % 8
            blobs.append(bytes(blob))
        for blob in blobs:
            refusal = world.refused("exchange", "UnwrapKey", resource=world.box,
                                    wrapped_key=blob)
            answers.add((refusal.code, refusal.reason, refusal.raw))
        self.assertEqual({a[:2] for a in answers},
                         {("DATA_LOSS", "BLOB_INVALID")})
        self.assertEqual(len(answers), 1)

    def test_health_of_a_dep(self):
        for world in self.worlds.values():
            for who in ("exchange", "admin", "operator", "auditor"):
                reply = API.call(world.channel(who), CHECK,
                                 service=world.dep.name)
                self.assertEqual(reply.status, 1)
            hidden = API.refusal(world.channel("other"), CHECK,
                                 service=world.dep.name)
            absent = API.refusal(
                world.channel("other"), CHECK,
                service="tenants/zeta/deps/" + world.dep.uid)
            self.assertEqual(hidden.code, "NOT_FOUND")
            self.assertEqual(hidden.raw, absent.raw)

    def test_health_follows_revocation(self):
        world = self.worlds["memory"]
        stream = API.stub(world.channel("exchange"), WATCH)(
            API.request(WATCH, service=world.dep.name), timeout=30)
        self.assertEqual(next(stream).status, 1)
        names = ["tenants/acme/customerKeys/" + n for n in ("one", "two")]
        try:
            for name in names:
                for who in ("exchange", "system"):
                    world.call("admin", "RevokeCustomerKey", name=name,
                               identity=uri_of(who))
            self.assertEqual(next(stream).status, 2)
            refusal = world.refused("exchange", "UnwrapKey", resource=world.box)
            self.assertEqual((refusal.code, refusal.reason),
                             ("PERMISSION_DENIED", "KEY_ACCESS_DENIED"))
        finally:
            for name in names:
                for who in ("exchange", "system"):
                    world.call("admin", "GrantCustomerKey", name=name,
                               identity=uri_of(who), permissions=[1, 2, 3])
        self.assertEqual(next(stream).status, 1)
        self.assertEqual(
            world.call("exchange", "UnwrapKey",
                       resource=world.box).plaintext_key, world.plaintext)
        stream.cancel()

    def test_idempotency(self):
        world = self.worlds["token"]
        access = API.message("holdfast.v1.AccessContext")(
            request_id="0b5ee0a2-6d50-4f7c-9f0b-111111111111")
        world.call("admin", "RegisterMailbox", parent="tenants/acme",
                   mailbox_id="twice", licensed=True)
        box = "tenants/acme/mailboxes/twice"
        first = world.call("exchange", "GenerateKey", resource=box,
                           access=access)
        again = world.call("exchange", "GenerateKey", resource=box,
                           access=access)
        self.assertEqual(first.plaintext_key, again.plaintext_key)

    def test_a_request_id_stands_for_one_request(self):
        """A repeat is answered with what was made; other content under the same
        id is refused, and changes nothing."""
        world = self.worlds["token"]
        request = dict(parent="tenants/acme", mailbox_id="once", licensed=True,
                       request_id="0b5ee0a2-6d50-4f7c-9f0b-222222222222")
        made = world.call("admin", "RegisterMailbox", **request)
        self.assertEqual(world.call("admin", "RegisterMailbox", **request), made)
        for change in (dict(mailbox_id="another"), dict(licensed=False)):
            refusal = world.refused("admin", "RegisterMailbox",
                                    **dict(request, **change))
            self.assertEqual((refusal.code, refusal.reason),
                             ("INVALID_ARGUMENT", "REQUEST_ID_REUSED"))
        refusal = world.refused("admin", "GetMailbox",
                                name="tenants/acme/mailboxes/another")
        self.assertEqual(refusal.code, "NOT_FOUND")

    def test_many_clients_at_once(self):
        """64 calls out on four connections of two identities, all right."""
        world = self.worlds["memory"]
        channels = [world.new_channel(who) for who in
                    ("exchange", "system", "exchange", "system")]
        request = API.request(PATHS["UnwrapKey"], resource=world.box,
                              wrapped_key=world.wrapped)
        stubs = [API.stub(c, PATHS["UnwrapKey"]) for c in channels]
        for _ in range(10):
            calls = [stub.future(request, timeout=20) for stub in stubs
                     for _ in range(16)]
            for call in calls:
                self.assertEqual(call.result().plaintext_key, world.plaintext)
        for channel in channels:
            channel.close()

    def test_survives_a_restart(self):
        world = self.worlds["token"]
        self.assertEqual(world.stop(), 0)
        world.start()
        reply = world.call("exchange", "UnwrapKey", resource=world.box,
                           wrapped_key=world.wrapped)
        self.assertEqual(reply.plaintext_key, world.plaintext)

    def test_survives_a_kill(self):
        world = self.worlds["token"]
        self.assertEqual(world.stop(signal.SIGKILL), -signal.SIGKILL)
        world.start()
        reply = world.call("exchange", "UnwrapKey", resource=world.box)
        self.assertEqual(reply.plaintext_key, world.plaintext)


class Reload(unittest.TestCase):
    PEOPLE = {"operator": (None, ["operator"]), "late": (None, ["operator"]),
              "auditor": (None, ["auditor"]), "goner": (None, ["operator"])}

    @classmethod
    def setUpClass(cls):
        cls.world = World(cls.PEOPLE)

    @classmethod
    def tearDownClass(cls):
        cls.world.remove()

    def setUp(self):
        """late is nobody yet."""
        (self.world.folder / "log").unlink(missing_ok=True)
        self.world.people = dict(self.PEOPLE)
        del self.world.people["late"]
        self.world.config()
        self.world.people["late"] = self.PEOPLE["late"]
        self.world.start()

    def tearDown(self):
        self.world.stop(signal.SIGKILL)

    def list_as(self, who):
        return code_of(lambda: self.world.call(who, "ListTenants"))

    def hup(self, event="config.reloaded"):
        count = len(self.world.log_lines(event))
        self.world.process.send_signal(signal.SIGHUP)
        return self.world.wait_log(event, count + 1)

    def test_identities(self):
        world = self.world
        self.assertEqual(self.list_as("operator"), "OK")
        self.assertEqual(self.list_as("late"), "UNAUTHENTICATED")
        world.config()
        self.hup()
        # on the connections that are open already
        self.assertEqual(self.list_as("late"), "OK")
        world.people["operator"] = (None, ["auditor"])
        world.config()
        self.hup()
        self.assertEqual(self.list_as("operator"), "PERMISSION_DENIED")
        watch = API.stub(world.channel("operator"), WATCH)(
            API.request(WATCH, service=""), timeout=20)
        staying = API.stub(world.channel("late"), WATCH)(
            API.request(WATCH, service=""), timeout=20)
        self.assertEqual((next(watch).status, next(staying).status), (1, 1))
        del world.people["operator"]
        world.config()
        self.hup()
        self.assertEqual(code_of(lambda: next(watch)), "UNAUTHENTICATED")
        self.assertTrue(staying.is_active())
        staying.cancel()
        self.assertEqual(self.list_as("operator"), "UNAUTHENTICATED")
        self.assertEqual(self.list_as("late"), "OK")

    def test_bad_file_keeps_the_old_one(self):
        world = self.world
        text = (world.folder / "holdfast.yaml").read_text()
        for bad in ("listen: [", text.replace("[operator]", "[root]"),
                    text + "oops: 1\n", ""):
            world.write("holdfast.yaml", bad)
            kept = self.hup("config.kept")
            self.assertEqual(kept["level"], "error")
            self.assertEqual(self.list_as("operator"), "OK")
        self.assertEqual(self.list_as("late"), "UNAUTHENTICATED")
        mistakes = [l["what"] for l in world.log_lines("config.mistake")]
        self.assertTrue(any("oops" in m and ":%d:" % (text.count("\n") + 1)
                            in m for m in mistakes), mistakes)

    def test_bad_certificate_keeps_all(self):
        world = self.world
        good = world.pki.read("server.pem")
        (world.pki.folder / "server.pem").write_bytes(b"no certificate\n")
        world.config()  # with late, which must not come in either
        self.hup("config.kept")
        self.assertEqual(self.list_as("operator"), "OK")
        self.assertEqual(self.list_as("late"), "UNAUTHENTICATED")
        (world.pki.folder / "server.pem").write_bytes(good)
        self.hup()
        self.assertEqual(self.list_as("late"), "OK")

    def test_revocation(self):
        world = self.world
        self.assertEqual(self.list_as("goner"), "OK")
        world.pki.revoke("goner")
        self.hup()
        until = time.monotonic() + 10
        while self.list_as("goner") == "OK" and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(self.list_as("goner"), "UNAVAILABLE")
        self.assertEqual(self.list_as("auditor"), "PERMISSION_DENIED")

    def test_what_needs_a_restart_is_said(self):
        self.world.config(replace=[("ak_lease_ms: 0", "ak_lease_ms: 5")])
        self.hup()
        self.assertEqual(
            self.world.wait_log("config.restart_needed")["changed"], "limits")


class Life(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World({"operator": (None, ["operator"])})

    @classmethod
    def tearDownClass(cls):
        cls.world.remove()

    def setUp(self):
        self.world.config()
        (self.world.folder / "log").unlink(missing_ok=True)

    def tearDown(self):
        if self.world.process is not None:
            self.world.stop(signal.SIGKILL)

    def fails(self, before=(), code=1):
        """It must end by itself, and say one line that is no log line."""
        done = subprocess.run(
            [*before, DAEMON, "--config",
             str(self.world.folder / "holdfast.yaml")], env=self.world.env,
            capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, code, done.stderr)
        said = [line for line in done.stderr.splitlines()
                if not line.startswith("{")]
        self.assertEqual(len(said), 1, done.stderr)
        return said[0]

    def test_signals_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.world.start()
            self.assertEqual(self.world.stop(number), 0)
            self.assertTrue(self.world.log_lines("server.stopped"))
        self.assertFalse((self.world.folder / "state/rpc/socket").exists())

    def test_drain(self):
        """Calls in flight are answered, a watch ends, new ones are refused."""
        world = self.world.start()
        watch = API.stub(world.channel("operator"), WATCH)(
            API.request(WATCH, service=""), timeout=30)
        self.assertEqual(next(watch).status, 1)
        stop = threading.Event()
        codes = []

        def caller():
            channel = world.new_channel("operator")
            stub = API.stub(channel, PATHS["ListTenants"])
            while not stop.is_set():
                codes.append(code_of(
                    lambda: stub(API.request(PATHS["ListTenants"]),
                                 timeout=5)))
                if codes[-1] != "OK":
                    break
            channel.close()
        threads = [threading.Thread(target=caller) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        start = time.monotonic()
        world.process.send_signal(signal.SIGTERM)
        self.assertEqual(world.process.wait(timeout=20), 0)
        self.assertLess(time.monotonic() - start, 5)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertGreater(codes.count("OK"), 10)
        self.assertLessEqual(set(codes), {"OK", "UNAVAILABLE"})
        with self.assertRaises(grpc.RpcError) as caught:
            while True:
                next(watch)
        self.assertEqual(caught.exception.code().name, "UNAVAILABLE")
        self.assertFalse(world.log_lines("server.drain_cut"))

    def test_service_manager(self):
        path = str(self.world.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(20)
            self.world.start(env={"NOTIFY_SOCKET": path})
            self.assertEqual(manager.recv(100), b"READY=1")
            self.world.process.send_signal(signal.SIGHUP)
            self.assertEqual(manager.recv(100), b"RELOADING=1")
            self.assertEqual(manager.recv(100), b"READY=1")
            self.world.stop()
            self.assertEqual(manager.recv(100), b"STOPPING=1")
        os.unlink(path)

    def test_hardened(self):
        world = self.world.start()
        with open("/proc/%d/limits" % world.process.pid) as f:
            core = [l for l in f if l.startswith("Max core file size")][0]
        self.assertEqual(core.split()[4:6], ["0", "0"])
        mode = os.stat(world.folder / "state/rpc").st_mode & 0o777
        self.assertEqual(mode, 0o700)
        for name in ("state", "state/holdfast.db"):
            self.assertEqual(os.stat(world.folder / name).st_mode & 0o077, 0,
                             name)

    def test_wrong_pin(self):
        self.world.write("pin", "9999-wrong\n", 0o600)
        try:
            # a code of its own: whoever starts it anew must not offer it again
            line = self.fails(code=77)
        finally:
            self.world.write("pin", "1234-user\n", 0o600)
        self.assertIn('"service"', line)
        self.assertIn("holdfast-hsm", line)
        self.assertNotIn("9999", line)
        self.world.start()  # one wrong try has locked nothing

    def test_pin_that_others_can_read(self):
        self.world.write("pin", "1234-user\n", 0o640)
        try:
            done = subprocess.run(
                [DAEMON, "--check-config", "--config",
                 str(self.world.folder / "holdfast.yaml")],
                capture_output=True, text=True)
        finally:
            self.world.write("pin", "1234-user\n", 0o600)
        self.assertEqual(done.returncode, 1)
        self.assertIn("chmod 600", done.stderr)

    def test_missing_token(self):
        """One of the service's own; a customer's may be away."""
        self.world.config(replace=[("label: ak", "label: nowhere")])
        line = self.fails()
        self.assertIn('"nowhere"', line)

    def test_second_daemon_on_the_same_store(self):
        self.world.start()
        line = self.fails()
        self.assertIn("held by another process", line)
        self.assertEqual(
            code_of(lambda: self.world.call("operator", "ListTenants")), "OK")

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.world.config(replace=[("127.0.0.1:0", "127.0.0.1:%d" % port)])
            line = self.fails()
        self.assertIn(str(port), line)

    def test_memory_that_cannot_be_locked(self):
        """root is above RLIMIT_MEMLOCK unless CAP_IPC_LOCK is taken away."""
        words = ["prlimit", "--memlock=65536:65536"]
        if os.geteuid() == 0:
            words += ["setpriv", "--bounding-set=-ipc_lock"]
        self.assertIn("RLIMIT_MEMLOCK", self.fails(before=words))

    def test_state_dir_too_long(self):
        self.world.config(replace=[("state_dir: state",
                                    "state_dir: " + "s" * 120)])
        line = self.fails()
        self.assertIn("shorter", line)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
