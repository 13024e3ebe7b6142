/* bench.c: how fast this machine is, and how much of that training steps, evaluation and samples
 * make use of.
 *
 * Everything is measured in turn, several times over, so that a disturbance hits all alike. Each
 * measurement is a process of its own: it starts without threads, and its memory is its own. The
 * results are medians.
 *
 *     make bench          or, with options:          build/o/bench --quick --isa avx2 --rounds 21
 */
#include "../base.h"
#include "../cli/program.h"
#include "../corpus.h"
#include "../inference/sampling.h"
#include "../kernels/kernels.h"
#include "../system/machine.h"
#include "../tokenizer.h"
#include "../training/settings.h"
#include "../training/trainer.h"
#include "peak.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* But for all in the order of SectionName. */
enum { ONLY_ALL, ONLY_NANOGPT_CPU, ONLY_QWEN3_MUON, ONLY_NANOGPT };

enum {
    ROUNDS_MAX = 99,
    ROWS_MAX = 64,
    NANOGPT_ROUNDS = 3,         /* its steps take seconds */
    FIRST_CHARACTERS = 16,      /* of a sample, before the clock starts */
    TOGETHER = 16,              /* texts, where several are written at once */
    READ_LEAST = 64 << 20,      /* bytes: a block within these is in memory and in no cache */
    READ_MOST = 1 << 30
};

static const double least_seconds = 0.2;    /* of one measurement */

/* ---------------------------------------------------------------- options */

typedef struct {
    Common common;
    int64_t rounds;
    int only;
    bool quick, all, given[CLI_ROWS];
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    INT("rounds", rounds, "7", 1, ROUNDS_MAX,
        "measurements of everything (of the training steps of nanogpt: 3 at most)"),
    SWITCH("quick", quick, "leave out the training steps of nanogpt"),
    SWITCH("all", all,
           "training steps of nanogpt for every instruction set and number of threads "
           "(many minutes)"),
    WORD("only", only, "all", "all|nanogpt-cpu|qwen3-muon|nanogpt",
         "only these training steps, and the multiply-adds that they are compared with"),
    STRING("isa", "ISA", common.isa, NULL,
           "only this instruction set (default: all that are usable); list shows them"),
    INT("threads", common.threads, NULL, 1, 1024,
        "threads to compare with one (default: what the machine or container has)"),
    JSON_ROW("print the result as JSON", 0),
    ABOUT_ROWS(common.about),
    { 0 }
};

static const Cli cli = {
    .program = "bench", .operands = "", .least = 0, .most = 0,
    .summary = "Measures this machine, and training steps, evaluation and samples on it.",
    .options = options, .given = offsetof(Options, given)
};

/* ---------------------------------------------------------------- what is measured */

typedef enum {
    PEAK, READ, NANOGPT_CPU, QWEN3_MUON, NANOGPT, EVALUATION, SAMPLING, SAMPLING_TOGETHER, SECTIONS
} SectionName;

enum { VOCAB = 65, WORKS = 3, WORDS_MAX = 32 };

/* Training steps of ./train with these options. */
static const struct {
    SectionName section;
    int untimed;                /* steps before the clock starts */
    const char *options[WORDS_MAX];
} workloads[WORKS] = {
    { NANOGPT_CPU, 1, { "--preset", "nanogpt-cpu" } },
    { NANOGPT, 0, { "--preset", "nanogpt" } },
    { QWEN3_MUON, 1,
      { "--family", "qwen3", "--optimizer", "muon", "--layers", "4", "--heads", "4", "--channels",
        "128", "--context", "128", "--batch", "16", "--steps", "550", "--schedule", "wsd",
        "--warmup", "100", "--lr", "0.02", "--min-lr", "0", "--weight-decay", "0" } },
};

/* The same, as the trainer takes it. */
typedef struct {
    Space config;
    TrainerOptions how;         /* but for the instruction set and the text */
    int untimed;
    double characters, flops;   /* of a step */
    size_t read;                /* bytes of the weights that one character needs */
} Work;

