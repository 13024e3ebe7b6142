/* train.c: text -> checkpoint.
 *
 * Each step draws a batch of windows from the training part, computes the mean of -log p(next
 * character) and its gradient a slice of sequences at a time, clips, and takes one step of the
 * optimizer (training/trainer.h). Two files result: NAME.bin holds the weights of the best
 * evaluation, NAME.last.bin all that --resume needs. Start reading at train_loop.
 *
 *     ./train shakespeare.txt --preset nanogpt-cpu --out shakespeare.bin
 */
#include "base.h"
#include "cli/program.h"
#include "corpus.h"
#include "formats/checkpoint.h"
#include "inference/evaluate.h"
#include "system/machine.h"
#include "tokenizer.h"
#include "training/display.h"
#include "training/fit.h"
#include "training/places.h"
#include "training/preview.h"
#include "training/runlog.h"
#include "training/runmemory.h"
#include "training/saves.h"
#include "training/settings.h"
#include "training/timing.h"
#include "training/trainer.h"

#include <signal.h>

#ifndef FOLIO_COMMIT
#define FOLIO_COMMIT "unknown"
#endif

enum {
    SAVE_SECONDS = 30,          /* a killed run loses this much and one step, or --save-every */
    HISTORY_ROOM = 10000,       /* evaluations that have their room from the start */
    STALE_EVALUATIONS = 5       /* without improvement, before a line says so */
};

typedef struct {
    Settings *settings;
    Tokenizer tokenizer;
    Corpus corpus;
    Trainer trainer;
    RunMemory memory;
    Scorer scorer, memory_scorer;       /* of the network; of the network with its memory */
    Saves saves;
    Timing timing;
    RunLog log;
    Display display;
    Preview preview;
} Run;

/* ---------------------------------------------------------------- signals */

/* Set by the first signal; the second ends the program. */
static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    if (stop_signal != 0) _exit(128 + number);
    stop_signal = number;
}

static bool stop_asked(void) { return stop_signal != 0; }

static void catch_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action, old;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigemptyset(&action.sa_mask);
        action.sa_flags = SA_RESTART;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

/* ---------------------------------------------------------------- what a step leads to */

static bool all_steps_made(const Run *r)
{
    return !settings_steps_open(r->settings) && r->trainer.step >= r->settings->plan.steps;
}

static bool has_val(const Run *r) { return r->saves.text.has_val; }

static bool evaluation_due(const Run *r)
{
    bool now = r->trainer.step % r->settings->eval_every == 0 || all_steps_made(r);
    return has_val(r) && now && !saves_has_evaluated(&r->saves, &r->trainer);
}

static bool out_of_patience(const Run *r)
{
    int64_t patience = r->settings->patience;
    return patience > 0 && saves_stale(&r->saves, &r->trainer) >= patience;
}

static double run_seconds(const Run *r)
{
    return r->log.seconds_before + clock_seconds() - r->timing.started;
}

static double minutes_left(const Run *r) { return (r->timing.deadline - clock_seconds()) / 60; }

static int diverged(const Run *r, Err *err)
{
    return fail(err, EXIT_DIVERGED,
                "the loss is no longer a number after step %lld; %s; try a smaller --lr (now %g)",
                (long long)r->trainer.step,
                r->saves.has_best ? "the files of the last save are kept" : "nothing was saved yet",
                r->settings->plan.lr);
}

/* A save that fails is one line, and the run goes on. Only a state not finite is an error. */
static int save(Run *r, bool all, Err *err)
{
    Err why = { 0 };
    if (!trainer_sound(&r->trainer)) return diverged(r, err);
    runmemory_fit(&r->memory, &r->trainer);
    if (saves_write(&r->saves, &r->trainer, all, &why)) display_complaint(&r->display, why.msg);
    if (r->saves.locked_again)
        display_note(&r->display, "note: %s was deleted; this run has taken it again",
                     r->saves.paths.lock);
    r->saves.locked_again = false;
    return 0;
}

/* Not while updates are left out: these may be the weights that a return must undo. */
static bool save_due(const Run *r)
{
    int64_t every = r->settings->save_every;
    if (r->trainer.state.skipped > 0) return false;
    if (every > 0) return r->trainer.step % every == 0;
    return clock_seconds() - r->saves.saved >= SAVE_SECONDS;
}

/* A log that fails is one line, too. */
static void log_failed(Run *r, int failed, const Err *why)
{
    if (failed) display_complaint(&r->display, why->msg);
}

