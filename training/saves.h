/* saves.h: NAME.bin and NAME.last.bin: which is due, writing both in order, returning to the last
 * one.
 *
 * Owns: the names of a run's files and their lock, the history of its evaluations, and which of its
 * steps NAME.bin holds. NAME.last.bin is all that resuming needs; NAME.bin holds the weights of the
 * best evaluation.
 *
 *     Saves s;
 *     if (run_paths(&s.paths, "x.bin", &err) || run_lock(&s.paths, &s.lock, &err)) ...;
 *     if (saves_open(&s, &trainer, &text, evaluations, &err)) ...;
 *     if (saves_evaluated(&s, &trainer, val_loss, &err)) ...;
 *     if (s.best_due && saves_write(&s, &trainer, true, &err)) ...;   the old files stay
 *     saves_close(&s);
 */
#ifndef SAVES_H
#define SAVES_H

#include "../formats/checkpoint.h"
#include "../system/files.h"
#include "trainer.h"

/* What a file states beside the training state. */
typedef struct {
    const Tokenizer *tokenizer;
    const char *sha256;
    bool has_val;           /* without a validation part NAME.bin holds the last weights */
} SavedText;

typedef struct {
    RunPaths paths;
    RunLock lock;
    bool locked_again;      /* the lock had been deleted: worth a line, once */
    SavedText text;
    const SavedMemory *memory;  /* the owner's; NULL: the run has none */
    Saver *saver;
    Setting settings[SETTINGS_MAX];
    int setting_count;
    History history;
    size_t room;            /* evaluations that the history has memory for */
    bool has_last, has_best;/* NAME.last.bin and NAME.bin are this run's */
    bool best_due;          /* NAME.bin should hold the weights of this step, and does not yet */
    TrainState held;        /* what it holds until then */
    bool failed;            /* the last save failed */
    double saved;           /* clock of the last save */
    double last_save;       /* seconds that it took */
} Saves;

/* Bytes that saves_open takes. */
size_t saves_bytes(const Family *f, const void *config, size_t evaluations);
/* Takes the memory that saves need, so that no later one asks for any; of the history for so many
 * evaluations at first. s->settings and s->memory are set. EXIT_RUNTIME. */
int saves_open(Saves *s, const Trainer *t, const SavedText *text, size_t evaluations, Err *err);
/* Frees everything and releases the lock. */
void saves_close(Saves *s);

/* Adds an evaluation of the trainer's weights. EXIT_RUNTIME: memory. */
int saves_evaluated(Saves *s, Trainer *t, double val_loss, Err *err);
/* Whether the step that the trainer is at has been evaluated. */
bool saves_has_evaluated(const Saves *s, const Trainer *t);
/* Evaluations after the best one. */
int64_t saves_stale(const Saves *s, const Trainer *t);
/* Before weights change that were the best and could not be saved: NAME.bin keeps what it holds. */
void saves_forget_due(Saves *s, Trainer *t);

/* Saves NAME.last.bin (`all`, and in the first save of a run) and NAME.bin where it should hold the
 * same weights: of the best evaluation, or until this run has written it. In this order, so that
 * NAME.bin never is alone, and a run that is killed between the two knows from its state that
 * NAME.bin is due. On failure the old files stay; so they do if somebody else has the lock. */
int saves_write(Saves *s, const Trainer *t, bool all, Err *err);
/* Copies the state of a run from a checkpoint with a training state, and closes it. *lost: the best
 * step, if there is no NAME.bin that holds it and its weights are lost; else 0. */
int saves_restore(Saves *s, Trainer *t, Checkpoint *from, uint64_t *lost, Err *err);

/* --init-from: the vocabulary becomes that of the text and of the checkpoint together, so that what
 * the text lacks keeps its rows. EXIT_RUNTIME: memory; nothing has changed then. */
int saves_join_vocabulary(Corpus *c, Tokenizer *now, const Tokenizer *old, Err *err);
/* The weights of --init-from over those of a trainer that has just started: rows of characters are
 * matched by value, positions are taken up to the smaller context. EXIT_RUNTIME: memory.
 * EXIT_USAGE: more than rows depends on the vocabulary, and the text has new characters. */
int saves_take_weights(Trainer *t, const Tokenizer *now, const Checkpoint *from, Err *err);

#endif
