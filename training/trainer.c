/* trainer.c: a training step. */
#include "trainer.h"
#include "../networks/exponents.h"
#include "../system/machine.h"

int trainer_slice(const TrainerOptions *how)
{
    if (how->slice > 0) return how->slice < how->batch ? how->slice : how->batch;
    return model_slice(how->family, how->config, cache_bytes(), how->batch);
}

static bool by_gradients(const TrainerOptions *how)
{
    return network_of(how->family)->learn == NULL;
}

static size_t windows_of(const TrainerOptions *how)
{
    return (size_t)how->batch * (size_t)family_context(how->family, how->config);
}

/* A teacher counts the part; of a long one its end, as a memory does. */
static Part taught(const TrainerOptions *how)
{
    return part_end(how->part, MEMORY_IDS);
}

static NgramSize counts_size(const TrainerOptions *how)
{
    return (NgramSize){ .order = how->teacher, .ids = taught(how).count,
                        .vocab = family_vocab(how->family, how->config),
                        .context = family_context(how->family, how->config) };
}

/* Room for q of every thread. */
static size_t teacher_reals(const TrainerOptions *how)
{
    return (size_t)omp_get_max_threads() * (size_t)family_vocab(how->family, how->config);
}

static size_t teacher_bytes(const TrainerOptions *how)
{
    NgramSize size = counts_size(how);
    if (how->teacher == 0) return 0;
    return (size_t)ngram_bytes(&size, how->kernels) + teacher_reals(how) * sizeof(double);
}

