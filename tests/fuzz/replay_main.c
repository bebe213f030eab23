/* replay_main: runs a fuzz target over the files of folders, without a fuzzer.
 * In every build, so that what a fuzzer once found stays found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX_BYTES (1 << 20)

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *input = malloc(INPUT_MAX_BYTES);
    int failed = file == NULL || input == NULL;
    if (!failed) {
        size_t len = fread(input, 1, INPUT_MAX_BYTES, file);
        failed = ferror(file) != 0 || LLVMFuzzerTestOneInput(input, len) != 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    free(input);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder == NULL) {
            fprintf(stderr, "%s: no such folder\n", argv[i]);
            return 1;
        }
        const struct dirent *entry = NULL;
        while ((entry = readdir(folder)) != NULL) {
            char path[4096];
            int len =
                snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] == '.' || len < 0 ||
                (size_t)len >= sizeof path) {
                continue;
            }
            failed += replay(path);
            count++;
        }
        closedir(folder);
    }
    printf("%d inputs, %d failed\n", count, failed);
    return failed > 0 || count == 0; /* no input proves nothing */
}
