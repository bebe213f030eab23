// A stock gRPC client in JavaScript that knows Holdfast by its proto files
// alone.
//
// usage: client.js PLAN (see ../drive)
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PLAN = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const PARENT = PLAN.parent;
const MAILBOX = `${PARENT}/mailboxes/alice@contoso.example`;
const CALL_MS = 10000;
const QUIET_MS = 1000;
const KEY_BYTES = 32;
const WRAPPED_BYTES = 101;

const definitions = loader.loadSync(
  [
    "holdfast/v1/assignment_service.proto",
    "holdfast/v1/customer_key_service.proto",
    "holdfast/v1/dep_service.proto",
    "holdfast/v1/key_service.proto",
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
    "grpc/health/v1/health.proto",
  ],
  { includeDirs: PLAN.protos, keepCase: true, enums: String, defaults: true, longs: Number }
);
const api = grpc.loadPackageDefinition(definitions);

function say(text) {
  process.stdout.write(`${text}\n`);
}

function expect(what, found, wanted) {
  const [have, want] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (have !== want) {
    throw new Error(`${what}: ${have}, not ${want}`);
  }
}

function stub(service, name) {
  const person = PLAN.people[name];
  return new service(
    PLAN.target,
    grpc.credentials.createSsl(
      fs.readFileSync(PLAN.ca),
      fs.readFileSync(person.key),
      fs.readFileSync(person.certificate)
    ),
    // Node wants a name, not an address, to check the certificate against
    { "grpc.ssl_target_name_override": "localhost" }
  );
}

const v1 = api.holdfast.v1;
const deps = stub(v1.DepService, "admin");
const mailboxes = stub(v1.AssignmentService, "admin");
const customerKeys = stub(v1.CustomerKeyService, "admin");
const keys = stub(v1.KeyService, "workload");
const health = stub(api.grpc.health.v1.Health, "workload");
const stubs = [deps, mailboxes, customerKeys, keys, health];

function call(client, method, request) {
  const deadline = new Date(Date.now() + CALL_MS);
  return new Promise((resolve, reject) => {
    client[method](request, new grpc.Metadata(), { deadline }, (error, reply) =>
      error ? reject(error) : resolve(reply)
    );
  });
}


const KINDS = {
  ErrorInfo: "google.rpc.ErrorInfo",
  RetryInfo: "google.rpc.RetryInfo",
  BadRequest: "google.rpc.BadRequest",
  ValidationReport: "holdfast.v1.ValidationReport",
};

// What a refused call says, in words and for programs.
class Refusal {
  constructor(error) {
    const packed = error.metadata.get("grpc-status-details-bin")[0];
    const status = definitions["google.rpc.Status"].deserialize(packed);
    expect("google.rpc.Status.code", status.code, error.code);
    expect("google.rpc.Status.message", status.message, error.details);
    for (const part of status.details) {
      const kind = Object.keys(KINDS).find(
        (name) => part.type_url === `type.googleapis.com/${KINDS[name]}`
      );
      expect(`${part.type_url} understood`, kind !== undefined, true);
      this[kind] = definitions[KINDS[kind]].deserialize(part.value);
    }
    expect("domain", this.ErrorInfo.domain, "holdfast");
    this.answer = [grpc.status[error.code], this.ErrorInfo.reason];
  }
}

async function refusal(promise) {
  let reply = null;
  try {
    reply = await promise;
  } catch (error) {
    if (error.metadata === undefined) {
      throw error;
    }
    return new Refusal(error);
  }
  throw new Error(`not refused: ${JSON.stringify(reply)}`);
}

function access() {
  return {
    initiator: "INITIATOR_USER",
    workload: "WORKLOAD_EXCHANGE",
    request_id: crypto.randomUUID(),
  };
}

function createDepNamed(name, more) {
  return call(deps, "CreateDep", {
    parent: PARENT,
    dep_id: name,
    customer_keys: PLAN.customer_keys,
    workload_identity: PLAN.people.workload.identity,
    request_id: crypto.randomUUID(),
    ...more,
  });
}

function unwrap(wrapped) {
  return call(keys, "UnwrapKey", { resource: MAILBOX, wrapped_key: wrapped, access: access() });
}

async function createDep() {
  const made = await createDepNamed("mail", { description: "Grüße ✉" });
  expect("DEP's name", made.name, `${PARENT}/deps/${made.uid}`);
  expect("description", made.description, "Grüße ✉");
  expect("customer keys", made.customer_keys.map((ref) => ref.customer_key), PLAN.customer_keys);
  expect("health", made.health, "DEP_HEALTH_HEALTHY");
  expect("state", [made.state, made.enabled], ["DEP_STATE_ENABLED", true]);
  expect("found by name", await call(deps, "GetDep", { name: `${PARENT}/deps/mail` }), made);
  say("created a DEP");
  return made;
}

async function useKeys(policy) {
  await call(mailboxes, "RegisterMailbox", {
    parent: PARENT,
    mailbox_id: MAILBOX.split("/").pop(),
    licensed: true,
  });
  const box = await call(mailboxes, "AssignMailbox", { name: MAILBOX, dep: policy.name });
  expect("assigned", box.assigned_dep, policy.name);
  const made = await call(keys, "GenerateKey", { resource: MAILBOX, access: access() });
  expect("lengths", [made.plaintext_key.length, made.wrapped_key.length],
    [KEY_BYTES, WRAPPED_BYTES]);
  for (const wrapped of [made.wrapped_key, Buffer.alloc(0)]) {
    const opened = await unwrap(wrapped);
    expect("the key", opened.plaintext_key.equals(made.plaintext_key), true);
    expect("opened by", opened.dep, policy.name);
  }
  const own = Buffer.from([...Array(KEY_BYTES).keys()]);
  const wrapped = await call(keys, "WrapKey", {
    resource: MAILBOX,
    plaintext_key: own,
    access: access(),
  });
  expect("our own key", (await unwrap(wrapped.wrapped_key)).plaintext_key.equals(own), true);
  say("generated, wrapped and unwrapped keys");
  return made.wrapped_key;
}