static int open_teacher(Trainer *t, Err *err)
{
    NgramSize size = counts_size(&t->how);
    Part part = taught(&t->how);
    if (t->how.teacher == 0) return 0;
    if (ngram_open(&t->counts, &size, t->how.kernels, err)) return -1;
    t->teacher = (Teacher){ .counts = &t->counts, .share = t->how.teacher_share };
    t->teacher.q = calloc(teacher_reals(&t->how), sizeof *t->teacher.q);
    if (t->teacher.q == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for a teacher");
    model_learn(&t->counts, part.ids, part.count);
    t->model.teacher = &t->teacher;
    return 0;
}

size_t trainer_bytes(const TrainerOptions *how)
{
    size_t size = 0;
    const Network *network = network_of(how->family);
    int n = family_tensors(how->family, how->config, NULL, &size);
    Tensor *tensors = malloc((size_t)n * sizeof *tensors);
    if (tensors == NULL) return SIZE_MAX / 2;               /* more than there is, whatever it is */
    family_tensors(how->family, how->config, tensors, NULL);
    size_t optimizer = by_gradients(how)
        ? optimizer_bytes(&how->plan, how->kernels, tensors, n, size) : 0;
    free(tensors);
    int slice = trainer_slice(how);
    return model_bytes(network, how->config, how->kernels, MODEL_TRAIN, slice) + optimizer
         + 2 * windows_of(how) * sizeof(int32_t) + teacher_bytes(how);
}

int trainer_open(Trainer *t, const TrainerOptions *how, Err *err)
{
    const Network *network = network_of(how->family);
    *t = (Trainer){ .how = *how };
    Model *m = &t->model;
    if (model_open(m, network, how->config, how->kernels, MODEL_TRAIN, trainer_slice(how), err)
        || (by_gradients(how)
            && optimizer_open(&t->optimizer, &how->plan, how->kernels, m->tensors,
                              m->tensor_count, m->size, err))) {
        trainer_close(t);
        return -1;
    }
    t->how.config = t->model.config.bytes;
    m->numbers = how->numbers;
    if (open_teacher(t, err)) {
        trainer_close(t);
        return -1;
    }
    t->x = malloc(windows_of(how) * sizeof *t->x);
    t->y = malloc(windows_of(how) * sizeof *t->y);
    if (t->x != NULL && t->y != NULL) return 0;
    trainer_close(t);
    return fail(err, EXIT_RUNTIME, "not enough memory for a batch");
}

void trainer_close(Trainer *t)
{
    free(t->x);
    free(t->y);
    t->x = t->y = NULL;
    free(t->teacher.q);
    t->teacher.q = NULL;
    model_close(&t->counts);
    optimizer_close(&t->optimizer);
    model_close(&t->model);
}

void trainer_start(Trainer *t)
{
    size_t bytes = t->model.size * sizeof(real);
    model_init(&t->model, t->how.seed);
    if (t->optimizer.m != NULL) memset(t->optimizer.m, 0, bytes);
    if (t->optimizer.v != NULL) memset(t->optimizer.v, 0, bytes);
    if (t->optimizer.average != NULL) memcpy(t->optimizer.average, t->model.params, bytes);
    t->state = (TrainState){ 0 };
    t->step = 0;
}

void trainer_set_plan(Trainer *t, const TrainingPlan *plan)
{
    t->how.plan = t->optimizer.plan = *plan;
}

real *trainer_weights(const Trainer *t)
{
    return t->optimizer.average != NULL ? t->optimizer.average : t->model.params;
}

bool trainer_sound(Trainer *t) { return isfinite(optimizer_norm(&t->optimizer, t->model.params)); }

double trainer_tokens_per_step(const Trainer *t)
{
    return by_gradients(&t->how) ? (double)windows_of(&t->how) : (double)t->how.part.count;
}

uint64_t trainer_key(const Trainer *t, enum RngPurpose purpose)
{
    return rng_key(t->how.seed, t->state.attempt, (uint64_t)t->step, purpose);
}

/* ---------------------------------------------------------------- a step */

static void draw_batch(Trainer *t)
{
    const TrainerOptions *h = &t->how;
    int B = h->batch, T = t->model.context;
    uint64_t run = rng_key(h->seed, t->state.attempt, 0, RNG_BATCH);    /* one order of epochs */
    uint64_t first = (uint64_t)t->step * (uint64_t)B;
    t->targets = (size_t)B * (size_t)T;
    if (h->sampling == SAMPLING_DOCUMENT)
        t->targets = windows_documents(h->part, run, first, B, T, t->x, t->y);
    else if (h->sampling == SAMPLING_EPOCH)
        windows_epoch(h->part, run, first, B, T, t->x, t->y);
    else
        windows_random(h->part, trainer_key(t, RNG_BATCH), B, T, t->x, t->y);
    profile_mark(t->model.profile, PHASE_BATCH);
}

/* Of this step. */
static double teacher_share(const Trainer *t)
{
    const TrainingPlan *p = &t->how.plan;
    bool fades = t->how.teacher_fade && p->lr > 0;
    return t->how.teacher_share * (fades ? plan_lr(p, t->step) / p->lr : 1);
}

static bool stopped(const Trainer *t) { return t->stop != NULL && t->stop(); }

/* The gradient of the batch, slice by slice, and the sum of its losses; false if it was stopped. */
static bool gradient(Trainer *t, double *sum)
{
    Model *m = &t->model;
    int B = t->how.batch, T = m->context;
    model_begin(m);
    t->teacher.share = teacher_share(t);
    profile_mark(m->profile, PHASE_BATCH);
    for (int first = 0; first < B; first += m->slice) {
        if (stopped(t)) return false;
        size_t at = (size_t)first * (size_t)T;
        Slice s = { .x = t->x + at, .y = t->y + at, .T = T, .first = first,
                    .targets = t->targets };
        s.n = B - first < m->slice ? B - first : m->slice;
        s.dropout_key = trainer_key(t, RNG_DROPOUT);
        model_train(m, &s, sum);
    }
    if (stopped(t)) return false;
    model_finish(m);
    profile_mark(m->profile, PHASE_EMBEDDING);
    return true;
}

/* The whole part at once, then the losses of the batch; false if it was stopped. */
static bool learn(Trainer *t, double *sum)
{
    Model *m = &t->model;
    int B = t->how.batch, T = m->context;
    if (stopped(t)) return false;
    model_learn(m, t->how.part.ids, t->how.part.count);
    for (int first = 0; first < B; first += m->slice) {
        size_t at = (size_t)first * (size_t)T;
        int n = B - first < m->slice ? B - first : m->slice;
        model_losses(m, t->x + at, t->y + at, n, T, m->nats);
        for (int r = 0; r < n * T; r++) *sum += (double)m->nats[r];
    }
    return true;
}

StepResult trainer_step(Trainer *t)
{
    double start = clock_seconds(), sum = 0;
    Profile *profile = t->model.profile;
    draw_batch(t);
    bool gradients = by_gradients(&t->how);
    if (!(gradients ? gradient(t, &sum) : learn(t, &sum))) return STEP_STOPPED;
    double norm = gradients ? optimizer_norm(&t->optimizer, t->model.grads) : 0;
    profile_mark(profile, PHASE_CLIP);
    if (!isfinite(sum) || !isfinite(norm)) {
        if (++t->state.skipped >= SKIPS_MAX) return STEP_DIVERGED;
        t->step++;
        return STEP_LEFT_OUT;
    }
    if (gradients)
        optimizer_step(&t->optimizer, t->step, norm, t->model.params, t->model.grads);
    profile_mark(profile, PHASE_OPTIMIZER);
    t->step++;
    t->made++;
    t->state.grad_norm = norm;
    t->state.skipped = 0;
    t->state.train_loss = sum / (double)t->targets;
    t->step_seconds = clock_seconds() - start;
    t->pace += (t->step_seconds - t->pace) * (t->pace > 0 ? 1.0 / 12 : 1);
    bool sound = trainer_sound(t);
    profile_mark(profile, PHASE_CLIP);
    return sound ? STEP_MADE : STEP_DIVERGED;
}
