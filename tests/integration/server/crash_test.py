"""Is what was acknowledged still there after a kill (I1), and is a store that
was changed behind the service's back refused (N21, N24, N33)?
"""
import pathlib
import shutil
import signal
import sqlite3
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import grpc  # noqa: E402
import deployment  # noqa: E402
from server import (API, PARENT, PATHS, USER, Context, Server)  # noqa: E402

KINDS = {1: "tenant", 2: "token", 3: "customer key", 4: "key version",
         5: "grant", 6: "DEP", 7: "generation"}
MAILBOX = 8


class Kill(unittest.TestCase):
    THREADS = 6
    ROUNDS = 3

    def generate(self, server, count):
        """Registers and generates until the server is gone."""
        channel = server.new_channel("admin"), server.new_channel("workload")
        register = API.stub(channel[0], PATHS["RegisterMailbox"])
        assign = API.stub(channel[0], PATHS["AssignMailbox"])
        make = API.stub(channel[1], PATHS["GenerateKey"])
        try:
            while True:
                name = f"{PARENT}/mailboxes/{uuid.uuid4()}"
                register(API.request(
                    PATHS["RegisterMailbox"], parent=PARENT,
                    mailbox_id=name.rsplit("/", 1)[1], licensed=True),
                    timeout=10)
                if count % 2:
                    assign(API.request(PATHS["AssignMailbox"], name=name,
                                       dep=f"{PARENT}/deps/mail"), timeout=10)
                request = str(uuid.uuid4())
                self.asked[name] = request
                made = make(API.request(
                    PATHS["GenerateKey"], resource=name,
                    access=Context(request_id=request)), timeout=10)
                self.made[name] = made
                count += 1
        except grpc.RpcError as error:
            self.ends.append(error.code().name)
        for one in channel:
            one.close()

    def test_kill(self):
        self.made, self.asked, self.ends = {}, {}, []
        with Server().begin() as server:
            for i in range(self.ROUNDS):
                before = len(self.made)
                threads = [threading.Thread(target=self.generate,
                                            args=(server, n))
                           for n in range(self.THREADS)]
                for thread in threads:
                    thread.start()
                until = time.monotonic() + 20
                while len(self.made) < before + 20 * (i + 1):
                    self.assertLess(time.monotonic(), until, self.ends)
                    time.sleep(0.005)
                self.assertEqual(server.end(signal.SIGKILL), -signal.SIGKILL)
                for thread in threads:
                    thread.join()
                self.assertEqual(set(self.ends), {"UNAVAILABLE"})
                server.start()
                for name, made in self.made.items():
                    box = name.rsplit("/", 1)[1]
                    self.assertEqual(server.unwrap(box).key,
                                     made.plaintext_key)
                    self.assertEqual(server.unwrap(
                        box, wrapped_key=made.wrapped_key).key,
                        made.plaintext_key)
            # what was not acknowledged can be asked for again, and is one key
            lost = [name for name in self.asked if name not in self.made]
            for name in lost:
                again = [server.call("workload", "GenerateKey", resource=name,
                                     access=Context(
                                         request_id=self.asked[name]))
                         for _ in range(2)]
                self.assertEqual(again[0].plaintext_key,
                                 again[1].plaintext_key)
                self.assertEqual(server.unwrap(name.rsplit("/", 1)[1]).key,
                                 again[0].plaintext_key)
            server.cli("auditor", "audit", "verify")


