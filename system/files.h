/* files.h: the files of a run: replacing one so that it is never torn, their names, their lock.
 *
 *     RunPaths p;
 *     if (run_paths(&p, "ckpt.bin", &err)) ...;                ckpt.last.bin, ckpt.tmp, ckpt.lock
 *     RunLock lock;
 *     if (run_lock(&p, &lock, &err)) ...;                      another run trains into ckpt.bin
 *     if (run_begin(&p, &lock, &err)) ...;                     nothing else can refuse the run
 *     if (file_replace(p.best, p.temp, fill, ctx, &err)) ...;  fill(ctx, fd) writes the content
 *     run_unlock(&p, &lock);
 */
#ifndef FILES_H
#define FILES_H

#include "../base.h"

enum { PATH_ROOM = 4200 };

/* ---------------------------------------------------------------- replacing a file */

/* Writes the content of a file; 0, or -1 with errno. */
typedef int FileWriter(void *ctx, int fd);

/* Writes all of the bytes, however many calls it takes; 0, or -1 with errno. */
int file_write(int fd, const char *bytes, size_t size);

/* Saves durably as `path` what `fill` writes: into `temp` (same folder, mode of the old file), full
 * write, fsync, close, rename, fsync of the folder. A symbolic link at `path` is replaced, not
 * followed; a file at `temp` is in the way. On failure the new one is removed, the old file stays,
 * and err says what and why (EXIT_RUNTIME); if only the last fsync fails, it is in place. */
int file_replace(const char *path, const char *temp, FileWriter *fill, void *ctx, Err *err);

/* ---------------------------------------------------------------- names */

typedef struct {
    char best[PATH_ROOM];   /* NAME.bin: what to use */
    char last[PATH_ROOM];   /* NAME.last.bin: all that resuming needs */
    char temp[PATH_ROOM];   /* NAME.tmp, for a save of either */
    char lock[PATH_ROOM];   /* NAME.lock */
} RunPaths;

/* Derives the names from --out: "x.safetensors" -> "x.last.safetensors", "x" -> "x.last"; the
 * temporary file and the lock replace the extension (NAME.tmp, NAME.lock), so these two are no
 * extensions for --out, and a name with .last is the state of another run. Does not look at the
 * disk. EXIT_USAGE if the name is one of these, too long, empty, or a folder's (`x/`). */
int run_paths(RunPaths *p, const char *out, Err *err);

/* ---------------------------------------------------------------- the lock */

typedef struct {
    int fd;                 /* -1: not held */
    bool ours;              /* the run has made the file or written into it, so it removes it */
} RunLock;

/* Whether there is anything of that name, a link to nothing included. */
bool file_exists(const char *path);

/* Takes the lock: an fcntl write lock on NAME.lock, which a killed run may have left: then it is
 * empty or holds one pid. Nothing that was there is changed. EXIT_USAGE if another file has that
 * name, or a link to one. EXIT_RUNTIME, naming the holder, if another process has it; if the place
 * cannot be written; or if something that is no file is where the lock or a save belongs.
 *
 * The lock belongs to the process: it ends with it however it ends. Closing any other descriptor of
 * the lock file would release it, so nothing else opens it. */
int run_lock(const RunPaths *p, RunLock *lock, Err *err);
/* Before the first step: writes the pid into NAME.lock, removes NAME.tmp (the caller knows that it
 * is an earlier run's) and tries whether a save could be made. EXIT_RUNTIME. */
int run_begin(const RunPaths *p, RunLock *lock, Err *err);
/* Takes the lock again if somebody has deleted or replaced the file: *again. As run_lock where that
 * fails. */
int run_keep_lock(const RunPaths *p, RunLock *lock, bool *again, Err *err);
/* Removes NAME.lock, if it is ours, while it is still held: whoever waits for this file then sees
 * that it is not the one on disk. */
void run_unlock(const RunPaths *p, RunLock *lock);

#endif
