/* faults.c: system calls and allocations that fail on demand (faults.h). Compiled without -DFAULTS.
 *
 * Owns: the counts of calls and the one fault that is armed, from FAULT or by faults_arm. Only
 * tests are linked with this state, and calls are expected from one thread at a time. */
#include "../base.h"
#include "faults.h"

#include <signal.h>

typedef enum { OPEN, READ, WRITE, FSYNC, CLOSE, RENAME, MALLOC, ANY,
              OPS } Op;      /* ANY: every file operation */
typedef enum { ONCE, PERSIST, KILL, CUT, TERM, SHORT, MODES } Mode;

static const char *const op_names[] = { "open", "read", "write", "fsync", "close", "rename",
                                        "malloc", "any" };
static const char *const mode_names[] = { "once", "persist", "kill", "cut", "term", "short" };

enum { TRACE_MAX = 4000, LOSABLE_MAX = 16, PATH_ROOM = 1000 };

/* What a power cut loses: bytes written to a file since its last fsync, a rename since that of
 * its folder. */
typedef struct {
    int fd;                     /* a second descriptor of a file with such bytes */
    struct stat file;
} Unsynced;

typedef struct {
    char to[PATH_ROOM], old[PATH_ROOM + 8];     /* old: a link to the replaced file, if any */
} Renaming;

static struct {
    bool started;               /* the environment has been read */
    bool armed;
    Op op;
    Mode mode;
    long at;                    /* the call that fails, from 1 */
    long calls[OPS];
    long blocks, files;
    char trace[TRACE_MAX + 1];
    size_t traced;
    Unsynced unsynced[LOSABLE_MAX];
    Renaming renamings[LOSABLE_MAX];
    int unsynced_count, renaming_count;
} state;

static int find_name(const char *const *names, int count, const char *name, size_t length)
{
    for (int i = 0; i < count; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) return i;
    fprintf(stderr, "faults: unknown word in FAULT: %.*s\n", (int)length, name);
    abort();
}

/* op:n[:mode] */
static void parse_fault(const char *spec)
{
    size_t length = strcspn(spec, ":");
    state.op = (Op)find_name(op_names, OPS, spec, length);
    char *end = NULL;
    state.at = spec[length] == ':' ? strtol(spec + length + 1, &end, 10) : 0;
    if (state.at < 1 || (*end != '\0' && *end != ':')) {
        fprintf(stderr, "faults: FAULT must be op:n[:mode], n from 1: %s\n", spec);
        abort();
    }
    state.mode = *end == ':' ? (Mode)find_name(mode_names, MODES, end + 1, strlen(end + 1)) : ONCE;
    state.armed = true;
}

void faults_arm(const char *spec)
{
    state.started = true;
    state.armed = false;
    state.traced = 0;
    state.trace[0] = '\0';
    memset(state.calls, 0, sizeof state.calls);
    if (spec != NULL) parse_fault(spec);
}

static void append_counts(void)
{
    const char *path = getenv("FAULT_COUNT");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (f == NULL) return;
    for (int op = 0; op < OPS; op++) fprintf(f, "%s %ld\n", op_names[op], state.calls[op]);
    fprintf(f, "blocks %ld\nfiles %ld\n", state.blocks, state.files);
    fclose(f);
}

static void start(void)
{
    if (state.started) return;
    faults_arm(getenv("FAULT"));
    if (getenv("FAULT_COUNT") != NULL) atexit(append_counts);
}

static void trace(char letter)
{
    if (state.traced == TRACE_MAX) return;
    state.trace[state.traced++] = letter;
    state.trace[state.traced] = '\0';
}

/* ---------------------------------------------------------------- what a power cut loses */

static bool cuts(void) { return state.armed && state.mode == CUT; }

static void stop_test(const char *what)
{
    fprintf(stderr, "faults: %s\n", what);
    abort();
}

/* The index of the file among those with bytes that are not flushed, or their count. */
static int find_unsynced(int fd, struct stat *info)
{
    int i = 0;
    if (fstat(fd, info) != 0) stop_test("fstat");
    while (i < state.unsynced_count
           && (state.unsynced[i].file.st_ino != info->st_ino
               || state.unsynced[i].file.st_dev != info->st_dev))
        i++;
    return i;
}

static void note_write(int fd)
{
    struct stat info;
    int i = find_unsynced(fd, &info);
    if (i < state.unsynced_count || !S_ISREG(info.st_mode)) return;
    if (i == LOSABLE_MAX) stop_test("too many files that are not flushed");
    state.unsynced[state.unsynced_count++] = (Unsynced){ dup(fd), info };
}

static void note_rename(const char *to)
{
    if (state.renaming_count == LOSABLE_MAX)
        stop_test("too many renames in folders that are not flushed");
    Renaming *r = &state.renamings[state.renaming_count];
    snprintf(r->to, sizeof r->to, "%s", to);
    snprintf(r->old, sizeof r->old, "%s.old%d", to, state.renaming_count);
    if (link(to, r->old) != 0) r->old[0] = '\0';
    state.renaming_count++;
}