/* The line of the last step made; val_loss only if it was evaluated, else NAN. */
static void log_step(Run *r, double val_loss)
{
    Err why = { 0 };
    const Trainer *t = &r->trainer;
    double tokens = trainer_tokens_per_step(t);
    LogLine line = { .step = t->step, .seconds = run_seconds(r), .tokens = (double)t->step * tokens,
                     .loss = t->state.train_loss, .grad_norm = t->state.grad_norm,
                     .val_loss = val_loss };
    line.lr = plan_lr(&t->how.plan, t->step - 1);
    line.tokens_per_second = t->step_seconds > 0 ? tokens / t->step_seconds : 0;
    log_failed(r, runlog_step(&r->log, &line, &why), &why);
}

/* Scores the validation part with the weights that are kept. */
static Score score_val(Run *r, Scorer *scorer)
{
    const Settings *s = r->settings;
    Trainer *t = &r->trainer;
    Model *m = &t->model;
    Part val = corpus_part(&r->corpus, PART_VAL);
    Profile *profile = m->profile;
    m->profile = NULL;                                      /* all of it is one phase */
    model_use(m, trainer_weights(t));
    Score score = s->eval_batches > 0
        ? evaluate_random(scorer, val, trainer_key(t, RNG_EVAL),
                          (size_t)(s->eval_batches * s->batch), m->context)
        : s->sampling == SAMPLING_DOCUMENT
        ? evaluate_documents(scorer, val, m->context, EVAL_CHARACTERS)
        : evaluate_full(scorer, val, m->context, EVAL_CHARACTERS);
    model_use(m, m->params);
    m->profile = profile;
    profile_mark(profile, PHASE_EVALUATION);
    return score;
}

/* An evaluation, of the network alone. A signal that comes first makes none: *val_loss stays. */
static int evaluate(Run *r, double *val_loss, Err *err)
{
    const Settings *s = r->settings;
    Trainer *t = &r->trainer;
    double start = clock_seconds();
    Score score = score_val(r, &r->scorer);
    r->timing.last_evaluation = clock_seconds() - start;
    r->timing.evaluating += r->timing.last_evaluation;
    if (score.stopped) return 0;
    *val_loss = score_mean(score);
    if (!isfinite(*val_loss)) return 0;
    if (saves_evaluated(&r->saves, t, *val_loss, err)) return -1;
    display_evaluation(&r->display, s, t, &r->timing, *val_loss, r->saves.best_due);
    if (saves_stale(&r->saves, t) == STALE_EVALUATIONS)
        display_note(&r->display, "note: no improvement for %d evaluations; %s holds step %llu",
                     STALE_EVALUATIONS, r->saves.paths.best,
                     (unsigned long long)t->state.best_step);
    return 0;
}

static void show_sample(Run *r)
{
    size_t size = preview_write(&r->preview, trainer_weights(&r->trainer),
                                trainer_key(&r->trainer, RNG_SAMPLE));
    display_sample(&r->display, r->preview.text, size);
}

/* Evaluates, samples, logs and saves what is due after the steps made so far. `made`: the last of
 * them was made just now. Returns 0, 1 if the loss is not finite, or -1. */
static int after_step(Run *r, bool made, Err *err)
{
    const Settings *s = r->settings;
    int64_t step = r->trainer.step;
    double val_loss = (double)NAN;
    bool due = evaluation_due(r);
    if (due && evaluate(r, &val_loss, err)) return -1;
    if (due && !saves_has_evaluated(&r->saves, &r->trainer))    /* its line is written when it is */
        return stop_asked() ? 0 : 1;
    if (step > 0 ? made || due : isfinite(val_loss)) log_step(r, val_loss);
    if (s->sample_every > 0 && made && step % s->sample_every == 0 && !s->common.quiet)
        show_sample(r);
    /* With the best weights their state: a return must not lead to before what NAME.bin holds. */
    if ((r->saves.best_due || (made && save_due(r))) && save(r, true, err)) return -1;
    display_live(&r->display, s, &r->trainer, &r->timing);
    profile_mark(r->trainer.model.profile, PHASE_SAVE);
    return 0;
}

/* ---------------------------------------------------------------- training */

/* Settings that became final: what steps are made with, and what is stored. */
static void settle(Run *r)
{
    TrainingPlan plan = settings_plan(r->settings, r->trainer.state.attempt);
    trainer_set_plan(&r->trainer, &plan);
    r->saves.setting_count = settings_store(r->settings, r->corpus.train_separators,
                                            r->saves.settings);
}

