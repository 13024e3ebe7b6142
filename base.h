/* base.h: what every other file stands on, and nothing above libc.
 *
 * Owns: the number type `real`, errors that are one sentence, arenas, randomness as a pure
 * function, reading a whole file, a monotonic clock, and the OpenMP macros.
 * Include it first: it asks the system headers for POSIX and 64-bit file offsets.
 *
 *     Err err = { 0 };
 *     if (read_file(path, &bytes, &size, &err)) {
 *         fprintf(stderr, "%s\n", err.msg);
 *         return err.status;
 *     }
 */
#ifndef BASE_H
#define BASE_H

#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE 1
#define _DARWIN_C_SOURCE 1
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef FAULTS
#include "tests/faults.h"                   /* open, read, write, ... that fail on demand */
#endif

/* The number type of weights and activations. The gradient tests build everything with double. */
#ifdef FOLIO_DOUBLE
typedef double real;
#else
typedef float real;
#endif

/* ---------------------------------------------------------------- threads (OpenMP, optional) */

#define FOLIO_PRAGMA(x) _Pragma(#x)
#ifdef _OPENMP
#include <omp.h>
#define OMP(clauses) FOLIO_PRAGMA(omp clauses)
#else
#define OMP(clauses)
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_procs(void) { return 1; }
static inline int omp_get_thread_limit(void) { return 1; }
static inline void omp_set_num_threads(int n) { (void)n; }
static inline void omp_set_dynamic(int on) { (void)on; }
#endif

/* ---------------------------------------------------------------- errors */

/* The exit statuses of every program; an Err carries one of them. */
enum { EXIT_RUNTIME = 1, EXIT_USAGE, EXIT_TEXT, EXIT_CHECKPOINT, EXIT_DIVERGED };

/* What they mean, and what the shell makes of a signal. README has them in short, under "What you
 * can rely on". */
static const struct {
    int status;
    const char *meaning;
} exit_statuses[] = {
    { EXIT_SUCCESS, "no error" },
    { EXIT_RUNTIME,
      "a file cannot be opened, read or written, another run holds its lock, or memory is short" },
    { EXIT_USAGE, "wrong arguments, disagreement with the checkpoint that is resumed, a file in "
                  "the way, or a prompt that cannot be used" },
    { EXIT_TEXT, "the content of a text cannot be used" },
    { EXIT_CHECKPOINT, "an opened file is not a sound checkpoint" },
    { EXIT_DIVERGED, "training diverged: the loss stopped being a number" },
    { 129, "ended by SIGHUP" },
    { 130, "ended by SIGINT (Ctrl-C)" },
    { 143, "ended by SIGTERM" }
};

typedef struct {
    int status;             /* 0: no error */
    char msg[600];          /* one sentence: what, where, why, what to do */
} Err;

/* Fills err and returns -1, so that a function can end with `return fail(err, ...)`. A sentence
 * that is too long loses its middle, where a long path is: its end says why. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline int fail(Err *err, int status, const char *format, ...)
{
    enum { HALF = sizeof err->msg / 2 - 3 };
    char whole[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(whole, sizeof whole, format, args);
    va_end(args);
    size_t size = strlen(whole);
    err->status = status;
    if (size < sizeof err->msg) memcpy(err->msg, whole, size + 1);
    else snprintf(err->msg, sizeof err->msg, "%.*s ... %.*s", HALF, whole, HALF,
                  whole + size - HALF);
    return -1;
}

/* ---------------------------------------------------------------- arenas */

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* Memory is measured and carved by the same layout function:
 *     Arena a = { 0 };
 *     layout(&x, &a);
 *     if (arena_open(&a, "weights", err)) ...;
 *     layout(&x, &a); */
typedef struct {
    char *base;             /* NULL: only measure */
    size_t used;            /* bytes */
} Arena;

/* The next `count` elements of `size` bytes, on a cache line of their own. NULL while measuring.
 * A total that does not fit size_t saturates, and arena_open then refuses it. */
static inline void *arena_take(Arena *a, size_t count, size_t size)
{
    char *p = a->base ? a->base + a->used : NULL;
    size_t limit = SIZE_MAX / 4;
    if (size != 0 && count > limit / size) {
        a->used = limit;
        return p;
    }
    a->used += (count * size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    if (a->used > limit) a->used = limit;
    return p;
}

static inline real *arena_reals(Arena *a, size_t count)
{
    return arena_take(a, count, sizeof(real));
}

/* Allocates the measured bytes, zeroed, on huge pages if the system has them; rewinds the arena. */
static inline int arena_open(Arena *a, const char *what, Err *err)
{
    size_t bytes = a->used > 0 ? a->used : CACHE_LINE;
    size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    void *p = NULL;
    if (bytes >= SIZE_MAX / 4 || posix_memalign(&p, align, bytes) != 0)
        return fail(err, EXIT_RUNTIME, "not enough memory for the %s (%.0f MB needed); "
                    "try a smaller model, context or batch", what, (double)bytes / 1e6);
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);   /* a refusal costs only speed */
#endif
    memset(p, 0, bytes);
    a->base = p;
    a->used = 0;
    return 0;
}

