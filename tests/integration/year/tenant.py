"""The tenant of the year: what it does every month, and its own books.

The books are the oracle: every key that was acknowledged, byte for byte, whose
it is, what was purged, and every call that the availability key served. Nothing
in them is taken from what Holdfast says later.
"""
import collections
import json
import pathlib
import random
import subprocess
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import (AK_USED, API, EAST, PARENT, PATHS, SYSTEM,  # noqa: E402
                    USER, WEST, Server, deployment, identity)

deployment.PEOPLE = {
    **deployment.PEOPLE,
    "compliance": ("contoso/compliance", "contoso", ["compliance-admin"]),
    "m365": ("contoso/m365", "contoso", ["workload-m365"]),
    "keeper": ("contoso/keeper", "contoso", ["sharepoint-admin"]),
    "files": ("contoso/files", "contoso", ["workload-sharepoint"]),
}
TOKENS = (EAST, WEST)
GEO = f"{PARENT}/geos/EMEA"
SUCCEEDED = 2
AT_ONCE = 32        # calls on their way: a stream, and half of a tenant's share
LONGEST_S = 300     # for whatever the service has to do by itself
SAMPLE = 8          # of each group
REFUSED = ("PERMISSION_DENIED", "KEY_ACCESS_DENIED")
DESTROYED = ("FAILED_PRECONDITION", "KEY_DESTROYED")


def box_name(box):
    return f"{PARENT}/mailboxes/{box}"


