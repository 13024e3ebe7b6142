/* trainer.h: one update after another: batch, gradient, clipping, optimizer, average.
 *
 * Owns: a step and nothing else. No files, no words, no options: train, bench and the tests all
 * make their steps with it. What follows from a step (going back, saving, ending) is the caller's.
 *
 *     TrainerOptions how = { .family = &family_gpt2, .config = &config, .kernels = K, .plan = plan,
 *                            .part = corpus_part(&corpus, PART_TRAIN), .batch = 12, .seed = 1 };
 *     Trainer t;
 *     if (trainer_open(&t, &how, &err)) ...;                 everything that takes memory
 *     trainer_start(&t);
 *     while (t.step < steps && trainer_step(&t) == STEP_MADE) ...;
 *
 * The step of a network that learns without gradients is the whole part, and has no optimizer; the
 * loss of its batch is that after it.
 */
#ifndef TRAINER_H
#define TRAINER_H

#include "../base.h"
#include "../corpus.h"
#include "../formats/checkpoint.h"
#include "../networks/ngram.h"
#include "optimizer.h"

#define SAMPLING_WORDS "random|epoch|document"
enum { SAMPLING_RANDOM, SAMPLING_EPOCH, SAMPLING_DOCUMENT };

/* How steps are made: settings, not state. */
typedef struct {
    const Family *family;
    const void *config;     /* checked by family_check; the trainer keeps a copy */
    const Kernels *kernels;
    TrainingPlan plan;
    Part part;              /* what is trained on */
    Numbers numbers;        /* of its tokenizer */
    int batch;              /* windows of the context in a step */
    int slice;              /* of these worked on at once; 0: what suits the cache */
    int sampling;           /* SAMPLING_DOCUMENT needs part.documents */
    uint64_t seed;
    int teacher;            /* order of the n-grams that teach (Teacher of network.h); 0: none do */
    double teacher_share;
    bool teacher_fade;      /* the share falls as the rate does */
} TrainerOptions;

typedef struct {
    TrainerOptions how;
    Model model;
    Optimizer optimizer;
    Model counts;           /* of the part, where they teach */
    Teacher teacher;
    int32_t *x, *y;         /* (batch, context) */
    size_t targets;         /* of these that count */
    int64_t step;           /* updates made, those left out included */
    int64_t made;           /* updates really made since trainer_open */
    TrainState state;       /* attempt, skipped, losses */
    bool (*stop)(void);     /* NULL, or asked before every slice whether to drop the step */
    double step_seconds;    /* of the last update */
    double pace;            /* seconds of an update, smoothed over the last dozen */
} Trainer;

typedef enum {
    STEP_MADE,
    STEP_LEFT_OUT,          /* loss or gradient is not finite: the weights stay as they are */
    STEP_STOPPED,           /* stop() said so; nothing has changed */
    STEP_DIVERGED           /* SKIPS_MAX in a row were left out, or weights are not finite */
} StepResult;

/* Windows that are worked on at once. */
int trainer_slice(const TrainerOptions *how);
/* Bytes that trainer_open takes. */
size_t trainer_bytes(const TrainerOptions *how);
/* EXIT_RUNTIME: memory. */
int trainer_open(Trainer *t, const TrainerOptions *how, Err *err);
void trainer_close(Trainer *t);

/* Step 0: random weights, zero moments; the average is the weights. */
void trainer_start(Trainer *t);
/* From the next step on. */
void trainer_set_plan(Trainer *t, const TrainingPlan *plan);
StepResult trainer_step(Trainer *t);

/* What is evaluated and kept: the average, or the weights themselves. */
real *trainer_weights(const Trainer *t);
/* Whether the weights are finite. */
bool trainer_sound(Trainer *t);
double trainer_tokens_per_step(const Trainer *t);
/* The key of a draw of this step that is not the step's own: RNG_EVAL, RNG_SAMPLE. */
uint64_t trainer_key(const Trainer *t, enum RngPurpose purpose);

#endif
