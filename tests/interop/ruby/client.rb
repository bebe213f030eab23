# A stock gRPC client in Ruby that knows Holdfast by its proto files alone.
#
# usage: client.rb PLAN (see ../drive)

require "json"
require "securerandom"
require "timeout"

PLAN = JSON.parse(File.read(ARGV.fetch(0)))
$LOAD_PATH.unshift(PLAN["stubs"])

require "grpc"
require "google/protobuf/well_known_types"
require "google/rpc/error_details_pb"
require "google/rpc/status_pb"
require "grpc/health/v1/health_services_pb"
require "holdfast/v1/assignment_service_services_pb"
require "holdfast/v1/customer_key_service_services_pb"
require "holdfast/v1/dep_service_services_pb"
require "holdfast/v1/key_service_services_pb"

include Holdfast::V1

PARENT = PLAN["parent"]
MAILBOX = "#{PARENT}/mailboxes/alice@contoso.example"
CALL_S = 10
WATCH_S = 60
QUIET_S = 1
KEY_BYTES = 32
WRAPPED_BYTES = 101
CODES = GRPC::Core::StatusCodes
HealthRequest = Grpc::Health::V1::HealthCheckRequest
HealthStub = Grpc::Health::V1::Health::Stub

def say(text)
  $stdout.puts(text)
  $stdout.flush
end

def expect(what, found, wanted)
  abort("#{what}: #{found.inspect}, not #{wanted.inspect}") unless found == wanted
end

def stub_of(kind, name)
  person = PLAN["people"][name]
  credentials = GRPC::Core::ChannelCredentials.new(
    File.read(PLAN["ca"]), File.read(person["key"]), File.read(person["certificate"])
  )
  kind.new(PLAN["target"], credentials, timeout: CALL_S)
end

DEPS = stub_of(DepService::Stub, "admin")
MAILBOXES = stub_of(AssignmentService::Stub, "admin")
CUSTOMER_KEYS = stub_of(CustomerKeyService::Stub, "admin")
KEYS = stub_of(KeyService::Stub, "workload")
HEALTH = stub_of(HealthStub, "workload")

# What a refused call says, in words and for programs.
class Refusal
  KINDS = [Google::Rpc::ErrorInfo, Google::Rpc::RetryInfo, Google::Rpc::BadRequest,
           ValidationReport].freeze
  attr_reader :answer

  def initialize(error)
    status = Google::Rpc::Status.decode(error.metadata.fetch("grpc-status-details-bin"))
    expect("google.rpc.Status.code", status.code, error.code)
    expect("google.rpc.Status.message", status.message, error.details)
    @details = {}
    status.details.each do |part|
      kind = KINDS.find { |known| part.is(known) }
      expect("#{part.type_url} understood", kind.nil?, false)
      @details[kind] = part.unpack(kind)
    end
    expect("domain", self[Google::Rpc::ErrorInfo].domain, "holdfast")
    @answer = [error.code, self[Google::Rpc::ErrorInfo].reason]
  end

  def [](kind)
    @details.fetch(kind)
  end
end

def refusal
  reply = yield
  abort("not refused: #{reply.inspect}")
rescue GRPC::BadStatus => e
  Refusal.new(e)
end

def access
  AccessContext.new(initiator: :INITIATOR_USER, workload: :WORKLOAD_EXCHANGE,
                    request_id: SecureRandom.uuid)
end

def dep_request(name, **more)
  CreateDepRequest.new(parent: PARENT, dep_id: name, request_id: SecureRandom.uuid,
                       **{ customer_keys: PLAN["customer_keys"],
                           workload_identity: PLAN["people"]["workload"]["identity"] }, **more)
end

def create_dep
  made = DEPS.create_dep(dep_request("mail", description: "Grüße ✉"))
  expect("DEP's name", made.name, "#{PARENT}/deps/#{made.uid}")
  expect("description", made.description, "Grüße ✉")
  expect("customer keys", made.customer_keys.map(&:customer_key), PLAN["customer_keys"])
  expect("health", made.health, :DEP_HEALTH_HEALTHY)
  expect("state", [made.state, made.enabled], [:DEP_STATE_ENABLED, true])
  expect("found by name", DEPS.get_dep(GetDepRequest.new(name: "#{PARENT}/deps/mail")), made)
  say("created a DEP")
  made
end

def unwrap(wrapped = "")
  KEYS.unwrap_key(UnwrapKeyRequest.new(resource: MAILBOX, wrapped_key: wrapped, access: access))
end

def use_keys(policy)
  MAILBOXES.register_mailbox(RegisterMailboxRequest.new(
                               parent: PARENT, mailbox_id: MAILBOX.split("/").last, licensed: true
                             ))
  box = MAILBOXES.assign_mailbox(AssignMailboxRequest.new(name: MAILBOX, dep: policy.name))
  expect("assigned", box.assigned_dep, policy.name)
  made = KEYS.generate_key(GenerateKeyRequest.new(resource: MAILBOX, access: access))
  expect("lengths", [made.plaintext_key.bytesize, made.wrapped_key.bytesize],
         [KEY_BYTES, WRAPPED_BYTES])
  [made.wrapped_key, ""].each do |wrapped|
    opened = unwrap(wrapped)
    expect("the key", opened.plaintext_key == made.plaintext_key, true)
    expect("opened by", opened.dep, policy.name)
  end
  own = (0...KEY_BYTES).to_a.pack("C*")
  wrapped = KEYS.wrap_key(WrapKeyRequest.new(resource: MAILBOX, plaintext_key: own,
                                             access: access)).wrapped_key
  expect("our own key", unwrap(wrapped).plaintext_key, own)
  say("generated, wrapped and unwrapped keys")
  made.wrapped_key