typedef struct {
    SectionName section;
    const char *name;           /* of the instruction set; of the block that is read */
    const Kernels *K;
    const Peak *peak;
    int threads;
    int texts;                  /* that are written together */
    size_t bytes;               /* of the block that is read; of a character's weights */
    int rounds, count;          /* measurements to make, and made */
    double rates[ROUNDS_MAX];   /* (count) operations, ... a second; sorted at the end */
    double megabytes;           /* largest resident memory of a measurement */
} Row;

typedef struct {
    const Options *o;
    const Kernels *only;        /* NULL: all that are usable are measured */
    const Kernels *fastest;     /* of those measured */
    int threads;
    Tokenizer tokenizer;
    Corpus corpus;
    Work works[WORKS];
    Row rows[ROWS_MAX];
    int count;
} Bench;

/* NULL where no steps are made. */
static const Work *work_of(const Bench *b, SectionName s)
{
    for (int i = 0; i < WORKS; i++)
        if (workloads[i].section == s) return &b->works[i];
    return NULL;
}

/* The network that is scored and sampled from. */
static const Work *nanogpt(const Bench *b) { return work_of(b, NANOGPT); }

static int nanogpt_context(const Bench *b)
{
    return family_context(nanogpt(b)->how.family, &nanogpt(b)->config);
}

static int open_nanogpt(const Bench *b, Model *m, const Kernels *K, int slice, Err *err)
{
    const Work *w = nanogpt(b);
    if (model_open(m, network_of(w->how.family), &w->config, K, MODEL_EVAL, slice, err)) return -1;
    model_init(m, 1);
    return 0;
}

/* What a measurement sends to the program that waits for it. */
typedef struct {
    bool failed;
    double rate, megabytes;
    Err err;
} Reply;

/* ---------------------------------------------------------------- measurements, each in its own
 * process */

static int measure_peak(const Bench *b, const Row *row, double *rate, Err *err)
{
    (void)b;
    (void)err;
    for (int64_t rounds = 1 << 16; ; rounds *= 2) {
        double start = clock_seconds();
        OMP(parallel for schedule(static, 1))
        for (int i = 0; i < row->threads; i++) {
            real x[PEAK_WIDTH] = { 0 };
            row->peak->fma(x, (real)0.5, 1, rounds);
        }
        double seconds = clock_seconds() - start;
        *rate = 2.0 * row->peak->width * (double)rounds * row->threads / seconds;
        if (seconds >= least_seconds / 2) return 0;
    }
}

/* Each thread reads its own share of the block. */
static int measure_read(const Bench *b, const Row *row, double *rate, Err *err)
{
    (void)b;
    size_t share = row->bytes / sizeof(real) / (size_t)row->threads;
    Arena arena = { 0 };
    arena_reals(&arena, share * (size_t)row->threads);
    if (arena_open(&arena, "block that is read", err)) return -1;
    const real *block = arena_reals(&arena, share * (size_t)row->threads);
    double seconds = 0;
    for (int64_t passes = 1; seconds < least_seconds / 2; passes *= 2) {
        double start = clock_seconds();
        OMP(parallel for schedule(static, 1))
        for (int i = 0; i < row->threads; i++) {
            real sum[PEAK_WIDTH] = { 0 };
            for (int64_t n = 0; n < passes; n++)
                row->peak->read(sum, block + (size_t)i * share, share);
        }
        seconds = clock_seconds() - start;
        *rate = (double)passes * (double)(share * sizeof(real)) * row->threads / seconds;
    }
    arena_close(&arena);
    return 0;
}

static int measure_training(const Bench *b, const Row *row, double *rate, Err *err)
{
    const Work *w = work_of(b, row->section);
    TrainerOptions how = w->how;
    Trainer t;
    how.kernels = row->K;
    how.part = corpus_part(&b->corpus, PART_TRAIN);
    if (trainer_open(&t, &how, err)) return -1;
    trainer_start(&t);
    double start = clock_seconds(), seconds = 0;
    StepResult result = STEP_MADE;
    while (result == STEP_MADE && seconds < least_seconds) {
        result = trainer_step(&t);
        if (t.step <= w->untimed) {
            start = clock_seconds();
            continue;
        }
        seconds = clock_seconds() - start;
        *rate = (double)(t.step - w->untimed) / seconds;
    }
    if (result != STEP_MADE)
        fail(err, EXIT_DIVERGED, "the loss of step %lld is not a number", (long long)t.step);
    trainer_close(&t);
    return result == STEP_MADE ? 0 : -1;
}

