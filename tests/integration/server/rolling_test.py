"""Does a DEP on real tokens go over to new versions of its keys, and to another
pair, with what is touched moved, what is not still readable, and the
availability key as it was (specification 7; appendix B, 9)?
"""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import AK_TOKEN, API, EAST, PARENT, SYSTEM, USER, WEST, Server  # noqa: E402

BOXES = ("one", "two", "three")


class Rolling(unittest.TestCase):
    def setUp(self):
        self.server = Server().begin()
        self.addCleanup(self.server.stop)
        for token in (EAST, WEST):
            self.server.customer_key("r-" + token, token)
        self.keys = {}
        _, made = self.server.dep_with_box(
            "roll", ["r-" + EAST, "r-" + WEST])
        self.keys["roll"] = made.plaintext_key
        for box in BOXES:
            self.server.mailbox(box, "roll")
            made = self.server.call("workload", "GenerateKey",
                                    resource=f"{PARENT}/mailboxes/{box}")
            self.keys[box] = made.plaintext_key

    def new_version(self, token):
        """One more version under the same name (R-4.24)."""
        name = "r-" + token
        self.server.generate(token, name + "-next")
        self.server.cli("admin", "key", "register", name, "--token", token,
                        "--uri", self.server.uris[name + "-next"])

    def dep(self):
        return self.server.call("admin", "GetDep", name=f"{PARENT}/deps/roll")

    def generation(self, box):
        return self.server.call(
            "admin", "GetMailbox",
            name=f"{PARENT}/mailboxes/{box}").effective_generation

    def opens(self, box, initiator=USER):
        outcome = self.server.unwrap(box, initiator)
        self.assertEqual(outcome.key, self.keys[box], outcome)
        return outcome

    def refused(self, reason, method, **fields):
        outcome = self.server.outcome("admin", method,
                                      name=f"{PARENT}/deps/roll", **fields)
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", reason), outcome)

    def ended(self, operation):
        until = time.monotonic() + 60
        percent = 0
        while time.monotonic() < until:
            now = self.server.call("admin", "GetOperation", name=operation)
            self.assertGreaterEqual(now.percent, percent)
            self.assertEqual(now.percent == 100, now.done)
            percent = now.percent
            if now.done:
                self.assertEqual(now.state, 2, now)  # SUCCEEDED
                return now
            time.sleep(0.1)
        raise AssertionError(now)

    def moved(self, *boxes):
        for box in self.keys:
            self.assertEqual(self.generation(box), 2 if box in boxes else 1)

    def test_refresh(self):
        """R-7.1, R-7.3, R-7.4, R-7.6, T5, T7."""
        before = self.dep()
        self.refused("NOTHING_TO_REFRESH", "RefreshDep")
        for token in (EAST, WEST):
            self.new_version(token)
        self.assertEqual(self.dep().generation, 1)
        begun = self.server.cli("admin", "dep", "refresh", "roll")
        self.assertEqual(begun["kind"], "refresh")
        dep = self.dep()
        self.assertEqual((dep.generation, dep.key_update), (2, 1))
        self.assertEqual([key.version for key in dep.customer_keys], [2, 2])
        self.assertEqual(dep.availability_key, before.availability_key)
        self.assertEqual((dep.key_counts.newest, dep.key_counts.earlier),
                         (0, len(self.keys)))
        self.refused("STATE_CONFLICT", "RefreshDep")
        self.opens("one")
        self.opens("two", SYSTEM)
        self.moved("one", "two")
        for _ in range(3):
            self.opens("one")
        dep = self.dep()
        self.assertEqual((dep.key_counts.newest, dep.key_counts.earlier), (2, 2))
        operation = self.server.call("admin", "GetOperation",
                                     name=begun["name"])
        self.assertFalse(operation.done)
        # kill and start again: the watch goes on, the rest is on an order
        self.server.end()
        self.server.start()
        self.server.settled()
        self.moved("one", "two")
        self.ended(self.server.cli("admin", "dep", "rewrap", "roll")["name"])
        self.moved(*self.keys)
        self.ended(begun["name"])
        self.assertEqual(self.dep().key_update, 0)
        for box in self.keys:
            self.opens(box)
        self.assertEqual(len(self.server.audit(activity="KeyUpdateEnded")), 1)

    def dependants(self, token, version):
        found, page = [], ""
        while True:
            reply = self.server.call(
                "auditor", "ListKeyDependants", version=version, page_size=3,
                name=f"{PARENT}/customerKeys/r-{token}", page_token=page)
            found += [one.resource.rsplit("/", 1)[1]
                      for one in reply.dependants]
            page = reply.next_page_token
            if not page:
                self.assertEqual(len(found), reply.total_count)
                return sorted(found)

    def disable(self, token, version):
        mask = API.message("google.protobuf.FieldMask")
        return self.server.outcome(
            "admin", "UpdateCustomerKey", version=version,
            name=f"{PARENT}/customerKeys/r-{token}",
            update_mask=mask(paths=["enabled"]))

    def test_what_needs_a_version(self):
        """R-7.2, R-7.13: a version is disabled when nothing stored needs it,
        and not before."""
        everything = sorted(self.keys)
        self.assertEqual(self.dependants(EAST, 1), everything)
        self.new_version(EAST)
        self.server.cli("admin", "dep", "refresh", "roll")
        self.opens("one")
        self.assertEqual(self.dependants(EAST, 1),
                         [box for box in everything if box != "one"])
        self.assertEqual(self.dependants(EAST, 2), ["one"])
        self.assertEqual(self.dependants(WEST, 1), everything)
        for token, version in ((EAST, 1), (EAST, 2), (WEST, 1)):
            outcome = self.disable(token, version)
            self.assertEqual((outcome.code, outcome.reason),
                             ("FAILED_PRECONDITION", "KEY_IN_USE"))
            self.assertIn(f"{PARENT}/mailboxes/", outcome.text)
        for box in everything:
            self.opens(box)
        self.assertEqual(self.dependants(EAST, 1), [])
        self.assertEqual(self.disable(EAST, 1).code, "OK")
        self.assertEqual(self.disable(EAST, 2).reason, "KEY_IN_USE")
        for box in everything:
            self.opens(box)

    def availability_objects(self, uid):
        code, text = self.server.pkcs11_tool(AK_TOKEN, "--list-objects",
                                             "--type", "secrkey")
        self.assertEqual(code, 0)
        return sorted(line.split("hf-ak:")[1] for line in text.splitlines()
                      if "hf-ak:" + uid in line)

    def test_availability_key(self):
        """R-7.10, R-7.11: rolled with both customer keys down and the server
        killed on the way; there is always a copy that opens, and at the end
        one version."""
        self.new_version(EAST)
        self.server.cli("admin", "dep", "refresh", "roll")
        self.opens("one")  # two generations, both in use
        dep = self.dep()
        self.assertEqual(self.availability_objects(dep.uid), [dep.uid + ":1"])
        down = [f"token={token} function=C_UnwrapKey rv=CKR_DEVICE_ERROR"
                for token in (EAST, WEST)]
        self.server.faults(*down)
        for version in (2, 3, 4, 5):
            begun = self.server.call("operator", "RollAvailabilityKey",
                                     parent=PARENT, dep=dep.name)
            time.sleep((version - 2) * 0.1)
            self.server.end()
            self.server.clear()  # a token that fails its self-test is not open
            self.server.start()
            self.server.settled()
            self.server.faults(*down)
            for box in ("one", "two"):
                self.opens(box, SYSTEM)
            self.ended(begun.name)
            self.assertEqual(
                (self.dep().availability_key.state,
                 self.dep().availability_key.version), ("ACTIVE", version))
            self.assertEqual(self.availability_objects(dep.uid),
                             [f"{dep.uid}:{version}"])
            for box in ("one", "two"):
                self.opens(box, SYSTEM)
        self.server.heal("roll")
        for box in self.keys:
            self.opens(box)
        outcome = self.server.outcome("admin", "RollAvailabilityKey",
                                      parent=PARENT)
        self.assertEqual(outcome.reason, "ROLE_REQUIRED")

    def test_lost_availability_key(self):
        """R-15.2: where no availability key opens the DEP key, a roll makes a
        new generation, and comes to its end; what was under the one before
        opens by the customer keys, and moves."""
        dep = self.dep()
        ident = self.availability_ident(dep.uid)
        self.server.end()
        code, text = self.server.pkcs11_tool(
            AK_TOKEN, "--delete-object", "--type", "secrkey", "--id", ident)
        self.assertEqual(code, 0, text)
        self.server.start()
        begun = self.server.call("operator", "RollAvailabilityKey",
                                 parent=PARENT, dep=dep.name)
        self.ended(begun.name)
        self.assertEqual(self.dep().generation, dep.generation + 1)
        self.assertEqual(self.availability_objects(dep.uid), [dep.uid + ":2"])
        for box in self.keys:
            self.opens(box)
        self.server.faults(*[
            f"token={token} function=C_UnwrapKey rv=CKR_DEVICE_ERROR"
            for token in (EAST, WEST)])
        for box in self.keys:
            self.opens(box, SYSTEM)

    def availability_ident(self, uid):
        """The CKA_ID of the one object."""
        code, text = self.server.pkcs11_tool(AK_TOKEN, "--list-objects",
                                             "--type", "secrkey")
        self.assertEqual(code, 0, text)
        rest = text.split("hf-ak:" + uid)[1]
        return rest.split("ID:")[1].split()[0]

    def test_service_managed(self):
        """R-15.10: what no policy covers goes over to a new root of the
        tenant's own; the old one is destroyed."""
        resource = f"{PARENT}/mailboxes/one"
        self.server.cli("admin", "mailbox", "assign", "one", "--none")
        kept = self.server.call("workload", "RewrapKey", resource=resource,
                                access=self.server.access(USER)).wrapped_key
        begun = self.server.call("operator", "RollServiceManagedKey",
                                 name=PARENT)
        self.server.end()
        self.server.start()
        self.server.settled()
        self.opens("one")
        self.ended(begun.name)
        self.opens("one")
        outcome = self.server.unwrap("one", wrapped_key=kept)
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", "KEY_DESTROYED"), outcome)
        self.opens("two")

    def test_replace(self):
        """T6, R-12.6: while mailboxes are assigned; the new pair is validated first;
        the old pair opens what is not moved, and nothing else."""
        old = [f"{PARENT}/customerKeys/r-{t}" for t in (EAST, WEST)]
        new = [f"{PARENT}/customerKeys/n-{t}" for t in (EAST, WEST)]
        for token in (EAST, WEST):
            self.server.customer_key("n-" + token, token)
        self.refused("VALIDATION_FAILED", "ReplaceDepKeys",
                     customer_keys=[new[0], old[0]])
        self.assertEqual(self.dep().generation, 1)
        begun = self.server.cli(
            "admin", "dep", "replace", "roll", "--customer-key", "n-" + EAST,
            "--customer-key", "n-" + WEST)
        self.assertEqual(begun["kind"], "replace")
        dep = self.dep()
        self.assertEqual([key.customer_key for key in dep.customer_keys], new)
        self.opens("one")
        self.moved("one")
        for token in (EAST, WEST):
            self.server.revoke("r-" + token)
        self.opens("one")
        self.assertEqual(self.server.unwrap("two").reason, "KEY_ACCESS_DENIED")
        self.opens("two", SYSTEM)  # by the availability key, and moves
        self.moved("one", "two")
        self.opens("two")
        for token in (EAST, WEST):
            self.server.grant("r-" + token)
        for box in self.keys:
            self.opens(box)
        self.ended(begun["name"])


if __name__ == "__main__":
    unittest.main()
