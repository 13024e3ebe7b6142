/* files.c: owns how a run's file is replaced, checked before training, and locked. */
#include "../base.h"
#include "files.h"

/* ---------------------------------------------------------------- replacing a file */

/* Until the bytes are on the medium, not only in the drive's cache. fsync is not tried again after
 * an error: the system may have dropped the pages, and a second call would report a success that is
 * none. */
static int file_flush(int fd)
{
#ifdef F_FULLFSYNC
    /* Not every file system has it; fsync is the best of those that do not. */
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
    int status;
    do status = fsync(fd);
    while (status != 0 && errno == EINTR);
    return status;
}

int file_write(int fd, const char *bytes, size_t size)
{
    enum { CHUNK = 1 << 30 };                   /* macOS refuses to write 2 GB at once */
    while (size > 0) {
        ssize_t n = write(fd, bytes, size < CHUNK ? size : CHUNK);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

/* The folder that holds path, open for file_flush; -1 with errno. */
static int file_open_folder(const char *path)
{
    char folder[PATH_ROOM];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (length >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, slash ? path : ".", length);
    folder[length] = '\0';
    return open(folder, O_RDONLY | O_CLOEXEC);
}

/* A new, empty file. What is there under this name is never followed, reused or removed. */
static int file_create_temp(const char *temp, mode_t mode)
{
    int fd;
    do fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Fills and closes the new file under its temporary name. old: what it replaces, or NULL. */
static int file_write_temp(int fd, const char *temp, const struct stat *old, FileWriter *fill,
                           void *ctx, Err *err)
{
    /* A file system without modes may refuse; at worst fewer can read the file then. */
    if (old != NULL) (void)fchmod(fd, old->st_mode & 0777);
    const char *doing = "written";
    int status = fill(ctx, fd);
    if (status == 0) {
        doing = "flushed to the disk";
        status = file_flush(fd);
    }
    int why = errno;
    if (close(fd) != 0 && errno != EINTR && status == 0) {
        doing = "closed";
        why = errno;
        status = -1;
    }
    if (status != 0)
        return fail(err, EXIT_RUNTIME, "%s: cannot be %s: %s; nothing was saved", temp, doing,
                    strerror(why));
    return 0;
}

int file_replace(const char *path, const char *temp, FileWriter *fill, void *ctx, Err *err)
{
    struct stat old;
    bool replaces = stat(path, &old) == 0;
    int status = -1, folder = file_open_folder(path);
    /* EACCES: a folder that may be written but not listed is left unflushed.
     * EINVAL from file_flush: a file system where folders cannot be. */
    if (folder < 0 && errno != EACCES)
        return fail(err, EXIT_RUNTIME, "%s: its folder cannot be opened: %s; nothing was saved",
                    path, strerror(errno));
    int fd = file_create_temp(temp, replaces ? old.st_mode & 0777 : 0666);
    if (fd < 0)
        fail(err, EXIT_RUNTIME, "%s: cannot be created: %s; nothing was saved", temp,
             strerror(errno));
    else if (file_write_temp(fd, temp, replaces ? &old : NULL, fill, ctx, err) == 0) {
        if (rename(temp, path) != 0)
            fail(err, EXIT_RUNTIME, "%s: cannot be renamed to %s: %s; nothing was saved", temp,
                 path, strerror(errno));
        else if (folder >= 0 && file_flush(folder) != 0 && errno != EINVAL)
            fail(err, EXIT_RUNTIME, "%s: is saved, but a power cut may undo it: its folder is not "
                 "flushed: %s", path, strerror(errno));
        else
            status = 0;
    }
    if (status != 0 && fd >= 0) unlink(temp);
    if (folder >= 0) close(folder);             /* only read: nothing can be lost */
    return status;
}

/* ---------------------------------------------------------------- names */

int run_paths(RunPaths *p, const char *out, Err *err)
{
    static const char last[] = ".last";
    const char *slash = strrchr(out, '/'), *base = slash ? slash + 1 : out;
    if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return fail(err, EXIT_USAGE, "--out '%.200s': is not the name of a file", out);
    if (strlen(out) + sizeof ".last" > sizeof p->best)
        return fail(err, EXIT_USAGE, "--out %.200s...: the name is too long", out);

    const char *dot = strrchr(base, '.'), *extension = dot && dot != base ? dot : out + strlen(out);
    int stem = (int)(extension - out);
    if (strcmp(extension, ".tmp") == 0 || strcmp(extension, ".lock") == 0)
        return fail(err, EXIT_USAGE, "--out %.200s: a run uses this name itself; choose another "
                    "ending", out);
    size_t size = strlen(last);
    bool ends = strcmp(extension, last) == 0 || strcmp(base, last) == 0;
    if (ends || ((size_t)stem >= size && memcmp(extension - size, last, size) == 0))
        return fail(err, EXIT_USAGE, "--out %.200s: names with .last are for the state of a run; "
                    "leave .last out, or choose another name", out);
    snprintf(p->best, sizeof p->best, "%s", out);
    snprintf(p->last, sizeof p->last, "%.*s.last%s", stem, out, extension);
    snprintf(p->temp, sizeof p->temp, "%.*s.tmp", stem, out);
    snprintf(p->lock, sizeof p->lock, "%.*s.lock", stem, out);
    return 0;
}

/* ---------------------------------------------------------------- the lock */

/* Before training: with errno, and what could not be done. */
static int run_no_place(Err *err, const char *path, const char *what)
{
    return fail(err, EXIT_RUNTIME, "%s: %s: %s; choose another --out", path, what, strerror(errno));
}

/* Can a save put its file here? Only a regular file, or a link to one, may be in the way. */
static int run_check_target(const char *path, Err *err)
{
    struct stat link, file;
    if (lstat(path, &link) != 0)
        return errno == ENOENT ? 0 : run_no_place(err, path, "cannot be saved there");
    if (stat(path, &file) != 0)
        return run_no_place(err, path, "is a symbolic link that leads nowhere");
    if (!S_ISREG(file.st_mode))
        return fail(err, EXIT_RUNTIME, "%s: is %s, not a file; choose another --out", path,
                    S_ISDIR(file.st_mode) ? "a folder"
                    : S_ISFIFO(file.st_mode) ? "a pipe" : "a device");
    return 0;
}

/* Tries to lock fd: 1 locked, 0 somebody else has it (*holder: 0 if unknown), -1 with errno. */
static int run_try_lock(int fd, long *holder)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int status;
    do status = fcntl(fd, F_SETLK, &lock);
    while (status != 0 && errno == EINTR);
    if (status == 0) return 1;
    if (errno != EACCES && errno != EAGAIN) return -1;
    struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    *holder = fcntl(fd, F_GETLK, &other) == 0 && other.l_type != F_UNLCK ? (long)other.l_pid : 0;
    return 0;
}

/* Is the locked file still the one on disk? A run that ended may have removed it after we had
 * opened it. */
static bool run_still_there(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev
        && ours.st_ino == there.st_ino;
}

/* Whether it holds what a run leaves there: nothing, or one pid in digits and a newline; and has no
 * other name. -1 with errno. */
static int run_is_lock(int fd)
{
    enum { PID_DIGITS = 20 };
    char text[PID_DIGITS + 2];
    struct stat info;
    if (fstat(fd, &info) != 0) return -1;
    if (info.st_nlink != 1 || info.st_size > PID_DIGITS + 1) return 0;
    size_t used = 0, digits = 0;
    for (ssize_t n = 1; n != 0 && used < sizeof text;) {
        n = read(fd, text + used, sizeof text - used);
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0) used += (size_t)n;
    }
    while (digits < used && text[digits] >= '0' && text[digits] <= '9') digits++;
    return used == 0 || (digits > 0 && digits + 1 == used && text[digits] == '\n');
}

/* Opens the lock file, or makes it; *made: it was not there. EAGAIN: it was removed meanwhile. */
static int run_open_lock(const char *path, bool *made)
{
    enum { FLAGS = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };
    int fd = open(path, FLAGS | O_CREAT | O_EXCL, 0666);
    *made = fd >= 0;
    if (fd >= 0 || errno != EEXIST) return fd;
    fd = open(path, FLAGS);
    if (fd < 0 && errno == ENOENT) errno = EAGAIN;
    return fd;
}

/* One attempt: 1 if it is locked, -1 on failure. 0: another run has it (*holder, if that is known),
 * or ended meanwhile. */
static int run_attempt(const RunPaths *p, RunLock *lock, long *holder, Err *err)
{
    struct stat info;
    int fd = run_open_lock(p->lock, &lock->ours);
    if (fd < 0) return errno == EAGAIN ? 0 : run_no_place(err, p->lock, "cannot be created");
    errno = EINVAL;                     /* for what is no file */
    bool file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    int locked = file ? run_try_lock(fd, holder) : -1;
    if (locked < 0) run_no_place(err, p->lock, "cannot be locked");
    if (locked > 0 && !run_still_there(fd, p->lock)) locked = 0;
    int known = locked > 0 && !lock->ours ? run_is_lock(fd) : 1;
    if (known < 0) locked = run_no_place(err, p->lock, "cannot be read");
    if (known == 0)
        locked = fail(err, EXIT_USAGE, "%s: is not a lock that train wrote, and a run into %s "
                      "needs this name; move it, or choose another --out", p->lock, p->best);
    if (locked < 0 && lock->ours) unlink(p->lock);
    if (locked > 0) lock->fd = fd;
    else close(fd);
    return locked;
}

bool file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

int run_lock(const RunPaths *p, RunLock *lock, Err *err)
{
    enum { ATTEMPTS = 100 };
    long holder = 0;
    *lock = (RunLock){ .fd = -1 };
    if (run_check_target(p->best, err) || run_check_target(p->last, err)) return -1;
    for (int i = 0; i < ATTEMPTS && holder == 0; i++) {
        int locked = run_attempt(p, lock, &holder, err);
        if (locked != 0) return locked > 0 ? 0 : -1;
    }
    if (holder > 0)
        return fail(err, EXIT_RUNTIME, "%s: process %ld is training into %s; wait for it or "
                    "choose another --out", p->lock, holder, p->best);
    return fail(err, EXIT_RUNTIME, "%s: another process is training into %s; wait for it or choose "
                "another --out", p->lock, p->best);
}

/* Writes our pid into the lock file, which is ours from then on. */
static int run_claim(const RunPaths *p, RunLock *lock, Err *err)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    lock->ours = true;
    if (ftruncate(lock->fd, 0) != 0 || lseek(lock->fd, 0, SEEK_SET) != 0
        || file_write(lock->fd, text, (size_t)size) != 0)
        return run_no_place(err, p->lock, "cannot be written");
    return 0;
}

