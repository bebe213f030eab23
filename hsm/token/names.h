/* names: labels and CKA_IDs of what Holdfast itself keeps in a token. They are
 * stored there: never change one. */
#pragma once

/* The canary pair: answers when a key is missing. */
#define TOKEN_NAME_CANARY "holdfast-canary"
/* The data object that says in whose custody the token is (hsm/base/custody).
 */
#define TOKEN_NAME_CUSTODY "holdfast-custody"

/* In a token of availability keys; label and CKA_ID are the same bytes: what is
 * carried to it is wrapped under this pair. The labels of the
 * availability keys begin with TOKEN_NAME_AVAILABILITY. */
#define TOKEN_NAME_TRANSPORT    "hf-ak-transport"
#define TOKEN_NAME_AVAILABILITY "hf-ak"
/* The pair under which a customer's own key comes in; gone when it is. */
#define TOKEN_NAME_IMPORT "holdfast-import"

/* In the service's own token; label and CKA_ID are the same bytes. */
#define TOKEN_NAME_RECORD_MAC "hf-record-mac"
#define TOKEN_NAME_AUDIT_SIGN "hf-audit-sign"
/* The data objects of. */
#define TOKEN_NAME_EPOCH "hf-epoch"

/* The server's TLS key, where it lies in a token of its own (P-256). */
#define TOKEN_NAME_TLS "hf-tls"
