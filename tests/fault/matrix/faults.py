"""The two sides of the matrix: functions of PKCS#11, and what can go wrong in
them (words of tests/fault/shim/rules.h); and what the port may answer."""

import pathlib
import re

# Every function that hsm/pkcs11 calls for the token port. Those that belong to
# the module and not to a token disturb both tokens of a process.
MODULE_FUNCTIONS = ["C_Initialize", "C_Finalize", "C_GetSlotList"]
TOKEN_FUNCTIONS = [
    "C_GetTokenInfo", "C_GetMechanismInfo",
    "C_OpenSession", "C_CloseSession", "C_GetSessionInfo", "C_Login",
    "C_CreateObject", "C_CopyObject", "C_DestroyObject",
    "C_GetAttributeValue", "C_SetAttributeValue",
    "C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
    "C_EncryptInit", "C_Encrypt", "C_DecryptInit", "C_Decrypt",
    "C_SignInit", "C_Sign", "C_VerifyInit", "C_Verify", "C_GenerateKey", "C_GenerateKeyPair",
    "C_WrapKey", "C_UnwrapKey",
]
FUNCTIONS = MODULE_FUNCTIONS + TOKEN_FUNCTIONS
# Called by the operator's tool alone (hsm/pkcs11/admin*.c), or before there is a
# function to disturb.
NOT_OF_THE_PORT = {"C_InitToken", "C_InitPIN", "C_SetPIN", "C_GetSlotInfo",
                   "C_GetFunctionList"}

# Table 6-A. What a code leads to, whatever function it comes from.
CODES = {
    "DENIED": ["CKR_KEY_FUNCTION_NOT_PERMITTED", "CKR_ACTION_PROHIBITED",
               "CKR_PIN_INCORRECT", "CKR_PIN_LOCKED", "CKR_PIN_EXPIRED"],
    "TRANSIENT": ["CKR_TOKEN_NOT_PRESENT", "CKR_DEVICE_ERROR",
                  "CKR_DEVICE_REMOVED", "CKR_DEVICE_MEMORY",
                  "CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED",
                  "CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED",
                  "CKR_USER_NOT_LOGGED_IN"],
    "BAD_BLOB": ["CKR_WRAPPED_KEY_INVALID", "CKR_WRAPPED_KEY_LEN_RANGE",
                 "CKR_ENCRYPTED_DATA_INVALID",
                 "CKR_ENCRYPTED_DATA_LEN_RANGE"],
    "OURS": ["CKR_HOST_MEMORY", "CKR_SESSION_COUNT",
             "CKR_CRYPTOKI_NOT_INITIALIZED", "CKR_MECHANISM_INVALID",
             "CKR_MECHANISM_PARAM_INVALID", "CKR_ARGUMENTS_BAD"],
    "HANDLE": ["CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID"],
    "UNKNOWN": ["0x80000042"],
}
LIES = {
    "lie=flip": ["C_Encrypt", "C_Decrypt", "C_Sign", "C_WrapKey"],
    "lie=empty": ["C_FindObjects"],
    "lie=swap": ["C_UnwrapKey"],
    "lie=keep": ["C_DestroyObject"],
    "lie=hide": ["C_DestroyObject"],
    "lie=lose": ["C_GenerateKey", "C_GenerateKeyPair", "C_CreateObject",
                 "C_CopyObject"],
}
SHORT_MS, LONG_MS = 5, 700


class Fault:
    def __init__(self, name, words, kind):
        self.name = name
        self.words = words
        self.kind = kind

    @property
    def is_code(self):
        return self.kind in CODES

    @property
    def is_slow(self):
        return self.kind in ("HANG", "LATE")


def all_faults():
    faults = [Fault(code, f"rv={code}", kind)
              for kind, codes in CODES.items() for code in codes]
    faults += [
        Fault("reply-lost", "rv=CKR_DEVICE_ERROR late=1", "TRANSIENT"),
        Fault("delay-short", f"delay_ms={SHORT_MS}", "SHORT"),
        Fault("delay-long", f"delay_ms={LONG_MS}", "LATE"),
        Fault("hang", "hang=1", "HANG"),
        Fault("crash", "crash=11", "CRASH"),
    ]
    lies = [Fault(lie.replace("=", "-"), lie, "LIE") for lie in LIES]
    return faults, lies


def all_cases():
    """(function, fault), in a fixed order."""
    faults, lies = all_faults()
    cases = []
    for function in FUNCTIONS:
        cases += [(function, fault) for fault in faults]
        cases += [(function, lie) for lie in lies
                  if function in LIES[lie.words]]
    return cases


def functions_called(source):
    """What the adapter calls, by its text."""
    found = set()
    for path in (pathlib.Path(source) / "hsm/pkcs11").glob("*.c"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        found |= set(re.findall(r"\bC_[A-Z][a-z]\w+", text))
    return found


# What an operation cannot do without: with a code on it that stays, it fails.
NEEDS = {
    "health": ["C_GetTokenInfo", "C_GetSessionInfo"],
    "find": ["C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
             "C_GetAttributeValue"],
    "list": ["C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
             "C_GetAttributeValue"],
    "unwrap": ["C_UnwrapKey"],
    "unwrap_ak": ["C_UnwrapKey"],
    "decrypt": ["C_DecryptInit", "C_Decrypt"],
    "seal": ["C_EncryptInit", "C_Encrypt", "C_DecryptInit", "C_Decrypt"],
    "open": ["C_DecryptInit", "C_Decrypt"],
    "mac": ["C_SignInit", "C_Sign"],
    "sign": ["C_SignInit", "C_Sign"],
    "mint": ["C_GenerateKey", "C_CreateObject", "C_WrapKey", "C_EncryptInit",
             "C_Encrypt"],
    "remint": ["C_UnwrapKey", "C_CreateObject", "C_DecryptInit", "C_Decrypt",
               "C_WrapKey"],
    "generate": ["C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
                 "C_GenerateKey"],
    "generate_pair": ["C_FindObjectsInit", "C_FindObjects",
                      "C_FindObjectsFinal", "C_GenerateKeyPair"],
    "data_create": ["C_CreateObject"],
    "data_list": ["C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
                  "C_GetAttributeValue"],
    "data_destroy": ["C_FindObjectsInit", "C_FindObjects",
                     "C_FindObjectsFinal", "C_DestroyObject"],
    "destroy": ["C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
                "C_DestroyObject"],
    "forget": ["C_DestroyObject"],
}

STATUSES = {
    "DENIED": {"DENIED"},
    "TRANSIENT": {"UNREACHABLE"},
    "UNKNOWN": {"UNREACHABLE"},
    "BAD_BLOB": {"BAD_BLOB"},
    "OURS": {"NO_MEMORY", "RESOURCES", "MISUSE"},
    # a key that has gone under its handle
    "HANDLE": {"UNCONFIRMED", "UNREACHABLE"},
    "SHORT": set(),
    "LATE": {"TIMEOUT", "UNREACHABLE"},
    "HANG": {"TIMEOUT", "UNREACHABLE"},
    "CRASH": {"UNREACHABLE"},
    "LIE": {"UNREACHABLE", "BAD_BLOB", "UNCONFIRMED", "UNSUPPORTED"},
}