/* Scores one slice of windows again and again, as ./eval does with one after the other; the model
 * is not trained. */
static int measure_evaluation(const Bench *b, const Row *row, double *rate, Err *err)
{
    const TrainerOptions *how = &nanogpt(b)->how;
    Model m = { 0 };
    int n = model_slice(how->family, how->config, cache_bytes(), how->batch);
    int context = nanogpt_context(b);
    size_t characters = (size_t)n * (size_t)context;
    int32_t *x = malloc(characters * sizeof *x), *y = malloc(characters * sizeof *y);
    real *losses = malloc(characters * sizeof *losses);
    int failed = open_nanogpt(b, &m, row->K, n, err);
    if (x == NULL || y == NULL || losses == NULL)
        failed = fail(err, EXIT_RUNTIME, "not enough memory for losses");
    if (!failed) {
        windows_random(corpus_part(&b->corpus, PART_VAL), rng_key(1, 0, 0, RNG_EVAL), n, context,
                       x, y);
        double start = clock_seconds(), seconds = 0;
        for (int passes = 1; seconds < least_seconds; passes++) {
            model_losses(&m, x, y, n, context, losses);
            seconds = clock_seconds() - start;
            *rate = passes * (double)characters / seconds;
        }
    }
    model_close(&m);
    free(losses);
    free(y);
    free(x);
    return failed ? -1 : 0;
}

/* Fills the context of row->texts texts, as ./sample does; the model is not trained. */
static int measure_sampling(const Bench *b, const Row *row, double *rate, Err *err)
{
    Model m = { 0 };
    Decoder d = { 0 };
    Chooser c = { 0 };
    int32_t ids[TOGETHER];
    int context = nanogpt_context(b);
    int failed = open_nanogpt(b, &m, row->K, 1, err)
        || decoder_open(&d, &m, row->texts, err) || chooser_open(&c, &b->tokenizer, err);
    if (!failed) {
        for (int t = 0; t < row->texts; t++) ids[t] = b->tokenizer.ids['\n'];
        double start = clock_seconds();
        for (int i = 0; i < context && !failed; i++) {
            if (i == FIRST_CHARACTERS) start = clock_seconds();
            const real *logits = decoder_step(&d, ids);
            for (int t = 0; t < row->texts && !failed; t++) {
                uint64_t key = rng_key(1, 0, (uint64_t)t, RNG_SAMPLE);
                ids[t] = chooser_pick(&c, logits + t * VOCAB, key, (uint64_t)i);
                if (ids[t] < 0) failed = fail(err, EXIT_DIVERGED, "a logit is not a number");
            }
        }
        *rate = row->texts * (context - FIRST_CHARACTERS) / (clock_seconds() - start);
    }
    chooser_close(&c);
    decoder_close(&d);
    model_close(&m);
    return failed ? -1 : 0;
}

/* ---------------------------------------------------------------- tables */

/* Number k of the sorted rates, from the slowest (0) to the fastest (1). */
static double quantile(const Row *row, double k)
{
    double at = k * (row->count - 1);
    int low = (int)floor(at), high = (int)ceil(at);
    return (row->rates[low] + row->rates[high]) / 2;
}

static const Row *find_row(const Bench *b, SectionName section, const char *name, int threads)
{
    for (int i = 0; i < b->count; i++) {
        const Row *row = &b->rows[i];
        if (row->section == section && row->threads == threads && strcmp(row->name, name) == 0)
            return row;
    }
    return NULL;
}

/* Muon's five Newton-Schulz steps on a matrix: its gram matrix, on the smaller side; the square of
 * that; their polynomial times the matrix. The first two are symmetric, so half of each, and the
 * diagonal, count. */
static double ortho_flops(double rows, double cols)
{
    double small = fmin(rows, cols);
    return 5 * ((small + 1) * rows * cols + (small + 1) * small * small + 2 * small * rows * cols);
}

