"""A stock gRPC client that knows Holdfast by its descriptor set alone."""
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


class Api:
    """Messages and methods of one descriptor set."""

    def __init__(self, path=None, files=None):
        if path is not None:
            whole = descriptor_pb2.FileDescriptorSet()
            with open(path, "rb") as f:
                whole.ParseFromString(f.read())
            files = list(whole.file)
        self.files = files
        self.pool = descriptor_pool.DescriptorPool()
        for file in files:
            self.pool.Add(file)
        self.factory = message_factory.MessageFactory(self.pool)

    def message(self, name):
        return self.factory.GetPrototype(
            self.pool.FindMessageTypeByName(name))

    def methods(self, package):
        """(path, MethodDescriptorProto) of every method of the package."""
        for file in self.files:
            if file.package == package:
                for service in file.service:
                    for method in service.method:
                        yield ("/%s.%s/%s" % (package, service.name,
                                              method.name), method)

    def stub(self, channel, path):
        package_service, name = path[1:].split("/")
        method = self.pool.FindServiceByName(
            package_service).methods_by_name[name]
        kind = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, True): channel.stream_stream,
        }
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        reply = self.factory.GetPrototype(method.output_type)
        make = kind[(proto.client_streaming, proto.server_streaming)]
        return make(path,
                    request_serializer=lambda m: m if isinstance(m, bytes)
                    else m.SerializeToString(),
                    response_deserializer=reply.FromString)

    def request(self, path, **fields):
        package_service, name = path[1:].split("/")
        method = self.pool.FindServiceByName(
            package_service).methods_by_name[name]
        return self.factory.GetPrototype(method.input_type)(**fields)

    def call(self, channel, path, timeout=10, **fields):
        return self.stub(channel, path)(self.request(path, **fields),
                                        timeout=timeout)

    def refusal(self, channel, path, timeout=10, body=None, **fields):
        """The refusal of a call, as Refusal; the call must not succeed."""
        try:
            request = body if body is not None else self.request(path, **fields)
            reply = self.stub(channel, path)(request, timeout=timeout)
        except grpc.RpcError as error:
            return Refusal(self, error)
        raise AssertionError("%s was answered: %r" % (path, reply))


class Refusal:
    """A status and its details, decoded."""

    def __init__(self, api, error):
        self.code = error.code().name
        self.text = error.details()
        self.raw = dict(error.trailing_metadata() or ()).get(
            "grpc-status-details-bin")
        self.reason = None
        self.retry_ms = None
        self.field = None
        self.report = None
        if self.raw is None:
            return
        status = api.message("google.rpc.Status").FromString(self.raw)
        self.status = status
        for detail in status.details:
            name = detail.type_url.split("/")[1]
            part = api.message(name).FromString(detail.value)
            if name == "google.rpc.ErrorInfo":
                assert part.domain == "holdfast", part
                self.reason = part.reason
            elif name == "google.rpc.RetryInfo":
                self.retry_ms = (part.retry_delay.seconds * 1000 +
                                 part.retry_delay.nanos // 1000000)
            elif name == "google.rpc.BadRequest":
                self.field = part.field_violations[0].field
                self.field_text = part.field_violations[0].description
            elif name == "holdfast.v1.ValidationReport":
                self.report = part

    def __repr__(self):
        return "%s/%s field=%s retry=%s: %s" % (
            self.code, self.reason, self.field, self.retry_ms, self.text)
