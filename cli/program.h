/* program.h: what every main shares: a program is a table of options and a body.
 *
 * Owns: the options that mean the same everywhere, and the way from argv to the exit status. With
 * the programs it is the one voice on standard error.
 *
 *     typedef struct { Common common; int64_t length; bool given[CLI_ROWS]; } Options;
 *     #define AT(field) offsetof(Options, field)
 *     static const Option options[] = {
 *         INT("length", length, "500", 0, 1e9, "new characters, at most"),
 *         THREADS_ROW(0), ISA_ROW(0), QUIET_ROW(0), ABOUT_ROWS(common.about), { 0 }
 *     };
 *     static const Cli cli = { .program = "sample", .operands = "CKPT...", .least = 1, ... };
 *     static int sample(const Call *call, Output *out, Err *err)
 *     {
 *         const Options *o = call->options;
 *         ...
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         Options o = { 0 };
 *         return program_main(&cli, &o, sample, argc, argv);
 *     }
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "../base.h"
#include "../kernels/kernels.h"
#include "options.h"
#include "output.h"
#include "pages.h"
#include "rows.h"

/* The first member of every program's Options, `common`; a table has rows for what makes sense. */
typedef struct {
    const char *isa;
    int64_t threads;            /* 0: not given */
    bool quiet, json;
    About about;
} Common;

#define THREADS_ROW(flags) \
    INT("threads", common.threads, NULL, 1, 1024, \
        "threads (default: what the machine or container has); the result does not depend on it", \
        flags)
#define ISA_ROW(flags) \
    STRING("isa", "ISA", common.isa, NULL, \
           "instruction set (default: the fastest); list shows them", flags)
#define JSON_ROW(help, flags) SWITCH("json", common.json, help, flags)
#define QUIET_ROW(flags) SWITCH("quiet", common.quiet, "no messages but errors", flags)

/* Prints to standard error, without control characters (output_visible). */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void program_say(const char *format, ...);
void program_say_list(const char *format, va_list args);

/* What a body is called with. */
typedef struct {
    const Cli *cli;
    void *options;              /* the Options of the program, which the body may change */
    const Operands *operands;   /* as many as cli says */
    const Kernels *kernels;     /* NULL in a program without ISA_ROW */
    int threads;                /* --threads or default_threads(); OpenMP has been told */
    int argc;
    char **argv;
    double begun;               /* clock_seconds() at the start of the program */
} Call;

/* 0, or -1 with err. */
typedef int Body(const Call *call, Output *out, Err *err);

/* Parses, answers --help, --version, --page and --isa list, or calls the body; closes standard
 * output; says on standard error what failed. Returns the exit status. options: zeroed or with
 * its table built, begins with a Common. */
int program_main(const Cli *cli, void *options, Body *body, int argc, char **argv);

#endif