/* The matrix products of a step: of the network, and of Muon for its hidden matrices. The weights
 * that a character needs: all, but of those with a row for each position only one. */
static int count_work(Work *w, Err *err)
{
    const Family *f = w->how.family;
    int context = family_context(f, &w->config), n = family_tensors(f, &w->config, NULL, NULL);
    Tensor *tensors = malloc((size_t)n * sizeof *tensors);
    if (tensors == NULL)
        return fail(err, EXIT_RUNTIME, "not enough memory for the table of tensors");
    family_tensors(f, &w->config, tensors, NULL);
    w->flops = w->characters * f->flops(&w->config, context);
    w->read = 0;
    for (const Tensor *t = tensors; t < tensors + n; t++) {
        bool by_position = t->rows == context && !t->by_symbol && !t->hidden;
        w->read += (by_position ? (size_t)t->cols : tensor_size(t)) * sizeof(real);
        if (t->hidden && w->how.plan.optimizer == OPTIMIZER_MUON)
            w->flops += ortho_flops(t->rows, t->cols);
    }
    free(tensors);
    return 0;
}

/* Works out a workload from the options that ./train would be given. */
static int open_work(Work *w, int number, Err *err)
{
    static char program[] = "train";
    char *argv[WORDS_MAX + 1] = { program };
    int argc = 1;
    Settings s;
    Operands none = { 0 };
    for (const char *const *word = workloads[number].options; *word != NULL; word++)
        argv[argc++] = (char *)(uintptr_t)*word;
    settings_init(&s);
    if (cli_parse(&s.cli, argc, argv, &s, &none, err)) return -1;
    operands_close(&none);
    if (settings_config(&s, &w->config, VOCAB, err)) return -1;
    w->how = (TrainerOptions){ .family = settings_family(&s), .config = &w->config,
                               .plan = settings_plan(&s, 0), .batch = (int)s.batch,
                               .sampling = s.sampling, .seed = (uint64_t)s.seed };
    w->untimed = workloads[number].untimed;
    w->characters = (double)s.batch * family_context(w->how.family, &w->config);
    return count_work(w, err);
}

/* Of what a row's rate counts: a step, or a character that is scored. Forward is a third of forward
 * and backward. */
static double unit_flops(const Bench *b, SectionName s)
{
    const Work *w = work_of(b, s), *scored = nanogpt(b);
    return w != NULL ? w->flops : scored->flops / scored->characters / 3;
}

static double giga(const Bench *b, const Row *row) { (void)b; return quantile(row, 0.5) / 1e9; }
static double giga_low(const Bench *b, const Row *row) { (void)b; return quantile(row, 0) / 1e9; }
static double giga_high(const Bench *b, const Row *row) { (void)b; return quantile(row, 1) / 1e9; }
static double rate(const Bench *b, const Row *row) { (void)b; return quantile(row, 0.5); }
static double rate_low(const Bench *b, const Row *row) { (void)b; return quantile(row, 0); }
static double rate_high(const Bench *b, const Row *row) { (void)b; return quantile(row, 1); }
static double ms(const Bench *b, const Row *row) { (void)b; return 1e3 / quantile(row, 0.5); }
static double ms_low(const Bench *b, const Row *row) { (void)b; return 1e3 / quantile(row, 1); }
static double ms_high(const Bench *b, const Row *row) { (void)b; return 1e3 / quantile(row, 0); }
static double block_mb(const Bench *b, const Row *row) { (void)b; return (double)row->bytes / 1e6; }
static double megabytes(const Bench *b, const Row *row) { (void)b; return row->megabytes; }

static double characters(const Bench *b, const Row *row)
{
    return quantile(row, 0.5) * work_of(b, row->section)->characters;
}

static double gflops(const Bench *b, const Row *row)
{
    return quantile(row, 0.5) * unit_flops(b, row->section) / 1e9;
}

static double percent_of_peak(const Bench *b, const Row *row)
{
    return 100 * gflops(b, row) / giga(b, find_row(b, PEAK, row->name, row->threads));
}

static double percent_of_reading(const Bench *b, const Row *row)
{
    double bytes = quantile(row, 0.5) * (double)row->bytes;
    return 100 * bytes / quantile(find_row(b, READ, "weights", row->threads), 0.5);
}