/* Step 0: random weights, or those of --init-from. `from` holds these, or is empty. */
static int start(Run *r, Checkpoint *from, Err *err)
{
    const char *path = r->settings->init_from;
    trainer_start(&r->trainer);
    if (path == NULL) return 0;
    if (from->bytes == NULL && checkpoint_load(from, path, err)) return -1;
    int failed = saves_take_weights(&r->trainer, &r->tokenizer, from, err);
    if (!failed) display_new_characters(&r->display, &r->tokenizer, &from->tokenizer, path);
    checkpoint_close(from);
    return failed;
}

/* Copies the state of the run that is resumed. */
static int restore(Run *r, Checkpoint *from, Err *err)
{
    uint64_t lost = 0;
    if (saves_restore(&r->saves, &r->trainer, from, &lost, err)) return -1;
    if (lost > 0)
        display_note(&r->display,
                     "note: there is no %s, so the best weights so far (step %llu) are lost",
                     r->saves.paths.best, (unsigned long long)lost);
    return 0;
}

/* The step that a log continues from: an evaluation that is still due writes its line again. */
static int64_t logged_step(const Run *r)
{
    int64_t step = r->trainer.step;
    return evaluation_due(r) && step > 0 ? step - 1 : step;
}

/* Back to the last save, or to the start if there is none, with half the rate and other windows and
 * dropout. EXIT_DIVERGED after RETURNS_MAX of these. */
static int go_back(Run *r, Err *err)
{
    Trainer *t = &r->trainer;
    uint64_t attempt = t->state.attempt + 1;
    Checkpoint from = { 0 };
    Err why = { 0 };
    if (attempt > RETURNS_MAX) return diverged(r, err);
    if (r->saves.has_last) {
        if (checkpoint_load(&from, r->saves.paths.last, err) || restore(r, &from, err)) return -1;
    } else {
        History *h = &r->saves.history;
        /* The weights of step 0 come back as they were. */
        h->count = h->count > 0 && h->step[0] == 0;
        r->saves.best_due = false;
        if (start(r, &from, err)) return -1;
    }
    t->state.attempt = attempt;
    t->state.skipped = 0;
    settle(r);
    display_note(&r->display,
                 "note: training diverged; back to step %lld with --lr %g (return %llu of %d)",
                 (long long)t->step, t->how.plan.lr, (unsigned long long)attempt, RETURNS_MAX);
    log_failed(r, runlog_resumed(&r->log, logged_step(r), &why), &why);
    /* What --overwrite replaces stays until then. */
    return r->saves.has_last ? save(r, true, err) : 0;
}

/* What the network itself says about a step. */
static void show_remark(Run *r)
{
    char remark[200];
    model_remark(&r->trainer.model, remark, sizeof remark);
    if (remark[0] != '\0') display_note(&r->display, "note: %s", remark);
}

static bool run_ends(Run *r)
{
    const Settings *s = r->settings;
    if (stop_asked() || all_steps_made(r) || (s->stop_at > 0 && r->trainer.step >= s->stop_at))
        return true;
    if (!out_of_patience(r)) return false;
    display_note(&r->display, "note: ends after %lld evaluations without improvement",
                 (long long)s->patience);
    return true;
}

/* Updates until all are made, --stop-at or --patience says so, or a signal comes. */
static int train_loop(Run *r, Err *err)
{
    Trainer *t = &r->trainer;
    for (bool made = false;;) {
        int lost = after_step(r, made, err);
        if (lost < 0) return -1;
        if (!lost && run_ends(r)) return 0;
        StepResult result = lost ? STEP_DIVERGED : trainer_step(t);
        if (result == STEP_STOPPED) return 0;
        if (result == STEP_MADE) saves_forget_due(&r->saves, t);
        if (result == STEP_MADE) show_remark(r);
        if (result == STEP_LEFT_OUT || (!lost && result == STEP_DIVERGED && t->state.skipped > 0))
            display_note(&r->display,
                         "note: the gradient of step %lld is not finite; its update is left out",
                         (long long)t->step + (result == STEP_DIVERGED));
        if (result == STEP_DIVERGED && go_back(r, err)) return -1;
        made = result != STEP_DIVERGED;
        bool open = settings_steps_open(r->settings);
        double last_save = r->saves.last_save;
        if (made && (open ? timing_plan_end(&r->timing, r->settings, t, last_save)
                          : timing_adjust_end(&r->timing, r->settings, t, last_save))) settle(r);
    }
}

