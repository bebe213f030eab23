"""OpenSC's pkcs11-tool, and the module asked directly, on the tokens of a whole
Holdfast while it serves: every private and secret key is sensitive, was always,
can never be extracted, and nobody reads it, whoever has the PIN.

HF_BUILD names the build folder.
"""

import ctypes
import os
import pathlib
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from deployment import TOKENS, Deployment  # noqa: E402

BUILD = pathlib.Path(os.environ["HF_BUILD"])
TOOL = "/usr/bin/pkcs11-tool"
TOOL_S = 30
ALL_TOKENS = [*TOKENS, "holdfast-service", "holdfast-ak"]
GUARDED = {"sensitive", "always sensitive", "never extractable", "local"}
OPEN_KEY = "open-for-comparison"

# Cryptoki's numbers (PKCS #11 v2.40)
CKR_OK = 0x0
CKR_ATTRIBUTE_READ_ONLY = 0x10
CKR_ATTRIBUTE_SENSITIVE = 0x11
CKR_ACTION_PROHIBITED = 0x1B
REFUSED = (CKR_ATTRIBUTE_READ_ONLY, CKR_ACTION_PROHIBITED)
CKR_KEY_UNEXTRACTABLE = 0x6A
CKA_CLASS, CKA_VALUE, CKA_LABEL = 0x0, 0x11, 0x3
CKA_SENSITIVE, CKA_EXTRACTABLE = 0x103, 0x162
CKO_PRIVATE_KEY, CKO_SECRET_KEY = 3, 4
CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP = 0x210A, 0x2109
SESSION = 2 | 4  # read and write, serial
UNAVAILABLE = ctypes.c_ulong(-1).value
# of an RSA key: exponent, primes, their exponents, coefficient
RSA_PARTS = range(0x123, 0x129)


class Attribute(ctypes.Structure):
    _fields_ = [("type", ctypes.c_ulong), ("value", ctypes.c_void_p),
                ("len", ctypes.c_ulong)]


class Mechanism(ctypes.Structure):
    _fields_ = [("type", ctypes.c_ulong), ("parameter", ctypes.c_void_p),
                ("len", ctypes.c_ulong)]


