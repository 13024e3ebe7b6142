/* places.c: which file a path leads to, and whether a run may have it. */
#include "places.h"
#include "../formats/checkpoint.h"

/* A file, or where one would be made. */
typedef struct {
    bool there;                 /* else dev and ino are its folder's, and name is its own */
    dev_t dev;
    ino_t ino;
    char name[PATH_ROOM];
} Place;

typedef struct {
    const char *path;
    const char *use;            /* "the log" */
    bool written;
    Place place;
} Use;

enum { USES_OF_A_RUN = 6, LINKS_MAX = 40 };

/* ---------------------------------------------------------------- where a path leads */

/* The place of a name whose folder is there; false if the folder is not. */
static bool place_in_folder(Place *p, const char *path)
{
    struct stat info;
    char folder[PATH_ROOM];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    snprintf(folder, sizeof folder, "%.*s", (int)length, slash == NULL ? "." : path);
    if (stat(folder, &info) != 0) return false;
    p->there = false;
    p->dev = info.st_dev;
    p->ino = info.st_ino;
    snprintf(p->name, sizeof p->name, "%s", slash == NULL ? path : slash + 1);
    return true;
}

/* Replaces a path that is a link by where the link leads; false if it is none. */
static bool follow(char path[PATH_ROOM])
{
    char target[PATH_ROOM];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0) return false;
    target[n] = '\0';
    char *slash = target[0] == '/' ? NULL : strrchr(path, '/');
    size_t folder = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    snprintf(path + folder, PATH_ROOM - folder, "%s", target);
    return true;
}

/* Where a path leads: a regular file, or a name that is free. False for anything else: devices and
 * pipes are never replaced. */
static bool place_of(Place *p, const char *path)
{
    struct stat info;
    char free_name[PATH_ROOM];
    bool standard = strcmp(path, "-") == 0;
    if (standard ? fstat(STDIN_FILENO, &info) == 0 : stat(path, &info) == 0) {
        p->there = true;
        p->dev = info.st_dev;
        p->ino = info.st_ino;
        return S_ISREG(info.st_mode);
    }
    if (standard || errno != ENOENT || strlen(path) >= sizeof free_name) return false;
    snprintf(free_name, sizeof free_name, "%s", path);
    for (int links = 0; links < LINKS_MAX && follow(free_name); links++) continue;
    return place_in_folder(p, free_name);
}

static bool same_place(const Place *a, const Place *b)
{
    return a->there == b->there && a->dev == b->dev && a->ino == b->ino
        && (a->there || strcmp(a->name, b->name) == 0);
}

/* ---------------------------------------------------------------- what a run uses */

static void add_use(Use *uses, int *count, const char *path, const char *use, bool written)
{
    Use *one = &uses[*count];
    *one = (Use){ .path = path, .use = use, .written = written };
    if (path != NULL && place_of(&one->place, path)) (*count)++;
}

/* A bare name that is not there is looked up in data/ (corpus.h). */
static void add_text(Use *uses, int *count, const char *path)
{
    char below[PATH_ROOM];
    int before = *count;
    add_use(uses, count, path, "a text", false);
    if (*count > before && uses[before].place.there) return;
    if (strchr(path, '/') != NULL || strlen(path) > sizeof below - sizeof "data/") return;
    snprintf(below, sizeof below, "data/%s", path);
    *count = before;
    add_use(uses, count, below, "a text", false);
    uses[before].path = path;
}

static int fail_same(const Use *a, const Use *b, Err *err)
{
    const char *other = strcmp(a->use, "the log") == 0 || strcmp(b->use, "the log") == 0
                      ? "--log" : "--out";
    const char *path = strcmp(a->path, "-") == 0 ? "standard input" : a->path;
    if (strcmp(path, b->path) == 0)
        return fail(err, EXIT_USAGE, "%.240s: is %s, and would be %s, too; choose another %s", path,
                    a->use, b->use, other);
    return fail(err, EXIT_USAGE, "%.200s, %s, and %.200s, %s, are the same file; choose another %s",
                path, a->use, b->path, b->use, other);
}

int places_differ(const Places *p, Err *err)
{
    const RunPaths *r = p->paths;
    int count = 0, failed = 0;
    Use *uses = calloc((size_t)p->texts->count + USES_OF_A_RUN, sizeof *uses);
    if (uses == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the list of files");
    for (int i = 0; i < p->texts->count; i++) add_text(uses, &count, p->texts->items[i]);
    add_use(uses, &count, p->init_from, "the checkpoint of --init-from", false);
    add_use(uses, &count, p->log, "the log", true);
    add_use(uses, &count, r->best, "what --out writes", true);
    add_use(uses, &count, r->last, "the state of the run", true);
    add_use(uses, &count, r->temp, "the temporary file of the run", true);
    add_use(uses, &count, r->lock, "the lock of the run", true);
    for (int b = 1; b < count && !failed; b++)
        for (int a = 0; a < b && !failed; a++)
            if (uses[b].written && same_place(&uses[a].place, &uses[b].place))
                failed = fail_same(&uses[a], &uses[b], err);
    free(uses);
    return failed;
}

/* ---------------------------------------------------------------- what is in the way */

/* Whether a file is empty (if that will do) or begins as a checkpoint; -1: it cannot be read. */
static int is_ours(const char *path, bool empty, Err *err)
{
    struct stat info;
    char first;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
    if (info.st_size == 0) return empty;
    if (checkpoint_begins(path)) return 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read_it = fd >= 0 && read(fd, &first, 1) >= 0;
    int why = errno;
    if (fd >= 0) close(fd);
    if (read_it) return checkpoint_begins(path);
    return fail(err, EXIT_RUNTIME, "%s: cannot be read: %s", path, strerror(why));
}

int places_leftover(const RunPaths *paths, Err *err)
{
    struct stat info;
    if (lstat(paths->temp, &info) != 0) return 0;
    int ours = S_ISREG(info.st_mode) ? is_ours(paths->temp, true, err) : 0;
    if (ours != 0) return ours > 0 ? 0 : -1;
    return fail(err, EXIT_USAGE, "%s: is not what a run left there, and a run into %s needs this "
                "name; move it, or choose another --out", paths->temp, paths->best);
}

int places_foreign(const char *path, Err *err)
{
    struct stat info;
    if (stat(path, &info) != 0) return 0;
    int ours = is_ours(path, false, err);
    if (ours != 0) return ours > 0 ? 0 : -1;
    return fail(err, EXIT_USAGE, "%s: is in the way and is not a checkpoint; choose another --out, "
                "or replace it with --overwrite", path);
}

void places_run_of(const char *checkpoint, char out[PATH_ROOM])
{
    RunPaths paths;
    Err unused;
    const char *last = NULL;
    for (const char *at = checkpoint; (at = strstr(at, ".last")) != NULL; at++) last = at;
    snprintf(out, PATH_ROOM, "%s", checkpoint);
    if (last == NULL || strlen(checkpoint) >= PATH_ROOM) return;
    snprintf(out, PATH_ROOM, "%.*s%s", (int)(last - checkpoint), checkpoint,
             last + strlen(".last"));
    if (run_paths(&paths, out, &unused) || strcmp(paths.last, checkpoint) != 0)
        snprintf(out, PATH_ROOM, "%s", checkpoint);
}
