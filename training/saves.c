/* saves.c: NAME.bin and NAME.last.bin, and the history that both hold. */
#include "saves.h"

/* ---------------------------------------------------------------- the history */

static int history_reserve(Saves *s, size_t room, Err *err)
{
    History *h = &s->history;
    if (room <= s->room) return 0;
    uint64_t *step = realloc(h->step, room * sizeof *step);
    if (step != NULL) h->step = step;
    double *train = realloc(h->train_loss, room * sizeof *train);
    if (train != NULL) h->train_loss = train;
    double *val = realloc(h->val_loss, room * sizeof *val);
    if (val != NULL) h->val_loss = val;
    if (step == NULL || train == NULL || val == NULL)
        return fail(err, EXIT_RUNTIME, "not enough memory for the history of the run");
    s->room = room;
    return 0;
}

static void history_close(History *h)
{
    free(h->step);
    free(h->train_loss);
    free(h->val_loss);
    *h = (History){ 0 };
}

static int history_add(Saves *s, const Trainer *t, double val_loss, Err *err)
{
    History *h = &s->history;
    if (h->count == s->room && history_reserve(s, 2 * s->room + 64, err)) return -1;
    h->step[h->count] = (uint64_t)t->step;
    h->train_loss[h->count] = t->step > 0 ? t->state.train_loss : val_loss;
    h->val_loss[h->count++] = val_loss;
    return 0;
}

bool saves_has_evaluated(const Saves *s, const Trainer *t)
{
    const History *h = &s->history;
    return h->count > 0 && h->step[h->count - 1] == (uint64_t)t->step;
}

int64_t saves_stale(const Saves *s, const Trainer *t)
{
    int64_t n = 0;
    for (size_t i = s->history.count; i > 0 && s->history.step[i - 1] > t->state.best_step; i--)
        n++;
    return t->state.best_step > 0 ? n : 0;
}

int saves_evaluated(Saves *s, Trainer *t, double val_loss, Err *err)
{
    if (history_add(s, t, val_loss, err)) return -1;
    /* While updates are left out, these may be the weights that a return must undo. */
    bool usable = t->step > 0 && t->state.skipped == 0;
    s->best_due = usable && (t->state.best_step == 0 || val_loss < t->state.best_loss);
    if (!s->best_due) return 0;
    s->held = t->state;
    t->state.best_loss = val_loss;
    t->state.best_step = (uint64_t)t->step;
    return 0;
}

void saves_forget_due(Saves *s, Trainer *t)
{
    if (!s->best_due) return;
    s->best_due = false;
    t->state.best_step = s->held.best_step;
    t->state.best_loss = s->held.best_loss;
}

/* ---------------------------------------------------------------- writing */

/* What NAME.bin holds, or with `all` NAME.last.bin. */
static Snapshot snapshot(const Saves *s, const Trainer *t, bool all)
{
    Snapshot shot = {
        .family = t->how.family, .config = t->how.config, .tokenizer = s->text.tokenizer,
        .settings = s->settings, .setting_count = s->setting_count, .step = (uint64_t)t->step,
        .sha256 = s->text.sha256, .tensors = t->model.tensors,
        .tensor_count = t->model.tensor_count, .params = trainer_weights(t), .history = &s->history,
        .memory = s->memory,
    };
    if (!all) return shot;
    shot.moment1 = t->optimizer.m;
    shot.moment2 = t->optimizer.v;
    shot.train = &t->state;
    if (t->optimizer.average != NULL) shot.raw = t->model.params;
    return shot;
}

static int save_file(Saves *s, const Trainer *t, const char *path, bool all, Err *err)
{
    Snapshot shot = snapshot(s, t, all);
    return checkpoint_save(s->saver, &shot, path, s->paths.temp, err);
}

size_t saves_bytes(const Family *f, const void *config, size_t evaluations)
{
    int n = family_tensors(f, config, NULL, NULL);
    Tensor *tensors = malloc((size_t)n * sizeof *tensors);
    if (tensors == NULL) return SIZE_MAX / 2;               /* more than there is, whatever it is */
    family_tensors(f, config, tensors, NULL);
    size_t saver = saver_bytes(tensors, n);
    free(tensors);
    return saver + evaluations * (sizeof(uint64_t) + 2 * sizeof(double));
}

int saves_open(Saves *s, const Trainer *t, const SavedText *text, size_t evaluations, Err *err)
{
    s->text = *text;
    Snapshot shot = snapshot(s, t, true);
    return saver_open(&s->saver, &shot, err) || history_reserve(s, evaluations, err) ? -1 : 0;
}

void saves_close(Saves *s)
{
    saver_close(s->saver);
    history_close(&s->history);
    run_unlock(&s->paths, &s->lock);
    s->saver = NULL;
}

int saves_write(Saves *s, const Trainer *t, bool all, Err *err)
{
    double start = clock_seconds();
    bool again = false;
    all = all || !s->has_best;
    s->failed = run_keep_lock(&s->paths, &s->lock, &again, err) != 0;
    s->locked_again |= again;
    if (s->failed) return -1;
    s->failed = all && save_file(s, t, s->paths.last, true, err) != 0;
    if (all && !s->failed) s->has_last = true;
    if (!s->failed && (s->best_due || !s->has_best || !s->text.has_val)) {
        s->failed = save_file(s, t, s->paths.best, false, err) != 0;
        if (!s->failed) {
            s->has_best = true;
            s->best_due = false;
        }
    }
    if (all) {
        s->saved = clock_seconds();
        s->last_save = s->saved - start;
    }
    return s->failed ? -1 : 0;
}

