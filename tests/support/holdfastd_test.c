/* holdfastd-test: holdfastd, made of the same objects, with the clock that the
 * file named by HF_TEST_CLOCK moves. Never installed. */
#include "server/app/app.h"

#include "tests/support/test_clock.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    const char *path = getenv("HF_TEST_CLOCK");
    const struct clock *clock = path == NULL ? NULL : test_clock_open(path);
    if (clock == NULL) {
        fputs("holdfastd-test: HF_TEST_CLOCK must name a file that says how "
              "many milliseconds the clock is ahead\n",
              stderr);
        return 2;
    }
    return app_main(argc, argv, &(struct app_extras){.clock = clock});
}