end

def read_report
  strange = refusal do
    DEPS.create_dep(dep_request("strange", workload_identity:
      PLAN["people"]["stranger"]["identity"]))
  end
  expect("an identity without grants", strange.answer,
         [CODES::FAILED_PRECONDITION, "VALIDATION_FAILED"])
  report = strange[ValidationReport]
  expect("passed", report.passed, false)
  failed = report.results.select { |part| part.status == :FAIL }.map(&:customer_key)
  expect("failed for", failed.uniq.sort, PLAN["customer_keys"].sort)
end

def read_refusals(wrapped)
  taken = refusal { DEPS.create_dep(dep_request("mail")) }
  expect("a second DEP of that name", taken.answer, [CODES::ALREADY_EXISTS, "NAME_TAKEN"])
  one = refusal { DEPS.create_dep(dep_request("one", customer_keys: PLAN["customer_keys"][0, 1])) }
  expect("one key", one.answer, [CODES::INVALID_ARGUMENT, "FIELD_INVALID"])
  expect("its field", one[Google::Rpc::BadRequest].field_violations.map(&:field),
         ["customer_keys"])
  read_report
  bad = wrapped.dup
  bad.setbyte(-1, bad.getbyte(-1) ^ 1)
  expect("a flipped bit", refusal { unwrap(bad) }.answer, [CODES::DATA_LOSS, "BLOB_INVALID"])
  say("read the details of refusals")
end

# A Watch call, read by a thread of its own.
class Watch
  def initialize(service)
    @service = service
    @news = Queue.new
    @call = HEALTH.watch(HealthRequest.new(service: service),
                         deadline: Time.now + WATCH_S, return_op: true)
    @reader = Thread.new { read }
  end

  def read
    @call.execute.each { |reply| @news << reply.status }
    @news << "ended as OK"
  rescue GRPC::BadStatus => e
    @news << e
  end

  def take(seconds)
    Timeout.timeout(seconds) { @news.pop }
  rescue Timeout::Error
    "nothing"
  end

  def expect_news(wanted)
    expect("health of #{@service.inspect}", take(CALL_S), wanted)
  end

  # Still open, and nothing was told twice.
  def expect_quiet
    expect("more from #{@service.inspect}", take(QUIET_S), "nothing")
    expect("watch of #{@service.inspect} is open", @reader.alive?, true)
  end

  # The status that the server ends it with, behind any last news.
  def ended
    loop do
      news = take(CALL_S)
      return Refusal.new(news) if news.is_a?(GRPC::BadStatus)

      expect("last news of #{@service.inspect}", news, :NOT_SERVING)
    end
  end
end

# [key, grant] of every grant on both keys. A key that nobody may use counts as
# refused in its DEP's health.
def read_grants
  PLAN["customer_keys"].flat_map do |name|
    found = CUSTOMER_KEYS.get_customer_key(GetCustomerKeyRequest.new(name: name)).grants
    expect("there are grants on #{name}", found.empty?, false)
    found.map { |grant| [name, grant] }
  end
end

def revoke(grants)
  grants.each do |name, grant|
    CUSTOMER_KEYS.revoke_customer_key(
      RevokeCustomerKeyRequest.new(name: name, identity: grant.identity)
    )
  end
end

def give_back(grants)
  grants.each do |name, grant|
    CUSTOMER_KEYS.grant_customer_key(
      GrantCustomerKeyRequest.new(name: name, identity: grant.identity,
                                  permissions: grant.permissions.to_a)
    )
  end
end

def check_health(policy)
  ["", "holdfast.v1.KeyService", policy.name].each do |service|
    expect("check of #{service.inspect}",
           HEALTH.check(HealthRequest.new(service: service)).status, :SERVING)
  end
  expect("check of nothing we know",
         refusal { HEALTH.check(HealthRequest.new(service: "no.such")) }.answer,
         [CODES::NOT_FOUND, "NOT_FOUND"])
end

def watch_health(policy)
  whole = Watch.new("")
  ours = Watch.new(policy.name)
  [whole, ours].each { |watch| watch.expect_news(:SERVING) }
  grants = read_grants
  revoke(grants)
  ours.expect_news(:NOT_SERVING)
  expect("a key without grants", refusal { unwrap }.answer,
         [CODES::PERMISSION_DENIED, "KEY_ACCESS_DENIED"])
  give_back(grants)
  ours.expect_news(:SERVING)
  expect("a key with grants", unwrap.plaintext_key.bytesize, KEY_BYTES)
  ours.expect_quiet
  whole.expect_quiet
  say("watched health")
  [whole, ours]
end

policy = create_dep
read_refusals(use_keys(policy))
check_health(policy)
watches = watch_health(policy)
say("drain")
watches.each do |watch|
  refused = watch.ended
  expect("end of a watch", refused.answer, [CODES::UNAVAILABLE, "SERVICE_UNAVAILABLE"])
  delay = refused[Google::Rpc::RetryInfo].retry_delay
  expect("it says when to come again", delay.to_f.positive?, true)
end
say("done")
