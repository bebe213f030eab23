#include "tests/fault/shim/rules.h"

#include "hsm/base/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX      64
#define LINE_MAX_BYTES 512
#define WORD_MAX_BYTES PAD_BYTES
#define HANG_STEP_MS   5

struct rule {
    char line[LINE_MAX_BYTES]; /* its name while a call hangs on it */
    char token[WORD_MAX_BYTES];
    char function[WORD_MAX_BYTES];
    unsigned long after;
    unsigned long count; /* 0: always */
    unsigned long delay_ms;
    bool hang;
    bool log;
    unsigned long crash; /* 0: no; 1: SIGABRT; else the signal */
    struct fault fault;
    unsigned long met;
};

/* A PKCS#11 module is one per process, and so is its state. */
static struct {
    pthread_mutex_t lock;
    struct stat seen;
    struct rule rules[RULES_MAX];
    size_t count;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct {
    const char *name;
    CK_RV rv;
} codes[] = {
#define CODE(name)                                                             \
    {                                                                          \
#name, name                                                            \
    }
    CODE(CKR_CANCEL),
    CODE(CKR_HOST_MEMORY),
    CODE(CKR_SLOT_ID_INVALID),
    CODE(CKR_GENERAL_ERROR),
    CODE(CKR_FUNCTION_FAILED),
    CODE(CKR_ARGUMENTS_BAD),
    CODE(CKR_ATTRIBUTE_SENSITIVE),
    CODE(CKR_ACTION_PROHIBITED),
    CODE(CKR_DATA_INVALID),
    CODE(CKR_DATA_LEN_RANGE),
    CODE(CKR_DEVICE_ERROR),
    CODE(CKR_DEVICE_MEMORY),
    CODE(CKR_DEVICE_REMOVED),
    CODE(CKR_ENCRYPTED_DATA_INVALID),
    CODE(CKR_ENCRYPTED_DATA_LEN_RANGE),
    CODE(CKR_FUNCTION_CANCELED),
    CODE(CKR_FUNCTION_NOT_SUPPORTED),
    CODE(CKR_KEY_HANDLE_INVALID),
    CODE(CKR_OBJECT_HANDLE_INVALID),
    CODE(CKR_KEY_FUNCTION_NOT_PERMITTED),
    CODE(CKR_MECHANISM_INVALID),
    CODE(CKR_MECHANISM_PARAM_INVALID),
    CODE(CKR_OPERATION_ACTIVE),
    CODE(CKR_PIN_INCORRECT),
    CODE(CKR_PIN_EXPIRED),
    CODE(CKR_PIN_LOCKED),
    CODE(CKR_SESSION_CLOSED),
    CODE(CKR_SESSION_COUNT),
    CODE(CKR_SESSION_HANDLE_INVALID),
    CODE(CKR_TOKEN_NOT_PRESENT),
    CODE(CKR_TOKEN_NOT_RECOGNIZED),
    CODE(CKR_USER_NOT_LOGGED_IN),
    CODE(CKR_WRAPPED_KEY_INVALID),
    CODE(CKR_WRAPPED_KEY_LEN_RANGE),
    CODE(CKR_CRYPTOKI_NOT_INITIALIZED),
#undef CODE
};

__attribute__((noreturn)) static void refuse(const char *line)
{
    fprintf(stderr, "fault shim: not understood: %s\n", line);
    abort();
}

static unsigned long number_of(const char *text, const char *line)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 0);
    if (end == text || *end != '\0') {
        refuse(line);
    }
    return value;
}

static CK_RV code_of(const char *text, const char *line)
{
    for (size_t i = 0; i < HF_COUNT(codes); i++) {
        if (strcmp(codes[i].name, text) == 0) {
            return codes[i].rv;
        }
    }
    return number_of(text, line);
}

static enum lie lie_of(const char *text, const char *line)
{
    static const char *const names[] = {"",       "empty",  "loose", "readable",
                                        "export", "no_tag", "flip",  "swap",
                                        "keep",   "hide",   "lose"};
    for (size_t i = 1; i < HF_COUNT(names); i++) {
        if (strcmp(names[i], text) == 0) {
            return (enum lie)i;
        }
    }
    refuse(line);
}

static void set_text(char *out, const char *value, const char *line)
{
    if (strlen(value) >= WORD_MAX_BYTES) {
        refuse(line);
    }
    memcpy(out, value, strlen(value) + 1);
}

static void set_word(struct rule *rule, const char *name, const char *value)
{
    const char *line = rule->line;
    if (strcmp(name, "token") == 0) {
        set_text(rule->token, value, line);
    } else if (strcmp(name, "function") == 0) {
        set_text(rule->function, value, line);
    } else if (strcmp(name, "after") == 0) {
        rule->after = number_of(value, line);
    } else if (strcmp(name, "count") == 0) {
        rule->count = number_of(value, line);
    } else if (strcmp(name, "rv") == 0) {
        rule->fault.answer = true;
        rule->fault.rv = code_of(value, line);
    } else if (strcmp(name, "late") == 0) {
        rule->fault.late = number_of(value, line) != 0;
    } else if (strcmp(name, "delay_ms") == 0) {
        rule->delay_ms = number_of(value, line);
    } else if (strcmp(name, "hang") == 0) {
        rule->hang = number_of(value, line) != 0;
    } else if (strcmp(name, "log") == 0) {
        rule->log = number_of(value, line) != 0;
    } else if (strcmp(name, "crash") == 0) {
        rule->crash = number_of(value, line);
    } else if (strcmp(name, "drop") == 0) {
        rule->fault.drop = number_of(value, line) != 0;
    } else if (strcmp(name, "lie") == 0) {
        rule->fault.lie = lie_of(value, line);
    } else if (strcmp(name, "pad") == 0) {
        set_text(rule->fault.pad, value, line);
    } else if (strcmp(name, "flags") == 0) {
        rule->fault.flags = number_of(value, line);
    } else {
        refuse(line);
    }
}