class Module:
    """The token's module, in this process; a session logged in as the user."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.session = ctypes.c_ulong()
        self.must("C_Initialize", None)

    def call(self, name, *arguments):
        return getattr(self.lib, name)(*arguments)

    def must(self, name, *arguments):
        rv = self.call(name, *arguments)
        if rv != CKR_OK:
            raise RuntimeError(f"{name}: {rv:#x}")

    def login(self, label, pin):
        slots, count = (ctypes.c_ulong * 16)(), ctypes.c_ulong(16)
        self.must("C_GetSlotList", 1, slots, ctypes.byref(count))
        for slot in slots[:count.value]:
            info = ctypes.create_string_buffer(512)
            self.must("C_GetTokenInfo", ctypes.c_ulong(slot), info)
            if info.raw[:32].rstrip() == label.encode():
                self.must("C_OpenSession", ctypes.c_ulong(slot), ctypes.c_ulong(SESSION),
                          None, None, ctypes.byref(self.session))
                self.must("C_Login", self.session, ctypes.c_ulong(1), pin.encode(),
                          ctypes.c_ulong(len(pin)))
                return
        raise RuntimeError(f"there is no token {label}")

    def logout(self):
        self.must("C_Logout", self.session)
        self.must("C_CloseSession", self.session)

    def find(self, kind):
        """Handles of all keys of a class."""
        value = ctypes.c_ulong(kind)
        template = self.attribute(CKA_CLASS, value)
        self.must("C_FindObjectsInit", self.session, ctypes.byref(template),
                  ctypes.c_ulong(1))
        handles, count = (ctypes.c_ulong * 64)(), ctypes.c_ulong()
        self.must("C_FindObjects", self.session, handles, ctypes.c_ulong(64),
                  ctypes.byref(count))
        self.must("C_FindObjectsFinal", self.session)
        return [ctypes.c_ulong(handle) for handle in handles[:count.value]]

    @staticmethod
    def attribute(kind, value):
        return Attribute(kind, ctypes.cast(ctypes.byref(value), ctypes.c_void_p),
                         ctypes.sizeof(value))

    def read(self, handle, kind):
        """(CK_RV, what came out, length told)."""
        room = ctypes.create_string_buffer(4096)
        asked = self.attribute(kind, room)
        rv = self.call("C_GetAttributeValue", self.session, handle, ctypes.byref(asked),
                       ctypes.c_ulong(1))
        return rv, room.raw.rstrip(b"\0"), asked.len

    def write(self, handle, kind, flag):
        value = ctypes.c_ubyte(flag)
        asked = self.attribute(kind, value)
        return self.call("C_SetAttributeValue", self.session, handle, ctypes.byref(asked),
                         ctypes.c_ulong(1))

    def copy(self, handle, kind, flag):
        value = ctypes.c_ubyte(flag)
        asked, made = self.attribute(kind, value), ctypes.c_ulong()
        rv = self.call("C_CopyObject", self.session, handle, ctypes.byref(asked),
                       ctypes.c_ulong(1), ctypes.byref(made))
        if rv == CKR_OK:
            self.must("C_DestroyObject", self.session, made)
        return rv

    def wrap(self, mechanism, by, handle):
        room, length = ctypes.create_string_buffer(4096), ctypes.c_ulong(4096)
        way = Mechanism(mechanism, None, 0)
        return self.call("C_WrapKey", self.session, ctypes.byref(way), by, handle, room,
                         ctypes.byref(length))


class OpenScTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = Deployment(BUILD)
        cls.addClassCleanup(cls.world.stop)
        cls.world.provision()
        cls.world.start()
        cls.world.onboard()
        made = cls.world.dep("mail")
        cls.world.mailbox("alice@contoso.example", made["name"])
        cls.ak = f"hf-ak:{made['uid']}:1"
        # a key that is not guarded shows that each question can be answered
        for token in ALL_TOKENS:
            cls.tool(token, "--keygen", "--key-type", "AES:32", "--label", OPEN_KEY,
                     "--extractable", "--usage-wrap")
        os.environ["SOFTHSM2_CONF"] = cls.world.env["SOFTHSM2_CONF"]
        cls.module = Module(cls.world.softhsm)

    @classmethod
    def pin(cls, token):
        return cls.world.pin(token).read_text().strip()

    @classmethod
    def ask(cls, token, *words, login=True):
        pin = ["--login", "--pin", cls.pin(token)] if login else []
        return subprocess.run([TOOL, "--module", cls.world.softhsm, "--token-label", token,
                               *pin, *words], env=cls.world.env, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=TOOL_S)

    @classmethod
    def tool(cls, token, *words):
        done = cls.ask(token, *words)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        return done.stdout

    @staticmethod
    def objects(listing):
        """Of what --list-objects prints: dicts of its lines, with kind."""
        found = []
        for line in listing.decode().splitlines():
            if not line.startswith(" "):
                found.append({"kind": line})
            else:
                name, _, value = line.strip().partition(":")
                found[-1][name] = value.strip()
        return found

    def keys(self, token):
        """The private and secret keys of a token, as OpenSC sees them."""
        listing = self.objects(self.tool(token, "--list-objects"))
        return {(key["kind"].split(" ")[0], key["label"]): key for key in listing
                if re.match("(Private|Secret) Key", key["kind"])}

    def test_every_key_is_guarded(self):
        for token in ALL_TOKENS:
            keys = self.keys(token)
            opened = keys.pop(("Secret", OPEN_KEY))
            self.assertFalse(set(opened["Access"].split(", ")) &
                             {"sensitive", "always sensitive", "never extractable"})
            self.assertTrue(keys, token)
            for name, key in keys.items():
                self.assertEqual(set(key["Access"].split(", ")), GUARDED, (token, name))

    def test_the_keys_that_matter_are_there(self):
        for token in TOKENS:
            root = self.keys(token)["Private", f"key-{token}"]
            self.assertEqual(root["Usage"], "unwrap")
            self.assertEqual(root["Allowed mechanisms"], "RSA-PKCS-OAEP")
        ak = self.keys("holdfast-ak")["Secret", self.ak]
        self.assertEqual(ak["kind"], "Secret Key Object; AES length 32")
        self.assertEqual(ak["Usage"], "wrap, unwrap")
        self.assertIn(("Private", "hf-audit-sign"), self.keys("holdfast-service"))
        self.assertIn(("Secret", "hf-record-mac"), self.keys("holdfast-service"))

    def test_no_key_without_the_pin(self):
        for token in ALL_TOKENS:
            listing = self.ask(token, "--list-objects", login=False)
            self.assertEqual(listing.returncode, 0)
            seen = [key["label"] for key in self.objects(listing.stdout)
                    if re.match("(Private|Secret) Key", key["kind"])]
            self.assertEqual(seen, [OPEN_KEY], token)

    def test_read_object(self):
        """OpenSC reads no key but the public ones."""
        kinds = {"Private": "privkey", "Secret": "secrkey"}
        for token in ALL_TOKENS:
            for (kind, label), key in self.keys(token).items():
                which = ["--id", key["ID"]] if "ID" in key else ["--label", label]
                done = self.ask(token, "--read-object", "--type", kinds[kind], *which)
                if label == OPEN_KEY:
                    self.assertEqual((done.returncode, len(done.stdout)), (0, 32))
                else:
                    self.assertEqual(done.stdout, b"", (token, label))
                    self.assertNotEqual(done.stderr, b"", (token, label))
        for token in TOKENS:
            public = self.tool(token, "--read-object", "--type", "pubkey", "--label",
                               f"key-{token}")
            self.assertGreater(len(public), 256)

    def guarded(self):
        """(token, label, class, handle) of every key, and the open one."""
        for token in ALL_TOKENS:
            self.module.login(token, self.pin(token))
            try:
                found = []
                opened = None
                for kind in (CKO_PRIVATE_KEY, CKO_SECRET_KEY):
                    for handle in self.module.find(kind):
                        label = self.module.read(handle, CKA_LABEL)[1].decode()
                        if label == OPEN_KEY:
                            opened = handle
                        else:
                            found.append((label, kind, handle))
                self.assertTrue(found, token)
                yield token, found, opened
            finally:
                self.module.logout()

    def test_the_module_tells_no_value(self):
        for token, keys, opened in self.guarded():
            rv, value, length = self.module.read(opened, CKA_VALUE)
            self.assertEqual((rv, length), (CKR_OK, 32))
            for label, kind, handle in keys:
                rsa = kind == CKO_PRIVATE_KEY and label != "hf-audit-sign"
                for part in RSA_PARTS if rsa else [CKA_VALUE]:
                    self.assertEqual(self.module.read(handle, part),
                                     (CKR_ATTRIBUTE_SENSITIVE, b"", UNAVAILABLE),
                                     (token, label, hex(part)))

    def test_nobody_opens_a_key_afterwards(self):
        """Neither by a changed attribute, nor by a copy that is less guarded."""
        for token, keys, opened in self.guarded():
            self.assertEqual(self.module.copy(opened, CKA_EXTRACTABLE, 0), CKR_OK)
            for label, _, handle in keys:
                for kind, flag in ((CKA_SENSITIVE, 0), (CKA_EXTRACTABLE, 1)):
                    what = (token, label, hex(kind))
                    self.assertIn(self.module.write(handle, kind, flag), REFUSED, what)
                    self.assertIn(self.module.copy(handle, kind, flag), REFUSED, what)

    def test_nobody_takes_a_key_away_wrapped(self):
        for token, keys, opened in self.guarded():
            self.assertEqual(self.module.wrap(CKM_AES_KEY_WRAP, opened, opened), CKR_OK)
            for label, kind, handle in keys:
                way = CKM_AES_KEY_WRAP if kind == CKO_SECRET_KEY else CKM_AES_KEY_WRAP_PAD
                self.assertEqual(self.module.wrap(way, opened, handle),
                                 CKR_KEY_UNEXTRACTABLE, (token, label))


if __name__ == "__main__":
    unittest.main()
