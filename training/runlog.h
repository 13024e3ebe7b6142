/* runlog.h: the log of a run: one JSON object a line, only ever appended.
 *
 * Owns: the lines and their order. Each start writes its surroundings; then come the steps. A run
 * that is resumed, or that goes back, first writes {"resumed":STEP}: what was written before it
 * about later steps no longer counts, and `seconds` continues from STEP's. A log that fails never
 * ends a run.
 *
 *     RunLog log;
 *     if (runlog_open(&log, "x.log", RUNLOG_NEW, 0, &err)) ...;
 *     if (runlog_step(&log, &line, &err)) ...;               said once; later calls do nothing
 *     runlog_close(&log, &err);
 */
#ifndef RUNLOG_H
#define RUNLOG_H

#include "../base.h"

typedef enum { RUNLOG_NEW, RUNLOG_REPLACE, RUNLOG_CONTINUE } RunLogStart;

typedef struct {
    int fd;                 /* -1: no log, or one that failed */
    bool failed;
    bool cut;               /* the last line of what is there has no end */
    double seconds_before;  /* of earlier starts */
} RunLog;

/* The surroundings of a start: they are here and nowhere in a checkpoint. */
typedef struct {
    const char *commit, *machine, *isa;
    int threads, slice;
    size_t parameters;
    int64_t from_step;
    int argc;
    char *const *argv;      /* (argc) the command */
} Surroundings;

/* A step; a number that is not finite is left out, and step 0 has val_loss alone. */
typedef struct {
    int64_t step;
    double seconds, tokens, loss, lr, grad_norm, tokens_per_second, val_loss;
} LogLine;

/* path NULL: no log. With RUNLOG_NEW a log that exists is in the way (EXIT_USAGE); a file that is
 * no log is never touched (EXIT_USAGE); EXIT_RUNTIME: it cannot be opened or, to continue it from
 * `step`, read. */
int runlog_open(RunLog *l, const char *path, RunLogStart start, int64_t step, Err *err);
int runlog_surroundings(RunLog *l, const Surroundings *s, Err *err);
int runlog_step(RunLog *l, const LogLine *line, Err *err);
/* First of all when a log is continued, and whenever a run goes back. */
int runlog_resumed(RunLog *l, int64_t step, Err *err);
int runlog_close(RunLog *l, Err *err);

/* `seconds` of the last line of a log that is not after `step`; 0 if there is none. */
double runlog_seconds(const char *text, size_t size, int64_t step);

#endif
