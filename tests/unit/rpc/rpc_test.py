"""What a stock client sees of the rpc layer (server/rpc on a service double).

Arguments: the server program, the descriptor set.
"""
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc
from stock import Api, Refusal

PROGRAM, DESCRIPTORS = sys.argv[1:3]
API = Api(DESCRIPTORS)
KEYS = "/holdfast.v1.KeyService/"
DEPS = "/holdfast.v1.DepService/"
GEOS = "/holdfast.v1.GeoService/"
FILES = "/holdfast.v1.FileKeyService/"
DEP = "11111111-2222-4333-8444-555555555555"
NOBODYS = DEP[:-1] + "9"
BOX = "tenants/acme/mailboxes/"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"


class Server:
    """The program, its lines, and a channel for each of its doors."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hf-rpc-")
        os.chmod(self.folder, 0o700)
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.process = subprocess.Popen([PROGRAM, self.folder],
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.wait_for("ready")
        self.channels = {}

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_for(self, start, timeout=10):
        """The next line that begins so; what lies before is dropped."""
        until = time.monotonic() + timeout
        while True:
            line = self.lines.get(timeout=max(0.01, until - time.monotonic()))
            assert line is not None, "the server ended: " + self.log_text()
            if line.startswith(start):
                return line

    def said(self, start, wait_s):
        """Whether such a line comes within the time."""
        try:
            self.wait_for(start, wait_s)
            return True
        except queue.Empty:
            return False

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        if text not in ("quit", "debug"):
            self.wait_for("done")

    def channel(self, door="workload"):
        if door not in self.channels:
            self.channels[door] = grpc.insecure_channel(
                "unix:%s/%s" % (self.folder, door))
        return self.channels[door]

    def log_text(self):
        self.log.flush()
        with open(self.log.name) as f:
            return f.read()

    def stop(self):
        for channel in self.channels.values():
            channel.close()
        if self.process.poll() is None:
            self.command("quit")
        code = self.process.wait(timeout=30)
        if code != 0:
            print(self.log_text(), file=sys.stderr)
        self.process.stdin.close()
        self.reader.join()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder)
        return code


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def setUp(self):
        """What earlier tests made the server say does not count: it lies
        before what the server says to this."""
        self.server.command("health %s 1" % NOBODYS)

    def call(self, path, door="workload", **fields):
        return API.call(self.server.channel(door), path, **fields)

    def refused(self, path, door="workload", **fields):
        return API.refusal(self.server.channel(door), path, **fields)

    def assertRefused(self, refusal, code, reason):
        self.assertEqual((refusal.code, refusal.reason), (code, reason),
                         refusal)
        self.assertEqual(refusal.status.message, refusal.text)


class DataPlane(Case):
    def test_unwrap(self):
        for name in ("ok", "later"):
            reply = self.call(KEYS + "UnwrapKey", resource=BOX + name,
                              wrapped_key=b"w" * 85)
            self.assertEqual(reply.plaintext_key, b"\x5a" * 32)
            self.assertEqual(reply.rewrapped_key, b"")
            self.assertEqual(reply.dep, "tenants/acme/deps/" + DEP)
            self.assertEqual(reply.generation, 7)
        self.assertEqual(
            self.server.wait_for("key UnwrapKey"),
            "key UnwrapKey tenant=acme resource=later wrapped=85 initiator=1 "
            "purpose=0 request= plaintext=0")

    def test_service_managed_has_no_dep(self):
        reply = self.call(KEYS + "UnwrapKey", resource=BOX + "managed")
        self.assertEqual(reply.dep, "")

    def test_other_verbs(self):
        reply = self.call(KEYS + "GenerateKey", resource=BOX + "later")
        self.assertEqual(reply.plaintext_key, b"\x5a" * 32)
        self.assertEqual(reply.wrapped_key, b"\xe1" * 101)
        reply = self.call(KEYS + "WrapKey", resource=BOX + "later",
                          plaintext_key=b"p" * 32)
        self.assertEqual(reply.wrapped_key, b"\xe1" * 101)
        self.assertIn("plaintext=32", self.server.wait_for("key WrapKey"))
        reply = self.call(KEYS + "RewrapKey", resource=BOX + "later")
        self.assertEqual(reply.generation, 7)

    def test_renewal(self):
        """R-15.15: what is replaced is told with what replaces it."""
        reply = self.call(KEYS + "RenewKey", resource=BOX + "later")
        self.assertEqual((reply.plaintext_key, reply.wrapped_key,
                          reply.replaced_wrapped_key),
                         (b"\x5a" * 32, b"\xe1" * 101, b"\xe0" * 101))
        self.assertEqual((reply.dep, reply.generation),
                         ("tenants/acme/deps/" + DEP, 7))
        for confirm, count in ((True, 2), (False, 0)):
            reply = self.call(KEYS + "RetireEarlierKeys",
                              resource=BOX + "later", confirm=confirm,
                              validate_only=not confirm)
            self.assertEqual((reply.retired_count, reply.generation),
                             (count, 7))

    def test_files(self):
        site = "tenants/acme/sites/"
        reply = self.call(FILES + "CreateSiteKey", resource=site + "later")
        self.assertEqual((reply.plaintext_key, reply.wrapped_key),
                         (b"\x5a" * 32, b"\xe1" * 101))
        self.assertEqual(reply.dep, "tenants/acme/deps/" + DEP)
        reply = self.call(FILES + "UnwrapSiteKey", resource=site + "later",
                          wrapped_key=b"w" * 85)
        self.assertEqual((reply.plaintext_key, reply.generation),
                         (b"\x5a" * 32, 7))
        reply = self.call(FILES + "WrapBlobKey", resource=site + "later",
                          blob_id="chunk")
        self.assertEqual((reply.plaintext_key, reply.wrapped_key),
                         (b"\x5a" * 32, b"\xe1" * 101))
        self.assertIn("plaintext=0", self.server.wait_for("key WrapBlobKey"))
        self.call(FILES + "WrapBlobKey", resource=site + "later",
                  blob_id="chunk", plaintext_key=b"p" * 32)
        self.assertIn("plaintext=32", self.server.wait_for("key WrapBlobKey"))
        reply = self.call(FILES + "UnwrapBlobKey", resource=site + "later",
                          blob_id="chunk", wrapped_key=b"w" * 85)
        self.assertEqual(reply.plaintext_key, b"\x5a" * 32)
        self.assertIn("resource=later wrapped=85",
                      self.server.wait_for("key UnwrapBlobKey"))
        for verb, fields in (
                ("CreateSiteKey", dict(resource="tenants/acme/mailboxes/x")),
                ("WrapBlobKey", dict(resource=site + "x")),
                ("WrapBlobKey", dict(resource=site + "x", blob_id="c",
                                     plaintext_key=b"p" * 31)),
                ("UnwrapBlobKey", dict(resource=site + "x", blob_id="a/b"))):
            refusal = self.refused(FILES + verb, **fields)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_access_context(self):
        access = API.message("holdfast.v1.AccessContext")(
            initiator=2, system_purpose=3, workload=1,
            request_id="ABCDEF01-2345-4789-8ABC-DEF012345678")
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok-", access=access)
        line = self.server.wait_for("key UnwrapKey")
        self.assertIn("initiator=2 purpose=3 "
                      "request=abcdef01-2345-4789-8abc-def012345678", line)

    def test_too_long_a_blob_is_cut_to_a_wrong_length(self):
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok-",
                  wrapped_key=b"w" * 40000)
        self.assertIn("wrapped=309", self.server.wait_for("key UnwrapKey"))

    def test_refusals(self):
        for name, code, reason, retry in (
                ("denied", "PERMISSION_DENIED", "KEY_ACCESS_DENIED", None),
                ("bad", "DATA_LOSS", "BLOB_INVALID", None),
                ("missing", "NOT_FOUND", "NOT_FOUND", None),
                ("down", "UNAVAILABLE", "KEY_UNAVAILABLE", 200),
                ("overload", "RESOURCE_EXHAUSTED", "OVERLOADED", 200)):
            refusal = self.refused(KEYS + "UnwrapKey", resource=BOX + name)
            self.assertRefused(refusal, code, reason)
            self.assertEqual(refusal.retry_ms, retry)
            self.assertEqual(refusal.text, "refused: " + reason)

    def test_echo(self):
        echo = self.server.channel().unary_unary("/test.Echo/Echo")
        self.assertEqual(echo(b"abc", timeout=5), b"abc")
        self.assertEqual(echo(b"", timeout=5), b"")

    def test_many_at_once(self):
        stub = API.stub(self.server.channel(), KEYS + "UnwrapKey")
        request = API.request(KEYS + "UnwrapKey", resource=BOX + "ok")
        for _ in range(40):
            calls = [stub.future(request, timeout=10) for _ in range(12)]
            for call in calls:
                self.assertEqual(call.result().plaintext_key, b"\x5a" * 32)

    def test_client_that_goes_away(self):
        """Calls cancelled in every phase leave nothing behind."""
        stub = API.stub(self.server.channel(), KEYS + "UnwrapKey")
        for wait in range(0, 40):
            request = API.request(KEYS + "UnwrapKey",
                                  resource=BOX + "wait-%d" % (wait % 5))
            call = stub.future(request, timeout=5)
            time.sleep(wait % 7 / 2000)
            call.cancel()
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok")


class Cancellation(Case):
    """A call whose client is gone has no side effect."""

    def effect(self, method, wait_ms, leave):
        stub = API.stub(self.server.channel(), KEYS + method)
        fields = {"plaintext_key": b"p" * 32} if method == "WrapKey" else {}
        request = API.request(KEYS + method, resource=BOX + "effect-%d"
                              % wait_ms, **fields)
        call = stub.future(request, timeout=10)
        if leave:
            self.server.wait_for("key " + method)
            call.cancel()
            return self.server.wait_for("cancelled effect-%d" % wait_ms)
        call.result()
        return self.server.wait_for("effect effect-%d" % wait_ms)

    def test_cancelled_before_the_effect(self):
        for method in ("GenerateKey", "WrapKey", "RewrapKey", "UnwrapKey"):
            self.effect(method, 200, leave=True)

    def test_not_cancelled(self):
        for method in ("GenerateKey", "WrapKey", "RewrapKey", "UnwrapKey"):
            self.effect(method, 20, leave=False)

    def test_deadline_is_a_cancellation(self):
        refusal = self.refused(KEYS + "GenerateKey", timeout=0.1,
                               resource=BOX + "effect-300")
        self.assertEqual(refusal.code, "DEADLINE_EXCEEDED")
        self.server.wait_for("cancelled effect-300")

    def queued(self, timeout):
        stub = API.stub(self.server.channel("queued"), DEPS + "GetDep")
        return stub.future(API.request(DEPS + "GetDep",
                                       name="tenants/queued/deps/x"),
                           timeout=timeout)

    def test_administration_cancelled_in_the_queue(self):
        """The use case never runs."""
        self.queued(5).result()
        self.server.wait_for("deps_get")
        call = self.queued(5)
        time.sleep(0.1)
        call.cancel()
        self.assertFalse(self.server.said("deps_get", 0.6))

    def test_administration_too_late_in_the_queue(self):
        call = self.queued(0.15)
        self.assertEqual(call.exception().code().name, "DEADLINE_EXCEEDED")
        self.assertFalse(self.server.said("deps_get", 0.6))


class Identity(Case):
    def test_every_method_refuses_strangers(self):
        """N01-like for the edge: no method answers an unknown identity."""
        count = 0
        for package in ("holdfast.v1", "grpc.health.v1",
                        "grpc.reflection.v1", "grpc.reflection.v1alpha"):
            for path, method in API.methods(package):
                for door in ("stranger", "gone"):
                    stub = API.stub(self.server.channel(door), path)
                    request = API.request(path)
                    if method.client_streaming:
                        answer = stub(iter([request]), timeout=5)
                    else:
                        answer = stub(request, timeout=5) \
                            if method.server_streaming else None
                    with self.assertRaises(grpc.RpcError) as caught:
                        if answer is None:
                            stub(request, timeout=5)
                        else:
                            next(answer)
                    self.assertEqual(caught.exception.code().name,
                                     "UNAUTHENTICATED", path)
                    count += 1
        self.assertGreaterEqual(count, 2 * 32)
        self.assertFalse(self.server.said("", 0.1), "a use case was reached")

    def test_reason(self):
        refusal = self.refused(KEYS + "UnwrapKey", door="stranger",
                               resource=BOX + "ok")
        self.assertRefused(refusal, "UNAUTHENTICATED", "IDENTITY_UNKNOWN")

    def test_metadata_is_no_identity(self):
        """N05"""
        stub = API.stub(self.server.channel("stranger"), KEYS + "UnwrapKey")
        for key in ("x-spiffe-id", "authorization", "identity",
                    "x-forwarded-client-cert"):
            with self.assertRaises(grpc.RpcError) as caught:
                stub(API.request(KEYS + "UnwrapKey", resource=BOX + "ok"),
                     metadata=[(key, "spiffe://t/workload")], timeout=5)
            self.assertEqual(caught.exception.code().name, "UNAUTHENTICATED")

    def test_caller_is_the_connections(self):
        for door, uri in (("workload", "spiffe://t/workload"),
                          ("operator", "spiffe://t/operator"),
                          ("other", "spiffe://t/other")):
            self.call(DEPS + "GetDep", door=door,
                      name="tenants/acme/deps/mail")
            self.assertTrue(self.server.wait_for("deps_get")
                            .endswith("caller=" + uri))


class Administration(Case):
    def test_every_method_has_a_handler(self):
        """Called with nothing in it, each says which field is wrong."""
        lists_without = {"ListTenants", "ListAuditRecords",
                         "ListCheckpoints", "GetAvailabilityTokens"}
        reads_without = {"QueryAuditRecords", "TailAuditRecords"}
        streams = {"WatchOperation"}
        for path, method in API.methods("holdfast.v1"):
            if method.name in lists_without:
                self.call(path, door="operator")
                continue
            if method.name in reads_without:
                continue  # see Streams
            if method.server_streaming:
                streams.remove(method.name)
                with self.assertRaises(grpc.RpcError) as caught:
                    next(API.stub(self.server.channel("operator"), path)(
                        API.request(path), timeout=10))
                refusal = Refusal(API, caught.exception)
            else:
                refusal = self.refused(path, door="operator")
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")
            self.assertTrue(refusal.field, path)
            self.assertTrue(refusal.field_text, path)
        self.assertEqual(streams, set())

    def test_dep(self):
        dep = self.call(DEPS + "GetDep", name="tenants/acme/deps/mail")
        self.assertEqual(dep.name, "tenants/acme/deps/" + DEP)
        self.assertEqual(dep.uid, DEP)
        self.assertEqual(dep.dep_id, "mail")
        self.assertEqual((dep.type, dep.state, dep.enabled), (1, 1, True))
        self.assertEqual([key.customer_key for key in dep.customer_keys],
                         ["tenants/acme/customerKeys/first",
                          "tenants/acme/customerKeys/second"])
        self.assertEqual(dep.availability_key.id, "ab00")
        self.assertEqual(dep.availability_key.state, "ACTIVE")
        self.assertEqual(dep.residency, 2)
        self.assertEqual((dep.key_lease.seconds, dep.key_lease.nanos),
                         (1, 500000000))
        self.assertEqual((dep.fallback_limit.seconds, dep.fallback_limit.nanos),
                         (90, 500000000))
        self.assertTrue(dep.HasField("outage_start_time"))
        self.assertEqual((dep.health, dep.assigned_count), (2, 3))
        self.assertEqual((dep.key_update, dep.key_counts.newest,
                          dep.key_counts.earlier), (2, 2, 1))
        self.assertEqual((dep.mailbox_counts.encrypted,
                          dep.mailbox_counts.encrypted_percent), (2, 66))
        self.assertTrue(dep.HasField("last_key_update_time"))
        self.assertEqual(dep.etag, "9")
        self.assertEqual(dep.revision, 9)  # R-10.12

    def test_create_dep(self):
        keys = ["tenants/acme/customerKeys/a", "tenants/acme/customerKeys/b"]
        self.call(DEPS + "CreateDep", parent="tenants/acme", dep_id="mail",
                  customer_keys=keys, residency=2, validate_only=True)
        self.assertEqual(self.server.wait_for("lease"),
                         "lease=-1 limit=0 residency=2 keys=a,b only=1 type=1")
        Duration = API.message("google.protobuf.Duration")
        self.call(DEPS + "CreateDep", parent="tenants/acme", dep_id="mail",
                  customer_keys=keys, key_lease=Duration(seconds=0),
                  fallback_limit=Duration(seconds=90))
        self.assertEqual(
            self.server.wait_for("lease"),
            "lease=0 limit=90000 residency=1 keys=a,b only=0 type=1")
        self.call(DEPS + "CreateDep", parent="tenants/acme", dep_id="all",
                  customer_keys=keys, type=2)
        self.assertTrue(self.server.wait_for("lease").endswith("type=2"))
        for path, fields in (
                ("CreateDep", dict(parent="tenants/acme", dep_id="all",
                                   customer_keys=keys)),
                ("GetDep", dict(name="tenants/acme/deps/all")),
                ("ListDeps", dict(parent="tenants/acme"))):
            # a geo's DEP is looked at here, and made by GeoService
            for kind in (4, 99, -1) + ((3,) if path == "CreateDep" else ()):
                refusal = self.refused(DEPS + path, type=kind, **fields)
                self.assertRefused(refusal, "INVALID_ARGUMENT",
                                   "FIELD_INVALID")
                self.assertEqual(refusal.field, "type")

    def test_dep_of_a_type(self):
        for kind, shown in ((0, 1), (1, 1), (2, 2)):
            dep = self.call(DEPS + "GetDep", name="tenants/acme/deps/mail",
                            type=kind)
            self.assertEqual(self.server.wait_for("type="), "type=%d" % kind)
            self.assertEqual(dep.type, shown)
            self.call(DEPS + "ListDeps", parent="tenants/acme", type=kind)
            self.assertIn("type=%d" % kind, self.server.wait_for("list"))

    def test_roll_availability_key(self):
        path = DEPS + "RollAvailabilityKey"
        begun = self.call(path, door="operator", parent="tenants/acme",
                          dep="tenants/acme/deps/mail")
        self.assertEqual(self.server.wait_for("roll of"), "roll of dep=mail")
        self.assertEqual((begun.kind, begun.object),
                         ("roll-availability-key", "tenants/acme/deps/" + DEP))
        begun = self.call(path, door="operator", parent="tenants/acme")
        self.assertEqual(begun.object, "tenants/acme")
        for fields in ({"parent": "tenants/acme", "dep": "mail"},
                       {"parent": "tenants/acme",
                        "dep": "tenants/other/deps/mail"}, {"parent": "acme"}):
            refusal = self.refused(path, door="operator", **fields)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_roll_service_managed_key(self):
        path = "/holdfast.v1.TenantService/RollServiceManagedKey"
        begun = self.call(path, door="operator", name="tenants/acme",
                          validate_only=True)
        self.assertEqual(self.server.wait_for("roll only"), "roll only=1")
        self.assertEqual((begun.kind, begun.object),
                         ("roll-service-managed-key", "tenants/acme"))

    def test_key_dependants(self):
        path = "/holdfast.v1.CustomerKeyService/ListKeyDependants"
        found = self.call(path, name="tenants/acme/customerKeys/a", version=7,
                          page_size=1000)
        self.assertEqual(self.server.wait_for("dependants"),
                         "dependants of version=7")
        self.assertEqual((len(found.dependants), found.total_count,
                          found.next_page_token), (1000, 70000, "ab"))
        one = found.dependants[999]
        self.assertEqual((one.resource, one.dep, one.generation),
                         ("tenants/acme/mailboxes/a",
                          "tenants/acme/deps/" + DEP, 3))

    def test_backup(self):
        saved = self.call("/holdfast.v1.CustomerKeyService/BackupCatalogue",
                          parent="tenants/acme")
        self.assertEqual((saved.document, saved.signature, saved.public_key),
                         (b"{}\n", b"sig", b"key"))

    def test_rebind(self):
        bound = self.call("/holdfast.v1.TokenService/RebindKeys",
                          door="operator", name="tenants/acme/tokens/a",
                          statement=b"s", signature=b"t")
        self.assertEqual((bound.token.name, bound.key_versions),
                         ("tenants/acme/tokens/a", 7))

    def test_onboarding(self):
        onboarding = "/holdfast.v1.OnboardingService/"
        asked = dict(
            parent="tenants/acme", scenario=2, mode=2,
            customer_keys=["tenants/acme/customerKeys/a",
                           "tenants/acme/customerKeys/b"],
            custody_domains=["east", "west"], workload_identity="spiffe://x/y",
            residency=2, validate_only=True)
        made = self.call(onboarding + "SubmitOnboardingRequest", **asked)
        self.assertEqual(self.server.wait_for("scenario="),
                         "scenario=2 mode=2 domains=east,west "
                         "identity=spiffe://x/y residency=2 only=1")
        self.assertEqual(
            (made.name, made.scenario, made.mode, list(made.customer_keys),
             list(made.key_versions), list(made.custody_domains),
             made.validation_result, made.enablement_result,
             list(made.failed_validations)),
            ("tenants/acme/onboardingRequests/" + DEP, 2, 2,
             ["tenants/acme/customerKeys/key0",
              "tenants/acme/customerKeys/key1"], [3, 4], [], 2, 2,
             ["KEY_SIZE"]))
        self.assertEqual(
            [(one.customer_key, one.status, one.text)
             for one in made.report.results],
            [("", 1, "1024 bits"),
             ("tenants/acme/customerKeys/key0", 2, "1024 bits"),
             ("tenants/acme/customerKeys/key1", 2, "1024 bits")])
        self.assertTrue(made.report.results[0].HasField("time"))
        self.assertEqual(made, self.call(onboarding + "GetOnboardingRequest",
                                         name=made.name))
        found = self.call(onboarding + "ListOnboardingRequests",
                          parent="tenants/acme", page_size=500)
        self.assertEqual(len(found.onboarding_requests), 20)
        for field, value in (("scenario", 0), ("scenario", 3), ("scenario", 99),
                             ("mode", 0), ("mode", 3),
                             ("custody_domains", ["one"]),
                             ("custody_domains", ["a", "b", "c"]),
                             ("customer_keys", asked["customer_keys"][:1])):
            refusal = self.refused(onboarding + "SubmitOnboardingRequest",
                                   **dict(asked, **{field: value}))
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")
            self.assertEqual(refusal.field, field)

    def test_soft_delete(self):
        keys = "/holdfast.v1.CustomerKeyService/"
        name = "tenants/acme/customerKeys/a"
        gone = self.call(keys + "SoftDeleteCustomerKey", name=name,
                         confirm=True, etag="7")
        self.assertEqual(self.server.wait_for("confirm="), "confirm=1 etag=7")
        self.assertEqual((gone.state, gone.recovery_level,
                          gone.retention_days),
                         (2, "Recoverable+ProtectedSubscription", 90))
        self.assertEqual(gone.purge_time.seconds - gone.delete_time.seconds, 1)
        self.call(keys + "SoftDeleteCustomerKey", name=name)
        self.assertEqual(self.server.wait_for("confirm="), "confirm=0 etag=")
        back = self.call(keys + "RecoverCustomerKey", name=name)
        self.assertEqual(back.state, 1)
        self.assertFalse(back.HasField("purge_time"))

    def test_forced_change(self):
        """R-7.13: drafted, signed elsewhere, and brought along as it is."""
        keys = "/holdfast.v1.CustomerKeyService/"
        name = "tenants/acme/customerKeys/a"
        drafted = self.call(keys + "DraftForcedChange", name=name, change=2,
                            version=3)
        self.assertEqual(self.server.wait_for("draft"),
                         "draft change=2 version=3")
        self.assertEqual((drafted.document, drafted.dependant_count,
                          drafted.approvals_needed), (b"to sign", 70000, 2))
        self.assertTrue(drafted.HasField("expire_time"))
        for change in (0, 3, 99):
            self.assertEqual(self.refused(keys + "DraftForcedChange", name=name,
                                          change=change).field, "change")
        both = [{"approver": "spiffe://t/ada", "signature": b"abc"},
                {"approver": "spiffe://t/bob", "signature": b"defg"}]
        force = {"document": b"to sign", "approvals": both}
        said = "force document=to sign approvals=2 last=spiffe://t/bob of 4"
        self.call(keys + "UpdateCustomerKey", name=name, force=force,
                  update_mask={"paths": ["enabled"]})
        self.assertEqual(self.server.wait_for("force"), said)
        self.call(keys + "SoftDeleteCustomerKey", name=name, force=force,
                  confirm=True)
        self.assertEqual(self.server.wait_for("force"), said)
        for field, bad in (
                ("force.document", {"approvals": both}),
                ("force.approvals", {"document": b"x", "approvals": both * 2}),
                ("force.approvals.approver",
                 {"document": b"x", "approvals": [{"approver": "ada"}]})):
            refusal = self.refused(keys + "SoftDeleteCustomerKey", name=name,
                                   confirm=True, force=bad)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")
            self.assertEqual(refusal.field, field)

    def test_refresh_and_replace(self):
        name = "tenants/acme/deps/mail"
        begun = self.call(DEPS + "RefreshDep", name=name, validate_only=True)
        self.assertEqual(self.server.wait_for("only="), "only=1")
        self.assertEqual((begun.kind, begun.object, begun.done),
                         ("refresh", "tenants/acme/deps/" + DEP, False))
        keys = ["tenants/acme/customerKeys/a", "tenants/acme/customerKeys/b"]
        begun = self.call(DEPS + "ReplaceDepKeys", name=name,
                          customer_keys=keys, workload_identity="spiffe://x/y")
        self.assertEqual(self.server.wait_for("keys="),
                         "keys=a,b identity=spiffe://x/y")
        self.assertEqual(begun.kind, "replace")
        for bad in (keys[:1], keys + keys[:1], ["a", "b"],
                    ["tenants/other/customerKeys/a", keys[1]]):
            refusal = self.refused(DEPS + "ReplaceDepKeys", name=name,
                                   customer_keys=bad)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_update_dep(self):
        Dep = API.message("holdfast.v1.Dep")
        Mask = API.message("google.protobuf.FieldMask")
        self.call(DEPS + "UpdateDep",
                  dep=Dep(name="tenants/acme/deps/mail", enabled=True),
                  update_mask=Mask(paths=["enabled", "key_lease"]))
        self.assertEqual(self.server.wait_for("set="),
                         "set=001010 enabled=1 lease=-1 limit=0")
        Duration = API.message("google.protobuf.Duration")
        for limit, ms in ((None, 0), (Duration(seconds=60), 60000)):
            self.call(DEPS + "UpdateDep",
                      dep=Dep(name="tenants/acme/deps/mail",
                              fallback_limit=limit),
                      update_mask=Mask(paths=["fallback_limit"]))
            self.assertEqual(self.server.wait_for("set="),
                             "set=000001 enabled=0 lease=0 limit=%d" % ms)

    def test_notices(self):
        found = self.call(DEPS + "ListNotices", parent="tenants/acme",
                          dep="tenants/acme/deps/mail", page_size=2)
        self.assertEqual(self.server.wait_for("dep="), "dep=mail")
        self.assertEqual(len(found.notices), 2)
        notice = found.notices[0]
        self.assertEqual((notice.dep, notice.dep_id, notice.event,
                          notice.generation, notice.fallback_limit.seconds),
                         ("tenants/acme/deps/" + DEP, "mail", 3, 4, 90))
        self.assertTrue(notice.HasField("time"))
        self.assertTrue(notice.HasField("outage_start_time"))
        self.assertEqual(found.next_page_token, "more")

    def test_validation_report(self):
        keys = ["tenants/acme/customerKeys/a", "tenants/acme/customerKeys/b"]
        refusal = self.refused(DEPS + "CreateDep", parent="tenants/acme",
                               dep_id="failing", customer_keys=keys)
        self.assertRefused(refusal, "FAILED_PRECONDITION",
                           "VALIDATION_FAILED")
        self.assertLess(len(refusal.raw), 5700)
        self.assertEqual(len(refusal.report.results), 52)
        failed = [r for r in refusal.report.results if r.status == 2]
        self.assertEqual(len(failed), 11)
        self.assertEqual(failed[0].customer_key, keys[0])
        self.assertEqual(failed[0].text, "x" * 159)

    def test_report_keys_are_names(self):
        report = self.call(DEPS + "TestDep", name="tenants/acme/deps/mail")
        self.assertEqual(report.results[0].customer_key,
                         "tenants/acme/customerKeys/second")
        self.assertEqual(report.results[0].code, "KEY_EXISTS")

    def test_pages(self):
        for path, size, most, fields in (
                ("/holdfast.v1.TenantService/ListTenants", 1000, 1000, {}),
                (DEPS + "ListDeps", 1000, 500, {"parent": "tenants/acme"}),
                (DEPS + "ListNotices", 0, 100, {"parent": "tenants/acme"}),
                ("/holdfast.v1.OperationService/ListOperations", 0, 100,
                 {"parent": "tenants/acme"}),
                ("/holdfast.v1.CustomerKeyService/ListCustomerKeys", 1000, 50,
                 {"parent": "tenants/acme"}),
                ("/holdfast.v1.CustomerKeyService/ListDeletedCustomerKeys", 60,
                 50, {"parent": "tenants/acme"}),
                ("/holdfast.v1.AssignmentService/ListMailboxes", 1000, 1000,
                 {"parent": "tenants/acme"}),
                ("/holdfast.v1.AssignmentService/ListWorkloads", 0, 100,
                 {"parent": "tenants/acme"}),
                ("/holdfast.v1.TokenService/ListTokens", 0, 100,
                 {"parent": "tenants/acme"})):
            reply = self.call(path, door="operator", page_size=size, **fields)
            items = reply.ListFields()[0][1]
            self.assertEqual(len(items), most, path)

    def test_tenant_assignment(self):
        service = "/holdfast.v1.AssignmentService/"
        begun = self.call(service + "AssignTenant", parent="tenants/acme",
                          dep="tenants/acme/deps/everything")
        self.assertEqual((begun.kind, begun.object, begun.state),
                         ("assign-tenant", "tenants/acme/deps/" + DEP, 1))
        begun = self.call(service + "OffboardTenant", parent="tenants/acme",
                          ticket="T-1", contact="ann", reason="leaving")
        self.assertEqual(begun.kind, "offboard-tenant")
        self.assertEqual(self.server.wait_for("contact"),
                         "contact=3 ground=7")
        found = self.call(service + "GetTenantAssignment",
                          parent="tenants/acme")
        self.assertEqual(
            (found.name, found.state, found.dep, found.number, found.operation,
             found.percent, found.remaining_count, found.overdue, found.ticket,
             found.contact, found.reason, found.etag),
            ("tenants/acme/assignment", 4, "tenants/acme/deps/" + DEP, 7,
             "tenants/acme/operations/" + DEP, 34, 12, True, "T-1", "ann",
             "leaving", "5"))
        self.assertFalse(found.HasField("effective_time"))
        for fields in (dict(dep=""), dict(dep="tenants/other/deps/x"),
                       dict(dep="tenants/acme/mailboxes/x"),
                       dict(dep="tenants/acme/deps/x", etag="e" * 99)):
            refusal = self.refused(service + "AssignTenant",
                                   parent="tenants/acme", **fields)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")
        for field, most in (("ticket", 64), ("contact", 256), ("reason", 1024)):
            fields = dict(ticket="t", contact="c", reason="r")
            fields[field] = "x" * most
            self.call(service + "OffboardTenant", parent="tenants/acme",
                      **fields)
            fields[field] += "x"
            refusal = self.refused(service + "OffboardTenant",
                                   parent="tenants/acme", **fields)
            self.assertEqual(refusal.field, field)

    def test_a_resource_is_deleted(self):
        """R-15.15, R-15.20."""
        for collection, kind in (("mailboxes", 1), ("sites", 3)):
            name = f"tenants/acme/{collection}/x"
            reply = self.call("/holdfast.v1.AssignmentService/DeleteResource", name=name,
                              confirm=True)
            self.assertEqual(reply.name, name)
            self.assertGreater(reply.delete_time.seconds, 0)
            self.assertEqual(self.server.wait_for("delete type"),
                             f"delete type={kind} confirm=1 only=0")
        refusal = self.refused("/holdfast.v1.AssignmentService/DeleteResource", confirm=True,
                               name="tenants/acme/workloads/teams-chat")
        self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_workloads(self):
        service = "/holdfast.v1.AssignmentService/"
        name = "tenants/acme/workloads/teams-chat"
        found = self.call(service + "GetWorkload", name=name)
        self.assertEqual(
            (found.name, found.coverage, found.existing_data_policy,
             found.activation, found.registered, found.switched_on, found.state,
             found.effective_dep, found.effective_generation, found.done_count,
             found.total_count, found.etag),
            (name, 1, 1, 1, True, True, 4, "tenants/acme/deps/" + DEP, 4, 3, 10,
             "6"))
        self.assertEqual([(key.wrapped_key, key.dep, key.generation)
                          for key in found.earlier_keys],
                         [(b"\xea" * 101, "", 2)])
        files = self.call(service + "GetWorkload",
                          name="tenants/acme/workloads/teams-files")
        self.assertEqual((files.coverage, files.covered_by),
                         (3, "SHAREPOINT_GEO"))
        self.assertEqual(self.call(
            service + "RegisterWorkload", parent="tenants/acme",
            workload_id="teams-chat"), found)
        self.call(service + "SwitchWorkload", name=name, on=True,
                  item_count=20000)
        self.assertEqual(self.server.wait_for("on="), "on=1 items=20000")
        self.call(service + "ReportWorkloadProgress", name=name, done_count=5,
                  total_count=9)
        self.assertEqual(self.server.wait_for("done="), "done=5 total=9")
        refusal = self.refused(service + "GetWorkload",
                               name="tenants/acme/mailboxes/x")
        self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_keys_of_workloads(self):
        """A resource is a mailbox or a workload, by its collection."""
        for collection in ("mailboxes", "workloads"):
            reply = self.call(KEYS + "UnwrapKey",
                              resource="tenants/acme/%s/ok" % collection)
            self.assertEqual(reply.plaintext_key, b"\x5a" * 32)
        for bad in ("tenants/acme/sites/ok", "tenants/acme/workloads/",
                    "tenants/acme/workloads/a/b", "tenants/acme/workload/ok",
                    "tenants/acme/workloads"):
            refusal = self.refused(KEYS + "UnwrapKey", resource=bad)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_operations(self):
        operations = "/holdfast.v1.OperationService/"
        name = "tenants/acme/operations/" + DEP
        begun = self.call(DEPS + "RewrapDep", name="tenants/acme/deps/mail")
        found = self.call(operations + "GetOperation", name=name)
        self.assertEqual(begun, found)
        self.assertEqual(
            (found.name, found.kind, found.object, found.state, found.done,
             found.percent, found.done_count, found.total_count,
             found.waiting_count, found.error),
            (name, "rewrap", "tenants/acme/deps/" + DEP, 1, False, 30, 3, 10, 1,
             "not yet reached"))
        self.assertFalse(found.HasField("end_time"))
        ended = self.call(operations + "CancelOperation", name=name)
        self.assertEqual((ended.state, ended.done), (4, True))
        for bad in ("tenants/acme/deps/x", "tenants/acme/operations/" + "x" * 37):
            refusal = self.refused(operations + "GetOperation", name=bad)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_approvers(self):
        approvals = "/holdfast.v1.ApprovalService/"
        officer = dict(identity="spiffe://x/officer", display_name="Ada",
                       public_key=b"k" * 91)
        found = self.call(approvals + "SetPurgeApprovers",
                          parent="tenants/acme", approvers=[officer])
        self.assertEqual(found, self.call(approvals + "ListPurgeApprovers",
                                          parent="tenants/acme"))
        one = found.approvers[0]
        self.assertEqual(
            (found.name, one.identity, one.display_name, one.public_key,
             one.since_time.seconds),
            ("tenants/acme/purgeApprovers", "spiffe://x/officer", "Ada",
             b"\x07" * 91, 1750000000))
        for bad in (dict(approvers=[officer] * 8),
                    dict(approvers=[dict(officer, identity="nobody")]),
                    dict(approvers=[dict(officer, public_key=b"")]),
                    dict(approvers=[dict(officer, public_key=b"k" * 4097)])):
            refusal = self.refused(approvals + "SetPurgeApprovers",
                                   parent="tenants/acme", **bad)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_a_tenant_is_deleted(self):
        """R-15.17: a purge of no DEP, and of all of them."""
        reply = self.call("/holdfast.v1.TenantService/DeleteTenant",
                          name="tenants/acme", reason="we leave", contact="c",
                          confirm=True)
        self.assertEqual((reply.name, reply.whole_tenant, reply.dep,
                          reply.dep_id, reply.approvals_needed),
                         ("tenants/acme/purges/" + DEP, True, "", "", 2))
        self.assertEqual(self.server.wait_for("ends reason"),
                         "ends reason=we leave contact=c confirm=1")
        refusal = self.refused("/holdfast.v1.TenantService/DeleteTenant",
                               name="tenants/acme", reason="r" * 2000,
                               contact="c", confirm=True)
        self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_purges(self):
        purges = "/holdfast.v1.PurgeService/"
        name = "tenants/acme/purges/" + DEP
        found = self.call(purges + "GetPurge", name=name)
        self.assertEqual(
            (found.name, found.dep, found.dep_id, found.phase, found.paused,
             found.force, found.reason, found.contact, found.requester,
             found.version, found.resource_count, found.document,
             found.accepting_document, found.approvals_needed, found.executor,
             found.evidence, found.etag),
            (name, "tenants/acme/deps/" + DEP, "mail", 3, True, True,
             "we leave", "ciso@acme", "spiffe://x/admin", 3, 12, b"plain",
             b"accepting", 2, "spiffe://x/operator", "none found", "4"))
        self.assertEqual(
            (found.earlier_wraps[0].dep, found.earlier_wraps[0].generation,
             found.earlier_wraps[0].resource_count),
            ("tenants/acme/deps/" + DEP, 2, 5))
        self.assertEqual(
            (found.approvals[0].approver, found.approvals[0].version,
             found.approvals[0].accepts_earlier_wraps,
             len(found.approvals[0].signature)),
            ("spiffe://x/officer", 3, True, 64))
        self.assertEqual(found.hold_until_time.seconds, 1750000003)
        self.assertFalse(found.HasField("purge_time"))
        for verb in ("RenewPurgeDocument", "CancelPurge", "PausePurge",
                     "ResumePurge"):
            self.assertEqual(found, self.call(purges + verb, name=name,
                                              etag="4"), verb)
        self.assertEqual(found, self.call(
            purges + "RequestPurge", dep="tenants/acme/deps/mail",
            reason="we leave", contact="c", force=True, confirm=True))
        self.assertEqual(found, self.call(
            purges + "ApprovePurge", name=name, version=3,
            accept_earlier_wraps=True, signature=b"s" * 70))
        begun = self.call(purges + "ExecutePurge", name=name, confirm=True)
        self.assertEqual((begun.kind, begun.object), ("purge", name))
        listed = self.call(purges + "ListPurges", parent="tenants/acme")
        self.assertEqual((list(listed.purges), listed.next_page_token),
                         ([found], "more"))
        certificate = self.call(purges + "GetPurgeCertificate", name=name)
        self.assertEqual(
            (certificate.purge, certificate.certificate,
             len(certificate.signature), len(certificate.public_key)),
            (name, b"it is gone\n", 71, 91))
        for verb, fields in (
                ("GetPurge", dict(name="tenants/acme/deps/x")),
                ("RequestPurge", dict(dep="tenants/acme/purges/x")),
                ("RequestPurge", dict(dep="tenants/acme/deps/mail",
                                      reason="r" * 257)),
                ("ExecutePurge", dict(name=name, etag="x" * 100))):
            refusal = self.refused(purges + verb, **fields)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_geo(self):
        geo = self.call(GEOS + "GetGeo", name="tenants/acme/geos/emea")
        self.assertEqual(
            (geo.name, geo.state, geo.percent, geo.site_count, geo.tik_version,
             geo.dep, geo.operation, geo.evict_on_denied,
             geo.tik_refresh_failing, geo.etag),
            ("tenants/acme/geos/emea", 3, 61, 70, 4, "tenants/acme/deps/" + DEP,
             "tenants/acme/operations/" + DEP, True, True, "9"))
        self.assertEqual((geo.primary.customer_key, geo.primary.version,
                          geo.secondary.customer_key, geo.secondary.version),
                         ("tenants/acme/customerKeys/first", 3,
                          "tenants/acme/customerKeys/second", 5))
        self.assertEqual(geo.availability_key.algorithm, "RSA-2048-OAEP")
        self.assertEqual(
            (geo.recovery.state, geo.recovery.recovery_enabled,
             geo.recovery.requester, geo.recovery.enabler,
             geo.recovery.confirmer, geo.recovery.ticket),
            (3, True, "spiffe://x/asks", "spiffe://x/enables",
             "spiffe://x/confirms", "INC-1"))
        flushed = self.call(GEOS + "FlushTik", name="tenants/acme/geos/emea")
        self.assertFalse(flushed.HasField("tik_expire_time"))
        site = self.call(GEOS + "GetSite", name="tenants/acme/sites/s1")
        self.assertEqual(
            (site.name, site.geo, site.state, site.is_encrypted,
             site.effective_dep, site.effective_generation),
            ("tenants/acme/sites/s1", "tenants/acme/geos/emea", 4, True,
             "tenants/acme/deps/" + DEP, 4))

    def test_geo_verbs(self):
        first = dict(customer_key="tenants/acme/customerKeys/a", version=2)
        second = dict(customer_key="tenants/acme/customerKeys/b", version=7)
        begun = self.call(GEOS + "RegisterGeo", parent="tenants/acme",
                          geo_id="emea", primary=first, secondary=second,
                          workload_identity="spiffe://x/files", residency=2,
                          evict_on_denied=True)
        self.assertEqual((begun.kind, begun.object),
                         ("register-geo", "tenants/acme/geos/" + DEP))
        self.assertEqual(self.server.wait_for("geo keys"),
                         "geo keys a/2 b/7 identity=spiffe://x/files "
                         "residency=2 evict=1")
        name = "tenants/acme/geos/emea"
        begun = self.call(GEOS + "RollGeoKey", name=name, slot=2, key=second)
        self.assertEqual(begun.kind, "roll-geo")
        self.assertEqual(self.server.wait_for("geo slot"),
                         "geo slot=1 key=b/7")
        begun = self.call(GEOS + "RestoreGeo", name=name, primary=first,
                          secondary=second)
        self.assertEqual(begun.kind, "restore-geo")
        for verb, state in (("RequestRecovery", 1), ("ConfirmRecovery", 3)):
            geo = self.call(GEOS + verb, name=name)
            self.assertEqual(geo.recovery.state, state)
        geo = self.call(GEOS + "EnableRecovery", name=name, ticket="INC-2",
                        window=dict(seconds=3600))
        self.assertEqual((geo.recovery.state, geo.recovery.recovery_enabled),
                         (2, False))
        self.assertEqual(self.server.wait_for("geo ticket"),
                         "geo ticket=INC-2 window=3600000")
        site = self.call(GEOS + "RegisterSite", parent="tenants/acme",
                         site_id="s1", geo=name)
        self.assertEqual(site.geo, name)

    def test_geo_fields(self):
        key = dict(customer_key="tenants/acme/customerKeys/a", version=1)
        name = "tenants/acme/geos/emea"
        good = dict(parent="tenants/acme", geo_id="emea", primary=key,
                    secondary=key)
        for verb, field, fields in (
                ("RegisterGeo", "primary", dict(good, primary=None)),
                ("RegisterGeo", "secondary", dict(
                    good, secondary=dict(key, version=0))),
                ("RegisterGeo", "secondary", dict(good, secondary=dict(
                    customer_key="tenants/zeta/customerKeys/a", version=1))),
                ("RegisterGeo", "geo_id", dict(good, geo_id="a b")),
                ("RollGeoKey", "slot", dict(name=name, key=key)),
                ("RollGeoKey", "slot", dict(name=name, key=key, slot=3)),
                ("RollGeoKey", "key", dict(name=name, slot=1)),
                ("GetGeo", "name", dict(name="tenants/acme/sites/emea")),
                ("EnableRecovery", "window", dict(
                    name=name, ticket="t", window=dict(seconds=700000))),
                ("EnableRecovery", "ticket", dict(name=name, ticket="t" * 65)),
                ("RegisterSite", "geo", dict(
                    parent="tenants/acme", site_id="s",
                    geo="tenants/zeta/geos/emea")),
                ("RegisterSite", "site_id", dict(
                    parent="tenants/acme", site_id="a/b", geo=name))):
            refusal = self.refused(GEOS + verb, **fields)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")
            self.assertIn(field, [v.field for v in refusal.violations]
                          if hasattr(refusal, "violations") else [field])

    def test_audit(self):
        reply = self.call("/holdfast.v1.AuditService/ListAuditRecords",
                          parent="tenants/acme")
        record = reply.records[0]
        self.assertEqual(json.loads(record.json)["activity"], 'Say "hi"')
        self.assertEqual(record.actor, "spiffe://x/y")
        self.assertEqual(record.object, "tenants/a")
        self.assertEqual((record.time.seconds, record.time.nanos),
                         (1750000000, 123000000))
        self.assertEqual(reply.next_page_token, "more")

    def test_revisions(self):
        """R-10.12: what is queried says which state of it was seen."""
        tenant = "tenants/acme/"
        for service, method, name, revision in (
                ("TokenService", "GetToken", "tokens/t", 7),
                ("GeoService", "GetGeo", "geos/emea", 9),
                ("GeoService", "GetSite", "sites/s1", 2),
                ("PurgeService", "GetPurge", "purges/"
                 "00000000-0000-0000-0000-000000000001", 4)):
            reply = self.call(f"/holdfast.v1.{service}/{method}",
                              name=tenant + name)
            self.assertEqual(reply.revision, revision, method)
        reply = self.call("/holdfast.v1.TenantService/ListTenants",
                          door="operator")
        self.assertEqual(reply.epoch, 12)

    def test_token_condition(self):
        reply = self.call("/holdfast.v1.TokenService/GetToken",
                          name="tenants/acme/tokens/t")
        enum = API.message("holdfast.v1.Token").DESCRIPTOR.fields_by_name[
            "condition"].enum_type
        self.assertEqual(enum.values_by_number[reply.condition].name,
                         "TOKEN_CONDITION_AWAITING_ACTIVATION")
        self.assertEqual((reply.worker, reply.worker_restarts,
                          reply.condition_reason), (4, 3, "nobody came"))

    def test_checkpoints(self):
        reply = self.call("/holdfast.v1.AuditService/ListCheckpoints",
                          parent="tenants/acme", page_size=3)
        self.assertEqual([one.audit_index for one in reply.checkpoints],
                         [1000, 999, 998])
        one = reply.checkpoints[0]
        self.assertEqual((one.statement, one.signature),
                         (b"t" * 640, b"\x5a" * 80))
        self.assertEqual((one.create_time.seconds, one.create_time.nanos),
                         (1750000000, 123000000))
        self.assertEqual(set(reply.public_key), {0x30})
        self.assertEqual(reply.next_page_token, "more")
        most = self.call("/holdfast.v1.AuditService/ListCheckpoints",
                         parent="tenants/acme", page_size=1000)
        self.assertEqual(len(most.checkpoints), 200)

    def test_mailbox_under_the_service_managed_root(self):
        path = "/holdfast.v1.AssignmentService/GetMailbox"
        box = self.call(path, name=BOX + "managed")
        self.assertEqual((box.effective_dep, box.is_encrypted,
                          box.data_encryption_policy_id), ("", False, ""))
        box = self.call(path, name=BOX + "own")
        self.assertEqual((box.is_encrypted, box.data_encryption_policy_id),
                         (True, DEP))

    def test_moves(self):
        """M3 to M5: what the mover is given, and what it says."""
        path = "/holdfast.v1.AssignmentService/"
        box = self.call(path + "ClaimMove", parent="tenants/acme",
                        claim_seconds=3600)
        self.assertEqual(self.server.wait_for("claim_ms"), "claim_ms=3600000 renewed=")
        self.call(path + "ClaimMove", parent="tenants/acme", mailbox=BOX + "b",
                  claim=DEP)
        self.assertEqual(self.server.wait_for("claim_ms"),
                         "claim_ms=0 renewed=b")
        self.assertEqual((box.name, box.state, box.claim, box.overdue,
                          box.move_priority), (BOX + "box", 8, DEP, True, 2))
        self.assertEqual((box.queue_time.seconds, box.wait_time.seconds,
                          box.claim_end_time.seconds),
                         (1750000000, 1749999999, 1750000001))
        self.call(path + "CompleteMove", name=BOX + "b", claim=DEP)
        self.assertEqual(self.server.wait_for("mailbox_moves_complete claim"),
                         f"mailbox_moves_complete claim={DEP} reason=")
        self.call(path + "FailMove", name=BOX + "b", claim=DEP, reason="full")
        self.assertEqual(self.server.wait_for("mailbox_moves_fail claim"),
                         f"mailbox_moves_fail claim={DEP} reason=full")
        # what does not move shows no claim
        box = self.call(path + "GetMailbox", name=BOX + "b")
        self.assertEqual((box.claim, box.HasField("claim_end_time")),
                         ("", False))
        self.call(path + "RegisterMailbox", parent="tenants/acme",
                  mailbox_id="b", unencrypted=True)
        self.assertEqual(self.server.wait_for("unencrypted"), "unencrypted=1")
        self.call(path + "AssignMailbox", name=BOX + "b", move_priority=2)
        self.assertEqual(self.server.wait_for("priority"), "priority=2")

    def test_availability_tokens(self):
        """R-15.5"""
        one, two = self.call(
            "/holdfast.v1.TokenService/GetAvailabilityTokens",
            door="operator").tokens
        self.assertEqual((one.sharepoint, one.level, one.percent,
                          one.object_count, one.capacity_objects,
                          one.free_bytes, one.total_bytes, one.reachable),
                         (False, 2, 90, 82, 100, 6, 60, True))
        self.assertEqual((two.sharepoint, two.level, two.reachable),
                         (True, 0, False))

    def test_mirrors_of_availability_tokens(self):
        """R-15.5"""
        tokens = "/holdfast.v1.TokenService/"
        on_its_way = self.call(tokens + "EnrollAkMirror", door="operator",
                               token_id="second")
        self.assertEqual((on_its_way.token_id, on_its_way.label,
                          on_its_way.serial, on_its_way.state,
                          on_its_way.copies, on_its_way.copies_wanted),
                         ("second", "holdfast-ak-2", "0011223344556677", 1,
                          12, 30))
        self.assertTrue(on_its_way.last_problem)
        self.assertFalse(on_its_way.HasField("retire_time"))
        gone = self.call(tokens + "RetireAkMirror", door="operator",
                         token_id="second", serial="0011223344556677",
                         disposal="shredded")
        self.assertEqual((gone.state, gone.disposal, gone.retirement_approvals,
                          gone.retirement_requester, gone.HasField("retire_time")),
                         (3, "shredded", 2, "spiffe://x/op", True))
        for fields in (dict(serial="s" * 17), dict(disposal="d" * 129)):
            refusal = self.refused(tokens + "RetireAkMirror",
                                   door="operator", token_id="second",
                                   **fields)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")

    def test_update_mailbox(self):
        Mailbox = API.message("holdfast.v1.Mailbox")
        Mask = API.message("google.protobuf.FieldMask")
        box = self.call("/holdfast.v1.AssignmentService/UpdateMailbox",
                        mailbox=Mailbox(name=BOX + "b", kind=5, licensed=True),
                        update_mask=Mask(paths=["kind"]))
        self.assertEqual(self.server.wait_for("set="),
                         "set=10 kind=5 licensed=1")
        self.assertEqual((box.name, box.kind), (BOX + "b", 5))

    def test_permissions(self):
        path = "/holdfast.v1.CustomerKeyService/"
        name = "tenants/acme/customerKeys/k"
        self.call(path + "GrantCustomerKey", name=name, identity="spiffe://a/b",
                  permissions=[1, 3])
        self.assertEqual(self.server.wait_for("permissions"), "permissions=5")
        self.call(path + "RevokeCustomerKey", name=name,
                  identity="spiffe://a/b")
        self.assertEqual(self.server.wait_for("permissions"), "permissions=7")


class Refusing(Case):
    """Everything malformed is refused before a use case is asked."""

    def assertField(self, path, field, **fields):
        refusal = self.refused(path, **fields)
        self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")
        self.assertEqual(refusal.field, field, refusal)
        self.assertTrue(refusal.field_text)

    def test_names(self):
        for name in ("", "acme", "tenants", "tenants/", "tenants//deps/x",
                     "tenants/acme", "tenants/acme/deps", "tenants/acme/deps/",
                     "tenants/acme/dep/x", "tenants/acme/deps/x/y",
                     "tenants/acme/deps/x/", "/tenants/acme/deps/x",
                     "Tenants/acme/deps/x", "tenants/ac me/deps/x",
                     "tenants/acme/deps/" + "x" * 65, "tenants/" + "x" * 65
                     + "/deps/x", "tenants/acme/deps/é", "tenants/acme/deps/*",
                     "tenants/acme/deps/../../x", "tenants/acme%2fdeps/x",
                     "tenants/acme/mailboxes/x"):
            self.assertField(DEPS + "GetDep", "name", name=name)

    def test_mailboxes(self):
        for name in ("", "tenants/acme/mailboxes/", "x" * 300,
                     BOX + "a/b", BOX + "a\x01", BOX + "\x7f", BOX + "x" * 257):
            self.assertField(KEYS + "UnwrapKey", "resource", resource=name)
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok-" + "x" * 253)
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok-ü@example.org")

    def test_claims(self):
        path = "/holdfast.v1.AssignmentService/"
        for claim in ("", "x", DEP[:-1]):
            for verb in ("CompleteMove", "FailMove"):
                self.assertField(path + verb, "claim", name=BOX + "b",
                                 claim=claim)
        self.assertField(path + "FailMove", "reason", name=BOX + "b",
                         claim=DEP, reason="x" * 1025)

    def test_request_ids(self):
        Access = API.message("holdfast.v1.AccessContext")
        for text in ("1", "x" * 36, "11111111-2222-4333-8444-55555555555",
                     "11111111222243338444555555555555",
                     "{11111111-2222-4333-8444-555555555555}"):
            self.assertField(KEYS + "UnwrapKey", "access.request_id",
                             resource=BOX + "ok", access=Access(request_id=text))
            self.assertField("/holdfast.v1.TenantService/CreateTenant",
                             "request_id", tenant_id="t", request_id=text)

    def test_purpose_without_system(self):
        Access = API.message("holdfast.v1.AccessContext")
        self.assertField(KEYS + "UnwrapKey", "access.system_purpose",
                         resource=BOX + "ok", access=Access(system_purpose=1))

    def test_plaintext_length(self):
        for length in (0, 1, 31, 33, 64):
            self.assertField(KEYS + "WrapKey", "plaintext_key",
                             resource=BOX + "ok", plaintext_key=b"k" * length)

    def test_two_keys(self):
        good = "tenants/acme/customerKeys/a"
        for keys in ([], [good], [good] * 3, [good, ""],
                     [good, "tenants/other/customerKeys/a"],
                     [good, "tenants/acme/deps/a"]):
            self.assertField(DEPS + "CreateDep", "customer_keys",
                             parent="tenants/acme", dep_id="d",
                             customer_keys=keys)

    def test_other_tenants_parts(self):
        self.assertField("/holdfast.v1.AssignmentService/AssignMailbox", "dep",
                         name=BOX + "m", dep="tenants/other/deps/d")
        self.assertField("/holdfast.v1.CustomerKeyService/RegisterCustomerKey",
                         "token", parent="tenants/acme", customer_key_id="k",
                         token="tenants/other/tokens/t", uri="pkcs11:id=%01")

    def test_mailboxes(self):
        path = "/holdfast.v1.AssignmentService/"
        Mailbox = API.message("holdfast.v1.Mailbox")
        Mask = API.message("google.protobuf.FieldMask")
        for kind in (-1, 6, 1 << 20):
            self.assertField(path + "RegisterMailbox", "kind",
                             parent="tenants/acme", mailbox_id="b", kind=kind)
            self.assertField(path + "UpdateMailbox", "mailbox.kind",
                             mailbox=Mailbox(name=BOX + "b", kind=kind),
                             update_mask=Mask(paths=["kind"]))
        self.assertField(path + "UpdateMailbox", "mailbox",
                         update_mask=Mask(paths=["kind"]))
        self.assertField(path + "UpdateMailbox", "mailbox.name",
                         mailbox=Mailbox(name="x"),
                         update_mask=Mask(paths=["kind"]))
        self.assertField(path + "UpdateMailbox", "update_mask",
                         mailbox=Mailbox(name=BOX + "b"),
                         update_mask=Mask(paths=["state"]))
        for field, fields in (("mailbox", dict(claim=DEP)),
                              ("claim", dict(mailbox=BOX + "b")),
                              ("mailbox", dict(
                                  mailbox="tenants/other/mailboxes/b",
                                  claim=DEP))):
            self.assertField(path + "ClaimMove", field, parent="tenants/acme",
                             **fields)

    def test_fallback_limits(self):
        Dep = API.message("holdfast.v1.Dep")
        Mask = API.message("google.protobuf.FieldMask")
        Duration = API.message("google.protobuf.Duration")
        # no limit is said by leaving it out, and by nothing else
        for limit in (Duration(), Duration(seconds=-1), Duration(nanos=1),
                      Duration(seconds=30 * 86400 + 1)):
            self.assertField(DEPS + "UpdateDep", "dep.fallback_limit",
                             dep=Dep(name="tenants/acme/deps/mail",
                                     fallback_limit=limit),
                             update_mask=Mask(paths=["fallback_limit"]))
            self.assertField(DEPS + "CreateDep", "fallback_limit",
                             parent="tenants/acme", dep_id="d",
                             customer_keys=["tenants/acme/customerKeys/a",
                                            "tenants/acme/customerKeys/b"],
                             fallback_limit=limit)

    def test_notices_of_a_dep(self):
        for dep in ("x", "tenants/other/deps/mail"):
            self.assertField(DEPS + "ListNotices", "dep",
                             parent="tenants/acme", dep=dep)

    def test_leases_times_sizes(self):
        Duration = API.message("google.protobuf.Duration")
        Timestamp = API.message("google.protobuf.Timestamp")
        keys = ["tenants/acme/customerKeys/a", "tenants/acme/customerKeys/b"]
        for lease in (Duration(seconds=-1), Duration(seconds=901),
                      Duration(seconds=900, nanos=1000000),
                      Duration(nanos=1), Duration(nanos=-1000000),
                      Duration(seconds=1 << 62), Duration(nanos=1 << 30)):
            self.assertField(DEPS + "CreateDep", "key_lease",
                             parent="tenants/acme", dep_id="d",
                             customer_keys=keys, key_lease=lease)
        register = {"parent": "tenants/acme", "customer_key_id": "k",
                    "token": "tenants/acme/tokens/t", "uri": "pkcs11:id=%01"}
        for when in (Timestamp(seconds=-1), Timestamp(seconds=253402300800),
                     Timestamp(nanos=-1), Timestamp(nanos=1000000000)):
            self.assertField(
                "/holdfast.v1.CustomerKeyService/RegisterCustomerKey",
                "expire_time", expire_time=when, **register)
        for size in (-1, 1001, 1 << 30):
            self.assertField(DEPS + "ListDeps", "page_size",
                             parent="tenants/acme", page_size=size)
        self.assertField(DEPS + "ListDeps", "page_token",
                         parent="tenants/acme", page_token="t" * 200)
        for uri in ("", "x", "pkcs11:", "pkcs11:a b", "pkcs11:" + "x" * 510):
            register["uri"] = uri
            self.assertField(
                "/holdfast.v1.CustomerKeyService/RegisterCustomerKey", "uri",
                **register)

    def test_masks(self):
        Dep = API.message("holdfast.v1.Dep")
        Mask = API.message("google.protobuf.FieldMask")
        dep = Dep(name="tenants/acme/deps/mail")
        for paths in ([], ["*"], ["name"], ["enabled", "enabled"], [""],
                      ["Enabled"], ["dep.enabled"]):
            self.assertField(DEPS + "UpdateDep", "update_mask", dep=dep,
                             update_mask=Mask(paths=paths))
        self.assertField(DEPS + "UpdateDep", "update_mask", dep=dep)
        self.assertField(DEPS + "UpdateDep", "dep")

    def test_permissions(self):
        grant = "/holdfast.v1.CustomerKeyService/GrantCustomerKey"
        fields = {"name": "tenants/acme/customerKeys/k",
                  "identity": "spiffe://a/b"}
        self.assertField(grant, "permissions", **fields)
        self.assertField(grant, "permissions", permissions=[0], **fields)
        fields["identity"] = "a/b"
        self.assertField(grant, "identity", permissions=[1], **fields)

    def test_wire(self):
        """Bodies that no protobuf library would make."""
        unwrap = KEYS + "UnwrapKey"
        name = (BOX + "ok").encode()
        ok = b"\x0a" + bytes([len(name)]) + name
        for body, field in (
                # NUL behind what would be a good name
                (b"\x0a" + bytes([len(name) + 3]) + name + b"\x00cd",
                 "resource"),
                (b"\x0a\x02\xc0\x80", "resource"),          # overlong NUL
                (b"\x0a\x03\xed\xa0\x80", "resource"),      # surrogate
                (b"\x0a\x04\xf4\x90\x80\x80", "resource"),  # above U+10FFFF
                (b"\x0a\x01\xff", "resource"),
                (ok + b"\x1a\x02\x08\x03", "access.initiator"),
                (ok + b"\x1a\x0b\x08" + b"\xff" * 9 + b"\x01",
                 "access.initiator"),
                (ok + b"\x1a\x02\x10\x63", "access.system_purpose"),
                (ok + b"\x1a\x04\x22\x02\xff\xfe", "access.request_id"),
                (ok[:-1], ""), (b"\x0a", ""), (b"\xff", ""), (b"\x0a\x7f", ""),
                (b"\x08\x01", ""),                         # wrong wire type
                (ok + b"\x1a\x01\x08", ""),                # cut inside
                (b"\x0b" + ok, ""),                        # a group
                (b"\x00\x00", ""),                         # field 0
                (b"\x0a" + b"\xff" * 10, ""),
                (ok + b"\x2a" + b"\x80" * 8 + b"\x00", ""),  # a long zero
                (ok + b"\x1d\x00\x00\x00\x00", "")):
            refusal = self.refused(unwrap, body=body)
            self.assertRefused(refusal, "INVALID_ARGUMENT", "FIELD_INVALID")
            self.assertEqual(refusal.field, field, body)
        # packed enum values nobody knows
        grant = "/holdfast.v1.CustomerKeyService/GrantCustomerKey"
        refusal = self.refused(grant, body=b"\x1a\x02\x01\x09")
        self.assertEqual(refusal.field, "permissions")
        # fields of a later version are passed over
        reply = API.stub(self.server.channel(), unwrap)(
            ok + b"\xfa\x7f\x03abc" + b"\xf0\x7f\x01", timeout=5)
        self.assertEqual(reply.generation, 7)

    def test_too_large(self):
        refusal = self.refused(KEYS + "UnwrapKey", resource=BOX + "ok",
                               wrapped_key=b"w" * 70000)
        self.assertEqual(refusal.code, "RESOURCE_EXHAUSTED")
        # small on the wire, large in memory: empty parts without end
        body = b"\x1a\x00" * 30000
        refusal = self.refused(
            "/holdfast.v1.DepService/UpdateDep", body=b"\x12" +
            self.varint(60000) + b"\x0a\x00" * 30000)
        self.assertRefused(refusal, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE")

    def test_too_much_metadata(self):
        stub = API.stub(self.server.channel(), KEYS + "UnwrapKey")
        request = API.request(KEYS + "UnwrapKey", resource=BOX + "ok")
        stub(request, metadata=[("x", "y" * 6000)], timeout=5)
        with self.assertRaises(grpc.RpcError) as caught:
            stub(request, metadata=[("x", "y" * 20000)], timeout=5)
        self.assertEqual(caught.exception.code().name, "RESOURCE_EXHAUSTED")
        # gRPC 1.51 may close the connection with it; the next one serves
        until = time.monotonic() + 5
        while True:
            try:
                stub(request, timeout=5)
                break
            except grpc.RpcError as error:
                self.assertEqual(error.code().name, "UNAVAILABLE")
                self.assertLess(time.monotonic(), until)

    @staticmethod
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])

    def test_no_message(self):
        stub = self.server.channel().stream_unary(KEYS + "UnwrapKey")
        with self.assertRaises(grpc.RpcError) as caught:
            stub(iter([]), timeout=5)
        self.assertEqual(caught.exception.code().name, "INVALID_ARGUMENT")

    def test_unknown_methods(self):
        for path in ("/holdfast.v1.KeyService/NoSuch", "/x/y", "/x",
                     "/holdfast.v1.keyservice/UnwrapKey"):
            stub = self.server.channel().unary_unary(path)
            with self.assertRaises(grpc.RpcError) as caught:
                stub(b"", timeout=5)
            from stock import Refusal
            self.assertRefused(Refusal(API, caught.exception), "UNIMPLEMENTED",
                               "METHOD_UNKNOWN")


class Limits(Case):
    def test_deadline_that_has_passed(self):
        refusal = self.refused(KEYS + "UnwrapKey", timeout=0.0001,
                               resource=BOX + "wait-50")
        self.assertEqual(refusal.code, "DEADLINE_EXCEEDED")

    def test_data_plane_admission(self):
        """The server lets 16 in; the others are told at once."""
        stub = API.stub(self.server.channel(), KEYS + "UnwrapKey")
        slow = API.request(KEYS + "UnwrapKey", resource=BOX + "wait-3000")
        calls = [stub.future(slow, timeout=30) for _ in range(40)]
        outcomes = []
        for call in calls:
            error = call.exception()
            outcomes.append(error.code().name if error else "OK")
        self.assertEqual(outcomes.count("OK"), 16)
        self.assertEqual(outcomes.count("RESOURCE_EXHAUSTED"), 24)
        refused = [c for c in calls if c.exception() is not None][0]
        from stock import Refusal
        refusal = Refusal(API, refused.exception())
        self.assertRefused(refusal, "RESOURCE_EXHAUSTED", "OVERLOADED")
        self.assertEqual(refusal.retry_ms, 100)
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok")

    def test_administration_does_not_delay_the_hot_lane(self):
        stub = API.stub(self.server.channel(), DEPS + "GetDep")
        slow = API.request(DEPS + "GetDep", name="tenants/acme/deps/wait-4000")
        calls = [stub.future(slow, timeout=30) for _ in range(12)]
        self.server.wait_for("deps_get")
        for _ in range(20):
            self.call(KEYS + "UnwrapKey", resource=BOX + "ok")
            self.assertEqual(self.call(CHECK, service="").status, 1)
        # all the while those were at work: four were refused, none is done
        self.assertLessEqual(len([c for c in calls if c.done()]), 4)
        codes = [c.exception().code().name if c.exception() else "OK"
                 for c in calls]
        self.assertEqual((codes.count("OK"),
                          codes.count("RESOURCE_EXHAUSTED")), (8, 4))

    def test_full_pool(self):
        refusal = self.refused(DEPS + "GetDep", door="crowded",
                               name="tenants/crowded/deps/x")
        self.assertRefused(refusal, "RESOURCE_EXHAUSTED", "OVERLOADED")
        self.assertTrue(refusal.retry_ms)

    def test_log_lines(self):
        self.refused(KEYS + "UnwrapKey", resource=BOX + "denied",
                     wrapped_key=b"secretblob" * 8)
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok")
        self.server.command("debug")
        self.call(DEPS + "GetDep", name="tenants/acme/deps/logged")
        time.sleep(0.2)
        lines = [json.loads(line)
                 for line in self.server.log_text().splitlines()]
        calls = [line for line in lines if line["event"] == "call"]
        denied = [c for c in calls if c["reason"] == "KEY_ACCESS_DENIED"][0]
        self.assertEqual(denied["method"], KEYS + "UnwrapKey")
        self.assertEqual(denied["caller"], "spiffe://t/workload")
        self.assertEqual(denied["level"], "info")
        self.assertNotIn("secretblob", self.server.log_text())
        fine = [c for c in calls if c["reason"] == "NONE"]
        self.assertEqual([c["method"] for c in fine], [DEPS + "GetDep"])


class Health(Case):
    DEP_NAME = "tenants/acme/deps/" + DEP

    def watch(self, name, door="workload"):
        stub = API.stub(self.server.channel(door), WATCH)
        return stub(API.request(WATCH, service=name), timeout=20)

    def test_check(self):
        for name in ("", "holdfast.v1.KeyService", "grpc.health.v1.Health"):
            self.assertEqual(self.call(CHECK, service=name).status, 1)
        for name in ("nobody", "holdfast.v1", "holdfast.v1.KeyService.",
                     "tenants/acme/deps/" + "9" * 8 + DEP[8:], "x" * 300):
            self.assertIn(self.refused(CHECK, service=name).code,
                          ("NOT_FOUND", "INVALID_ARGUMENT"))

    def test_dep(self):
        for number, status in ((1, 1), (2, 1), (3, 1), (4, 2), (5, 2)):
            self.server.command("health %s %d" % (DEP, number))
            self.assertEqual(self.call(CHECK, service=self.DEP_NAME).status,
                             status)
        self.assertEqual(self.call(CHECK, door="operator",
                                   service=self.DEP_NAME).status, 2)
        refusal = self.refused(CHECK, door="other", service=self.DEP_NAME)
        self.assertRefused(refusal, "NOT_FOUND", "NOT_FOUND")
        missing = self.refused(CHECK, door="other",
                               service="tenants/other/deps/" + DEP)
        self.assertEqual(refusal.raw, missing.raw)

    def test_tenant_in_other_letters(self):
        """A tenant's name is one name in capitals too (R-3.9), here as in
        every other call."""
        self.server.command("health %s 1" % DEP)
        name = self.DEP_NAME.replace("acme", "ACME")
        self.assertEqual(self.call(CHECK, service=name).status, 1)
        stream = self.watch(name)
        self.assertEqual(next(stream).status, 1)
        stream.cancel()

    def test_watch(self):
        other = DEP[:-1] + "6"
        stream = self.watch("tenants/acme/deps/" + other)
        self.assertEqual(next(stream).status, 3)
        for number, status in ((1, 1), (4, 2), (3, 1), (0, 3)):
            self.server.command("health %s %d" % (other, number))
            self.assertEqual(next(stream).status, status)
        # no change, no message
        self.server.command("health %s 1" % other)
        self.server.command("health %s 2" % other)
        self.assertEqual(next(stream).status, 1)
        got = []
        reader = threading.Thread(
            target=lambda: got.append(self.next_or_code(stream)))
        reader.start()
        reader.join(0.3)
        self.assertEqual(got, [])
        stream.cancel()
        reader.join()
        self.assertEqual(got, ["CANCELLED"])

    @staticmethod
    def next_or_code(stream):
        try:
            return next(stream).status
        except grpc.RpcError as error:
            return error.code().name

    def test_watch_of_another_tenant(self):
        self.server.command("health %s 1" % DEP)
        stream = self.watch(self.DEP_NAME, door="other")
        self.assertEqual(next(stream).status, 3)
        stream.cancel()

    def test_bounded(self):
        streams = [self.watch("") for _ in range(4)]
        for stream in streams:
            self.assertEqual(next(stream).status, 1)
        fifth = self.watch("")
        self.assertEqual(self.next_or_code(fifth), "RESOURCE_EXHAUSTED")
        streams[0].cancel()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            again = self.watch("")
            if self.next_or_code(again) == 1:
                break
            time.sleep(0.02)
        else:
            self.fail("a stream that ended still counts")
        for stream in streams[1:] + [again]:
            stream.cancel()


class Reflection(Case):
    def ask(self, version, *requests):
        path = "/grpc.reflection.%s.ServerReflection/ServerReflectionInfo" \
            % version
        stub = API.stub(self.server.channel(), path)
        Request = API.message("grpc.reflection.%s.ServerReflectionRequest"
                              % version)
        return list(stub(iter([Request(**r) for r in requests]), timeout=10))

    def test_services(self):
        for version in ("v1", "v1alpha"):
            reply = self.ask(version, {"list_services": "*", "host": "h"})[0]
            names = {s.name for s in reply.list_services_response.service}
            ours = {path[1:].split("/")[0]
                    for path, _ in API.methods("holdfast.v1")}
            self.assertEqual(names, ours | {
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection"})
            self.assertEqual(reply.valid_host, "h")
            self.assertEqual(reply.original_request.list_services, "*")

    def test_files_are_complete(self):
        """A client can rebuild the API from each answer alone and call."""
        for request in ({"file_containing_symbol": "holdfast.v1.DepService"},
                        {"file_containing_symbol":
                         "holdfast.v1.DepService.CreateDep"},
                        {"file_containing_symbol": "holdfast.v1.Dep"},
                        {"file_containing_symbol": "holdfast.v1.Dep.uid"},
                        {"file_by_filename": "holdfast/v1/dep_service.proto"}):
            reply = self.ask("v1", request)[0]
            files = []
            from google.protobuf import descriptor_pb2
            for raw in reply.file_descriptor_response.file_descriptor_proto:
                files.append(descriptor_pb2.FileDescriptorProto.FromString(
                    raw))
            self.assertEqual(files[0].name, "holdfast/v1/dep_service.proto")
            rebuilt = Api(files=self.ordered(files))
            dep = rebuilt.call(self.server.channel(), DEPS + "GetDep",
                               name="tenants/acme/deps/mail")
            self.assertEqual(dep.dep_id, "mail")

    @staticmethod
    def ordered(files):
        """Each behind what it needs; all that is needed must be there."""
        out = []
        while files:
            names = {f.name for f in out}
            ready = [f for f in files if set(f.dependency) <= names]
            assert ready, [f.name for f in files]
            out += ready
            files = [f for f in files if f not in ready]
        return out

    def test_one_stream_many_questions(self):
        replies = self.ask(
            "v1alpha", {"list_services": ""},
            {"file_by_filename": "no.proto"},
            {"file_containing_symbol": "no.Such"},
            {"all_extension_numbers_of_type": "holdfast.v1.Dep"},
            {"all_extension_numbers_of_type": "no.Such"},
            {"file_containing_symbol":
             "holdfast.v1.CheckResult.Status"},
            {"file_by_filename": "google/protobuf/any.proto"}, {})
        kinds = [r.WhichOneof("message_response") for r in replies]
        self.assertEqual(kinds, [
            "list_services_response", "error_response", "error_response",
            "all_extension_numbers_response", "error_response",
            "file_descriptor_response", "file_descriptor_response",
            "error_response"])
        self.assertEqual(replies[1].error_response.error_code, 5)
        self.assertEqual(
            replies[3].all_extension_numbers_response.base_type_name,
            "holdfast.v1.Dep")

    def test_malformed(self):
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        stub = API.stub(self.server.channel(), path)
        with self.assertRaises(grpc.RpcError) as caught:
            list(stub(iter([b"\x0a\x02\xff\xff"]), timeout=5))
        self.assertEqual(caught.exception.code().name, "INVALID_ARGUMENT")


class Hostile(Case):
    """Bent requests to every method: an answer each time, and a server that
    is none the worse for it."""

    def samples(self):
        keys = ["tenants/acme/customerKeys/a", "tenants/acme/customerKeys/b"]
        access = API.message("holdfast.v1.AccessContext")(
            initiator=2, system_purpose=1, request_id=DEP)
        mask = API.message("google.protobuf.FieldMask")(paths=["enabled"])
        values = {
            "parent": "tenants/acme", "resource": BOX + "ok", "access": access,
            "customer_keys": keys, "dep_id": "d", "tenant_id": "t",
            "token_id": "t", "customer_key_id": "k", "mailbox_id": "m",
            "token": "tenants/acme/tokens/t", "uri": "pkcs11:id=%01",
            "statement": b"s", "signature": b"s", "wrapped_key": b"w" * 85,
            "plaintext_key": b"k" * 32, "identity": "spiffe://a/b",
            "permissions": [1, 2], "update_mask": mask, "page_size": 3,
            "claim": DEP,
            "dep": None, "tenant": None, "name": None, "version": 1}
        kinds = {"Dep": "deps/d", "Tenant": "", "Token": "tokens/t",
                 "CustomerKey": "customerKeys/k", "Mailbox": "mailboxes/m"}
        for path, method in API.methods("holdfast.v1"):
            request = API.request(path)
            known = {f.name for f in request.DESCRIPTOR.fields}
            for name, value in values.items():
                if name in known and value is not None:
                    field = request.DESCRIPTOR.fields_by_name[name]
                    if field.label == field.LABEL_REPEATED:
                        getattr(request, name).extend(value)
                    elif field.message_type is not None:
                        getattr(request, name).CopyFrom(value)
                    else:
                        setattr(request, name, value)
            for word, tail in kinds.items():
                full = ("tenants/acme/" + tail).rstrip("/")
                if method.name.endswith(word) and "name" in known:
                    request.name = full
                if method.name == "Update" + word and word.lower() in known:
                    getattr(request, word.lower()).name = full
            yield path, request.SerializeToString()

    @staticmethod
    def outcome(stub, body):
        """The code of a call; of a stream, up to its first message."""
        try:
            reply = stub(body, timeout=10)
            if hasattr(reply, "__next__"):
                # one that goes on waiting was let in
                threading.Timer(0.1, reply.cancel).start()
                next(reply, None)
                reply.cancel()
            return "OK"
        except grpc.RpcError as error:
            code = error.code().name
            return "OK" if code == "CANCELLED" else code

    def test_bent_requests(self):
        import random
        chance = random.Random(4711)
        codes = {}
        for path, body in self.samples():
            stub = API.stub(self.server.channel("operator"), path)
            for _ in range(60):
                bent = bytearray(body)
                for _ in range(chance.randrange(4)):
                    kind = chance.randrange(3)
                    at = chance.randrange(len(bent) + 1)
                    if kind == 0 and at < len(bent):
                        bent[at] = chance.randrange(256)
                    elif kind == 1:
                        del bent[at:at + chance.randrange(8)]
                    else:
                        bent[at:at] = bytes(chance.randrange(256) for _ in
                                            range(chance.randrange(6)))
                code = self.outcome(stub, bytes(bent))
                codes[code] = codes.get(code, 0) + 1
        self.assertLessEqual(set(codes), {"OK", "INVALID_ARGUMENT",
                                          "NOT_FOUND"}, codes)
        self.assertGreater(codes["OK"], 100)
        self.assertGreater(codes["INVALID_ARGUMENT"], 200)
        self.call(KEYS + "UnwrapKey", resource=BOX + "ok")


@unittest.skipIf(os.environ.get("HF_SANITIZERS"),
                 "a sanitizer maps terabytes and keeps what was freed")
class Secrets(Case):
    """N42, in the memory of the server: a key that came or went is nowhere
    once its call is over (plain calls; TLS is the edge's)."""

    def memory_holds(self, pattern):
        pid = self.server.process.pid
        count = 0
        with open("/proc/%d/maps" % pid) as maps, \
                open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
            for line in maps:
                where, mode = line.split()[:2]
                start, end = (int(x, 16) for x in where.split("-"))
                if "r" not in mode or "[v" in line or end - start > 1 << 30:
                    continue  # so large is only a sanitizer's own
                try:
                    memory.seek(start)
                    count += memory.read(end - start).count(pattern)
                except OSError:
                    pass
        return count

    def test_wrapped_key(self):
        key = os.urandom(32)
        stub = API.stub(self.server.channel(), KEYS + "WrapKey")
        for name in ("ok", "later", "denied", "wait-2500"):
            call = stub.future(API.request(KEYS + "WrapKey",
                                           resource=BOX + name,
                                           plaintext_key=key), timeout=5)
            if name == "wait-2500":
                # the search finds what is there: one copy, the secret's own
                self.server.wait_for("key WrapKey tenant=acme "
                                     "resource=wait-2500")
                self.assertEqual(self.memory_holds(key), 1)
            call.exception()
        self.refused(KEYS + "WrapKey", resource="no name", plaintext_key=key)
        self.refused(KEYS + "WrapKey", resource=BOX + "ok",
                     plaintext_key=key + b"x")
        time.sleep(0.1)
        self.assertEqual(self.memory_holds(key), 0)

    def test_returned_key(self):
        key = b"\x5a" * 32
        for method in ("UnwrapKey", "GenerateKey"):
            for name in ("ok", "later"):
                self.call(KEYS + method, resource=BOX + name)
        time.sleep(0.1)
        self.assertEqual(self.memory_holds(key), 0)


class Streams(unittest.TestCase):
    """The lane of streams: each test has a server of its own."""
    OPERATIONS = "/holdfast.v1.OperationService/"
    AUDIT = "/holdfast.v1.AuditService/"
    NAME = "tenants/acme/operations/"

    def setUp(self):
        self.server = Server()

    def tearDown(self):
        self.assertEqual(self.server.stop(), 0)

    def stream(self, path, door="workload", timeout=20, **fields):
        return API.stub(self.server.channel(door), path)(
            API.request(path, **fields), timeout=timeout)

    def watch(self, name="one", **options):
        return self.stream(self.OPERATIONS + "WatchOperation",
                           name=self.NAME + name, **options)

    def wait(self, name="one", timeout_s=None, deadline=20, door="workload"):
        fields = {"name": self.NAME + name}
        if timeout_s is not None:
            fields["timeout"] = {"seconds": timeout_s}
        path = self.OPERATIONS + "WaitOperation"
        return API.stub(self.server.channel(door), path).future(
            API.request(path, **fields), timeout=deadline)

    def refusal_of(self, stream):
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        return Refusal(API, caught.exception)

    def looks(self, word, wait_s=0.3):
        """How often a use case was called since this was asked last."""
        count = 0
        while self.server.said(word, wait_s):
            count += 1
        return count

    def test_watch(self):
        """R-13.4: at once, at every change, and it ends with the operation."""
        stream = self.watch()
        first = next(stream)
        self.assertEqual((first.done_count, first.done, first.revision),
                         (3, False, 1))
        for done in (4, 7):
            self.server.command("operation %d 1" % done)
            told = next(stream)
            self.assertEqual((told.done_count, told.done), (done, False))
        self.server.command("operation 10 2")
        last = next(stream)
        self.assertEqual((last.done_count, last.state, last.done),
                         (10, 2, True))
        self.assertEqual(last.revision, 4)
        self.assertEqual(list(stream), [])
        self.assertEqual(stream.code().name, "OK")

    def test_a_change_while_it_looks(self):
        """Between the look and the wait: told all the same."""
        stream = self.watch("late")
        self.server.wait_for("operations_get")
        time.sleep(0.1)
        self.server.command("operation 4 1")
        self.assertEqual([next(stream).done_count, next(stream).done_count],
                         [3, 4])
        self.server.command("operation 5 1")
        self.server.wait_for("operations_get")
        time.sleep(0.1)
        self.server.command("operation 6 1")  # while it looks once more
        self.assertEqual([next(stream).done_count, next(stream).done_count],
                         [5, 6])
        stream.cancel()

    def test_one_that_has_ended(self):
        self.server.command("operation 10 3")
        self.assertEqual([told.state for told in self.watch()], [3])
        self.assertEqual(self.wait().result().state, 3)

    def test_only_those_whose_operation_changed_look(self):
        streams = [self.watch("still", door="many") for _ in range(3)]
        for stream in streams:
            next(stream)
        self.looks("operations_get")
        self.server.command("operation 5 1")
        self.server.command("audit + 3")
        self.server.command("topics + 60")
        self.assertEqual(self.looks("operations_get"), 0)
        # more than are told apart: all look, and nothing is told
        self.server.command("topics + 200")
        self.assertEqual(self.looks("operations_get"), 3)
        for stream in streams:
            stream.cancel()

    def test_refusals(self):
        for name, code, reason in (
                ("missing", "NOT_FOUND", "NOT_FOUND"),
                ("x" * 65, "INVALID_ARGUMENT", "FIELD_INVALID")):
            refusal = self.refusal_of(self.watch(name))
            self.assertEqual((refusal.code, refusal.reason), (code, reason))
            with self.assertRaises(grpc.RpcError) as caught:
                self.wait(name).result()
            self.assertEqual(caught.exception.code().name, code)
        refusal = self.refusal_of(self.watch(door="crowded"))
        self.assertEqual((refusal.code, refusal.reason),
                         ("RESOURCE_EXHAUSTED", "OVERLOADED"))
        self.assertTrue(refusal.retry_ms)
        with self.assertRaises(grpc.RpcError) as caught:
            self.wait(timeout_s=601).result()
        self.assertEqual(Refusal(API, caught.exception).field, "timeout")

    def test_wait(self):
        """Answers when it ends, when its time is over, before the deadline."""
        ends = self.wait(timeout_s=15)
        began = time.monotonic()
        self.assertFalse(self.wait("still", timeout_s=1).result().done)
        self.assertGreater(time.monotonic() - began, 0.9)
        self.assertFalse(self.wait("still", timeout_s=9,
                                   deadline=1).result().done)
        self.assertFalse(ends.done())
        self.server.command("operation 10 2")
        self.assertEqual(ends.result().state, 2)

    def test_waiting_holds_no_thread(self):
        """As many as an identity may have wait; the double counts threads and
        refuses the 33rd."""
        waits = [self.wait("still", timeout_s=19, door="many")
                 for _ in range(32)]
        time.sleep(0.5)
        API.call(self.server.channel("other"), DEPS + "GetDep",
                 name="tenants/other/deps/mail")
        self.assertFalse(any(wait.done() for wait in waits))
        for wait in waits:
            wait.cancel()

    def test_bounded_per_identity(self):
        streams = [self.watch("still", door="many") for _ in range(32)]
        for stream in streams:
            next(stream)
        refusal = self.refusal_of(self.watch("still", door="many"))
        self.assertEqual((refusal.code, refusal.reason),
                         ("RESOURCE_EXHAUSTED", "OVERLOADED"))
        self.assertIn("32", refusal.text)
        next(self.watch("still", door="workload"))
        streams[7].cancel()
        for _ in range(50):
            again = self.watch("still", door="many")
            try:
                next(again)
                return
            except grpc.RpcError:
                time.sleep(0.05)
        self.fail("a stream that ended still counts")

    def test_query(self):
        self.server.command("audit + 100")
        got = list(self.stream(self.AUDIT + "QueryAuditRecords",
                               parent="tenants/acme"))
        self.assertEqual([record.index for record in got],
                         list(range(1, 101)))
        self.assertEqual(got[0].actor, "spiffe://x")

    def test_query_of_what_is_rare(self):
        """Turns that find nothing go on by themselves."""
        self.server.command("audit + 1030")
        got = list(self.stream(self.AUDIT + "QueryAuditRecords",
                               filter={"activity": "sparse"}))
        self.assertEqual([record.index for record in got],
                         list(range(100, 1001, 100)))

    def test_query_of_the_whole_chain(self):
        """Of another tenant's records nothing is told but their hashes."""
        self.server.command("audit + 7")
        got = list(self.stream(self.AUDIT + "QueryAuditRecords",
                               parent="tenants/acme", whole_chain=True))
        self.assertEqual([record.index for record in got], list(range(1, 8)))
        for record in got:
            other = record.index % 3 == 0
            self.assertEqual(record.content_hash,
                             b"\2" * 32 if other else b"")
            self.assertEqual(record.json == "", other)
            self.assertEqual(record.HasField("time"), not other)
            if other:
                self.assertEqual((record.previous_hash, record.hash),
                                 (b"\1" * 32, b"\3" * 32))
        refusal = self.refusal_of(self.stream(
            self.AUDIT + "QueryAuditRecords", whole_chain=True,
            filter={"activity": "A"}))
        self.assertEqual((refusal.reason, refusal.field),
                         ("FIELD_INVALID", "filter"))

    def test_query_of_nothing(self):
        self.assertEqual(list(self.stream(self.AUDIT + "QueryAuditRecords")),
                         [])

    def test_filter_fields(self):
        path = self.AUDIT + "QueryAuditRecords"
        for field, value in (("activity", "x" * 65), ("actor", "x" * 513),
                             ("object", "x" * 513)):
            refusal = self.refusal_of(self.stream(path, filter={field: value}))
            self.assertEqual((refusal.reason, refusal.field),
                             ("FIELD_INVALID", "filter." + field))
        refusal = self.refusal_of(self.stream(
            path, filter={"from_time": {"seconds": 9},
                          "until_time": {"seconds": 9}}))
        self.assertEqual(refusal.field, "filter.until_time")
        refusal = self.refusal_of(self.stream(
            self.AUDIT + "TailAuditRecords", from_index=1 << 63))
        self.assertEqual(refusal.field, "from_index")

    def test_tail(self):
        self.server.command("audit + 20")
        old = self.stream(self.AUDIT + "TailAuditRecords", from_index=19)
        self.assertEqual([next(old).index, next(old).index], [19, 20])
        new = self.stream(self.AUDIT + "TailAuditRecords")
        self.server.wait_for("TailAuditRecords")
        time.sleep(0.3)
        self.server.command("audit + 2")
        for stream in (old, new):
            self.assertEqual([next(stream).index, next(stream).index],
                             [21, 22])

    def test_client_that_does_not_read(self):
        """It holds up nobody, and the server makes nothing in advance."""
        self.server.command("audit + 40000")
        path = self.AUDIT + "QueryAuditRecords"
        # of its own, whose window does not grow with the time a round takes
        channel = grpc.insecure_channel(
            "unix:%s/workload" % self.server.folder,
            options=[("grpc.http2.bdp_probe", 0)])
        self.addCleanup(channel.close)
        lazy = API.stub(channel, path)(API.request(path), timeout=60)
        next(lazy)
        turns = self.looks("QueryAuditRecords")
        self.assertLess(turns, 1500, "of 2500")
        watch = self.watch()
        next(watch)
        self.server.command("operation 4 1")
        next(watch)
        rest = [record.index for record in lazy]
        self.assertEqual(rest, list(range(2, 40001)))

    def test_client_that_goes_away(self):
        """In a turn, while it waits, and while it is being written to."""
        self.server.command("audit + 40000")
        for _ in range(5):
            until = time.monotonic() + 15
            while not self.come_and_go():
                # four are all there may be (streams_max), until they are gone
                self.assertLess(time.monotonic(), until)
                time.sleep(0.1)

    def come_and_go(self):
        streams = [
            self.watch("wait-200"),
            self.watch("still"),
            self.stream(self.AUDIT + "QueryAuditRecords"),
            self.stream(self.AUDIT + "QueryAuditRecords",
                        filter={"activity": "sparse"}),
        ]
        try:
            next(streams[1])
            next(streams[2])
            return True
        except grpc.RpcError as error:
            self.assertEqual(error.code().name, "RESOURCE_EXHAUSTED")
            return False
        finally:
            for stream in streams:
                stream.cancel()

    def test_drain(self):
        """Streams in a turn, waiting and being written end UNAVAILABLE."""
        self.server.command("audit + 40000")
        streams = [self.watch("wait-200"), self.watch("still"),
                   self.stream(self.AUDIT + "QueryAuditRecords")]
        next(streams[1])
        next(streams[2])
        wait = self.wait("still")
        self.server.wait_for("operations_get")
        time.sleep(0.1)
        self.server.command("quit")
        for stream in streams:
            self.assertEqual(self.refusal_of(stream).code, "UNAVAILABLE")
        with self.assertRaises(grpc.RpcError) as caught:
            wait.result()
        self.assertEqual(caught.exception.code().name, "UNAVAILABLE")
        self.assertEqual(self.server.wait_for("drained"), "drained 1")


class Drain(unittest.TestCase):
    def test_calls_finish_and_streams_end(self):
        server = Server()
        unwrap = API.stub(server.channel(), KEYS + "UnwrapKey")
        call = unwrap.future(API.request(KEYS + "UnwrapKey",
                                         resource=BOX + "wait-300"), timeout=5)
        server.wait_for("key UnwrapKey")
        watch = API.stub(server.channel(), WATCH)(
            API.request(WATCH, service=""), timeout=10)
        self.assertEqual(next(watch).status, 1)
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        open_end = threading.Event()

        def requests():
            yield API.request(path, list_services="*")
            open_end.wait(10)
        reflect = API.stub(server.channel(), path)(requests(), timeout=10)
        next(reflect)
        server.command("quit")
        self.assertEqual(call.result().generation, 7)
        with self.assertRaises(grpc.RpcError) as caught:
            while True:
                next(watch)
        self.assertEqual(caught.exception.code().name, "UNAVAILABLE")
        with self.assertRaises(grpc.RpcError) as caught:
            next(reflect)
        self.assertEqual(caught.exception.code().name, "UNAVAILABLE")
        open_end.set()
        self.assertEqual(server.wait_for("drained"), "drained 1")
        server.wait_for("stopped")
        self.assertEqual(server.stop(), 0)

    def test_new_calls_while_draining(self):
        """Told to try elsewhere, with the reason, never CANCELLED."""
        server = Server()
        stub = API.stub(server.channel(), KEYS + "UnwrapKey")
        slow = stub.future(API.request(KEYS + "UnwrapKey",
                                       resource=BOX + "wait-2500"),
                           timeout=20)
        server.wait_for("key UnwrapKey")
        server.command("quit")
        refusal = None
        while refusal is None:  # until it has heard that
            try:
                stub(API.request(KEYS + "UnwrapKey", resource=BOX + "ok"),
                     timeout=10)
            except grpc.RpcError as error:
                refusal = Refusal(API, error)
        self.assertEqual((refusal.code, refusal.reason),
                         ("UNAVAILABLE", "SERVICE_UNAVAILABLE"))
        self.assertTrue(refusal.retry_ms)
        self.assertEqual(slow.result().generation, 7)
        self.assertEqual(server.stop(), 0)

    def test_grace_ends(self):
        """3 s of grace for a call of 7 s: cancelled, and the end waits for
        the use case, whose answer goes nowhere."""
        server = Server()
        unwrap = API.stub(server.channel(), KEYS + "UnwrapKey")
        call = unwrap.future(API.request(KEYS + "UnwrapKey",
                                         resource=BOX + "wait-7000"),
                             timeout=30)
        server.wait_for("key UnwrapKey")
        start = time.monotonic()
        server.command("quit")
        self.assertIn(call.exception().code().name,
                      ("UNAVAILABLE", "CANCELLED"))
        self.assertLess(time.monotonic() - start, 6)
        self.assertEqual(server.wait_for("drained"), "drained 0")
        self.assertEqual(server.stop(), 0)


class Start(unittest.TestCase):
    def test_folder_that_others_may_enter(self):
        folder = tempfile.mkdtemp(prefix="hf-rpc-")
        os.chmod(folder, 0o750)
        done = subprocess.run([PROGRAM, folder], capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=20)
        os.rmdir(folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn("invalid argument", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
