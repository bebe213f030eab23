"""Do private keys stay in their tokens, and opened keys out of everything but
the reply they are meant for (appendix B, 13; N42)?
"""
import base64
import os
import pathlib
import sqlite3
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import cryptoki  # noqa: E402
from server import AK_TOKEN, ANNEX, EAST, PARENT, SYSTEM, WEST, Server  # noqa: E402

SERVICE_TOKEN = "holdfast-service"
RSA_BYTES = 256


def forms(key):
    """As they might be written: raw, hexadecimal, base64, as a list."""
    return [key, key.hex().encode(), key.hex().upper().encode(),
            base64.b64encode(key)[:42], base64.urlsafe_b64encode(key)[:42],
            b", ".join(b"%d" % byte for byte in key)]


class Secrecy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().begin()
        cls.keys = {}
        for box in ("mail", "memo"):
            cls.keys[box] = cls.server.unwrap(box).key
        # and once by each other path there is
        cls.server.faults(*[f"token={token} function=C_UnwrapKey "
                            "rv=CKR_DEVICE_ERROR" for token in (EAST, WEST)])
        for box in ("mail", "memo"):
            for initiator in (1, SYSTEM):
                assert cls.server.unwrap(box, initiator).key == cls.keys[box]
        cls.server.heal("mail", "memo")
        cls.module = cryptoki.Module(cls.server.softhsm,
                                     cls.server.home / "softhsm2.conf")
        cls.sessions = {
            label: cls.module.log_in(slot, cls.server.pin(label).read_bytes()
                                     .strip())
            for label, slot in cls.module.labels().items()
            if label.startswith(("contoso", "holdfast"))}
        cls.dep_key = cls.open_dep_key()

    @classmethod
    def tearDownClass(cls):
        cls.module.close()
        cls.server.stop()

    @classmethod
    def root(cls, token):
        """(session, handle) of the private key under the customer's name."""
        session = cls.sessions[token]
        for handle in cls.module.objects(session):
            label = cls.module.attribute(session, handle, cryptoki.LABEL)[1]
            kind = cls.module.number(session, handle, cryptoki.CLASS)
            if label == f"key-{token}".encode() and \
                    kind == cryptoki.PRIVATE_KEY:
                return session, handle
        raise AssertionError("no key of the customer's in " + token)

    @classmethod
    def open_dep_key(cls):
        """The DEP key of the MEMORY DEP, from the store, with the customer's
        own PIN: every stretch of bytes that opens, in each token."""
        copy = sqlite3.connect(":memory:")
        store = sqlite3.connect(
            f"file:{cls.server.home}/state/holdfast.db?mode=ro", uri=True)
        store.backup(copy)
        store.close()
        uid = cls.server.cli("admin", "dep", "get", "memo")["uid"]
        ident = bytes.fromhex(uid.replace("-", ""))
        opened = {EAST: set(), WEST: set()}
        for (table,) in copy.execute(
                "select name from sqlite_master where type='table'").fetchall():
            for row in copy.execute(f'select * from "{table}"'):
                for cell in row:
                    if not isinstance(cell, bytes) or ident not in cell or \
                            len(cell) < 2 * RSA_BYTES:
                        continue
                    for token in opened:
                        for at in range(len(cell) - RSA_BYTES + 1):
                            key = cls.module.oaep_decrypt(
                                *cls.root(token), cell[at:at + RSA_BYTES])
                            if key is not None:
                                opened[token].add(key)
        assert opened[EAST] == opened[WEST] and len(opened[EAST]) == 1, opened
        return opened[EAST].pop()

    def test_tokens_give_nothing(self):
        """No part of a private or secret key can be read with the PIN."""
        counted = {}
        for label, session in self.sessions.items():
            for handle in self.module.objects(session):
                kind = self.module.number(session, handle, cryptoki.CLASS)
                if kind not in (cryptoki.PRIVATE_KEY, cryptoki.SECRET_KEY):
                    continue
                name = self.module.attribute(session, handle, cryptoki.LABEL)
                where = (label, name)
                counted[label] = counted.get(label, 0) + 1
                for part in (cryptoki.VALUE, *cryptoki.RSA_SECRETS):
                    code, value = self.module.attribute(session, handle, part)
                    self.assertIn(code, (cryptoki.ATTRIBUTE_SENSITIVE,
                                         cryptoki.ATTRIBUTE_TYPE_INVALID),
                                  where)
                    self.assertEqual(value, b"", where)
                for flag, wanted in ((cryptoki.SENSITIVE, 1),
                                     (cryptoki.EXTRACTABLE, 0),
                                     (cryptoki.PRIVATE, 1)):
                    self.assertEqual(
                        self.module.number(session, handle, flag), wanted,
                        (where, hex(flag)))
        for label in (EAST, WEST, AK_TOKEN, SERVICE_TOKEN):
            self.assertGreater(counted.get(label, 0), 0, label)

    def test_pkcs11_tool_sees_the_same(self):
        for token in (EAST, WEST):
            code, text = self.server.pkcs11_tool(token, "--list-objects",
                                                 "--type", "privkey")
            self.assertEqual(code, 0, text)
            self.assertIn("key-" + token, text)
            for part in text.split("Private Key Object")[1:]:
                self.assertIn("sensitive", part)
                self.assertIn("never extractable", part)
        for token in (AK_TOKEN, SERVICE_TOKEN):
            code, text = self.server.pkcs11_tool(
                token, "--read-object", "--type", "secrkey")
            self.assertNotEqual(code, 0, text)

    def test_nothing_on_disk(self):
        """Neither mailbox keys nor the DEP key: store, its journal, log,
        tokens, all of them."""
        seen = set()
        for path in self.server.home.rglob("*"):
            if not path.is_file():
                continue
            data = path.read_bytes()
            seen.add(path.name)
            for key in (*self.keys.values(), self.dep_key):
                for form in forms(key):
                    self.assertNotIn(form, data, path)
        self.assertLessEqual({"holdfast.db", "holdfast.db-wal",
                              "holdfastd.log"}, seen)

    def test_nothing_in_the_audit(self):
        records = self.server.audit()
        self.assertGreater(len(records), 5)
        for record in records:
            for key in (*self.keys.values(), self.dep_key):
                for form in forms(key):
                    self.assertNotIn(form, record.SerializeToString())

    def test_only_where_it_is_meant(self):
        """Replies with a key in plain: GenerateKey's and UnwrapKey's."""
        box = f"{PARENT}/mailboxes/memo"
        key = self.keys["memo"]
        made = self.server.call("workload", "WrapKey", resource=box,
                                plaintext_key=key,
                                access=self.server.access(1))
        again = self.server.call("workload", "RewrapKey", resource=box,
                                 access=self.server.access(1))
        told = self.server.call("workload", "UnwrapKey", resource=box,
                                wrapped_key=made.wrapped_key,
                                access=self.server.access(1))
        self.assertEqual(told.plaintext_key, key)
        for reply in (made, again, self.server.call(
                "admin", "GetMailbox", name=box), self.server.call(
                    "admin", "GetDep", name=f"{PARENT}/deps/memo")):
            for secret in (key, self.dep_key):
                for form in forms(secret):
                    self.assertNotIn(form, reply.SerializeToString())

    def memory(self):
        """(flags, bytes) of each mapping of the server, and of the workers of
        its tokens, that can be read."""
        for pid in self.server.processes():
            yield from self.memory_of(pid)

    def memory_of(self, pid):
        smaps = pathlib.Path(f"/proc/{pid}/smaps").read_text()
        found, span = [], None
        for line in smaps.splitlines():
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                span = [int(end, 16) for end in words[0].split("-")]
                name = words[5] if len(words) > 5 else ""
            elif words[0] == "VmFlags:" and "rd" in words and \
                    not name.startswith("[v"):
                found.append((words[1:], span))
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for flags, (begin, end) in found:
                memory.seek(begin)
                try:
                    yield flags, memory.read(end - begin)
                except OSError:
                    continue

    def where(self, key):
        return [flags for flags, data in self.memory() if key in data]

    @unittest.skipIf(os.environ.get("HF_SANITIZERS"),
                     "a sanitizer maps terabytes and keeps what was freed")
    def test_memory(self):
        """The DEP key of a MEMORY DEP: while its lease lives in locked memory
        that no core dump has, and nowhere else; after it nowhere at all."""
        self.server.cli("admin", "dep", "update", "memo", "--key-lease", "60")
        self.assertEqual(self.server.unwrap("memo").key, self.keys["memo"])
        places = self.where(self.dep_key)
        self.assertGreater(len(places), 0)  # the search finds it
        for flags in places:
            self.assertIn("lo", flags)  # locked
            self.assertIn("dd", flags)  # not dumped
        self.server.cli("admin", "dep", "update", "memo", "--key-lease", "0")
        self.assertEqual(self.where(self.dep_key), [])
        self.assertEqual(self.server.unwrap("memo").key, self.keys["memo"])
        self.assertEqual(self.where(self.dep_key), [])

    def test_no_core(self):
        for pid in self.server.processes():
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            core = [line.split() for line in limits.splitlines()
                    if line.startswith("Max core file size")]
            self.assertEqual(core[0][4:6], ["0", "0"], pid)

    def test_pins_are_nowhere_to_be_seen(self):
        """Each worker has its PIN, and nobody who may list processes."""
        pins = [self.server.pin(label).read_bytes().strip()
                for label in self.server.workers()]
        self.assertGreaterEqual(len(pins), 5)
        for pid in self.server.processes():
            for name in ("cmdline", "environ"):
                text = pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
                for pin in pins:
                    self.assertNotIn(pin, text, (pid, name))

    def test_annex_is_not_the_services(self):
        """A customer's token holds no key of the service's."""
        session = self.sessions[ANNEX]
        kinds = [self.module.number(session, handle, cryptoki.CLASS)
                 for handle in self.module.objects(session)]
        self.assertNotIn(cryptoki.SECRET_KEY, kinds)


if __name__ == "__main__":
    unittest.main()