/* ---------------------------------------------------------------- the end */

/* with_memory: the last validation loss of the network and its memory, if it has one. */
static void print_result(const Run *r, double with_memory, Output *out)
{
    const History *h = &r->saves.history;
    const TrainState *state = &r->trainer.state;
    output_print(out, "{\"steps\":%lld,\"seconds\":%.3f,\"train_loss\":",
                 (long long)r->trainer.step, run_seconds(r));
    output_json_real(out, r->trainer.step > 0 ? state->train_loss : (double)NAN);
    output_print(out, ",\"val_loss\":");
    output_json_real(out, h->count > 0 ? h->val_loss[h->count - 1] : (double)NAN);
    if (r->settings->memory > 0) {
        output_print(out, ",\"val_loss_with_memory\":");
        output_json_real(out, with_memory);
    }
    output_print(out, ",\"best_step\":%llu,\"best_val_loss\":",
                 (unsigned long long)state->best_step);
    output_json_real(out, state->best_step > 0 ? state->best_loss : (double)NAN);
    output_print(out, ",\"parameters\":%zu,\"checkpoint\":",
                 family_parameters(r->trainer.how.family, r->trainer.how.config));
    output_json_text(out, r->saves.paths.best);
    output_print(out, "}\n");
}

static void show_resume_command(Run *r)
{
    display_resume_command(&r->display, r->settings, minutes_left(r), !out_of_patience(r));
}

/* Why no single start gives the bytes of this run, and what would be needed; NULL if one does. */
static const char *why_not_repeated(const Run *r)
{
    const Settings *s = r->settings;
    if (s->changed != NULL && strcmp(s->changed, "steps") == 0)
        return "it was given more when its last steps had begun; each of its starts would be "
               "needed, with the steps that were planned then";
    if (s->changed != NULL && strcmp(s->changed, CHANGED_PACE) == 0)
        return "steps took another time while its rate fell; the same machine would be needed";
    if (s->changed != NULL)
        return "its --eval-every was changed; each of its starts would be needed";
    if (r->trainer.state.attempt > 0)
        return "it went back after it had diverged; the same saves would be needed";
    if (all_steps_made(r)) return NULL;
    return s->stop_at > 0 && r->trainer.step >= s->stop_at
        ? "it ended early; the same --stop-at would be needed"
        : "it ended early; the same --patience would be needed";
}

/* Of the last weights, with the exponents that were chosen for them at the last save. NAN if a
 * signal comes first. */
static double evaluate_with_memory(Run *r)
{
    Score score = score_val(r, &r->memory_scorer);
    double loss = score_mean(score);
    if (score.stopped) return (double)NAN;
    display_note(&r->display, "step %lld with its memory: val %.4f", (long long)r->trainer.step,
                 loss);
    return loss;
}

/* `finished`: the run had all its steps before this start. */
static int finish(Run *r, bool finished, Output *out, Err *err)
{
    const Settings *s = r->settings;
    const Trainer *t = &r->trainer;
    uint64_t best = t->state.best_step;
    double with_memory = (double)NAN;
    Err why = { 0 };
    if ((!finished || r->saves.best_due || !r->saves.has_best) && save(r, !finished, err))
        return -1;
    log_failed(r, runlog_close(&r->log, &why), &why);
    profile_mark(t->model.profile, PHASE_SAVE);
    if (s->profile && !finished) display_profile(&r->display, &r->timing.profile);
    if (r->saves.failed)
        return fail(err, EXIT_RUNTIME,
                    "the last save failed; free some space and continue with --resume");
    if (stop_asked()) {
        display_note(&r->display, "stopped after step %lld; %s is saved", (long long)t->step,
                     r->saves.paths.last);
        show_resume_command(r);
        return 0;
    }
    if (s->memory > 0 && has_val(r) && !finished) with_memory = evaluate_with_memory(r);
    if (all_steps_made(r)) display_more_command(&r->display, s, r->timing.planned_step > 0);
    else show_resume_command(r);
    display_note(&r->display, "%s: step %llu%s", r->saves.paths.best,
                 (unsigned long long)(best > 0 ? best : (uint64_t)t->step),
                 best > 0 ? ", the best evaluation" : "");
    if (r->timing.planned_step > 0) {
        display_timed_end(&r->display, &r->timing, t->pace);
        if (display_repeat_command(&r->display, s, &r->saves.paths, why_not_repeated(r), err))
            return -1;
    }
    if (s->common.json) print_result(r, with_memory, out);
    if (r->log.failed) return fail(err, EXIT_RUNTIME, "%s: the log is incomplete", s->log);
    return 0;
}