static double times_one(const Bench *b, const Row *row)
{
    return quantile(row, 0.5) / quantile(find_row(b, SAMPLING, row->name, row->threads), 0.5);
}

typedef struct {
    const char *heading;        /* NULL after the last column */
    const char *key;            /* in JSON */
    int width, decimals;
    double (*value)(const Bench *b, const Row *row);
} Column;

static const Column peak_columns[] = {
    { "GFLOP/s", "gflops", 12, 1, giga },
    { "min", "gflops_min", 10, 1, giga_low },
    { "max", "gflops_max", 10, 1, giga_high },
    { 0 }
};

static const Column read_columns[] = {
    { "GB/s", "gb_per_second", 12, 1, giga },
    { "min", "gb_per_second_min", 10, 1, giga_low },
    { "max", "gb_per_second_max", 10, 1, giga_high },
    { "block MB", "block_megabytes", 12, 2, block_mb },
    { 0 }
};

static const Column training_columns[] = {
    { "ms/step", "ms_per_step", 10, 1, ms },
    { "min", "ms_per_step_min", 9, 1, ms_low },
    { "max", "ms_per_step_max", 9, 1, ms_high },
    { "chars/s", "chars_per_second", 10, 0, characters },
    { "GFLOP/s", "gflops", 9, 1, gflops },
    { "% peak", "percent_of_peak", 8, 1, percent_of_peak },
    { "MB", "megabytes", 7, 0, megabytes },
    { 0 }
};

static const Column evaluation_columns[] = {
    { "chars/s", "chars_per_second", 12, 0, rate },
    { "min", "chars_per_second_min", 10, 0, rate_low },
    { "max", "chars_per_second_max", 10, 0, rate_high },
    { "GFLOP/s", "gflops", 9, 1, gflops },
    { "% peak", "percent_of_peak", 8, 1, percent_of_peak },
    { "MB", "megabytes", 7, 0, megabytes },
    { 0 }
};

static const Column sampling_columns[] = {
    { "chars/s", "chars_per_second", 12, 0, rate },
    { "min", "chars_per_second_min", 10, 0, rate_low },
    { "max", "chars_per_second_max", 10, 0, rate_high },
    { "% reading", "percent_of_reading", 12, 1, percent_of_reading },
    { 0 }
};

static const Column together_columns[] = {
    { "chars/s", "chars_per_second", 12, 0, rate },
    { "min", "chars_per_second_min", 10, 0, rate_low },
    { "max", "chars_per_second_max", 10, 0, rate_high },
    { "times one", "times_one", 12, 2, times_one },
    { 0 }
};

static const struct {
    const char *key, *title, *rows;
    int (*measure)(const Bench *b, const Row *row, double *rate, Err *err);
    const Column *columns;
} sections[SECTIONS] = {
    { "peak", "Multiply-adds in registers (portable: a multiply, then an add)", "isa",
      measure_peak, peak_columns },
    { "read", "Reading a block, shared out among the threads", "block",
      measure_read, read_columns },
    { "nanogpt-cpu", "Training steps of nanogpt-cpu", "isa",
      measure_training, training_columns },
    { "qwen3-muon", "Training steps of qwen3 with Muon", "isa",
      measure_training, training_columns },
    { "nanogpt", "Training steps of nanogpt", "isa",
      measure_training, training_columns },
    { "evaluation", "Scoring a text with a model of nanogpt's size", "isa",
      measure_evaluation, evaluation_columns },
    { "sampling", "Sampling from a model of nanogpt's size, one character at a time", "isa",
      measure_sampling, sampling_columns },
    { "sampling-16", "The same, 16 texts together", "isa",
      measure_sampling, together_columns },
};

enum { NAME_WIDTH = 10, THREADS_WIDTH = 8 };

static bool has_rows(const Bench *b, SectionName s)
{
    for (int i = 0; i < b->count; i++)
        if (b->rows[i].section == s) return true;
    return false;
}

