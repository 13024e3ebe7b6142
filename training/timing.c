/* timing.c: --minutes. */
#include "timing.h"
#include "fit.h"
#include "../system/machine.h"

enum {
    EVAL_SHARE = 50,        /* a timed run spends one part in so many on evaluations, */
    EVALS_MAX = 20,         /* and makes at most about so many; */
    MANY_EPOCHS = 30        /* with as many one an epoch, or the best weights are missed */
};

/* To measure the machine's speed: seconds, and share of the time that --minutes gives. */
static const double measure_most = 0.7, measure_share = 0.02;
/* An evaluation with the memory, in evaluations of the network alone. */
static const double memory_evaluation = 1.5;
/* Off by so much, the end is moved, and looked at so often: share of that time, and seconds at
 * least. */
static const double adjusted_share = 0.02, adjusted_least = 1.5;

/* The network of a plain run. */
static const Choice common[] = { { "family", "qwen3" }, { NULL, NULL } };

const Choice timing_memory[] = { { "memory", "8" }, { NULL, NULL } };
const Choice timing_teacher[] = { { "teacher", "6" }, { NULL, NULL } };

static const struct {
    double epochs;
    Choice values[3];
} regularisations[] = {
    { 0, { { "dropout", "0" }, { "weight-decay", "0" } } },
    { 4, { { "dropout", "0.1" }, { "weight-decay", "0.1" } } },
    { 30, { { "dropout", "0.2" }, { "weight-decay", "0.1" } } },
};

const Choice *timing_regularisation(double epochs)
{
    size_t best = 0;
    for (size_t i = 0; i < sizeof regularisations / sizeof regularisations[0]; i++)
        if (epochs >= regularisations[i].epochs) best = i;
    return regularisations[best].values;
}

/* The last row whose two thresholds are reached. */
const Choice *timing_sizes(const Family *f, double flops, size_t characters)
{
    const Budget *best = f->budgets;
    for (const Budget *b = f->budgets; b < f->budgets + f->budget_count; b++)
        if (flops >= b->flops && characters >= b->characters) best = b;
    return best->values;
}

/* ---------------------------------------------------------------- the deadline */

/* Whether --minutes rules this start: it is given, or nothing else says how long. */
static bool is_timed(const Settings *s, bool resumed)
{
    return GIVEN(s, minutes) || (!resumed && !GIVEN(s, preset) && !GIVEN(s, plan.steps));
}

/* A network that learns everything at once: nothing to plan. */
static int plan_one_step(Settings *s, bool resumed, Err *err)
{
    if (GIVEN(s, plan.steps) && s->plan.steps != 1)
        return fail(err, EXIT_USAGE, "--steps %lld: the %s family learns the text in one step; "
                    "leave the option out", (long long)s->plan.steps, settings_family(s)->name);
    s->plan.steps = 1;
    s->plan.warmup = 0;
    return resumed ? 0 : settings_adopt(s, settings_family(s)->always, err);
}

int timing_deadline(Timing *t, Settings *s, bool resumed, const char *last, Err *err)
{
    if (settings_family(s)->fit != NULL) return plan_one_step(s, resumed, err);
    if (!is_timed(s, resumed)) {
        if (!settings_steps_open(s)) return 0;
        return fail(err, EXIT_USAGE,
                    "%s: is of a timed run that has not settled its steps yet; say how long "
                    "it may continue, with --minutes X or --steps N",
                    last);
    }
    if (GIVEN(s, plan.steps))
        return fail(err, EXIT_USAGE,
                    "--minutes and --steps: only one of them can say when training ends");
    bool settled = resumed || GIVEN(s, plan.schedule);
    if (settled && (s->plan.schedule == SCHEDULE_COSINE || s->plan.schedule == SCHEDULE_LINEAR))
        return fail(err, EXIT_USAGE,
                    "--minutes: needs --schedule wsd or constant, because the other "
                    "schedules must know the number of steps in advance");
    t->deadline = t->begun + 60 * s->minutes;
    if (!settings_steps_open(s) && resumed) s->plan.decay_steps = 0;
    s->plan.steps = 0;
    return 0;
}

/* ---------------------------------------------------------------- what is chosen */