/* ---------------------------------------------------------------- before the first step */

/* The names of the run's files, and its lock. */
static int open_places(Run *r, const Operands *texts, Err *err)
{
    const Settings *s = r->settings;
    RunPaths *paths = &r->saves.paths;
    Places places = { paths, texts, s->log, s->init_from };
    return run_paths(paths, s->out, err) || places_differ(&places, err)
        || run_lock(paths, &r->saves.lock, err) ? -1 : 0;
}

/* --init-from: its fields. */
static int open_init(Run *r, Checkpoint *from, Err *err)
{
    Settings *s = r->settings;
    if (s->init_from == NULL) return 0;
    if (checkpoint_load(from, s->init_from, err) || settings_inherit(s, from, err)) return -1;
    const char *documents = checkpoint_setting(from, "split-documents");
    bool split = documents != NULL && strcmp(documents, "off") != 0;
    if (split && !GIVEN(s, split_documents))        /* a matter of the text, and this is another */
        display_note(&r->display, "note: %s was trained with --split-documents %s, this run is not",
                     s->init_from, documents);
    if (from->memory.count > 0 && s->memory == 0)
        display_note(&r->display, "note: the memory of %s is of its own text, and this run has "
                     "none; --memory %d counts this text", s->init_from, from->memory.order);
    return 0;
}

/* Loads what --resume continues from, or sees that nothing is in the way. */
static int open_files(Run *r, Checkpoint *from, bool *resumed, Err *err)
{
    Settings *s = r->settings;
    const RunPaths *p = &r->saves.paths;
    bool best = file_exists(p->best), last = file_exists(p->last);
    /* To --resume, NAME.last.bin must be a sound one. */
    if (!s->overwrite && (places_foreign(p->best, err)
                          || (!s->resume && places_foreign(p->last, err)))) return -1;
    if (!s->resume && (best || last) && !s->overwrite)
        return fail(err, EXIT_USAGE,
                    "%s%s%s: in the way; --resume continues from them, --overwrite replaces them",
                    best ? p->best : "", best && last ? " and " : "", last ? p->last : "");
    if (s->resume && best && !last)
        return fail(err, EXIT_USAGE,
                    "%s is there but %s is not, and only that can be resumed; to train its "
                    "weights further, start anew with --init-from %s --out OTHER",
                    p->best, p->last, p->best);
    if (s->resume && !last)
        display_note(&r->display, "note: there is no %s; starting at step 0", p->last);
    if (!s->resume || !last) return open_init(r, from, err);

    if (checkpoint_load(from, p->last, err)) return -1;
    if (!from->has_train)
        return fail(err, EXIT_CHECKPOINT, "%s: holds weights only, so it cannot be resumed",
                    p->last);
    if (settings_take(s, from, p->last, err)) return -1;
    if (!settings_steps_open(s) && from->step > (uint64_t)s->plan.steps)
        return fail(err, EXIT_CHECKPOINT, "%s: is not sound: it is at step %llu of %lld", p->last,
                    (unsigned long long)from->step, (long long)s->plan.steps);
    *resumed = true;
    r->tokenizer = from->tokenizer;
    from->tokenizer = (Tokenizer){ 0 };
    return 0;
}

