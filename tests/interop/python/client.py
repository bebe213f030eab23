"""A stock gRPC client in Python that knows Holdfast by its proto files alone.

usage: client.py PLAN (see ../drive)
"""

import json
import queue
import sys
import threading
import uuid

import grpc

PLAN = json.load(open(sys.argv[1], encoding="utf-8"))
sys.path.insert(0, PLAN["stubs"])
# health.proto is of the package grpc, like the library
grpc.__path__.append(PLAN["stubs"] + "/grpc")

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from grpc.health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from holdfast.v1 import (  # noqa: E402
    assignment_service_pb2 as assignment,
    assignment_service_pb2_grpc as assignment_grpc,
    common_pb2 as common,
    customer_key_service_pb2 as customer_key,
    customer_key_service_pb2_grpc as customer_key_grpc,
    dep_service_pb2 as dep,
    dep_service_pb2_grpc as dep_grpc,
    key_service_pb2 as key,
    key_service_pb2_grpc as key_grpc,
)

PARENT = PLAN["parent"]
MAILBOX = f"{PARENT}/mailboxes/alice@contoso.example"
CALL_S = 10
QUIET_S = 1
KEY_BYTES = 32
WRAPPED_BYTES = 101
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def say(text):
    print(text, flush=True)


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def channel_of(name):
    person = PLAN["people"][name]
    return grpc.secure_channel(PLAN["target"], grpc.ssl_channel_credentials(
        read(PLAN["ca"]), read(person["key"]), read(person["certificate"])))


ADMIN = channel_of("admin")
WORKLOAD = channel_of("workload")
DEPS = dep_grpc.DepServiceStub(ADMIN)
MAILBOXES = assignment_grpc.AssignmentServiceStub(ADMIN)
CUSTOMER_KEYS = customer_key_grpc.CustomerKeyServiceStub(ADMIN)
KEYS = key_grpc.KeyServiceStub(WORKLOAD)


class Refusal:
    """What a refused call says, in words and for programs."""

    def __init__(self, error):
        self.code = error.code().name
        self.text = error.details()
        packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(packed)
        expect("google.rpc.Status.code", status.code, error.code().value[0])
        expect("google.rpc.Status.message", status.message, self.text)
        self.details = {}
        for part in status.details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo,
                         error_details_pb2.BadRequest, common.ValidationReport):
                if part.Is(kind.DESCRIPTOR):
                    self.details[kind.DESCRIPTOR.name] = kind()
                    part.Unpack(self.details[kind.DESCRIPTOR.name])
        expect("details understood", len(self.details), len(status.details))
        expect("domain", self.details["ErrorInfo"].domain, "holdfast")
        self.answer = (self.code, self.details["ErrorInfo"].reason)


def refusal(method, request):
    try:
        reply = method(request, timeout=CALL_S)
    except grpc.RpcError as error:
        return Refusal(error)
    sys.exit(f"not refused: {reply!r}")


def context():
    return key.AccessContext(initiator=common.INITIATOR_USER,
                             workload=common.WORKLOAD_EXCHANGE,
                             request_id=str(uuid.uuid4()))


def dep_request(name, **more):
    fields = {"customer_keys": PLAN["customer_keys"],
              "workload_identity": PLAN["people"]["workload"]["identity"], **more}
    return dep.CreateDepRequest(parent=PARENT, dep_id=name,
                                request_id=str(uuid.uuid4()), **fields)


def create_dep():
    made = DEPS.CreateDep(dep_request("mail", description="Grüße ✉"), timeout=CALL_S)
    expect("DEP's name", made.name, f"{PARENT}/deps/{made.uid}")
    expect("description", made.description, "Grüße ✉")
    expect("customer keys", [ref.customer_key for ref in made.customer_keys],
           PLAN["customer_keys"])
    expect("custody domains", [ref.custody_domain for ref in made.customer_keys],
           PLAN["custody_domains"])
    expect("health", made.health, dep.DEP_HEALTH_HEALTHY)
    expect("state", (made.state, made.enabled), (dep.DEP_STATE_ENABLED, True))
    expect("found by name", DEPS.GetDep(dep.GetDepRequest(name=f"{PARENT}/deps/mail"),
                                        timeout=CALL_S), made)
    say("created a DEP")
    return made