/* The family's model of middle size, with which the machine is measured. */
static int probe_config(const Family *f, Space *config, int *batch, Err *err)
{
    enum { VOCAB = 65 };
    *config = (Space){ { 0 } };
    for (int i = 0; i < f->field_count; i++)
        if (f->fields[i].text != NULL) field_set(config, &f->fields[i], f->fields[i].text);
    for (const Choice *c = f->probe; c->name != NULL; c++) {
        const Field *field = family_field(f, c->name);
        if (field != NULL) field_set(config, field, c->value);
        else if (strcmp(c->name, "batch") == 0) *batch = (int)strtol(c->value, NULL, 10);
    }
    return family_check(f, config, VOCAB, err);
}

/* Floating-point operations a second of this machine, from training steps. */
static int measure(const Family *f, const Kernels *K, double least, double *flops, double *memory,
                   Err *err)
{
    Space config;
    Model m;
    int batch = 1;
    if (probe_config(f, &config, &batch, err)) return -1;
    int context = family_context(f, &config), n = model_slice(f, &config, cache_bytes(), batch);
    /* The values do not change the time. */
    int32_t *ids = calloc((size_t)n * (size_t)context, sizeof *ids);
    if (ids == NULL) return fail(err, EXIT_RUNTIME, "not enough memory to measure this machine");
    *memory = (double)model_bytes(network_of(f), &config, K, MODEL_TRAIN, n);
    if (model_open(&m, network_of(f), &config, K, MODEL_TRAIN, n, err)) {
        free(ids);
        return -1;
    }
    Slice s = { .x = ids, .y = ids, .T = context, .n = n,
                .targets = (size_t)batch * (size_t)context };
    double loss = 0, tokens = 0, seconds = 0;
    model_train(&m, &s, &loss);                     /* wakes the threads and touches the memory */
    double start = clock_seconds();
    for (; seconds < least; seconds = clock_seconds() - start, tokens += n * context)
        model_train(&m, &s, &loss);
    *flops = tokens * f->flops(&config, context) / seconds;
    model_close(&m);
    free(ids);
    return 0;
}

/* Upwards to two digits: 1234 -> 1300. */
static int64_t two_digits(double x)
{
    double unit = x > 10 ? pow(10, floor(log10(x)) - 1) : 1;
    return (int64_t)(ceil(x / unit) * unit);
}

/* The context for documents of the usual length: twice that in multiples of 16, so that most
 * documents are read whole and short ones do not pay for attention that crosses into others;
 * between 32 and twice what suits a text without documents. */
static int suit_documents(Settings *s, size_t usual, int vocab, Err *err)
{
    enum { UNIT = 16, LEAST = 32 };
    Space config;
    char length[24];
    if (usual == 0) return 0;
    if (settings_config(s, &config, vocab, err)) return -1;
    double plain = family_context(settings_family(s), &config), twice = 2 * (double)usual;
    double context = fmin(fmax(ceil(twice / UNIT) * UNIT, LEAST), 2 * plain);
    snprintf(length, sizeof length, "%.0f", context);
    return settings_adopt(s, (const Choice[]){ { FIELD_CONTEXT, length }, { NULL, NULL } }, err);
}

/* Sizes that suit so many operations; those that are settled stay. */
static int choose_sizes(Settings *s, double flops, const Corpus *text, int vocab, int64_t *reduced,
                        Err *err)
{
    size_t characters = corpus_train_characters(text);
    if (settings_adopt(s, timing_sizes(settings_family(s), flops, characters), err)) return -1;
    if (s->plan.optimizer == OPTIMIZER_ADAMW && !SETTLED(s, plan.lr)) s->plan.lr *= adamw_share;
    if (settings_suit(s, err) || suit_documents(s, text->usual_size, vocab, err)
        || fit_documents(s, text, vocab, err))
        return -1;
    return settings_fit_context(s, text->train_count, text->read, reduced, err);
}

