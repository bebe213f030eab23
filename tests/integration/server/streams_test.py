"""Do operations and the audit tell of themselves, on the real service: at once,
at every change, to whom it concerns, and on through a restart (R-13.4, R-10.1
to R-10.7 as a stream, R-10.12)?
"""
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import grpc  # noqa: E402
from server import API, EAST, PARENT, PATHS, WEST, Server, identity  # noqa: E402

BOXES = 40


class Streams(unittest.TestCase):
    def setUp(self):
        self.server = Server().begin()
        self.addCleanup(self.server.stop)
        for token in (EAST, WEST):
            self.server.customer_key("s-" + token, token)
        for dep in ("from", "to"):
            self.server.dep_with_box(dep, ["s-" + EAST, "s-" + WEST])

    def stream(self, who, method, timeout=60, **fields):
        return API.stub(self.server.channel(who), PATHS[method])(
            API.request(PATHS[method], **fields), timeout=timeout)

    def work(self):
        """Mailboxes whose keys a rewrap has to move."""
        for number in range(BOXES):
            box = f"m{number}"
            self.server.mailbox(box, "from")
            self.server.call("workload", "GenerateKey",
                             resource=f"{PARENT}/mailboxes/{box}")
            self.server.call("admin", "AssignMailbox",
                             name=f"{PARENT}/mailboxes/{box}",
                             dep=f"{PARENT}/deps/to")

    def test_operation(self):
        """R-13.4, R-10.12: watch, wait, and the command's progress."""
        self.work()
        begun = self.server.call("admin", "RewrapDep",
                                 name=f"{PARENT}/deps/from")
        told = list(self.stream("admin", "WatchOperation", name=begun.name))
        self.assertGreaterEqual(len(told), 2)
        revisions = [one.revision for one in told]
        self.assertEqual(revisions, sorted(set(revisions)))
        percents = [one.percent for one in told]
        self.assertEqual(percents, sorted(percents))
        self.assertEqual([one.done for one in told],
                         [False] * (len(told) - 1) + [True])
        self.assertEqual((told[-1].state, told[-1].done_count),
                         (2, told[-1].total_count))
        waited = self.server.call("admin", "WaitOperation", name=begun.name)
        self.assertEqual(waited, told[-1])
        shown = self.server.cli("admin", "operation", "show", begun.name)
        self.assertEqual(shown["revision"], str(told[-1].revision))

    def test_revisions(self):
        """R-10.12: the revision of a reply rises with every change, so that a
        test can wait on it; R-10.7: a key version tells when it was used."""
        def mailbox():
            return self.server.call("admin", "GetMailbox",
                                    name=f"{PARENT}/mailboxes/from")
        seen = [mailbox().revision]
        for dep in ("to", "from"):
            changed = self.server.call(
                "admin", "AssignMailbox", name=f"{PARENT}/mailboxes/from",
                dep=f"{PARENT}/deps/{dep}")
            seen += [changed.revision, mailbox().revision]
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(len(set(seen)), 3)
        for method, name in (("GetDep", "deps/from"),
                             ("GetTenant", ""),
                             ("GetCustomerKey", "customerKeys/s-" + EAST)):
            reply = self.server.call("admin", method,
                                     name=f"{PARENT}/{name}".rstrip("/"))
            self.assertGreater(reply.revision, 0)
            self.assertEqual(str(reply.revision), reply.etag)
        token = self.server.call("admin", "GetToken",
                                 name=f"{PARENT}/tokens/{EAST}")
        self.assertGreater(token.revision, 0)
        # the service's own rises with every change that it seals, over a start
        epochs = []
        for change in ("key grant", "restart", "key revoke"):
            if change == "restart":
                self.server.end(signal.SIGTERM)
                self.server.start()
            else:
                self.server.cli("admin", *change.split(), "s-" + EAST,
                                "--identity", identity("auditor"))
            epochs.append(self.server.call("operator", "ListTenants").epoch)
        self.assertGreater(epochs[0], 0)
        self.assertEqual(epochs, [epochs[0], epochs[0], epochs[0] + 1])
        self.assertEqual(self.server.unwrap("from").code, "OK")
        versions = [self.server.call(
            "admin", "GetCustomerKey",
            name=f"{PARENT}/customerKeys/s-{token}").versions[0]
            for token in (EAST, WEST)]
        used = [v for v in versions if v.HasField("last_use_time")]
        self.assertTrue(used)
        for version in used:
            self.assertGreaterEqual(version.last_use_time.seconds,
                                    version.first_use_time.seconds)
        until = time.monotonic() + 20
        while not self.server.audit(activity="CustomerKeyUsed"):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.2)

    def test_health(self):
        """R-10.7: a token that goes away, and comes back, is in the chain."""
        self.server.faults(f"token={EAST} function=C_UnwrapKey "
                           "rv=CKR_DEVICE_ERROR")
        until = time.monotonic() + 40
        while not self.server.audit(activity="DepHealthChanged"):
            self.server.unwrap("from")
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.server.heal("from")
        until = time.monotonic() + 40
        while True:
            records = self.server.audit(activity="DepHealthChanged")
            told = [json.loads(r.json) for r in records]
            if any(r["details"]["to"] == "HEALTHY" for r in told):
                break
            self.assertLess(time.monotonic(), until, told)
            time.sleep(0.2)

    def test_other_tenants_see_nothing(self):
        """N02: another tenant's operation is not there."""
        begun = self.server.call("admin", "RewrapDep",
                                 name=f"{PARENT}/deps/from")
        for who, code in (("workload", "PERMISSION_DENIED"),):
            with self.assertRaises(grpc.RpcError) as caught:
                next(self.stream(who, "WatchOperation", name=begun.name))
            self.assertEqual(caught.exception.code().name, code)

    def test_audit(self):
        """Query finds by activity, actor, object and time; tail goes on from an
        index, tells each new record once, and again after a restart."""
        everything = list(self.stream("admin", "QueryAuditRecords",
                                      parent=PARENT))
        indexes = [record.index for record in everything]
        self.assertEqual(indexes, sorted(set(indexes)))
        self.assertIn("CreateDep", {r.activity for r in everything})
        deps = [r for r in everything if r.activity == "CreateDep"]
        one = deps[-1]

        def found(**options):
            # what the service records by itself meanwhile comes behind
            return [r.index for r in self.stream(
                "admin", "QueryAuditRecords", parent=PARENT, filter=options)
                if r.index <= indexes[-1]]
        self.assertEqual(found(activity="CreateDep"),
                         [r.index for r in deps])
        self.assertEqual(found(actor="spiffe://nobody"), [])
        self.assertEqual(len(found(actor=one.actor)),
                         sum(r.actor == one.actor for r in everything))
        self.assertIn(one.index, found(object=one.object))
        self.assertEqual(found(object=one.object[:-1]), [])
        self.assertIn(one.index, found(object=PARENT))
        self.assertEqual(
            found(from_time=one.time),
            [r.index for r in everything
             if (r.time.seconds, r.time.nanos) >=
             (one.time.seconds, one.time.nanos)])
        self.assertEqual(found(from_time={"seconds": 1},
                               until_time={"seconds": 2}), [])

        tail = self.stream("admin", "TailAuditRecords", parent=PARENT,
                           from_index=one.index)
        self.assertEqual(next(tail).index, one.index)
        while next(tail).index != indexes[-1]:
            pass
        self.server.mailbox("late", "from")
        # what the service records by itself (uses of keys) may come between
        news = []
        while len(news) < 2:
            record = next(tail)
            if record.activity.endswith("Mailbox"):
                news.append(record)
        self.assertEqual([r.activity for r in news],
                         ["RegisterMailbox", "AssignMailbox"])
        ended = threading.Event()
        codes = []

        def to_the_end():
            try:
                for _ in tail:
                    pass
            except grpc.RpcError as error:
                codes.append(error.code().name)
            ended.set()
        threading.Thread(target=to_the_end).start()
        super(Server, self.server).end()  # with the channels open
        self.assertTrue(ended.wait(20))
        self.assertEqual(codes, ["UNAVAILABLE"])
        self.server.close_channels()
        self.server.start()
        self.server.settled()
        tail = self.stream("admin", "TailAuditRecords", parent=PARENT,
                           from_index=news[-1].index + 1)
        self.server.mailbox("later", "from")
        while next(tail).activity != "AssignMailbox":
            pass
        tail.cancel()

    def test_n40_export_and_verify(self):
        """N40: what the command exports verifies offline; an edit is named."""
        path = self.server.home / "audit.jsonl"
        made = self.server.cli("admin", "audit", "export", str(path))
        lines = path.read_text().splitlines()
        self.assertEqual(made["records"] + made["others"] +
                         made["checkpoints"], len(lines))
        self.assertTrue(self.server.cli("admin", "audit", "verify",
                                        str(path))["intact"])
        at = max(i for i, line in enumerate(lines)
                 if "spiffe" in (json.loads(line).get("json") or ""))
        record = json.loads(lines[at])
        record["json"] = record["json"].replace("spiffe", "Spiffe", 1)
        lines[at] = json.dumps(record)
        path.write_text("\n".join(lines) + "\n")
        done = subprocess.run([self.server.build / "client/cli/holdfast",
                               "audit",
                               "verify", str(path)], capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 7)
        self.assertIn(f"index {record['index']} ", done.stderr)


if __name__ == "__main__":
    unittest.main()
