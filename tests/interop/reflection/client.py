"""A gRPC client that has nothing of Holdfast's: it asks the server by
reflection, v1 and v1alpha, and builds every message from the answers.

usage: client.py PLAN (see ../drive; the stubs are of the reflection protocol)
"""

import importlib
import json
import sys
import threading
import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PLAN = json.load(open(sys.argv[1], encoding="utf-8"))
sys.path.insert(0, PLAN["stubs"])
# reflection.proto is of the package grpc, like the library
grpc.__path__.append(PLAN["stubs"] + "/grpc")

PARENT = PLAN["parent"]
CALL_S = 10
NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]
PROTOCOLS = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
             "grpc.reflection.v1alpha.ServerReflection"}


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


class Reflection:
    """One stream of one version of the protocol."""

    def __init__(self, channel, version):
        where = f"grpc.reflection.{version}.reflection_pb2"
        self.messages = importlib.import_module(where)
        stubs = importlib.import_module(where + "_grpc")
        self.ask_all = stubs.ServerReflectionStub(channel).ServerReflectionInfo

    def ask(self, **questions):
        """The answers to questions asked on one stream, in order."""
        requests = [self.messages.ServerReflectionRequest(host="", **{kind: text})
                    for kind, texts in questions.items() for text in texts]
        replies = list(self.ask_all(iter(requests), timeout=CALL_S))
        expect("questions answered", [reply.original_request for reply in replies],
               requests)
        return replies

    def idle(self, over):
        """A stream of one question that stays open until over is set."""
        def requests():
            yield self.messages.ServerReflectionRequest(list_services="")
            over.wait(CALL_S)
        return self.ask_all(requests(), timeout=CALL_S)

    def services(self):
        reply, = self.ask(list_services=[""])
        return {service.name for service in reply.list_services_response.service}

    def files(self, symbol):
        """Every file that symbol needs, by name."""
        reply, = self.ask(file_containing_symbol=[symbol])
        found = [descriptor_pb2.FileDescriptorProto.FromString(packed) for packed in
                 reply.file_descriptor_response.file_descriptor_proto]
        return {file.name: file for file in found}


class Api:
    """Messages and calls, built of files in whatever order they came."""

    def __init__(self, files):
        self.files = files
        self.pool = descriptor_pool.DescriptorPool()
        self.added = set()
        for name in files:
            self._add(name)
        self.factory = message_factory.MessageFactory(self.pool)

    def _add(self, name):
        if name in self.added:
            return
        self.added.add(name)
        for needed in self.files[name].dependency:
            self._add(needed)
        self.pool.Add(self.files[name])

    def message(self, name):
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(name))

    def call(self, channel, service, method, **fields):
        found = self.pool.FindServiceByName(service).methods_by_name[method]
        request = self.factory.GetPrototype(found.input_type)(**fields)
        return channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.factory.GetPrototype(
                found.output_type).FromString)(request, timeout=CALL_S)


def discover(channel, version):
    """All files, by one version of the protocol."""
    reflection = Reflection(channel, version)
    services = reflection.services()
    expect("services", services, set(PLAN["services"]) | PROTOCOLS)
    files = {}
    for symbol in sorted(services) + ["google.rpc.Status", "google.rpc.ErrorInfo"]:
        found = reflection.files(symbol)
        needed = {name for file in found.values() for name in file.dependency}
        expect(f"files missing for {symbol}", needed - set(found), set())
        for name, file in found.items():
            expect(f"{name}, again", file, files.setdefault(name, file))
    by_method, by_file, missing, no_file = reflection.ask(
        file_containing_symbol=["holdfast.v1.KeyService.UnwrapKey",
                                "holdfast.v1.AccessContext", "holdfast.v1.Nothing"],
        file_by_filename=["holdfast/v1/nothing.proto"])
    for reply in (by_method, by_file):
        packed = reply.file_descriptor_response.file_descriptor_proto
        expect("file of a part", files["holdfast/v1/key_service.proto"].SerializeToString()
               in [descriptor_pb2.FileDescriptorProto.FromString(one).SerializeToString()
                   for one in packed], True)
    for reply in (missing, no_file):
        expect("what there is not", reply.error_response.error_code, NOT_FOUND)
    say(f"read {len(files)} files by {version}")
    return files


def refusal(api, call):
    """(code, reason) of a refused call, its details read by reflection."""
    try:
        reply = call()
    except grpc.RpcError as error:
        packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = api.message("google.rpc.Status").FromString(packed)
        info = api.message("google.rpc.ErrorInfo")()
        expect("ErrorInfo comes first", status.details[0].type_url,
               "type.googleapis.com/google.rpc.ErrorInfo")
        info.ParseFromString(status.details[0].value)
        return (error.code().name, info.reason)
    sys.exit(f"not refused: {reply!r}")


def main_job(api, version):
    """From a DEP to an opened key, by built messages only."""
    admin, workload = channel_of("admin"), channel_of("workload")
    mailbox = f"{PARENT}/mailboxes/{version}@contoso.example"
    made = api.call(admin, "holdfast.v1.DepService", "CreateDep", parent=PARENT,
                    dep_id=version, customer_keys=PLAN["customer_keys"],
                    workload_identity=PLAN["people"]["workload"]["identity"])
    got = api.call(admin, "holdfast.v1.DepService", "GetDep", name=made.name)
    expect("got", got, made)
    listed = api.call(admin, "holdfast.v1.DepService", "ListDeps", parent=PARENT).deps
    made.ClearField("mailbox_counts")  # GetDep's alone
    expect("in the list", [dep for dep in listed if dep.dep_id == version], [made])
    boxes = "holdfast.v1.AssignmentService"
    api.call(admin, boxes, "RegisterMailbox", parent=PARENT,
             mailbox_id=mailbox.rsplit("/", 1)[1], licensed=True)
    api.call(admin, boxes, "AssignMailbox", name=mailbox, dep=made.name)
    keys = "holdfast.v1.KeyService"
    access = {"initiator": "INITIATOR_USER", "request_id": str(uuid.uuid4())}
    key = api.call(workload, keys, "GenerateKey", resource=mailbox, access=access)
    opened = api.call(workload, keys, "UnwrapKey", resource=mailbox,
                      wrapped_key=key.wrapped_key)
    expect("the key", (len(opened.plaintext_key),
                       opened.plaintext_key == key.plaintext_key, opened.dep),
           (32, True, made.name))
    expect("a cut key", refusal(api, lambda: api.call(
        workload, keys, "UnwrapKey", resource=mailbox,
        wrapped_key=key.wrapped_key[:-1])), ("DATA_LOSS", "BLOB_INVALID"))
    say(f"opened a key by {version}")


def main():
    channel = channel_of("workload")
    seen = [discover(channel, version) for version in ("v1", "v1alpha")]
    expect("both say the same", seen[0], seen[1])
    for version, files in zip(("v1", "v1alpha"), seen):
        main_job(Api(files), version)
    # a stream that idles when the server drains is ended with a status, not cut
    over = threading.Event()
    idle = Reflection(channel, "v1").idle(over)
    next(idle)
    say("drain")
    try:
        sys.exit(f"the stream ended as OK: {list(idle)!r}")
    except grpc.RpcError as error:
        expect("end of the stream", error.code().name, "UNAVAILABLE")
    over.set()
    say("done")


main()
