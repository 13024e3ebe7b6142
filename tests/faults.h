/* faults.h: a layer under the program in which any system call or allocation can be made to fail.
 *
 * With -DFAULTS base.h includes this file, and open, read, write, fsync, close, rename, malloc,
 * calloc, realloc, posix_memalign and free go through faults.c, which itself is compiled
 * without it. One fault at a time:
 *
 *     FAULT=write:3           the third write fails (ENOSPC)          FAULT=op:n:once is the same
 *     FAULT=malloc:1:persist  every allocation fails (ENOMEM); `malloc` means all four kinds
 *     FAULT=any:7:kill        SIGKILL just before the seventh file operation of any kind
 *     FAULT=any:7:cut         the same, and bytes and renames that were not flushed are lost
 *     FAULT=any:7:term        SIGTERM just before it; it does not fail
 *     FAULT=write:1:short     the first write does half of what it should; read too
 *     FAULT_COUNT=FILE        at exit, a line `op calls` for each op is appended to FILE: the
 *                             largest useful n; then `blocks n` and `files n`: the number not
 *                             freed and not closed
 *
 * A test in one process arms the layer itself:
 *
 *     faults_arm("rename:1");
 *     CHECK(checkpoint_write(...) != 0, "...");
 *     faults_arm(NULL);
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stddef.h>
#include <sys/types.h>

/* Restarts all counts and the trace; spec as in FAULT, or NULL for none. Aborts if it is
 * ill-formed. */
void faults_arm(const char *spec);

/* Calls of one op (or "any", or "malloc") since then. */
long faults_calls(const char *op);

/* The first 4,000 file operations since then, one letter each: o open, r read, w write, f fsync of
 * a file, d fsync of a folder, c close, m rename. */
const char *faults_trace(void);

/* Blocks of memory not yet freed, and files not yet closed, since the start of the process. */
long faults_live_blocks(void);
long faults_live_files(void);

int faulty_open(const char *path, int flags, ...);
ssize_t faulty_read(int fd, void *bytes, size_t size);
ssize_t faulty_write(int fd, const void *bytes, size_t size);
int faulty_fsync(int fd);
int faulty_close(int fd);
int faulty_rename(const char *from, const char *to);
void *faulty_malloc(size_t size);
void *faulty_calloc(size_t count, size_t size);
void *faulty_realloc(void *block, size_t size);
int faulty_posix_memalign(void **block, size_t align, size_t size);
void faulty_free(void *block);

#ifdef FAULTS
#define open(...) faulty_open(__VA_ARGS__)
#define read(fd, bytes, size) faulty_read(fd, bytes, size)
#define write(fd, bytes, size) faulty_write(fd, bytes, size)
#define fsync(fd) faulty_fsync(fd)
#define close(fd) faulty_close(fd)
#define rename(from, to) faulty_rename(from, to)
#define malloc(size) faulty_malloc(size)
#define calloc(count, size) faulty_calloc(count, size)
#define realloc(block, size) faulty_realloc(block, size)
#define posix_memalign(block, align, size) faulty_posix_memalign(block, align, size)
#define free(block) faulty_free(block)
#endif

#endif
