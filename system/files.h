/* files.h: the files of a run: replacing one so that it is never torn, their names, their lock.
 *
 *     RunPaths p;
 *     if (run_paths(&p, "ckpt.bin", &err)) ...;                ckpt.last.bin, ckpt.tmp, ckpt.lock
 *     int lock = run_lock(&p, &err);                           -1: another run trains into ckpt.bin
 *     if (file_replace(p.best, p.temp, fill, ctx, &err)) ...;  fill(ctx, fd) writes the content
 *     run_unlock(&p, lock);
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
 * followed. On failure temp is removed, the old file stays, and err says what and why
 * (EXIT_RUNTIME); if only the last fsync fails, the new file is in place. */
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
 * extensions for --out. Does not look at the disk. EXIT_USAGE if the name has one of them, is too
 * long, empty, or a folder's (`x/`). */
int run_paths(RunPaths *p, const char *out, Err *err);

/* ---------------------------------------------------------------- the lock */

/* Takes the lock (fcntl write lock on NAME.lock, holding the pid as text). EXIT_RUNTIME naming the
 * holder if another process has it, or if the place cannot be written, or if something that is no
 * file is in the way: this is also the probe before training starts. Removes an earlier run's
 * NAME.tmp. Returns the descriptor, or -1.
 *
 * The lock belongs to the process: it ends with it however it ends, and a file that a killed run
 * left is taken over. Closing any other descriptor of the lock file would release it, so nothing
 * else opens it. */
int run_lock(const RunPaths *p, Err *err);
/* Removes NAME.lock while it is still held: whoever waits for this file then sees that it is not
 * the one on disk. */
void run_unlock(const RunPaths *p, int fd);

#endif
