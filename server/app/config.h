/* config: the one file holdfastd is set up by.
 *
 *   listen: 127.0.0.1:7443        # or [::1]:7443; port 0: any free one
 *   state_dir: state              # made if missing, 0700
 *   store: state/holdfast.db      # default: holdfast.db in state_dir
 *   spool: state/spool            # of routine use; default: spool in
 *                                 # state_dir; its sizes: limits, spool_*
 *   tls:
 *     certificate: tls/server.pem
 *     key: tls/server.key
 *     # or, in place of key, the key of a token. It is used in the daemon
 *     # itself, by a module that no token with isolation: none has:
 *     # key_in_token:
 *     #   uri: pkcs11:token=tls;object=holdfast-tls;type=private
 *     #   module: /usr/lib/softhsm/libsofthsm2.so
 *     #   pin_file: pins/tls
 *     client_ca: tls/clients.pem
 *     crl: tls/clients.crl        # or none
 *   service_token: &module        # record MACs, epoch
 *     module: /usr/lib/softhsm/libsofthsm2.so
 *     label: holdfast-service
 *     serial: 0123456789abcdef    # optional; needed when labels repeat
 *     pin_file: pins/service
 *     # in place of pin_file, pin: activation: somebody brings it after each
 *     # start (holdfast-hsm token activate), at activation_socket (default:
 *     # NAME.activation in state_dir); or pin: pad: the token asks for it
 * itself sync: syncfs                # or none: the token is durable by itself
 *     sync_path: tokens           # with syncfs: the token directory
 *     isolation: process          # the default: a process of its own loads the
 *                                 # module; or none: the daemon does
 *     worker_memory_mb: 256       # that process is replaced when it has grown
 *                                 # by so much; 0: never
 *     # or, in place of all but label and serial, worker_socket: the path where
 *     # a holdfast-tokend of its own listens, which has module and PIN
 *   service_mirrors:              # optional: others with the same record MAC
 *     - {...}                     # key (holdfast-hsm service init --mirror)
 *   ak_token:                     # availability keys; as service_token, and
 *     capacity_objects: 100000    # how many objects it holds: one for each DEP
 *                                 # and tenant. From 80 % on the log warns,
 *                                 # from 95 % no DEP is made. Absent: only the
 *                                 # memory counts, where the module tells it
 *                                 # (SoftHSM does not)
 *   ak_mirrors:                   # optional: mirrors of it, each as ak_token
 *     - name: second              # and with a name; none takes part until
 *       module: ...               # "holdfast ak-token enroll" says so. With
 *                                 # mirrors no one of them is needed at start.
 *                                 # ak_token: name: (default "ak") and its
 *                                 # place may change when another takes over
 *   sharepoint_ak_token: {...}    # optional: those of SharePoint geos, apart
 *   sharepoint_ak_mirrors: [...]  # as ak_mirrors; its own name: sharepoint-ak
 *   sharepoint_ak_scope: per-dep  # or per-deployment: one for all geos, which
 *                                 # makes one tenant's exit impossible
 *   custody_domains:
 *     - name: contoso-a
 *       custodian_key: custodians/a.pem   # public: ECDSA P-256 or Ed25519
 *   tokens:                       # of customers
 *     - name: contoso-a-1
 *       custody_domain: contoso-a
 *       module: ...               # and so on, as service_token
 *   identities:
 *     - uri: spiffe://contoso.example/exchange
 *       tenant: contoso           # absent: the service's own people
 *       roles: [workload-exchange]
 *       # tenant-admin, compliance-admin, exchange-admin, sharepoint-admin,
 *       # vault-admin, vault-contributor, purge-approver, auditor, operator,
 *       # system-workload, workload-exchange, -sharepoint, -m365: what each
 *       # may do is the table of server/domain/access.c
 *   holdfast_hsm: ../bin/holdfast-hsm   # verifies destructions; default:
 *                                 # beside holdfastd
 *   holdfast_tokend: ../bin/holdfast-tokend   # keeps tokens; default: beside
 *                                 # holdfastd
 *   limits:                       # all optional
 *     connections: 1024           # see limits_table in config_limits.c
 *   log_level: info               # or debug, warn
 *
 * Relative paths are relative to the file. Every mistake is reported, with the
 * line and what would be right, all in one go; nothing is taken from a file
 * with a mistake. It never holds a secret (crypto.md).
 */
#pragma once

#include "hsm/base/limits.h"
#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include "hsm/sys/log.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/mirror_view.h"

#include "server/rpc/rpc.h"

#define CONFIG_PATH_BYTES     513
#define CONFIG_FILE_MAX_BYTES (4 * 1024 * 1024)
#define CONFIG_TOKENS_MAX     256
#define CONFIG_IDENTITIES_MAX 65536
#define CONFIG_MISTAKES_MAX   50
#define CONFIG_PEM_MAX_BYTES  4096
#define CONFIG_SERIAL_BYTES   17
#define CONFIG_LABEL_BYTES    33
/* of availability keys, of both kinds */
#define CONFIG_AK_MIRRORS_MAX 6

enum config_pin { CONFIG_PIN_FILE, CONFIG_PIN_ACTIVATION, CONFIG_PIN_PAD };