/* `from`: what is resumed, or the checkpoint of --init-from; else empty. */
static int open_text(Run *r, const Operands *texts, const Checkpoint *from, bool is_resumed,
                     Err *err)
{
    const Checkpoint *resumed = is_resumed ? from : NULL;
    Settings *s = r->settings;
    if (corpus_check_split(s->split_documents, err) || settings_fit_values(s, err)) return -1;
    bool plain = corpus_split(s->split_documents) == NULL;
    if (resumed == NULL && !GIVEN(s, hold_out))
        s->hold_out = plain && texts->count == 1 ? HOLD_OUT_END : HOLD_OUT_SPREAD;
    CorpusOptions how = settings_corpus(s);
    if (!plain && !how.separator)
        return fail(err, EXIT_USAGE, "--split-documents needs a separator, and there is none; give "
                    "--separator on, too");
    /* The weights to start from know one scale. */
    if (resumed == NULL && s->values && tokenizer_has_numbers(&from->tokenizer)
        && tokenizer_from_numbers(&r->tokenizer, from->tokenizer.numbers, err)) return -1;
    /* Another text is found out by its digest. */
    if (resumed != NULL) how.unknown = UNKNOWN_SKIPPED;
    if (corpus_open(&r->corpus, &r->tokenizer, &how, texts->items, texts->count, err)) return -1;
    if (r->corpus.note.text[0] != '\0') display_note(&r->display, "note: %s", r->corpus.note.text);
    if (resumed != NULL && strcmp(r->corpus.sha256, resumed->sha256) != 0)
        return fail(err, EXIT_USAGE,
                    "%s: not the text that %s was trained on; to train its weights on "
                    "another text, start anew with --init-from",
                    r->corpus.read, r->saves.paths.last);
    if (!is_resumed && from->bytes != NULL && !s->values
        && saves_join_vocabulary(&r->corpus, &r->tokenizer, &from->tokenizer, err)) return -1;
    size_t characters = corpus_train_characters(&r->corpus);
    if (characters >= 2) return 0;
    return fail(err, EXIT_TEXT,
                "%s: the training part has %zu characters, and training needs at least 2",
                r->corpus.read, characters);
}

/* Whether there is a character to score in the validation part. */
static bool text_has_val(const Run *r)
{
    Part val = corpus_part(&r->corpus, PART_VAL);
    for (size_t i = 1; i < val.count; i++)
        if (!r->tokenizer.separator || val.ids[i] != SEPARATOR_ID) return true;
    return false;
}

/* A timed run that reads a text in windows has a memory, unless the user says otherwise; then the
 * counts teach the network instead. */
static int choose_memory(Settings *s, Err *err)
{
    bool counts = settings_family(s)->fit == NULL && !s->values
               && s->sampling != SAMPLING_DOCUMENT;
    if (!counts) return 0;
    if (settings_adopt(s, timing_memory, err)) return -1;
    return s->memory == 0 ? settings_adopt(s, timing_teacher, err) : 0;
}

/* What --minutes or the text decides. */
static int complete_settings(Run *r, const Kernels *K, bool resumed, Err *err)
{
    Settings *s = r->settings;
    int64_t reduced = 0;
    const Corpus *text = &r->corpus;
    int vocab = r->tokenizer.count;
    int failed = r->timing.deadline > 0 && !resumed
        ? timing_choose(&r->timing, s, K, text, vocab, &reduced, err) || choose_memory(s, err)
        : (!resumed && (fit_family(s, err) || fit_documents(s, text, vocab, err)))
          || settings_fit_context(s, text->train_count, text->read, &reduced, err);
    if (!failed && reduced > 0)
        display_note(&r->display,
                     "note: context %lld reduced to %zu, because the training part has %zu "
                     "characters", (long long)reduced, r->corpus.train_count - 1,
                     r->corpus.train_count);
    return failed;
}

/* Room for all evaluations of the run, unless they are very many. */
static size_t evaluations_of(const Settings *s)
{
    int64_t evaluations = s->plan.steps / s->eval_every + 2;
    bool few = !settings_steps_open(s) && evaluations < HISTORY_ROOM;
    return few ? (size_t)evaluations : HISTORY_ROOM;
}

/* Bytes of the run at its peak: all that is open while it trains, or what reading the text or
 * measuring the machine took before that. loaded: the size of a checkpoint. */
static double memory_needed(const Run *r, const TrainerOptions *how, size_t loaded)
{
    const Settings *s = r->settings;
    int slice = trainer_slice(how), context = family_context(how->family, how->config);
    double text = (double)r->corpus.count * sizeof(int32_t)
                + (double)tokenizer_bytes(&r->tokenizer);
    double scorers = (s->memory > 0 ? 2 : 1) * scorer_bytes(1, slice, context);
    double bytes = (double)trainer_bytes(how) + scorers + (double)loaded
                 + (double)saves_bytes(how->family, how->config, evaluations_of(s));
    if (s->sample_every > 0) bytes += (double)preview_bytes(how->family, how->config);
    if (s->init_from != NULL && loaded > 0)             /* its weights, in their own layout */
        bytes += (double)family_parameters(how->family, how->config) * sizeof(real);
    bytes += runmemory_bytes(s, &r->corpus, r->tokenizer.count, context, how->kernels);
    return text + fmax(bytes, fmax((double)r->corpus.characters, r->timing.measured));
}

