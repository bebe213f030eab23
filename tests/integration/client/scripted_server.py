#!/usr/bin/python3
"""scripted_server: a gRPC server over mutual TLS that answers as it is told.

usage: scripted_server.py DIR

Knows the contract from the descriptor set of the build alone ($HF_BUILD). Makes
its own certificates in DIR (ca.pem, server.*, client.*, stranger.*), writes the
port it listens on to DIR/port, and appends every call to DIR/calls.jsonl as
{"method", "request"}. What it answers stands in DIR/script.json:

  {"holdfast.v1.DepService/GetDep": [ANSWER, ...]}

with one ANSWER per call, the last one for all further calls:

  {"response": {...}}                            proto3 JSON
  {"code": 14, "message": "...", "reason": "...", "metadata": {...},
   "retry_ms": 100, "fields": {"name": "..."}, "checks": [...],
   "details_hex": "..."}                          an error
  "delay_ms": 500                                 before either
  "raw_hex": "..."                                instead of a response
  {"stream": [{...}, ...], ...}                   of a method that streams: so
                                                  many, then OK or the error

A method without a script is UNIMPLEMENTED, but for those that a class derived
from Server answers itself. The script is read again whenever it has changed.
It ends when its standard input does, so it never outlives its test.
"""
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from google.protobuf import message_factory

DETAILS = "grpc-status-details-bin"
TYPES = "type.googleapis.com/"


class Contract:
    """The messages and methods of the descriptor set."""

    def __init__(self, path):
        files = descriptor_pb2.FileDescriptorSet.FromString(
            pathlib.Path(path).read_bytes())
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self.pool.Add(file)
        self.factory = message_factory.MessageFactory(self.pool)
        self.methods = {}
        self.streams = set()
        for file in files.file:
            for service in file.service:
                for method in service.method:
                    name = f"{file.package}.{service.name}/{method.name}"
                    self.methods[name] = (
                        self.type(method.input_type.lstrip(".")),
                        self.type(method.output_type.lstrip(".")))
                    if method.server_streaming:
                        self.streams.add(name)

    def type(self, name):
        return self.factory.GetPrototype(
            self.pool.FindMessageTypeByName(name))

    def make(self, name, **values):
        return json_format.ParseDict(values, self.type(name)())


class Refusal(Exception):
    """An answer that is not OK."""

    def __init__(self, code, message="", reason="", **more):
        super().__init__(message)
        self.answer = {"code": code, "message": message, "reason": reason,
                       **more}


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_ca(folder, name):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
        f"/CN={name}", "-keyout", str(folder / f"{name}.key"), "-out",
        str(folder / f"{name}.pem"))


def make_certificate(folder, ca, name, alt):
    request, extension = folder / f"{name}.csr", folder / f"{name}.ext"
    extension.write_text(f"subjectAltName={alt}\n")
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
        "-keyout", str(folder / f"{name}.key"), "-out", str(request))
    run("openssl", "x509", "-req", "-in", str(request), "-days", "2",
        "-CA", str(folder / f"{ca}.pem"), "-CAkey", str(folder / f"{ca}.key"),
        "-CAcreateserial", "-extfile", str(extension),
        "-out", str(folder / f"{name}.pem"))


