/* places.h: the files of a run and those it reads: no two may be the same, and what is in the way
 * must be an earlier run's.
 *
 * Owns: the comparison by device and inode, or by folder and name where there is no file yet. It
 * only looks.
 *
 *     Places p = { .paths = &paths, .texts = &texts, .log = "x.log" };
 *     if (places_differ(&p, &err)) ...;                       before anything is written
 *     if (places_leftover(&paths, &err)) ...;                 before NAME.tmp is removed
 */
#ifndef PLACES_H
#define PLACES_H

#include "../cli/options.h"
#include "../system/files.h"

typedef struct {
    const RunPaths *paths;
    const Operands *texts;
    const char *log, *init_from;        /* or NULL */
} Places;

/* EXIT_USAGE, naming both, where a file that a run writes is also one it reads, or another that it
 * writes. */
int places_differ(const Places *p, Err *err);
/* EXIT_USAGE if NAME.tmp is there, and is neither empty nor begins as a checkpoint. */
int places_leftover(const RunPaths *paths, Err *err);
/* EXIT_USAGE if a file is there and does not begin as a checkpoint. EXIT_RUNTIME, here and above:
 * it cannot be read. */
int places_foreign(const char *path, Err *err);
/* The --out of the run that a checkpoint belongs to: "x.bin" for "x.last.bin", too. */
void places_run_of(const char *checkpoint, char out[PATH_ROOM]);

#endif