int timing_choose(Timing *t, Settings *s, const Kernels *K, const Corpus *text, int vocab,
                  int64_t *reduced, Err *err)
{
    double rate = 0;
    Space config;
    if (settings_adopt(s, common, err) || fit_family(s, err)
        || settings_adopt(s, settings_family(s)->always, err))
        return -1;
    const Family *f = settings_family(s);
    double least = fmin(measure_most, measure_share * 60 * s->minutes);
    if (measure(f, K, least, &rate, &t->measured, err)) return -1;
    double flops = rate * (t->deadline - clock_seconds());
    if (choose_sizes(s, flops, text, vocab, reduced, err)) return -1;
    if (settings_config(s, &config, vocab, err)) return -1;

    int context = family_context(f, &config);
    double tokens = flops / f->flops(&config, context), batch = (double)s->batch * context;
    double characters = (double)corpus_train_characters(text), epochs = tokens / characters;
    if (settings_adopt(s, timing_regularisation(epochs), err)) return -1;
    double scored = fmin((double)corpus_part(text, PART_VAL).count, EVAL_CHARACTERS);
    double cheap = scored / 3 / batch * EVAL_SHARE;
    char every[24];
    double steps = fmax(1, fmax(cheap, tokens / batch / EVALS_MAX));    /* tokens < 0: too late */
    if (epochs >= MANY_EPOCHS) steps = fmin(steps, fmax(1, characters / batch));
    snprintf(every, sizeof every, "%lld", (long long)two_digits(steps));
    return settings_adopt(s, (const Choice[]){ { "eval-every", every }, { NULL, NULL } }, err);
}

/* ---------------------------------------------------------------- the end */

/* How many steps of so many seconds fit, after step `at`: with their evaluations, the last ones of
 * the network and of it and its memory, and the saves. */
static int64_t steps_that_fit(const Timing *t, const Settings *s, int64_t at, double step,
                              double last_save)
{
    double every = (double)s->eval_every, since = (double)(at % s->eval_every);
    double last = t->last_evaluation * (s->memory > 0 ? 1 + memory_evaluation : 1);
    double left = t->deadline - clock_seconds() - last - 2 * last_save;
    if (left <= 0) return 0;
    left += since * step;                               /* as from the last evaluation */
    double round = every * step + t->last_evaluation, rounds = floor(left / round);
    double rest = fmin((left - rounds * round) / step, every - 1);
    return (int64_t)fmax(rounds * every + rest - since, 0);
}

/* What steps take is measured from here on. */
static void begin_span(Timing *t, const Trainer *trainer)
{
    t->span_begun = clock_seconds() - t->evaluating;
    t->span_step = trainer->step;
}

bool timing_plan_end(Timing *t, Settings *s, const Trainer *trainer, double last_save)
{
    TrainingPlan *p = &s->plan;
    int64_t at = trainer->step;
    double training = clock_seconds() - t->started - t->evaluating;
    if (trainer->made == 0) return false;
    double step = training / (double)trainer->made;     /* with its share of saves and samples */
    int64_t fit = steps_that_fit(t, s, at, step, last_save);
    bool falls = p->schedule == SCHEDULE_WSD;
    int64_t decay = !falls ? 0 : p->decay_steps > 0 ? p->decay_steps : (at + fit) / 2;
    if (fit > decay) return false;
    p->steps = at + fit;
    /* The first step of a decay has the whole rate. */
    if (falls) p->decay_steps = fit > 0 ? fit : 1;
    t->planned_step = step;
    begin_span(t, trainer);
    return true;
}

bool timing_adjust_end(Timing *t, Settings *s, const Trainer *trainer, double last_save)
{
    TrainingPlan *p = &s->plan;
    double span = clock_seconds() - t->evaluating - t->span_begun;
    double least = fmax(adjusted_share * (t->deadline - t->begun), adjusted_least);
    int64_t made = trainer->step - t->span_step, rest = p->steps - trainer->step;
    if (t->planned_step <= 0 || span < least) return false;
    begin_span(t, trainer);
    if (made < 1 || rest < 1) return false;                 /* less than none: it went back */
    double pace = span / (double)made;
    int64_t fit = steps_that_fit(t, s, trainer->step, pace, last_save);
    if (fit < 1) fit = 1;
    if (fit == rest || fabs((double)(fit - rest)) * pace < least) return false;
    p->steps = trainer->step + fit;
    /* The rate goes on from what it is: (steps - step) / decay_steps stays. */
    if (p->schedule == SCHEDULE_WSD) {
        double decay = (double)p->decay_steps * (double)fit / (double)rest;
        p->decay_steps = (int64_t)fmax(decay + 0.5, 1);
    }
    s->changed = CHANGED_PACE;
    return true;
}