struct config_token {
    /* "" for the service's own, unless an AK token is given one */
    char name[HF_NAME_MAX_BYTES + 1];
    char module[CONFIG_PATH_BYTES];
    char label[CONFIG_LABEL_BYTES];
    char serial[CONFIG_SERIAL_BYTES]; /* "": any */
    enum config_pin pin;
    char pin_file[CONFIG_PATH_BYTES];      /* CONFIG_PIN_FILE, else "" */
    char activation[CONFIG_PATH_BYTES];    /* CONFIG_PIN_ACTIVATION, else "" */
    char worker_socket[CONFIG_PATH_BYTES]; /* "": its worker is started here */
    enum pkcs11_sync sync;
    char sync_path[CONFIG_PATH_BYTES];
    char custody_domain[HF_NAME_MAX_BYTES + 1];
    uint32_t capacity_objects; /* of an AK token; 0: not said */
    bool sharepoint;           /* a mirror of sharepoint_ak_token */
    bool in_process;           /* isolation: none */
    uint32_t worker_memory_mb;
    size_t line; /* where it begins, from 1 */
};

struct config_domain {
    char name[HF_NAME_MAX_BYTES + 1];
    char custodian_key[CONFIG_PATH_BYTES];
    char pem[CONFIG_PEM_MAX_BYTES];
    size_t line;
};

struct config_limits {
    uint32_t connections;
    uint32_t connections_per_identity;
    uint32_t handshake_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t data_calls;
    uint32_t admin_calls;
    uint32_t streams;
    uint32_t slow_threads;
    uint32_t slow_queue;
    uint32_t row_cache;
    /* 0: what the token allows, at most 32; else PKCS11_SESSIONS_MIN or more:
     * with 5 to 7 one root operation at a time, with 12 or more the token goes
     * on while several calls hang in it */
    uint32_t token_sessions;
    uint32_t token_queue;
    uint32_t store_readers;
    uint32_t ak_lease_ms;             /* R-15.4a */
    uint32_t attempt_timeout_ms;      /* */
    uint32_t probe_interval_ms;       /* */
    uint32_t ak_roll_interval_days;   /* of availability keys; 0: not by time */
    uint32_t encryption_overdue_days; /* */
    uint32_t drain_ms;
    uint32_t purge_hold_s; /* */
    uint32_t spool_segment_kb;
    uint32_t spool_keep_mb; /* older segments go */
};

struct config {
    char path[CONFIG_PATH_BYTES];
    char listen_address[EDGE_LISTEN_ADDRESS_BYTES];
    uint16_t listen_port;
    char state_dir[CONFIG_PATH_BYTES];
    char store[CONFIG_PATH_BYTES];
    char spool[CONFIG_PATH_BYTES];
    char certificate[CONFIG_PATH_BYTES];
    char key[CONFIG_PATH_BYTES]; /* "": in a token */
    char key_uri[HF_URI_MAX_BYTES + 1];
    char key_module[CONFIG_PATH_BYTES];
    char key_pin_file[CONFIG_PATH_BYTES];
    char client_ca[CONFIG_PATH_BYTES];
    char crl[CONFIG_PATH_BYTES];            /* or EDGE_CRL_NONE */
    char hsm_program[CONFIG_PATH_BYTES];    /* "": beside holdfastd */
    char tokend_program[CONFIG_PATH_BYTES]; /* "": beside holdfastd */
    struct config_token service_token;
    struct config_token service_mirrors[MIRRORS_MAX - 1];
    size_t service_mirror_count;
    struct config_token ak_token;
    bool has_sharepoint_ak;
    struct config_token sharepoint_ak_token;
    bool sharepoint_ak_shared; /* PER_DEPLOYMENT */
    struct config_token ak_mirrors[CONFIG_AK_MIRRORS_MAX];
    size_t ak_mirror_count;
    struct config_token *tokens;
    size_t token_count;
    struct config_domain *domains;
    size_t domain_count;
    struct rpc_identity *identities;
    size_t identity_count;
    struct config_limits limits;
    enum log_level log_level;
};

/* What is wrong with a file: one line each, "FILE:LINE: found, expected". */
struct config_mistakes {
    char lines[CONFIG_MISTAKES_MAX][512];
    size_t count; /* may be larger than what lines holds */
};

/* config_load: reads and checks the whole file, and that what it names is
 * there: TLS files and custodian keys readable, PIN files owner-only.
 *
 * Gives     *out_config, freed with config_free; *out_mistakes.
 * Returns   HF_OK; HF_E_INVALID with at least one mistake; HF_E_NO_MEMORY.
 */
HF_STATUS config_load(const char *path, struct config **out_config,
                      struct config_mistakes *out_mistakes);
void config_free(struct config *config);
HF_DEFINE_FREEP(struct config, config)

/* config_ak_name: what the kind's own token is called. config_ak_token: the
 * token of this name, "" the kind's own; NULL: none is configured.
 * config_ak_has_mirrors: of this kind. */
const char *config_ak_name(const struct config *config, bool sharepoint);
const struct config_token *config_ak_token(const struct config *config,
                                           bool sharepoint, const char *name);
bool config_ak_has_mirrors(const struct config *config, bool sharepoint);

/* config_restart_needed: the name of the first part that differs and that only
 * a restart takes up (all but identities, the contents of the TLS files and
 * log_level); NULL: none. */
const char *config_restart_needed(const struct config *running,
                                  const struct config *wanted);