/* ---------------------------------------------------------------- returning */

int saves_restore(Saves *s, Trainer *t, Checkpoint *from, uint64_t *lost, Err *err)
{
    const Tensor *tensors = t->model.tensors;
    int n = t->model.tensor_count;
    real *params = t->model.params, *average = t->optimizer.average;
    bool moments = t->optimizer.m != NULL;
    *lost = 0;
    int failed = checkpoint_copy(from, average != NULL ? "train.raw." : "", tensors, n, params, err)
        || (average != NULL && checkpoint_copy(from, "", tensors, n, average, err))
        || (moments && checkpoint_copy(from, "optim.m.", tensors, n, t->optimizer.m, err))
        || (moments && checkpoint_copy(from, "optim.v.", tensors, n, t->optimizer.v, err));
    if (failed) {
        checkpoint_close(from);
        return -1;
    }
    t->state = from->train;
    t->step = (int64_t)from->step;
    size_t room = s->room;
    history_close(&s->history);
    s->history = from->history;
    s->room = from->history.count;
    from->history = (History){ 0 };
    checkpoint_close(from);
    if (history_reserve(s, room, err)) return -1;
    s->has_last = true;

    bool best = file_exists(s->paths.best), evaluations = t->state.best_step > 0;
    s->best_due = evaluations && t->state.best_step == (uint64_t)t->step;
    s->has_best = best && evaluations;      /* without one, NAME.bin may be what --overwrite left */
    if (!best && evaluations && !s->best_due) {
        *lost = t->state.best_step;
        t->state.best_step = 0;
    }
    return 0;
}

/* ---------------------------------------------------------------- starting from other weights */

/* Copies the rows of characters that both vocabularies have. */
static void take_rows(const Tokenizer *now, const Tokenizer *old, const real *from, real *to,
                      size_t cols)
{
    for (int id = 0; id < now->count; id++) {
        int32_t was = tokenizer_has_numbers(now) ? id : tokenizer_translate(old, now, id);
        if (was >= 0) memcpy(to + (size_t)id * cols, from + (size_t)was * cols, cols * sizeof *to);
    }
}

int saves_join_vocabulary(Corpus *c, Tokenizer *now, const Tokenizer *old, Err *err)
{
    Tokenizer joined;
    if (tokenizer_join(&joined, now, old, err)) return -1;
    for (size_t i = 0; i < c->count; i++)
        c->ids[i] = tokenizer_translate(&joined, now, c->ids[i]);
    if (c->held_start >= 0) c->held_start = tokenizer_translate(&joined, now, c->held_start);
    tokenizer_close(now);
    *now = joined;
    return 0;
}

/* Whether more than rows by symbol depends on the vocabulary: the shapes that the old sizes would
 * have with the new one, against what they are. */
static bool bound_to_vocabulary(const Checkpoint *from, int vocab, const Tensor *old, Tensor *same,
                                int n)
{
    Space config = from->config;
    *field_int(&config, family_field(from->family, FIELD_VOCAB)) = vocab;
    family_tensors(from->family, &config, same, NULL);
    for (int i = 0; i < n; i++)
        if (old[i].cols != same[i].cols || (!old[i].by_symbol && old[i].rows != same[i].rows))
            return true;
    return false;
}

int saves_take_weights(Trainer *t, const Tokenizer *now, const Checkpoint *from, Err *err)
{
    Model *m = &t->model;
    size_t size = 0;
    int n = family_tensors(from->family, &from->config, NULL, &size), failed = -1;
    Tensor *tensors = malloc(2 * (size_t)n * sizeof *tensors);      /* and room for others */
    real *flat = malloc(size * sizeof *flat);
    if (tensors == NULL || flat == NULL) {
        fail(err, EXIT_RUNTIME, "not enough memory for the weights to start from");
        goto out;
    }
    family_tensors(from->family, &from->config, tensors, NULL);
    if (bound_to_vocabulary(from, now->count, tensors, tensors + n, n)) {
        fail(err, EXIT_USAGE, "--init-from: the text has characters that this checkpoint lacks, "
             "and weights of the %s family do not fit a larger vocabulary; leave it out",
             from->family->name);
        goto out;
    }
    if (checkpoint_copy(from, "", tensors, n, flat, err)) goto out;
    for (int i = 0; i < n; i++) {               /* the same fields, so the same tensors in order */
        const Tensor *old = &tensors[i], *new = &m->tensors[i];
        size_t rows = (size_t)(old->rows < new->rows ? old->rows : new->rows);
        size_t cols = (size_t)new->cols;
        real *w = m->params + new->offset;
        if (old->by_symbol) take_rows(now, &from->tokenizer, flat + old->offset, w, cols);
        else memcpy(w, flat + old->offset, rows * cols * sizeof *w);
    }
    if (t->optimizer.average != NULL)
        memcpy(t->optimizer.average, m->params, m->size * sizeof(real));
    failed = 0;
out:
    free(tensors);
    free(flat);
    return failed;
}
