/* rules: what the fault shim does to a module call, read from a text file.
 *
 * The shim is a PKCS#11 library in front of the real one:
 *
 *   HF_FAULT_MODULE   the real module
 *   HF_FAULT_CONTROL  the control file: one rule a line, read again whenever
 *                     the file changes (a file that is missing or empty: none)
 *
 * A rule is words of the form name=value, in any order, separated by blanks:
 *
 *   token=LABEL       only calls for this token (by session or by slot);
 *                     without it, for every token, and calls of none
 *   function=C_Name   only this function; without it, every function
 *   after=N           leaves the first N calls that fit alone
 *   count=N           applies N times, then never again; without it, always
 *
 *   rv=CKR_NAME       answers with this code (or a number, 0x30) and does not
 *                     ask the real module
 *   late=1            with rv: asks the real module first and throws its answer
 *                     away, as when an answer is lost
 *   delay_ms=N        waits first
 *   hang=1            waits first, until the rule is no longer in the file
 *   log=1             appends "LABEL C_Name" as a line to the control file's
 *                     name with ".log" behind it
 *   lie=empty         C_FindObjects finds nothing
 *   lie=loose         C_UnwrapKey makes a key that can be read and taken out;
 *                     C_GenerateKeyPair forgets a CKA_UNWRAP_TEMPLATE
 *   lie=readable      C_GetAttributeValue gives a CKA_VALUE where the module
 *                     refuses one
 *   lie=export        C_WrapKey gives 40 bytes where the module refuses
 *   lie=no_tag        C_Decrypt gives what is left without the last 16 bytes
 *                     where the module refuses
 *   lie=flip          flips a bit of what C_Encrypt, C_Decrypt, C_Sign or
 *                     C_WrapKey give back
 *   lie=swap          C_UnwrapKey makes another key, of the same kind
 *   lie=keep          C_DestroyObject says that it did, and did not
 *   lie=hide          the same, and C_FindObjects no longer shows the object
 *                     until C_Finalize, whatever the rules say by then
 *   lie=lose          C_GenerateKey, C_GenerateKeyPair, C_CreateObject and
 *                     C_CopyObject make a session object of what should stay in
 *                     the token
 *   flags=N           C_GetTokenInfo shows these flags as well
 *   pad=FILE          C_Login without a PIN has that in the file, as if
 *                     somebody had entered it at the token (flags=0x100)
 *   drop=1            first closes every session of the token, as when it was
 *                     pulled out and put back
 *   crash=N           the process gets this signal at once (1: SIGABRT)
 *
 * Lines that begin with # and empty ones are skipped. A word that is not
 * understood makes the shim write the line to standard error and abort: a test
 * with a mistyped rule must not pass. For one call, all rules that fit apply:
 * logs and delays of all, the code of the first that has one.
 *
 * Without a rule a call costs one stat(2) more than without the shim.
 */
#pragma once

#include <p11-kit/pkcs11.h>

#include <stdbool.h>

enum lie {
    LIE_NONE,
    LIE_EMPTY,
    LIE_LOOSE,
    LIE_READABLE,
    LIE_EXPORT,
    LIE_NO_TAG,
    LIE_FLIP,
    LIE_SWAP,
    LIE_KEEP,
    LIE_HIDE,
    LIE_LOSE,
};

#define PAD_BYTES 96

/* What has to happen to one call. Waiting, logging and crashing are over. */
struct fault {
    bool answer; /* with rv */
    bool late;   /* but ask the module first */
    CK_RV rv;
    bool drop;
    enum lie lie;
    CK_FLAGS flags;
    char pad[PAD_BYTES]; /* "": there is none */
};

/* rules_meet: looks at the rules, waits where they say so, and tells the rest.
 * Takes     token, the label, or "" for a call that belongs to none.
 * Threads   safe from any thread; a hang blocks only its caller. */
struct fault rules_meet(const char *token, const char *function);