async function readRefusals(wrapped) {
  const taken = await refusal(createDepNamed("mail", {}));
  expect("a second DEP of that name", taken.answer, ["ALREADY_EXISTS", "NAME_TAKEN"]);
  const one = await refusal(createDepNamed("one",
    { customer_keys: PLAN.customer_keys.slice(0, 1) }));
  expect("one key", one.answer, ["INVALID_ARGUMENT", "FIELD_INVALID"]);
  expect("its field", one.BadRequest.field_violations.map((part) => part.field),
    ["customer_keys"]);
  const strange = await refusal(createDepNamed("strange",
    { workload_identity: PLAN.people.stranger.identity }));
  expect("an identity without grants", strange.answer,
    ["FAILED_PRECONDITION", "VALIDATION_FAILED"]);
  const report = strange.ValidationReport;
  expect("passed", report.passed, false);
  const failed = report.results.filter((part) => part.status === "FAIL");
  expect("failed for", [...new Set(failed.map((part) => part.customer_key))].sort(),
    [...PLAN.customer_keys].sort());
  const bad = Buffer.from(wrapped);
  bad[bad.length - 1] ^= 1;
  expect("a flipped bit", (await refusal(unwrap(bad))).answer, ["DATA_LOSS", "BLOB_INVALID"]);
  say("read the details of refusals");
}

// A Watch call: what it told, in order, to be taken one by one.
class Watch {
  constructor(service) {
    this.service = service;
    this.news = [];
    this.waiting = null;
    const stream = health.Watch({ service });
    stream.on("data", (reply) => this.put(reply.status));
    stream.on("error", (error) => this.put(error));
    stream.on("end", () => this.put("ended"));
  }

  put(news) {
    this.news.push(news);
    if (this.waiting !== null) {
      this.waiting();
    }
  }

  async take(ms) {
    if (this.news.length === 0) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.waiting = null;
    }
    return this.news.length === 0 ? "nothing" : this.news.shift();
  }

  async expectNews(wanted) {
    expect(`health of "${this.service}"`, await this.take(CALL_MS), wanted);
  }

  // Still open, and nothing was told twice.
  async expectQuiet() {
    expect(`more from "${this.service}"`, await this.take(QUIET_MS), "nothing");
  }

  // The status that the server ends it with, behind any last news.
  async ended() {
    for (;;) {
      const news = await this.take(CALL_MS);
      if (news instanceof Error) {
        return new Refusal(news);
      }
      // grpc-js tells the end of the messages before the status
      if (news !== "ended") {
        expect(`last news of "${this.service}"`, news, "NOT_SERVING");
      }
    }
  }
}

// [key, grant] of every grant on both keys. A key that nobody may use counts as
// refused in its DEP's health.
async function readGrants() {
  const found = [];
  for (const name of PLAN.customer_keys) {
    const key = await call(customerKeys, "GetCustomerKey", { name });
    expect(`there are grants on ${name}`, key.grants.length > 0, true);
    found.push(...key.grants.map((grant) => [name, grant]));
  }
  return found;
}

async function checkHealth(policy) {
  for (const service of ["", "holdfast.v1.KeyService", policy.name]) {
    expect(`check of "${service}"`, (await call(health, "Check", { service })).status, "SERVING");
  }
  const unknown = await refusal(call(health, "Check", { service: "no.such" }));
  expect("check of nothing we know", unknown.answer, ["NOT_FOUND", "NOT_FOUND"]);
}

async function watchHealth(policy) {
  const whole = new Watch("");
  const ours = new Watch(policy.name);
  await whole.expectNews("SERVING");
  await ours.expectNews("SERVING");
  const grants = await readGrants();
  for (const [name, { identity }] of grants) {
    await call(customerKeys, "RevokeCustomerKey", { name, identity });
  }
  await ours.expectNews("NOT_SERVING");
  expect("a key without grants", (await refusal(unwrap())).answer,
    ["PERMISSION_DENIED", "KEY_ACCESS_DENIED"]);
  for (const [name, { identity, permissions }] of grants) {
    await call(customerKeys, "GrantCustomerKey", { name, identity, permissions });
  }
  await ours.expectNews("SERVING");
  expect("a key with grants", (await unwrap()).plaintext_key.length, KEY_BYTES);
  await ours.expectQuiet();
  await whole.expectQuiet();
  say("watched health");
  return [whole, ours];
}

async function main() {
  const policy = await createDep();
  await readRefusals(await useKeys(policy));
  await checkHealth(policy);
  const watches = await watchHealth(policy);
  say("drain");
  for (const watch of watches) {
    const refused = await watch.ended();
    expect("end of a watch", refused.answer, ["UNAVAILABLE", "SERVICE_UNAVAILABLE"]);
    const { seconds, nanos } = refused.RetryInfo.retry_delay;
    expect("it says when to come again", seconds + nanos > 0, true);
  }
  stubs.forEach((client) => client.close());
  say("done");
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