static inline void arena_close(Arena *a)
{
    free(a->base);
    a->base = NULL;
    a->used = 0;
}

/* ---------------------------------------------------------------- randomness */

/* No generator state anywhere: every draw is a pure function of (seed, attempt, step, purpose,
 * index), so a run that was killed and resumed, or that uses another number of threads, draws the
 * same numbers.
 * mix64 is the finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
enum RngPurpose { RNG_INIT = 1, RNG_BATCH, RNG_EVAL, RNG_DROPOUT, RNG_SAMPLE };

static inline uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Draw number `index` of the stream `key`: 64 uniform bits. */
static inline uint64_t rng_bits(uint64_t key, uint64_t index)
{
    return mix64(key + (index + 1) * 0x9e3779b97f4a7c15u);
}

static inline uint64_t rng_key(uint64_t seed, uint64_t attempt, uint64_t step,
                               enum RngPurpose purpose)
{
    return rng_bits(rng_bits(rng_bits(mix64(seed), attempt), step), (uint64_t)purpose);
}

/* Uniform in [0, 1), 53 bits. */
static inline double rng_uniform(uint64_t key, uint64_t index)
{
    return (double)(rng_bits(key, index) >> 11) * 0x1p-53;
}

/* Uniform in {0 .. n-1}, n >= 1: the high word of draw * n (bias below n / 2^64). */
static inline uint64_t rng_below(uint64_t key, uint64_t index, uint64_t n)
{
    uint64_t r = rng_bits(key, index), lo = (r & 0xffffffffu) * (n & 0xffffffffu);
    uint64_t mid = (r >> 32) * (n & 0xffffffffu) + (lo >> 32);
    uint64_t mid2 = (r & 0xffffffffu) * (n >> 32) + (mid & 0xffffffffu);
    return (r >> 32) * (n >> 32) + (mid >> 32) + (mid2 >> 32);
}

/* Element `index` of a random permutation of {0 .. n-1}, n <= 2^62: a Feistel network on the
 * smallest even number of bits that holds n (Luby and Rackoff 1988), applied again while the value
 * is n or more. Their four rounds leave small n visibly uneven; eight do not. */
static inline uint64_t rng_permute(uint64_t key, uint64_t index, uint64_t n)
{
    int half = 1;
    while ((uint64_t)1 << 2 * half < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = index >> half, right = index & mask;
        for (uint64_t round = 0; round < 8; round++) {
            uint64_t next = left ^ (rng_bits(rng_bits(key, round), right) & mask);
            left = right;
            right = next;
        }
        index = left << half | right;
    } while (index >= n);
    return index;
}

/* Standard normal (Box and Muller 1958, the cosine branch). */
static inline double rng_normal(uint64_t key, uint64_t index)
{
    double u = 1.0 - rng_uniform(key, 2 * index), v = rng_uniform(key, 2 * index + 1);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* ---------------------------------------------------------------- files and time */

/* Reads a whole file (or standard input for "-") into memory that the caller frees; one extra NUL
 * byte follows the content. EXIT_RUNTIME: it cannot be opened or read, or memory is short. */
static inline int read_file(const char *path, char **bytes, size_t *size, Err *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY);
    if (fd < 0) return fail(err, EXIT_RUNTIME, "%s: cannot be opened: %s", path, strerror(errno));

    struct stat info;
    size_t capacity = 1 << 16, used = 0;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
        capacity = (size_t)info.st_size + 1;
    char *buffer = malloc(capacity + 1);
    while (buffer != NULL) {
        ssize_t n = read(fd, buffer + used, capacity - used);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            fail(err, EXIT_RUNTIME, "%s: cannot be read: %s", path, strerror(errno));
            break;
        }
        if (n == 0) {
            buffer[used] = '\0';
            *bytes = buffer;
            *size = used;
            if (!standard) close(fd);
            return 0;
        }
        used += (size_t)n;
        if (used == capacity) {
            char *larger = capacity > SIZE_MAX / 2 - 1 ? NULL : realloc(buffer, 2 * capacity + 1);
            if (larger == NULL) free(buffer);
            buffer = larger;
            capacity *= 2;
        }
    }
    if (buffer == NULL) fail(err, EXIT_RUNTIME, "%s: not enough memory to read it", path);
    free(buffer);
    if (!standard) close(fd);
    return -1;
}

/* Seconds on a clock that never jumps. */
static inline double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