def use_keys(policy):
    MAILBOXES.RegisterMailbox(assignment.RegisterMailboxRequest(
        parent=PARENT, mailbox_id=MAILBOX.rsplit("/", 1)[1], licensed=True), timeout=CALL_S)
    box = MAILBOXES.AssignMailbox(assignment.AssignMailboxRequest(
        name=MAILBOX, dep=policy.name), timeout=CALL_S)
    expect("assigned", box.assigned_dep, policy.name)
    made = KEYS.GenerateKey(key.GenerateKeyRequest(resource=MAILBOX, access=context()),
                            timeout=CALL_S)
    expect("lengths", (len(made.plaintext_key), len(made.wrapped_key)),
           (KEY_BYTES, WRAPPED_BYTES))
    expect("wrapped by", made.dep, policy.name)
    for wrapped in (made.wrapped_key, b""):
        opened = KEYS.UnwrapKey(key.UnwrapKeyRequest(
            resource=MAILBOX, wrapped_key=wrapped, access=context()), timeout=CALL_S)
        expect("the key", opened.plaintext_key == made.plaintext_key, True)
        expect("opened by", (opened.dep, opened.rewrapped_key), (policy.name, b""))
    own = bytes(range(KEY_BYTES))
    wrapped = KEYS.WrapKey(key.WrapKeyRequest(
        resource=MAILBOX, plaintext_key=own, access=context()), timeout=CALL_S).wrapped_key
    expect("our own key", KEYS.UnwrapKey(key.UnwrapKeyRequest(
        resource=MAILBOX, wrapped_key=wrapped, access=context()),
        timeout=CALL_S).plaintext_key, own)
    say("generated, wrapped and unwrapped keys")
    return made.wrapped_key


def read_refusals(wrapped):
    taken = refusal(DEPS.CreateDep, dep_request("mail"))
    expect("a second DEP of that name", taken.answer, ("ALREADY_EXISTS", "NAME_TAKEN"))
    one = refusal(DEPS.CreateDep, dep_request(
        "one", customer_keys=PLAN["customer_keys"][:1]))
    expect("one key", one.answer, ("INVALID_ARGUMENT", "FIELD_INVALID"))
    violations = one.details["BadRequest"].field_violations
    expect("its field", [part.field for part in violations], ["customer_keys"])
    expect("it says why", violations[0].description != "", True)
    strange = refusal(DEPS.CreateDep, dep_request(
        "strange", workload_identity=PLAN["people"]["stranger"]["identity"]))
    expect("an identity without grants", strange.answer,
           ("FAILED_PRECONDITION", "VALIDATION_FAILED"))
    report = strange.details["ValidationReport"]
    expect("passed", report.passed, False)
    failed = {part.customer_key for part in report.results
              if part.status == common.CheckResult.FAIL}
    expect("failed for", failed, set(PLAN["customer_keys"]))
    expect("others passed", any(part.status == common.CheckResult.PASS
                                for part in report.results), True)
    expect("all have codes", all(part.code for part in report.results), True)
    bad = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    expect("a flipped bit", refusal(KEYS.UnwrapKey, key.UnwrapKeyRequest(
        resource=MAILBOX, wrapped_key=bad, access=context())).answer,
        ("DATA_LOSS", "BLOB_INVALID"))
    expect("nobody's mailbox", refusal(KEYS.UnwrapKey, key.UnwrapKeyRequest(
        resource=MAILBOX + "x", access=context())).answer, ("NOT_FOUND", "NOT_FOUND"))
    other = dep_grpc.DepServiceStub(WORKLOAD)
    expect("a workload's DEP", refusal(other.CreateDep, dep_request("mine")).answer,
           ("PERMISSION_DENIED", "ROLE_REQUIRED"))
    say("read the details of refusals")


