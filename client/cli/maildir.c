#include "client/cli/maildir.h"

#include "hsm/base/own.h"

#include "client/cli/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MESSAGES_MAX 10000000u

static void dir_freep(DIR **dir)
{
    if (*dir != NULL) {
        closedir(*dir);
    }
}

/* dir_of: a stream of its own over an open folder. */
static DIR *dir_of(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0) {
        close(fd);
    }
    return dir;
}

static bool is_kind(int folder, const char *name, mode_t kind)
{
    struct stat facts;
    return fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
           (facts.st_mode & S_IFMT) == kind;
}

/* --- folders ---------------------------------------------------------------
 */

void maildir_clear(struct maildir *maildir)
{
    for (size_t i = 0; i < maildir->folder_count; i++) {
        free(maildir->folders[i]);
    }
    free(maildir->folders);
    *maildir = (struct maildir){0};
}

static enum hf_status add_folder(int dir, struct maildir *maildir,
                                 const char *parent, const char *leaf)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s%s%s", parent,
                       parent[0] != '\0' ? "/" : "", leaf);
    if (len < 0 || (size_t)len >= sizeof path) {
        return HF_E_LIMIT;
    }
    if (!is_kind(dir, path, S_IFDIR)) {
        return HF_OK; /* not every sub-folder has both */
    }
    if (maildir->folder_count == MAILDIR_FOLDERS_MAX) {
        return HF_E_LIMIT;
    }
    char **folders = reallocarray(maildir->folders, maildir->folder_count + 1,
                                  sizeof *folders);
    if (folders == NULL) {
        return HF_E_NO_MEMORY;
    }
    maildir->folders = folders;
    folders[maildir->folder_count] = strdup(path);
    if (folders[maildir->folder_count] == NULL) {
        return HF_E_NO_MEMORY;
    }
    maildir->folder_count++;
    return HF_OK;
}

HF_STATUS maildir_list_folders(int dir, struct maildir *out)
{
    HF_OWNED(maildir_clear) struct maildir found = {0};
    HF_OWNED(dir_freep) DIR *stream = dir_of(dir);
    if (stream == NULL) {
        return errno == EACCES ? HF_E_DENIED : HF_E_IO;
    }
    HF_TRY(add_folder(dir, &found, "", "cur"));
    HF_TRY(add_folder(dir, &found, "", "new"));
    if (found.folder_count == 0) {
        return HF_E_NOT_FOUND;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            break;
        }
        const char *name = entry->d_name;
        if (name[0] != '.' || strcmp(name, ".") == 0 ||
            strcmp(name, "..") == 0 || !is_kind(dir, name, S_IFDIR)) {
            continue;
        }
        HF_TRY(add_folder(dir, &found, name, "cur"));
        HF_TRY(add_folder(dir, &found, name, "new"));
    }
    if (errno != 0) {
        return HF_E_IO;
    }
    *out = found;
    found = (struct maildir){0};
    return HF_OK;
}

/* --- messages --------------------------------------------------------------
 */

void maildir_messages_clear(struct maildir_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++) {
        free(messages->items[i].name);
    }
    free(messages->items);
    *messages = (struct maildir_messages){0};
}

static enum hf_status add_message(struct maildir_messages *messages,
                                  const char *file)
{
    size_t len = strlen(file);
    size_t suffix = strlen(MAILDIR_SEALED_SUFFIX);
    bool sealed =
        len > suffix && strcmp(file + len - suffix, MAILDIR_SEALED_SUFFIX) == 0;
    if (messages->count == MESSAGES_MAX) {
        return HF_E_LIMIT;
    }
    if ((messages->count & (messages->count - 1)) == 0) {
        size_t cap = messages->count == 0 ? 1 : messages->count * 2;
        struct maildir_message *items =
            reallocarray(messages->items, cap, sizeof *items);
        if (items == NULL) {
            return HF_E_NO_MEMORY;
        }
        messages->items = items;
    }
    char *name = strndup(file, sealed ? len - suffix : len);
    if (name == NULL) {
        return HF_E_NO_MEMORY;
    }
    messages->items[messages->count++] = (struct maildir_message){
        .name = name, .plain = !sealed, .sealed = sealed};
    return HF_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct maildir_message *left = a;
    const struct maildir_message *right = b;
    return strcmp(left->name, right->name);
}

/* join: a message that lies there both plain and sealed is one message. */
static void join(struct maildir_messages *messages)
{
    size_t kept = 0;
    if (messages->count == 0) {
        return;
    }
    qsort(messages->items, messages->count, sizeof *messages->items, by_name);
    for (size_t i = 1; i < messages->count; i++) {
        struct maildir_message *last = &messages->items[kept];
        struct maildir_message *next = &messages->items[i];
        if (strcmp(last->name, next->name) == 0) {
            last->plain = last->plain || next->plain;
            last->sealed = last->sealed || next->sealed;
            free(next->name);
        } else {
            messages->items[++kept] = *next;
        }
    }
    messages->count = kept + 1;
}

HF_STATUS maildir_list_messages(int folder, struct maildir_messages *out)
{
    HF_OWNED(maildir_messages_clear) struct maildir_messages found = {0};
    HF_OWNED(dir_freep) DIR *stream = dir_of(folder);
    if (stream == NULL) {
        return errno == EACCES ? HF_E_DENIED : HF_E_IO;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            break;
        }
        const char *name = entry->d_name;
        if (strncmp(name, FILE_TEMPORARY, strlen(FILE_TEMPORARY)) == 0) {
            if (unlinkat(folder, name, 0) != 0) {
                return HF_E_IO;
            }
            continue;
        }
        /* names with a dot in front are not messages */
        if (name[0] != '.' && is_kind(folder, name, S_IFREG)) {
            HF_TRY(add_message(&found, name));
        }
    }
    if (errno != 0) {
        return HF_E_IO;
    }
    join(&found);
    *out = found;
    found = (struct maildir_messages){0};
    return HF_OK;
}
