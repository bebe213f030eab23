"""A token as its user sees it, by Cryptoki itself: what any program with the
PIN could read."""
import ctypes
import os

CLASS, TOKEN, PRIVATE, LABEL, VALUE = 0x0, 0x1, 0x2, 0x3, 0x11
KEY_TYPE, ID, SENSITIVE, EXTRACTABLE = 0x100, 0x102, 0x103, 0x162
# private exponent, primes, exponents, coefficient
RSA_SECRETS = (0x123, 0x124, 0x125, 0x126, 0x127, 0x128)
PRIVATE_KEY, SECRET_KEY = 3, 4
OK, ATTRIBUTE_SENSITIVE, ATTRIBUTE_TYPE_INVALID = 0x0, 0x11, 0x12
RSA_OAEP, SHA_1, MGF1_SHA1 = 0x9, 0x220, 0x1
SERIAL_SESSION, USER = 0x4, 1
Number = ctypes.c_ulong


class Attribute(ctypes.Structure):
    _fields_ = [("type", Number), ("value", ctypes.c_void_p), ("length", Number)]


class Mechanism(ctypes.Structure):
    _fields_ = [("mechanism", Number), ("parameter", ctypes.c_void_p),
                ("length", Number)]


class Oaep(ctypes.Structure):
    _fields_ = [("hash", Number), ("mgf", Number), ("source", Number),
                ("data", ctypes.c_void_p), ("length", Number)]


class Module:
    """SoftHSM with the tokens of a configuration file, in this process."""

    def __init__(self, path, conf):
        os.environ["SOFTHSM2_CONF"] = str(conf)
        self.calls = ctypes.CDLL(path)
        self.need("C_Initialize", None)

    def close(self):
        self.need("C_Finalize", None)

    def call(self, name, *words):
        return getattr(self.calls, name)(*words)

    def need(self, name, *words):
        rv = self.call(name, *words)
        if rv != OK:
            raise OSError(f"{name}: 0x{rv:x}")

    def labels(self):
        """label -> slot of the tokens there are."""
        count = Number(64)
        slots = (Number * 64)()
        self.need("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
        found = {}
        for slot in slots[:count.value]:
            info = (ctypes.c_ubyte * 512)()
            self.need("C_GetTokenInfo", Number(slot), info)
            found[bytes(info[:32]).decode().rstrip()] = slot
        return found

    def log_in(self, slot, pin):
        session = Number()
        self.need("C_OpenSession", Number(slot), Number(SERIAL_SESSION), None,
                  None, ctypes.byref(session))
        self.need("C_Login", session, Number(USER), pin, Number(len(pin)))
        return session

    def objects(self, session):
        self.need("C_FindObjectsInit", session, None, Number(0))
        handles = (Number * 1000)()
        count = Number()
        self.need("C_FindObjects", session, handles, Number(1000),
                  ctypes.byref(count))
        self.need("C_FindObjectsFinal", session)
        return handles[:count.value]

    def attribute(self, session, handle, kind):
        """(code, bytes) of one attribute."""
        buffer = ctypes.create_string_buffer(8192)
        one = Attribute(kind, ctypes.cast(buffer, ctypes.c_void_p), 8192)
        rv = self.call("C_GetAttributeValue", session, Number(handle),
                       ctypes.byref(one), Number(1))
        missing = rv != OK or one.length > 8192
        return rv, b"" if missing else buffer.raw[:one.length]

    def number(self, session, handle, kind):
        return int.from_bytes(self.attribute(session, handle, kind)[1],
                              "little")

    def oaep_decrypt(self, session, handle, wrapped):
        """What an RSA-OAEP block with SHA-1 holds, or None."""
        parameters = Oaep(SHA_1, MGF1_SHA1, 1, None, 0)
        how = Mechanism(RSA_OAEP, ctypes.cast(ctypes.pointer(parameters),
                                              ctypes.c_void_p),
                        ctypes.sizeof(parameters))
        self.need("C_DecryptInit", session, ctypes.byref(how), Number(handle))
        out = ctypes.create_string_buffer(512)
        length = Number(512)
        rv = self.call("C_Decrypt", session, wrapped, Number(len(wrapped)), out,
                       ctypes.byref(length))
        return out.raw[:length.value] if rv == OK else None