/* Everything that takes memory, after a check that it is there. */
static int open_memory(Run *r, const Kernels *K, size_t loaded, double *memory, Err *err)
{
    const Settings *s = r->settings;
    Space config;
    int vocab = r->tokenizer.count;
    if (settings_config(s, &config, vocab, err)
        || family_fit(settings_family(s), &config, r->corpus.train_count, err)
        || runmemory_keep_back(s, &r->corpus, vocab, family_context(settings_family(s), &config),
                               err)) return -1;
    TrainerOptions how = { .family = settings_family(s), .config = &config, .kernels = K,
                           .plan = settings_plan(s, 0), .part = corpus_part(&r->corpus, PART_TRAIN),
                           .numbers = r->tokenizer.numbers, .batch = (int)s->batch,
                           .slice = (int)s->slice, .sampling = s->sampling,
                           .seed = (uint64_t)s->seed, .teacher = (int)s->teacher,
                           .teacher_share = s->teacher_share, .teacher_fade = s->teacher_fade };
    *memory = memory_needed(r, &how, loaded);
    if (memory_check(*memory, err) || trainer_open(&r->trainer, &how, err)
        || runmemory_open(&r->memory, s, &r->corpus, &r->trainer, err)) return -1;
    if (s->memory > 0) r->saves.memory = &r->memory.saved;
    settle(r);
    SavedText text = { &r->tokenizer, r->corpus.sha256, text_has_val(r) };
    if (scorer_open(&r->scorer, &r->trainer.model, 1, r->tokenizer.separator, err)
        || saves_open(&r->saves, &r->trainer, &text, evaluations_of(s), err))
        return -1;
    if (s->memory > 0
        && scorer_open(&r->memory_scorer, &r->memory.memory.mixture, 1, r->tokenizer.separator,
                       err)) return -1;
    r->scorer.stop = r->memory_scorer.stop = r->trainer.stop = stop_asked;
    if (s->sample_every == 0) return 0;
    bool known = s->sampling == SAMPLING_DOCUMENT
              || r->corpus.train_separators >= SEPARATORS_ENOUGH;
    int32_t newline = r->tokenizer.ids['\n'];
    int32_t first = known ? SEPARATOR_ID : newline >= 0 ? newline : r->corpus.ids[0];
    return preview_open(&r->preview, &r->trainer.model, &r->tokenizer, first, err);
}

/* A run of which all steps are made says nothing more in its log. */
static int open_log(Run *r, const Call *call, bool resumed, bool finished, Err *err)
{
    const Settings *s = r->settings;
    const Trainer *t = &r->trainer;
    char machine[MACHINE_LINE];
    RunLogStart how = resumed ? RUNLOG_CONTINUE
                    : s->overwrite || s->resume ? RUNLOG_REPLACE : RUNLOG_NEW;
    Err why = { 0 };
    if (runlog_open(&r->log, s->log, how, logged_step(r), err)) return -1;
    if (finished) return 0;
    if (resumed) log_failed(r, runlog_resumed(&r->log, logged_step(r), &why), &why);
    machine_name(machine);
    Surroundings here = { .commit = FOLIO_COMMIT, .machine = machine, .isa = call->kernels->name,
                          .threads = t->model.gemm.threads, .slice = t->model.slice,
                          .from_step = t->step, .argc = call->argc, .argv = call->argv };
    here.parameters = family_parameters(t->how.family, t->how.config);
    log_failed(r, runlog_surroundings(&r->log, &here, &why), &why);
    return 0;
}

static void show_memory(Run *r)
{
    const RunMemory *m = &r->memory;
    char remark[200];
    display_note(&r->display, "memory   order %d, %zu characters; %zu kept back to weigh it; val: "
                 "network alone", m->saved.order, m->saved.count, m->kept.count);
    runmemory_remark(&r->memory, &r->corpus, remark, sizeof remark);
    if (remark[0] != '\0') display_note(&r->display, "note: %s", remark);
}