/* Nothing is left under the temporary name. */
static int run_probe_saving(const RunPaths *p, Err *err)
{
    if (unlink(p->temp) != 0 && errno != ENOENT)
        return run_no_place(err, p->temp, "cannot be removed");
    int fd = file_create_temp(p->temp, 0666);
    if (fd < 0) return run_no_place(err, p->temp, "cannot be created");
    int status = 0;
    if (close(fd) != 0 && errno != EINTR) status = run_no_place(err, p->temp, "cannot be written");
    return unlink(p->temp) != 0 ? run_no_place(err, p->temp, "cannot be removed") : status;
}

int run_begin(const RunPaths *p, RunLock *lock, Err *err)
{
    return run_claim(p, lock, err) || run_probe_saving(p, err) ? -1 : 0;
}

int run_keep_lock(const RunPaths *p, RunLock *lock, bool *again, Err *err)
{
    RunLock next;
    *again = false;
    if (lock->fd < 0 || run_still_there(lock->fd, p->lock)) return 0;
    if (run_lock(p, &next, err)) return -1;
    if (run_claim(p, &next, err)) {
        run_unlock(p, &next);
        return -1;
    }
    close(lock->fd);
    *lock = next;
    *again = true;
    return 0;
}

void run_unlock(const RunPaths *p, RunLock *lock)
{
    if (lock->fd < 0) return;
    if (lock->ours && run_still_there(lock->fd, p->lock)) unlink(p->lock);
    close(lock->fd);
    *lock = (RunLock){ .fd = -1 };
}