class Store(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().begin()
        cls.key = cls.server.unwrap("mail").key
        # one narrowing change more than in the copy
        assert cls.server.end() == 0
        cls.old = cls.copy("old")
        cls.server.start()
        cls.server.revoke("key-contoso-east")
        assert cls.server.end() == 0
        cls.new = cls.copy("new")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    @classmethod
    def copy(cls, name):
        shutil.copytree(cls.server.home / "state", cls.server.home / name,
                        ignore=shutil.ignore_patterns("rpc"))
        return cls.server.home / name

    def setUp(self):
        self.put(self.new)

    def tearDown(self):
        self.server.end()

    def put(self, folder):
        state = self.server.home / "state"
        for path in state.glob("holdfast.db*"):
            path.unlink()
        for path in folder.glob("holdfast.db*"):
            shutil.copy2(path, state)

    def edit(self, *statement):
        store = sqlite3.connect(self.server.home / "state/holdfast.db")
        changed = store.execute(*statement).rowcount
        store.commit()
        store.close()
        self.assertGreater(changed, 0, statement)

    def rows(self, kind):
        store = sqlite3.connect(self.server.home / "state/holdfast.db")
        found = store.execute(
            "select key, version, mac, previous_mac, body from record "
            "where kind = ? order by key", (kind,)).fetchall()
        store.close()
        return found

    def refuses(self, *words):
        """Does not start, says why, and does not die of it."""
        said = len(self.server.log())
        with self.assertRaises(RuntimeError) as caught:
            self.server.start()
        self.assertIn("did not start", str(caught.exception))
        code = self.server.server.wait()
        self.server.server = None
        self.assertGreater(code, 0)  # not by a signal
        text = self.server.log()[said:]
        self.assertRegex(text, "(?i)" + "|".join(words))

    def test_untouched(self):
        """The control: the copy that is put back is taken."""
        self.server.start()
        self.assertEqual(self.server.unwrap("mail").key, self.key)

    def test_flipped(self):
        """A bit of each kind of record."""
        for kind, name in KINDS.items():
            with self.subTest(kind=name):
                self.setUp()
                row = self.rows(kind)[0]
                body = bytearray(row[4])
                body[len(body) // 2] ^= 1
                self.edit("update record set body = ? where kind = ? and "
                          "key = ?", (bytes(body), kind, row[0]))
                self.refuses("corrupt", "damaged", "not what", "changed",
                             "does not verify")

    def test_deleted(self):
        for kind, name in KINDS.items():
            with self.subTest(kind=name):
                self.setUp()
                self.edit("delete from record where kind = ? and key = ?",
                          (kind, self.rows(kind)[0][0]))
                self.refuses("taken out", "lacks", "missing")

    def test_put_back(self):
        """The grant that was withdrawn since, as it was, with its own MAC."""
        store = sqlite3.connect(self.old / "holdfast.db")
        old = store.execute("select kind, key, version, mac, previous_mac, "
                            "body from record where kind = 5").fetchall()
        store.close()
        now = {row[0]: row for row in self.rows(5)}
        back = [row for row in old if row[1] not in now
                or now[row[1]][4] != row[5]]
        self.assertGreater(len(back), 0)
        for row in back:
            self.edit("insert or replace into record (kind, key, version, mac, "
                      "previous_mac, body) values (?, ?, ?, ?, ?, ?)", row)
        self.refuses("put back to an earlier version")

    def test_swapped(self):
        """Two records of a kind change places, MACs and all."""
        for kind in (3, 6, 7):
            with self.subTest(kind=KINDS[kind]):
                self.setUp()
                one, two = self.rows(kind)[:2]
                for key, row in ((one[0], two), (two[0], one)):
                    self.edit("update record set version = ?, mac = ?, "
                              "previous_mac = ?, body = ? where kind = ? and "
                              "key = ?", (*row[1:], kind, key))
                self.refuses("corrupt", "damaged", "not what", "changed",
                             "does not verify")

    def test_older_store(self):
        """N21: the whole store, as it was before the last change."""
        self.put(self.old)
        self.refuses("older", "behind", "restored", "epoch")

    def test_mailbox_row(self):
        """Read when it is needed: refused then, alone, and never opened."""
        rows = self.rows(MAILBOX)
        self.assertEqual(len(rows), 2)
        for key, _, _, _, body in rows:
            changed = bytearray(body)
            changed[-1] ^= 1
            self.edit("update record set body = ? where kind = ? and key = ?",
                      (bytes(changed), MAILBOX, key))
        self.server.start()
        before = self.server.audit_end()
        for initiator in (USER, 2):
            outcome = self.server.unwrap("mail", initiator)
            self.assertEqual(outcome.answer, ("DATA_LOSS", "RECORD_INVALID"))
            self.assertIsNone(outcome.key)
        self.assertEqual(self.server.ak_records(before), [])

    def test_audit_row(self):
        """N40: the first index that was changed is named."""
        store = sqlite3.connect(self.server.home / "state/holdfast.db")
        index, body = store.execute(
            "select idx, body from audit where tenant != zeroblob(16) "
            "order by idx limit 1 offset 3").fetchone()
        store.close()
        self.edit("update audit set body = ? where idx = ?",
                  (body.replace(b"contoso", b"contosa"), index))
        self.server.start()
        with self.assertRaises(deployment.Refused) as caught:
            self.server.cli("auditor", "audit", "verify")
        self.assertIn(f"index {index} ", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