static void read_rule(const char *line)
{
    if (state.count == RULES_MAX) {
        refuse(line);
    }
    struct rule *rule = &state.rules[state.count];
    *rule = (struct rule){.met = 0};
    snprintf(rule->line, sizeof rule->line, "%s", line);
    char words[LINE_MAX_BYTES];
    snprintf(words, sizeof words, "%s", line);
    char *rest = words;
    for (char *word = strsep(&rest, " \t"); word != NULL;
         word = strsep(&rest, " \t")) {
        char *value = strchr(word, '=');
        if (word[0] == '\0') {
            continue;
        }
        if (value == NULL) {
            refuse(line);
        }
        *value = '\0';
        set_word(rule, word, value + 1);
    }
    state.count += 1;
}

static bool unchanged(const struct stat *now)
{
    const struct stat *seen = &state.seen;
    return now->st_ino == seen->st_ino && now->st_size == seen->st_size &&
           now->st_mtim.tv_sec == seen->st_mtim.tv_sec &&
           now->st_mtim.tv_nsec == seen->st_mtim.tv_nsec;
}

/* Under the lock. */
static void read_again(void)
{
    const char *path = getenv("HF_FAULT_CONTROL");
    struct stat now = {0};
    if (path == NULL || stat(path, &now) != 0) {
        state.count = 0;
        state.seen = (struct stat){0};
        return;
    }
    if (unchanged(&now)) {
        return;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return; /* no descriptors left, most likely: what was read holds */
    }
    state.seen = now;
    state.count = 0;
    char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0' && line[0] != '#') {
            read_rule(line);
        }
    }
    fclose(file);
}

static bool still_there(const char *line)
{
    bool found = false;
    pthread_mutex_lock(&state.lock);
    read_again();
    for (size_t i = 0; i < state.count; i++) {
        found = found || strcmp(state.rules[i].line, line) == 0;
    }
    pthread_mutex_unlock(&state.lock);
    return found;
}

static void pause_ms(unsigned long ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000),
                            .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static void write_log(const char *token, const char *function)
{
    char path[LINE_MAX_BYTES];
    char line[2 * WORD_MAX_BYTES];
    const char *control = getenv("HF_FAULT_CONTROL");
    snprintf(path, sizeof path, "%s.log", control != NULL ? control : "");
    int len = snprintf(line, sizeof line, "%s %s\n", token, function);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || write(file, line, (size_t)len) != len) {
        refuse(path);
    }
    close(file);
}

static bool fits(struct rule *rule, const char *token, const char *function)
{
    if ((rule->token[0] != '\0' && strcmp(rule->token, token) != 0) ||
        (rule->function[0] != '\0' && strcmp(rule->function, function) != 0)) {
        return false;
    }
    rule->met += 1;
    return rule->met > rule->after &&
           (rule->count == 0 || rule->met <= rule->after + rule->count);
}

/* All that fits, taken together. */
struct verdict {
    struct fault fault;
    unsigned long delay_ms;
    bool log;
    unsigned long crash;
    char hang_on[LINE_MAX_BYTES];
};

static struct verdict judge(const char *token, const char *function)
{
    struct verdict verdict = {.delay_ms = 0};
    for (size_t i = 0; i < state.count; i++) {
        struct rule *rule = &state.rules[i];
        if (!fits(rule, token, function)) {
            continue;
        }
        verdict.delay_ms += rule->delay_ms;
        verdict.log = verdict.log || rule->log;
        verdict.crash = verdict.crash > 0 ? verdict.crash : rule->crash;
        verdict.fault.drop = verdict.fault.drop || rule->fault.drop;
        verdict.fault.flags |= rule->fault.flags;
        if (rule->fault.pad[0] != '\0') {
            memcpy(verdict.fault.pad, rule->fault.pad, PAD_BYTES);
        }
        if (rule->hang) {
            memcpy(verdict.hang_on, rule->line, sizeof verdict.hang_on);
        }
        if (verdict.fault.lie == LIE_NONE) {
            verdict.fault.lie = rule->fault.lie;
        }
        if (!verdict.fault.answer && rule->fault.answer) {
            verdict.fault.answer = true;
            verdict.fault.rv = rule->fault.rv;
            verdict.fault.late = rule->fault.late;
        }
    }
    return verdict;
}

/* Whatever the thread has blocked or the program handles. */
static void crash(unsigned long how)
{
    int number = how == 1 ? SIGABRT : (int)how;
    sigset_t it;
    sigemptyset(&it);
    sigaddset(&it, number);
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &it, NULL);
    raise(number);
}

struct fault rules_meet(const char *token, const char *function)
{
    struct verdict verdict = {.delay_ms = 0};
    pthread_mutex_lock(&state.lock);
    read_again();
    if (state.count > 0) {
        verdict = judge(token, function);
    }
    pthread_mutex_unlock(&state.lock);
    if (verdict.log) {
        write_log(token, function);
    }
    if (verdict.crash > 0) {
        crash(verdict.crash);
    }
    if (verdict.delay_ms > 0) {
        pause_ms(verdict.delay_ms);
    }
    while (verdict.hang_on[0] != '\0' && still_there(verdict.hang_on)) {
        pause_ms(HANG_STEP_MS);
    }
    return verdict.fault;
}