class Tenant:
    def __init__(self, case):
        self.case = case
        self.server = Server({"ak_roll_interval_days": 180}, moving_clock=True,
                             sharepoint=True).begin(anew=True)
        self.keys = {}       # mailbox: its key
        self.copies = {}     # mailbox: the first wrapped key, kept by a client
        self.groups = {}     # name: mailboxes
        self.gone = set()    # mailboxes that were purged
        self.files = {}      # site: its key and its blob
        self.by_ak = set()   # ids of the calls that the availability key served
        self.moved_by_ak = 0
        self.dice = random.Random(2026)

    # --- calls ------------------------------------------------------------

    def many(self, who, method, requests, timeout=120):
        """A stream of calls, some at once; their replies, in order."""
        stub = API.stub(self.server.channel(who), PATHS[method])
        waiting, replies = collections.deque(), []
        for fields in requests:
            if len(waiting) == AT_ONCE:
                replies.append(waiting.popleft().result())
            waiting.append(stub.future(API.request(PATHS[method], **fields),
                                       timeout=timeout))
        return replies + [one.result() for one in waiting]

    def until(self, come, what):
        """Waits for what the service does by itself."""
        limit = time.monotonic() + LONGEST_S
        while not come():
            self.case.assertLess(time.monotonic(), limit, what)
            time.sleep(0.1)

    def ended(self, name):
        """An operation, when it is over; it must have succeeded."""
        name = name if "/" in name else f"{PARENT}/operations/{name}"
        get = lambda: self.server.call("admin", "GetOperation", name=name)
        self.until(lambda: get().done, name)
        operation = get()
        self.case.assertEqual((operation.state, operation.percent),
                              (SUCCEEDED, 100), operation)
        return operation

    # --- keys and policies ------------------------------------------------

    def pair(self, name, people=("workload", "system")):
        """Two customer keys, one in each token, for these people."""
        for token in TOKENS:
            self.server.customer_key(f"{name}-{token}", token)
            more = [who for who in people if who not in ("workload", "system")]
            self.server.grant(f"{name}-{token}", more)
        return [f"{name}-{token}" for token in TOKENS]

    def new_version(self, name, token):
        key, made = f"{name}-{token}", f"{name}-{token}-2"
        self.server.generate(token, made)
        self.server.cli("admin", "key", "register", key, "--token", token,
                        "--uri", self.server.uris[made])

    def policy(self, who, name, keys, *words, workload="workload"):
        pair = [word for key in keys for word in ("--customer-key", key)]
        return self.server.cli(who, "dep", "create", name, *pair,
                               "--workload-identity", identity(workload),
                               *words)

    def permit(self, keys, people=("workload", "system")):
        for key in keys:
            self.server.grant(key, people)

    def forbid(self, keys, people=("workload", "system")):
        for key in keys:
            self.server.revoke(key, people)

    def officer(self):
        key = self.server.home / "ada.officer.key"
        for words in (["genpkey", "-algorithm", "EC", "-pkeyopt",
                       "ec_paramgen_curve:P-256", "-out", key],
                      ["pkey", "-in", key, "-pubout", "-out",
                       key.with_suffix(".pem")]):
            subprocess.run(["openssl", *words], check=True,
                           capture_output=True)
        self.server.cli("admin", "approvers", "set", "--approver",
                        f"{identity('ada')}={key.with_suffix('.pem')}")
        return key

    # --- mailboxes --------------------------------------------------------

    def arrive(self, group, count, dep=None):
        """Mailboxes, registered, assigned and keyed through the API."""
        boxes = [f"{group}-{number:05}" for number in range(count)]
        self.groups[group] = boxes
        self.many("workload", "RegisterMailbox",
                  [{"parent": PARENT, "mailbox_id": box, "licensed": True}
                   for box in boxes])
        if dep:
            self.assign(boxes, dep)
        made = self.many("workload", "GenerateKey",
                         [{"resource": box_name(box)} for box in boxes])
        for box, reply in zip(boxes, made):
            self.keys[box] = reply.plaintext_key
            self.copies[box] = reply.wrapped_key
        self.case.assertEqual(len({*self.keys.values()}), len(self.keys))

    def assign(self, boxes, dep):
        self.many("admin", "AssignMailbox",
                  [{"name": box_name(box), "dep": f"{PARENT}/deps/{dep}"}
                   for box in boxes])

    def some(self, *groups, of_each=SAMPLE):
        """A few mailboxes of these groups, of all by default."""
        return [box for group in groups or self.groups
                for box in self.dice.sample(self.groups[group], of_each)]

    def ask(self, box, initiator=USER, **fields):
        return self.server.unwrap(box, initiator, **fields)

    def opens(self, boxes, initiator=USER, by_ak=False):
        """Each with the key it always had; whether or not by the availability
        key goes into the books."""
        for box in boxes:
            request = str(uuid.uuid4())
            outcome = self.ask(box, initiator, request_id=request)
            self.case.assertEqual(outcome.key, self.keys[box], (box, outcome))
            if by_ak:
                self.by_ak.add(request)

    def refuses(self, boxes, answer, initiator=USER):
        for box in boxes:
            outcome = self.ask(box, initiator)
            self.case.assertEqual(outcome.answer, answer, (box, outcome))
            self.case.assertIsNone(outcome.key)

    def policy_of(self, box):
        return self.ask(box).reply.dep

    # --- files ------------------------------------------------------------

    def site(self, name):
        resource = f"{PARENT}/sites/{name}"
        self.server.cli("files", "site", "register", name, "--geo", "EMEA")
        key = self.server.call("files", "CreateSiteKey", resource=resource)
        blob = self.server.call("files", "WrapBlobKey", blob_id="chunk-1",
                                resource=resource)
        self.files[name] = (key.plaintext_key, blob)

    def geo_is(self, tik_version):
        """The geo, when all its sites are under this TIK."""
        get = lambda: self.server.call("keeper", "GetGeo", name=GEO)
        self.until(lambda: (get().percent, get().tik_version) ==
                   (100, tik_version), "the geo's TIK")
        return get()

    def files_open(self):
        for name, (key, blob) in self.files.items():
            resource = f"{PARENT}/sites/{name}"
            site = self.server.outcome("files", "UnwrapSiteKey",
                                       resource=resource)
            self.case.assertEqual(site.key, key, site)
            chunk = self.server.outcome(
                "files", "UnwrapBlobKey", resource=resource,
                blob_id="chunk-1", wrapped_key=blob.wrapped_key)
            self.case.assertEqual(chunk.key, blob.plaintext_key, chunk)

    # --- time -------------------------------------------------------------

    def nothing_is_lost(self):
        """I1, I2: a sample of every group, and all files."""
        for group, boxes in self.groups.items():
            sample = self.dice.sample(boxes, SAMPLE)
            if self.gone.isdisjoint(sample):
                self.opens(sample)
            else:
                for initiator in (USER, SYSTEM):
                    self.refuses(sample, DESTROYED, initiator)
        self.files_open()

    def time_passes(self, days=30):
        """And whatever is due by then is done: the daily look at every copy of
        every DEP key finds none that is bad."""
        deps = [dep for who, kind in (("admin", 1), ("compliance", 2))
                for dep in self.server.call(who, "ListDeps", parent=PARENT,
                                            type=kind).deps if dep.state != 5]
        before = self.last_index()
        self.server.advance(days=days)
        self.until(lambda: {one.object for one in self.records("Scrub", before)}
                   >= {dep.name for dep in deps}, "the daily look")
        for one in self.records("Scrub", before):
            self.case.assertNotIn("BAD", one.json)
        self.case.assertEqual(self.server.log_lines("scrub.bad_copy"), [])

    # --- the books --------------------------------------------------------

    def records(self, activity, after=0):
        return self.server.audit(after, activity)

    def last_index(self):
        """Of what the daily look has told by now."""
        return max((one.index for one in self.records("Scrub")), default=0)

    def uses_are_on_record(self):
        """I4: each use of the availability key, by a call of ours or by the
        service's own, has exactly one record."""
        uses = [json.loads(one.json) for one in self.records(AK_USED)]
        asked = [one["requestId"] for one in uses
                 if one["requestId"] in self.by_ak]
        self.case.assertEqual(sorted(asked), sorted(self.by_ak))
        self.case.assertEqual(len(uses) - len(asked), self.moved_by_ak)