class Watch:
    """A Watch call, read by a thread of its own."""

    def __init__(self, channel, service):
        self.service = service
        self.news = queue.Queue()
        self.call = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=service))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for reply in self.call:
                self.news.put(reply.status)
            self.news.put("ended as OK")
        except grpc.RpcError as error:
            self.news.put(error)

    def take(self, seconds):
        try:
            return self.news.get(timeout=seconds)
        except queue.Empty:
            return "nothing"

    def expect(self, wanted):
        expect(f"health of {self.service!r}", self.take(CALL_S), wanted)

    def quiet(self):
        """Still open, and nothing was told twice."""
        expect(f"more from {self.service!r}", self.take(QUIET_S), "nothing")
        expect(f"watch of {self.service!r} is open", self.call.is_active(), True)

    def end(self):
        """The status that the server ends it with, behind any last news."""
        while True:
            news = self.take(CALL_S)
            if isinstance(news, grpc.RpcError):
                return Refusal(news)
            expect(f"last news of {self.service!r}", news, NOT_SERVING)


def read_grants():
    """(key, grant) of every grant on both keys. A key that nobody may use
    counts as refused in its DEP's health."""
    found = [(name, grant) for name in PLAN["customer_keys"]
             for grant in CUSTOMER_KEYS.GetCustomerKey(
                 customer_key.GetCustomerKeyRequest(name=name), timeout=CALL_S).grants]
    expect("grants of the workload", [
        sorted(grant.permissions) for _, grant in found
        if grant.identity == PLAN["people"]["workload"]["identity"]],
        [[customer_key.PERMISSION_GET, customer_key.PERMISSION_WRAP,
          customer_key.PERMISSION_UNWRAP]] * 2)
    return found


def revoke(grants):
    for name, grant in grants:
        CUSTOMER_KEYS.RevokeCustomerKey(customer_key.RevokeCustomerKeyRequest(
            name=name, identity=grant.identity), timeout=CALL_S)


def give_back(grants):
    for name, grant in grants:
        CUSTOMER_KEYS.GrantCustomerKey(customer_key.GrantCustomerKeyRequest(
            name=name, identity=grant.identity, permissions=grant.permissions),
            timeout=CALL_S)


def unwrap():
    return key.UnwrapKeyRequest(resource=MAILBOX, access=context())


def watch_health(policy):
    health = health_pb2_grpc.HealthStub(WORKLOAD)
    for service in ("", "holdfast.v1.KeyService", policy.name):
        expect(f"check of {service!r}", health.Check(health_pb2.HealthCheckRequest(
            service=service), timeout=CALL_S).status, SERVING)
    expect("check of nothing we know", refusal(
        health.Check, health_pb2.HealthCheckRequest(service="no.such")).answer,
        ("NOT_FOUND", "NOT_FOUND"))
    watches = [Watch(WORKLOAD, service) for service in ("", policy.name)]
    for watch in watches:
        watch.expect(SERVING)
    unknown = Watch(WORKLOAD, "no.such")
    unknown.expect(SERVICE_UNKNOWN)
    unknown.quiet()
    unknown.call.cancel()
    whole, ours = watches
    grants = read_grants()
    revoke(grants)
    ours.expect(NOT_SERVING)
    expect("a key without grants", refusal(KEYS.UnwrapKey, unwrap()).answer,
           ("PERMISSION_DENIED", "KEY_ACCESS_DENIED"))
    give_back(grants)
    ours.expect(SERVING)
    expect("a key with grants", len(KEYS.UnwrapKey(
        unwrap(), timeout=CALL_S).plaintext_key), KEY_BYTES)
    ours.quiet()
    whole.quiet()
    say("watched health")
    return watches


def main():
    policy = create_dep()
    wrapped = use_keys(policy)
    read_refusals(wrapped)
    watches = watch_health(policy)
    say("drain")
    for watch in watches:
        ended = watch.end()
        expect("end of a watch", ended.answer, ("UNAVAILABLE", "SERVICE_UNAVAILABLE"))
        delay = ended.details["RetryInfo"].retry_delay
        expect("it says when to come again", delay.ToMilliseconds() > 0, True)
    say("done")


main()
