/* holdfastd */
#include "server/app/app.h"

int main(int argc, char **argv)
{
    return app_main(argc, argv, &(struct app_extras){.method_count = 0});
}
