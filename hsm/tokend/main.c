/* holdfast-tokend: one token, in processes of its own.
 *
 *   holdfastd <--control--> parent <--beats--> worker (a child, which
 *       ^                                        ^      loads the module)
 *       |                                        |
 *       +------------------link------------------+
 *
 * The parent never loads the module: it has the PIN, starts workers, looks
 * after them, and gives their links away. */
#include "hsm/sys/secret.h"

#include "hsm/tokend/child.h"
#include "hsm/tokend/options.h"
#include "hsm/tokend/parent.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define PARENT_HEAP_BYTES ((size_t)64 * 1024)

/* Who started us ends us, by a closed socket, or by dying. */
static bool belong_to_starter(void)
{
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) {
        if (signal(ignored[i], SIG_IGN) == SIG_ERR) {
            return false;
        }
    }
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
}

int main(int argc, char **argv)
{
    struct tokend_options options;
    int code = options_read(argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    umask(0077);
    log_level_set(options.log_level);
    bool listens = options.listen != NULL && !options.child;
    if (process_harden() != HF_OK || (!listens && !belong_to_starter())) {
        fprintf(stderr, "holdfast-tokend: core dumps cannot be switched off\n");
        return 1;
    }
    prctl(PR_SET_NAME, options.child ? "tokend-worker" : "holdfast-tokend", 0,
          0, 0);
    if (options.child) {
        return child_run(&options);
    }
    if (secret_heap_start(PARENT_HEAP_BYTES) != HF_OK) {
        fprintf(stderr, "holdfast-tokend: memory for the PIN cannot be "
                        "locked: raise RLIMIT_MEMLOCK\n");
        return 1;
    }
    return parent_run(&options, argc, argv);
}
