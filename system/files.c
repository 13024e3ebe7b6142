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

/* A new, empty file. What a killed run left under this name is removed, never followed or
 * reused. */
static int file_create_temp(const char *temp, mode_t mode)
{
    int fd;
    if (unlink(temp) != 0 && errno != ENOENT) return -1;
    do fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* The new file under its temporary name, full and flushed. old: what it replaces, or NULL. */
static int file_write_temp(const char *temp, const struct stat *old, FileWriter *fill, void *ctx,
                           Err *err)
{
    int fd = file_create_temp(temp, old ? old->st_mode & 0777 : 0666);
    if (fd < 0)
        return fail(err, EXIT_RUNTIME, "%s: cannot be created: %s; nothing was saved", temp,
                    strerror(errno));
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
    if (file_write_temp(temp, replaces ? &old : NULL, fill, ctx, err) == 0) {
        if (rename(temp, path) != 0)
            fail(err, EXIT_RUNTIME, "%s: cannot be renamed to %s: %s; nothing was saved", temp,
                 path, strerror(errno));
        else if (folder >= 0 && file_flush(folder) != 0 && errno != EINVAL)
            fail(err, EXIT_RUNTIME, "%s: is saved, but a power cut may undo it: its folder is not "
                 "flushed: %s", path, strerror(errno));
        else
            status = 0;
    }
    if (status != 0) unlink(temp);
    if (folder >= 0) close(folder);             /* only read: nothing can be lost */
    return status;
}

/* ---------------------------------------------------------------- names */

int run_paths(RunPaths *p, const char *out, Err *err)
{
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

/* Can both files be saved? Leaves no temporary file, an earlier run's included. */
static int run_probe_saving(const RunPaths *p, Err *err)
{
    if (run_check_target(p->best, err) || run_check_target(p->last, err)) return -1;
    int fd = file_create_temp(p->temp, 0666);
    if (fd < 0) return run_no_place(err, p->temp, "cannot be created");
    int status = 0;
    if (close(fd) != 0 && errno != EINTR) status = run_no_place(err, p->temp, "cannot be written");
    return unlink(p->temp) != 0 ? run_no_place(err, p->temp, "cannot be removed") : status;
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

/* Writes our pid into the lock file. */
static int run_write_holder(const RunPaths *p, int fd, Err *err)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || file_write(fd, text, (size_t)size) != 0)
        return run_no_place(err, p->lock, "cannot be written");
    return 0;
}

void run_unlock(const RunPaths *p, int fd)
{
    unlink(p->lock);
    close(fd);
}

int run_lock(const RunPaths *p, Err *err)
{
    enum { ATTEMPTS = 100 };            /* each starts over because another run ended meanwhile */
    for (int i = 0; i < ATTEMPTS; i++) {
        long holder = 0;
        struct stat info;
        int fd = open(p->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (fd < 0) return run_no_place(err, p->lock, "cannot be created");
        errno = EINVAL;                 /* for what is no file */
        bool file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
        int locked = file ? run_try_lock(fd, &holder) : -1;
        if (locked < 0) run_no_place(err, p->lock, "cannot be locked");
        if (locked > 0 && run_still_there(fd, p->lock)) {
            if (run_probe_saving(p, err) == 0 && run_write_holder(p, fd, err) == 0) return fd;
            run_unlock(p, fd);
            return -1;
        }
        close(fd);
        if (locked < 0) return -1;
        if (holder > 0)
            return fail(err, EXIT_RUNTIME, "%s: process %ld is training into %s; wait for it or "
                        "choose another --out", p->lock, holder, p->best);
    }
    return fail(err, EXIT_RUNTIME, "%s: another process is training into %s; wait for it or choose "
                "another --out", p->lock, p->best);
}