/* From the command line to the first step. *finished: all of them were made by earlier starts. */
static int open_run(Run *r, const Call *call, Checkpoint *from, bool *resumed, bool *finished,
                    Err *err)
{
    Settings *s = r->settings;
    double memory = 0;
    if (open_places(r, call->operands, err) || open_files(r, from, resumed, err)) return -1;
    if (timing_deadline(&r->timing, s, *resumed, r->saves.paths.last, err)) return -1;
    if (open_text(r, call->operands, from, *resumed, err)) return -1;
    if (complete_settings(r, call->kernels, *resumed, err)) return -1;
    if (open_memory(r, call->kernels, from->size, &memory, err)) return -1;
    if (*resumed ? restore(r, from, err) : start(r, from, err)) return -1;
    settle(r);
    *finished = *resumed && all_steps_made(r) && !evaluation_due(r);
    /* Nothing that was there has changed so far. */
    if (places_leftover(&r->saves.paths, err)) return -1;
    if (open_log(r, call, *resumed, *finished, err)) return -1;
    if (run_begin(&r->saves.paths, &r->saves.lock, err)) return -1;
    Heading heading = { &r->corpus, &r->tokenizer, has_val(r), 0, memory, &r->saves.paths };
    heading.minutes = (r->timing.deadline - r->timing.begun) / 60;
    display_heading(&r->display, s, &r->trainer, &heading);
    if (s->memory > 0) show_memory(r);
    if (s->teacher > 0)
        display_note(&r->display, "teacher  order %lld, %.3g of the targets; loss: the text alone",
                     (long long)s->teacher, s->teacher_share);
    return 0;
}

static int run(Run *r, const Call *call, Output *out, Err *err)
{
    Checkpoint from = { 0 };
    bool resumed = false, finished = false;
    int failed = open_run(r, call, &from, &resumed, &finished, err);
    checkpoint_close(&from);
    if (failed) return -1;
    r->timing.started = r->saves.saved = r->timing.profile.last = clock_seconds();
    if (r->settings->profile) r->trainer.model.profile = &r->timing.profile;
    if (resumed) display_note(&r->display, "resumed after step %lld", (long long)r->trainer.step);
    if (finished) display_note(&r->display, "the run is finished");
    catch_signals();
    if (!finished && train_loop(r, err)) return -1;
    return finish(r, finished, out, err);
}

static void close_run(Run *r)
{
    Err unused;
    runlog_close(&r->log, &unused);
    preview_close(&r->preview);
    runmemory_close(&r->memory);
    scorer_close(&r->scorer);
    scorer_close(&r->memory_scorer);
    trainer_close(&r->trainer);
    corpus_close(&r->corpus);
    saves_close(&r->saves);
    tokenizer_close(&r->tokenizer);
}

/* A checkpoint in place of the text, or no text at all: the command that was meant. */
static int check_texts(const Call *call, Err *err)
{
    const Settings *s = call->options;
    const Operands *texts = call->operands;
    const char *wrong = NULL, *program = call->argc > 0 ? call->argv[0] : "train";
    char out[PATH_ROOM];
    RunPaths p;
    for (int i = 0; s->resume && i < texts->count && wrong == NULL; i++)
        if (checkpoint_begins(texts->items[i])) wrong = texts->items[i];
    if (wrong == NULL && texts->count > 0) return 0;
    places_run_of(wrong != NULL && !GIVEN(s, out) ? wrong : s->out, out);
    if (wrong == NULL && s->resume && run_paths(&p, out, err) == 0 && checkpoint_begins(p.last))
        wrong = out;
    if (wrong == NULL)
        return fail(err, EXIT_USAGE, "which text? for example: ./train mytext.txt; --help lists "
                    "the options");
    return fail(err, EXIT_USAGE, "%.200s is a checkpoint; give the text: %.100s TEXT --resume "
                "--out %.200s", wrong, program, out);
}

/* A Run is too large for a small stack. */
static int train(const Call *call, Output *out, Err *err)
{
    Settings *s = call->options;
    if (check_texts(call, err)) return -1;
    Run *r = calloc(1, sizeof *r);
    if (r == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for a run");
    r->settings = s;
    r->timing.begun = call->begun;
    r->log.fd = r->saves.lock.fd = -1;
    display_open(&r->display, s->common.quiet, call->argv[0], call->operands);
    int failed = run(r, call, out, err);
    close_run(r);
    free(r);
    return failed;
}

int main(int argc, char **argv)
{
    Settings s;
    settings_init(&s);
    int status = program_main(&s.cli, &s, train, argc, argv);
    if (status == 0 && stop_signal != 0) {
        signal((int)stop_signal, SIG_DFL);
        raise((int)stop_signal);
    }
    return status;
}