static void print_section(const Bench *b, SectionName s, Output *out)
{
    const Work *w = work_of(b, s);
    output_print(out, "\n%s", sections[s].title);
    if (w != NULL)
        output_print(out, ": %.0f characters, %.3f GFLOP", w->characters, w->flops / 1e9);
    output_print(out, "\n%-*s%*s", NAME_WIDTH, sections[s].rows, THREADS_WIDTH, "threads");
    for (const Column *c = sections[s].columns; c->heading != NULL; c++)
        output_print(out, "%*s", c->width, c->heading);
    output_print(out, "\n");
    for (int i = 0; i < b->count; i++) {
        const Row *row = &b->rows[i];
        if (row->section != s) continue;
        output_print(out, "%-*s%*d", NAME_WIDTH, row->name, THREADS_WIDTH, row->threads);
        for (const Column *c = sections[s].columns; c->heading != NULL; c++)
            output_print(out, "%*.*f", c->width, c->decimals, c->value(b, row));
        output_print(out, "\n");
    }
}

static void print_section_json(const Bench *b, SectionName s, Output *out)
{
    const char *comma = "";
    output_print(out, ",\"%s\":[", sections[s].key);
    for (int i = 0; i < b->count; i++) {
        const Row *row = &b->rows[i];
        if (row->section != s) continue;
        output_print(out, "%s{\"%s\":\"%s\",\"threads\":%d,\"rounds\":%d", comma, sections[s].rows,
                     row->name, row->threads, row->count);
        for (const Column *c = sections[s].columns; c->heading != NULL; c++) {
            output_print(out, ",\"%s\":", c->key);
            output_json_real(out, c->value(b, row));
        }
        output_print(out, "}");
        comma = ",";
    }
    output_print(out, "]");
}