/* All folders of a test are one. */
static void note_fsync(int fd)
{
    struct stat info;
    int i = find_unsynced(fd, &info);
    if (S_ISDIR(info.st_mode)) {
        for (; state.renaming_count > 0; state.renaming_count--)
            unlink(state.renamings[state.renaming_count - 1].old);
    } else if (i < state.unsynced_count) {
        close(state.unsynced[i].fd);
        state.unsynced[i] = state.unsynced[--state.unsynced_count];
    }
}

static void cut_power(void)
{
    for (int i = 0; i < state.unsynced_count; i++)
        if (ftruncate(state.unsynced[i].fd, 0) != 0) stop_test("ftruncate");
    for (int i = state.renaming_count - 1; i >= 0; i--) {
        const Renaming *r = &state.renamings[i];
        if (r->old[0] != '\0' ? rename(r->old, r->to) : unlink(r->to))
            stop_test("a rename cannot be undone");
    }
    raise(SIGKILL);
}

/* ---------------------------------------------------------------- which call fails */

/* Counts a call; returns whether it has to fail and sets errno then. A fault of mode
 * SHORT is left to read and write. */
static bool fails(Op op, int error, bool *half)
{
    start();
    long n = ++state.calls[op];
    if (op != MALLOC) state.calls[ANY]++;
    bool any = state.armed && state.op == ANY && op != MALLOC;
    if (any) n = state.calls[ANY];
    if (!any && !(state.armed && state.op == op)) return false;
    bool hit = state.mode == PERSIST ? n >= state.at : n == state.at;
    if (!hit) return false;
    if (state.mode == KILL) raise(SIGKILL);
    if (state.mode == CUT) cut_power();
    if (state.mode == TERM) raise(SIGTERM);
    if (state.mode == SHORT && half != NULL) *half = true;
    if (state.mode == TERM || state.mode == SHORT) return false;
    errno = error;
    return true;
}

long faults_calls(const char *op) { return state.calls[find_name(op_names, OPS, op, strlen(op))]; }
const char *faults_trace(void) { return state.trace; }
long faults_live_blocks(void) { return state.blocks; }
long faults_live_files(void) { return state.files; }

/* ---------------------------------------------------------------- files */

int faulty_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;     /* mode_t arrives promoted */
    va_end(args);
    trace('o');
    if (fails(OPEN, EIO, NULL)) return -1;
    int fd = open(path, flags, (mode_t)mode);
    if (fd >= 0) state.files++;
    return fd;
}

ssize_t faulty_read(int fd, void *bytes, size_t size)
{
    bool half = false;
    trace('r');
    if (fails(READ, EIO, &half)) return -1;
    return read(fd, bytes, half && size > 1 ? size / 2 : size);
}

ssize_t faulty_write(int fd, const void *bytes, size_t size)
{
    bool half = false;
    trace('w');
    if (fails(WRITE, ENOSPC, &half)) return -1;
    if (cuts()) note_write(fd);
    return write(fd, bytes, half && size > 1 ? size / 2 : size);
}

int faulty_fsync(int fd)
{
    struct stat info;
    trace(fstat(fd, &info) == 0 && S_ISDIR(info.st_mode) ? 'd' : 'f');
    if (fails(FSYNC, EIO, NULL)) return -1;
    if (cuts()) note_fsync(fd);
    return fsync(fd);
}

/* A close that fails has closed the file all the same, as on Linux. */
int faulty_close(int fd)
{
    trace('c');
    bool failed = fails(CLOSE, EIO, NULL);
    int status = close(fd);
    if (status == 0) state.files--;
    if (!failed) return status;
    errno = EIO;
    return -1;
}

int faulty_rename(const char *from, const char *to)
{
    trace('m');
    if (fails(RENAME, EIO, NULL)) return -1;
    if (cuts()) note_rename(to);
    return rename(from, to);
}

/* ---------------------------------------------------------------- memory */

static void *counted(void *block)
{
    if (block != NULL) state.blocks++;
    return block;
}

void *faulty_malloc(size_t size)
{
    return fails(MALLOC, ENOMEM, NULL) ? NULL : counted(malloc(size));
}

void *faulty_calloc(size_t count, size_t size)
{
    return fails(MALLOC, ENOMEM, NULL) ? NULL : counted(calloc(count, size));
}

void *faulty_realloc(void *block, size_t size)
{
    if (fails(MALLOC, ENOMEM, NULL)) return NULL;
    void *moved = realloc(block, size);
    return block == NULL ? counted(moved) : moved;
}

int faulty_posix_memalign(void **block, size_t align, size_t size)
{
    if (fails(MALLOC, ENOMEM, NULL)) return ENOMEM;
    int status = posix_memalign(block, align, size);
    if (status == 0) counted(*block);
    return status;
}

void faulty_free(void *block)
{
    if (block != NULL) state.blocks--;
    free(block);
}
