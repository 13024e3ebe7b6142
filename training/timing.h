/* timing.h: --minutes: what it chooses, when the decay must begin, how well it ended.
 *
 * Owns: the deadline of a run and the measurements it is planned with.
 *
 *     Timing t = { .begun = clock_seconds() };
 *     if (timing_deadline(&t, &settings, resumed, path, &err)) ...;
 *     if (timing_choose(&t, &settings, K, &text, vocab, &reduced, &err)) ...;     where it is open
 *     ...
 *     if (timing_plan_end(&t, &settings, &trainer, last_save)) ...;  steps are settled from here on
 */
#ifndef TIMING_H
#define TIMING_H

#include "settings.h"
#include "trainer.h"

enum { EVAL_CHARACTERS = 120000 };  /* of the validation part, scored at each evaluation */

typedef struct {
    double begun, started;  /* clock: of the program, of the training */
    double deadline;        /* clock: when --minutes says that it should end; 0: no timed run */
    double evaluating;      /* seconds of this start's evaluations */
    double last_evaluation; /* of the last one */
    double planned_step;    /* seconds of a step that the end was planned with; 0: not planned */
    double span_begun;      /* clock without evaluations: since then the steps are timed, */
    int64_t span_step;      /* from this one on */
    double measured;        /* bytes that measuring the machine took for a while */
    Profile profile;        /* where the time goes, with --profile */
} Timing;

/* The sizes and the batch that suit so many operations over a text of so many characters. */
const Choice *timing_sizes(const Family *f, double flops, size_t characters);
/* What keeps a model from learning the text by heart, by how often it reads it. */
const Choice *timing_regularisation(double epochs);

/* The memory of a plain run, and the teacher of one without a memory (LAB.md). */
extern const Choice timing_memory[], timing_teacher[];

/* Sets the deadline of a timed run, whose number of steps is open; or the one step of a network
 * that learns without gradients, whatever its time. `last`: the file that is resumed.
 * EXIT_USAGE. */
int timing_deadline(Timing *t, Settings *s, bool resumed, const char *last, Err *err);
/* Model, batch, rate and regularisation of a timed run, from this machine's speed and the text, of
 * `vocab` symbols. *reduced: as settings_fit_context. */
int timing_choose(Timing *t, Settings *s, const Kernels *K, const Corpus *text, int vocab,
                  int64_t *reduced, Err *err);
/* A timed run keeps its rate until what is left of the time is just what the decay costs, the
 * evaluations that fall into it, and the last evaluation and save. Then it sets steps and
 * decay_steps; true. */
bool timing_plan_end(Timing *t, Settings *s, const Trainer *trainer, double last_save);
/* After that: where steps have become so much slower or faster that the run would end far from its
 * deadline, other numbers of steps, with the same rate now; true. Then no command repeats the
 * run. */
bool timing_adjust_end(Timing *t, Settings *s, const Trainer *trainer, double last_save);

#endif