static void compiler_name(char *out, size_t room)
{
#if defined(__clang__)
    snprintf(out, room, "clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    snprintf(out, room, "gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    snprintf(out, room, "unknown compiler");
#endif
}

static void print_result(const Bench *b, Output *out)
{
    char processor[MACHINE_LINE], compiler[64];
    machine_name(processor);
    compiler_name(compiler, sizeof compiler);
    if (b->o->common.json) {
        output_print(out, "{\"processor\":");
        output_json_text(out, processor);
        output_print(out, ",\"compiler\":\"%s\",\"version\":\"%s\",\"threads\":%d", compiler,
                     FOLIO_VERSION, b->threads);
        for (int s = 0; s < SECTIONS; s++) print_section_json(b, (SectionName)s, out);
        output_print(out, "}\n");
        return;
    }
    output_print(out, "%s\nfolio %s, %s, up to %d thread%s; medians of %lld round%s\n", processor,
                 FOLIO_VERSION, compiler, b->threads, b->threads == 1 ? "" : "s",
                 (long long)b->o->rounds, b->o->rounds == 1 ? "" : "s");
    for (int s = 0; s < SECTIONS; s++)
        if (has_rows(b, (SectionName)s)) print_section(b, (SectionName)s, out);
    output_print(out, "\n%% peak: of the multiply-adds of as many threads in this run. %% reading: "
                 "the\n"
                 "time that as many threads need to read the weights, of the time for a "
                 "character.\n"
                 "MB: peak resident memory. Training steps of nanogpt: %d rounds at most.\n"
                 "FLOP: matrix products; backward is twice forward, the masked half of attention\n"
                 "is left out, and the mirrored half of Muon's symmetric products.\n",
                 NANOGPT_ROUNDS);
}

/* ---------------------------------------------------------------- rounds */

/* In the new process: measures, sends the reply, ends. */
static void measure_and_exit(const Bench *b, const Row *row, int fd)
{
    Reply reply = { 0 };
    struct rusage usage;
    omp_set_num_threads(row->threads);
    reply.failed = sections[row->section].measure(b, row, &reply.rate, &reply.err) != 0;
    if (getrusage(RUSAGE_SELF, &usage) == 0) reply.megabytes = (double)usage.ru_maxrss / 1e3;
#ifdef __APPLE__
    reply.megabytes /= 1e3;                     /* there ru_maxrss is in bytes, elsewhere in KB */
#endif
    ssize_t sent = write(fd, &reply, sizeof reply);
    _exit(sent == (ssize_t)sizeof reply ? 0 : EXIT_RUNTIME);
}

/* Reads the whole reply; false if the other end closes before. */
static bool receive(int fd, Reply *reply)
{
    size_t got = 0;
    while (got < sizeof *reply) {
        ssize_t n = read(fd, (char *)reply + got, sizeof *reply - got);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        got += (size_t)n;
    }
    return true;
}

/* One measurement. This process never starts threads itself: not every OpenMP survives a fork after
 * that. */
static int measure(const Bench *b, Row *row, Err *err)
{
    int ends[2], status = 0;
    Reply reply = { 0 };
    if (pipe(ends) != 0)
        return fail(err, EXIT_RUNTIME, "a pipe cannot be opened: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        measure_and_exit(b, row, ends[1]);
    }
    int reason = errno;
    close(ends[1]);
    bool received = child > 0 && receive(ends[0], &reply);
    close(ends[0]);
    if (child < 0)
        return fail(err, EXIT_RUNTIME, "a process cannot be started: %s", strerror(reason));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (!received)
        return fail(err, EXIT_RUNTIME, "%s (%s, threads %d): the measurement ended early, wait "
                    "status %d", sections[row->section].key, row->name, row->threads, status);
    if (reply.failed) {
        *err = reply.err;
        return -1;
    }
    row->rates[row->count++] = reply.rate;
    if (reply.megabytes > row->megabytes) row->megabytes = reply.megabytes;
    return 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure_all(Bench *b, Err *err)
{
    bool line = terminal_moves(STDERR_FILENO);
    int failed = 0;
    for (int round = 0; round < b->o->rounds && !failed; round++)
        for (int i = 0; i < b->count && !failed; i++) {
            Row *row = &b->rows[i];
            if (round >= row->rounds) continue;
            if (line)
                fprintf(stderr, "\r\033[Kround %d of %lld: %s, %s, threads %d", round + 1,
                        (long long)b->o->rounds, sections[row->section].key, row->name,
                        row->threads);
            failed = measure(b, row, err);
        }
    if (line) fprintf(stderr, "\r\033[K");
    for (int i = 0; i < b->count; i++)
        qsort(b->rows[i].rates, (size_t)b->rows[i].count, sizeof b->rows[i].rates[0], by_size);
    return failed;
}

/* ---------------------------------------------------------------- which rows there are */

static const Peak *find_peak(const char *name)
{
    static const Peak *const peaks[] = { &peak_avx512, &peak_avx2, &peak_neon, &peak_portable };
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++)
        if (peaks[i]->name != NULL && strcmp(peaks[i]->name, name) == 0) return peaks[i];
    return NULL;
}

/* The cache of one core before the last one; 0 if unknown. */
static double second_cache_bytes(void)
{
    double bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = (double)sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    if (bytes > 0) return bytes;
    return 1024 * machine_read_number("/sys/devices/system/cpu/cpu0/cache/index2", "size", 0);
}

/* Blocks that are read by `threads` threads, in bytes. Half of each core's second cache: */
static size_t second_block(int threads) { return (size_t)(threads * second_cache_bytes() / 2); }

/* Half of the last cache, or more if that would fit the second caches. */
static size_t last_block(int threads)
{
    double last = (double)cache_bytes();
    return (size_t)fmin(last, fmax(last / 2, 2 * threads * second_cache_bytes()));
}

/* Far more than the caches hold. */
static size_t memory_block(int threads)
{
    double caches = (double)cache_bytes() + threads * second_cache_bytes();
    return (size_t)fmin(fmax(4 * caches, READ_LEAST), fmin(READ_MOST, memory_limit_bytes() / 4));
}

/* A row for one thread, and one for all. name NULL: the table's; block NULL: the
 * weights that a character needs. */
static int add_rows(Bench *b, SectionName s, const Kernels *K, const char *name,
                    size_t (*block)(int threads), Err *err)
{
    const Peak *peak = find_peak(K->name);
    if (peak == NULL)
        return fail(err, EXIT_RUNTIME, "bench/peak.c was not compiled for %s", K->name);
    int rounds = s == NANOGPT && b->o->rounds > NANOGPT_ROUNDS ? NANOGPT_ROUNDS : (int)b->o->rounds;
    for (int threads = 1; ; threads = b->threads) {
        bool asked = s != NANOGPT || b->o->all || threads == b->threads;
        if (asked && b->count == ROWS_MAX)
            return fail(err, EXIT_RUNTIME, "more than %d rows", ROWS_MAX);
        if (asked) {
            Row *row = &b->rows[b->count++];
            *row = (Row){ .section = s, .K = K, .peak = peak, .threads = threads };
            row->rounds = rounds;
            row->name = name != NULL ? name : K->name;
            row->bytes = block != NULL ? block(threads) : nanogpt(b)->read;
            row->texts = s == SAMPLING_TOGETHER ? TOGETHER : 1;
        }
        if (threads == b->threads) return 0;
    }
}

static int add_read_rows(Bench *b, Err *err)
{
    bool three = second_cache_bytes() > 0 && second_cache_bytes() < (double)cache_bytes();
    return (three && add_rows(b, READ, b->fastest, "L2", second_block, err))
        || add_rows(b, READ, b->fastest, three ? "L3" : "L2", last_block, err)
        || add_rows(b, READ, b->fastest, "memory", memory_block, err)
        || add_rows(b, READ, b->fastest, "weights", NULL, err) ? -1 : 0;
}

/* Sections that have rows for every instruction set, within the options. */
static bool section_asked(const Bench *b, SectionName s, const Kernels *K)
{
    const Options *o = b->o;
    if (b->only != NULL && K != b->only) return false;
    bool steps = (int)s == NANOGPT_CPU + o->only - ONLY_NANOGPT_CPU;
    if (o->only != ONLY_ALL && s != PEAK && !steps) return false;
    return s != NANOGPT || (!o->quick && (o->all || K == b->fastest));
}

static int plan(Bench *b, Err *err)
{
    static const SectionName of_each[] = { PEAK, NANOGPT_CPU, QWEN3_MUON, NANOGPT };
    const Kernels *K;
    b->fastest = b->only != NULL ? b->only : kernels_usable(0);
    for (int i = 0; (K = kernels_usable(i)) != NULL; i++)
        for (size_t s = 0; s < sizeof of_each / sizeof of_each[0]; s++)
            if (section_asked(b, of_each[s], K) && add_rows(b, of_each[s], K, NULL, NULL, err))
                return -1;
    if (b->o->only != ONLY_ALL) return 0;
    return add_read_rows(b, err) || add_rows(b, EVALUATION, b->fastest, NULL, NULL, err)
        || add_rows(b, SAMPLING, b->fastest, NULL, NULL, err)
        || add_rows(b, SAMPLING_TOGETHER, b->fastest, NULL, NULL, err) ? -1 : 0;
}

/* ---------------------------------------------------------------- program */

static int measure_and_print(Bench *b, Output *out, Err *err)
{
    static const char *const texts[] = { "data/shakespeare.txt" };
    CorpusOptions how = { .separator = false, .val_fraction = 0.1 };
    for (int i = 0; i < WORKS; i++)
        if (open_work(&b->works[i], i, err)) return -1;
    if (plan(b, err) || corpus_open(&b->corpus, &b->tokenizer, &how, texts, 1, err)) return -1;
    if (b->tokenizer.count != VOCAB)
        return fail(err, EXIT_TEXT, "%s: has %d different characters instead of %d; git restores "
                    "the file", texts[0], b->tokenizer.count, VOCAB);
    if (measure_all(b, err)) return -1;
    print_result(b, out);
    return 0;
}

static int bench(const Call *call, Output *out, Err *err)
{
    const Options *o = call->options;
    Bench b = { .o = o, .threads = call->threads };
    if (o->common.isa != NULL) b.only = call->kernels;
    if (o->quick && (o->all || o->only == ONLY_NANOGPT))
        return fail(err, EXIT_USAGE, "--quick leaves out what --all and --only nanogpt ask for");
    int failed = measure_and_print(&b, out, err);
    corpus_close(&b.corpus);
    tokenizer_close(&b.tokenizer);
    return failed;
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    return program_main(&cli, &o, bench, argc, argv);
}