class Server:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.contract = Contract(
            pathlib.Path(os.environ["HF_BUILD"]) / "proto" / "holdfast.pb")
        self.lock = threading.Lock()
        self.script, self.script_text, self.step = {}, "", {}
        self.server = None

    # --- life

    def start(self):
        make_ca(self.folder, "ca")
        make_ca(self.folder, "other-ca")
        make_certificate(self.folder, "ca", "server", "DNS:localhost")
        make_certificate(self.folder, "ca", "client",
                         "URI:spiffe://holdfast/test/client")
        make_certificate(self.folder, "other-ca", "stranger",
                         "URI:spiffe://holdfast/test/stranger")
        credentials = grpc.ssl_server_credentials(
            [(self.read("server.key"), self.read("server.pem"))],
            self.read("ca.pem"), require_client_auth=True)
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        self.server.add_generic_rpc_handlers((Handler(self),))
        port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.server.start()
        self.port = port
        (self.folder / "port.new").write_text(str(port))
        (self.folder / "port.new").rename(self.folder / "port")

    def stop(self):
        self.server.stop(0).wait()

    def read(self, name):
        return (self.folder / name).read_bytes()

    # --- answers

    def next_answer(self, method):
        try:
            text = (self.folder / "script.json").read_text()
        except FileNotFoundError:
            text = "{}"
        with self.lock:
            if text != self.script_text:
                self.script, self.script_text = json.loads(text), text
                self.step = {}
            answers = self.script.get(method)
            if not answers:
                return None
            step = self.step.get(method, 0)
            self.step[method] = step + 1
            return answers[min(step, len(answers) - 1)]

    def log(self, method, request):
        line = json.dumps({"method": method,
                           "request": json_format.MessageToDict(request)})
        with self.lock, open(self.folder / "calls.jsonl", "a") as to:
            to.write(line + "\n")

    def answer(self, method, request):
        """A response message; Refusal. For derived classes."""
        raise Refusal(12, f"nobody told what {method} answers")

    def call(self, method, request, context):
        request_type, response_type = self.contract.methods[method]
        message = request_type.FromString(request)
        self.log(method, message)
        told = self.next_answer(method)
        try:
            if told is None:
                return self.answer(method, message).SerializeToString()
            time.sleep(told.get("delay_ms", 0) / 1000)
            if told.get("code", 0) != 0:
                raise Refusal(**{k: v for k, v in told.items()
                                 if k != "delay_ms"})
            if "raw_hex" in told:
                return bytes.fromhex(told["raw_hex"])
            return json_format.ParseDict(
                told["response"], response_type()).SerializeToString()
        except Refusal as refusal:
            self.refuse(context, refusal.answer)

    def stream(self, method, request, context):
        request_type, response_type = self.contract.methods[method]
        message = request_type.FromString(request)
        self.log(method, message)
        told = dict(self.next_answer(method) or {
            "code": 12, "message": f"nobody told what {method} answers"})
        for one in told.pop("stream", []):
            time.sleep(told.get("delay_ms", 0) / 1000)
            if "raw_hex" in one:
                yield bytes.fromhex(one["raw_hex"])
            else:
                yield json_format.ParseDict(
                    one, response_type()).SerializeToString()
        told.pop("delay_ms", None)
        if told.get("code", 0) != 0:
            self.refuse(context, told)

    def details(self, told):
        def any_of(name, **values):
            message = self.contract.make(name, **values)
            return {"type": name, "value": message.SerializeToString()}

        parts = []
        if told.get("reason"):
            parts.append(any_of("google.rpc.ErrorInfo", reason=told["reason"],
                                domain="holdfast",
                                metadata=told.get("metadata", {})))
        if "retry_ms" in told:
            parts.append(any_of("google.rpc.RetryInfo",
                                retryDelay=f"{told['retry_ms'] / 1000:.3f}s"))
        if "fields" in told:
            parts.append(any_of("google.rpc.BadRequest", fieldViolations=[
                {"field": field, "description": text}
                for field, text in told["fields"].items()]))
        if "checks" in told:
            parts.append(any_of("holdfast.v1.ValidationReport",
                                results=told["checks"], passed=False))
        status = self.contract.type("google.rpc.Status")()
        status.code, status.message = told["code"], told.get("message", "")
        for part in parts:
            detail = status.details.add()
            detail.type_url = TYPES + part["type"]
            detail.value = part["value"]
        return status.SerializeToString()

    def refuse(self, context, told):
        if "details_hex" in told:
            raw = bytes.fromhex(told["details_hex"])
        else:
            raw = self.details(told)
        context.set_trailing_metadata(((DETAILS, raw),))
        code = next(c for c in grpc.StatusCode if c.value[0] == told["code"])
        context.abort(code, told.get("message", ""))


class Handler(grpc.GenericRpcHandler):
    def __init__(self, server):
        self.server = server

    def service(self, details):
        method = details.method.lstrip("/")
        if method not in self.server.contract.methods:
            return None
        if method in self.server.contract.streams:
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context:
                self.server.stream(method, request, context))
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context:
            self.server.call(method, request, context))


def main():
    server = Server(sys.argv[1])
    server.start()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
