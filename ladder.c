/* ladder.c: one text, every network: each is trained for the same time, and a table compares them.
 *
 * All of them factor p(x) = prod_t p(x_t | x_1 .. x_{t-1}) and maximise the log-likelihood; they
 * differ in the network that gives the conditionals. Every row is scored on the same characters,
 * those held out, each document from its beginning where there are documents.
 *
 *     ./ladder shakespeare.txt --minutes 1
 *     ./ladder data/dna.txt --split-documents LINE --families fvsbn,nade,made --steps 2000
 */
#include "base.h"
#include "cli/program.h"
#include "corpus.h"
#include "formats/checkpoint.h"
#include "inference/evaluate.h"
#include "networks/network.h"
#include "system/files.h"
#include "system/machine.h"
#include "tokenizer.h"
#include "training/fit.h"
#include "training/preview.h"
#include "training/settings.h"
#include "training/timing.h"
#include "training/trainer.h"

enum { RUNGS_MAX = 32, WORDS_MAX = 32, LINE_SHOWN = 24 };

/* ---------------------------------------------------------------- options */

typedef struct {
    Common common;
    const char *families, *out, *split_documents, *image_width;
    double minutes;
    int64_t steps, seed;
    bool bytes, values, overwrite, given[CLI_ROWS];
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    HEADING("What is compared"),
    STRING("families", "LIST", families, NULL,
           "only these networks, in this order, as gpt2,qwen3 (default: all)"),
    REAL("minutes", minutes, "1", 0.01, 1e6, "train each network for this long"),
    INT("steps", steps, "0", 0, 1e12, "for so many steps instead, in sizes that suit no clock"),
    INT("seed", seed, "1", 0, 9e15, "same seed, same numbers with --steps"),
    HEADING("Text"),
    SWITCH("bytes", bytes, "symbols are bytes, not characters of UTF-8"),
    SWITCH("values", values, "the text is numbers, one vector a line, as for ./train"),
    STRING("split-documents", "HOW", split_documents, SPLIT_OFF,
           "what a document is: LINE, BLANK or a delimiter, as for ./train"),
    STRING("image-width", "W", image_width, NULL,
           "documents are images, one character a pixel, W wide: for networks that make use of it"),
    HEADING("Machine and output"),
    STRING("out", "DIR", out, NULL, "keep the checkpoints there, as FAMILY.bin"),
    { .name = "--overwrite", .kind = OPT_SWITCH, .offset = AT(overwrite),
      .help = "replace those that are there", .flags = DESTROYS },
    THREADS_ROW(0),
    ISA_ROW(0),
    JSON_ROW("print one object: a list rungs of family, parameters, nats_per_char, bits_per_char, "
             "nats_per_document, train_chars_per_second, sample_chars_per_second, sample", 0),
    QUIET_ROW(0),
    ABOUT_ROWS(common.about),
    { 0 }
};

static const Cli cli = {
    .program = "ladder", .operands = "TEXT...", .least = 1, .most = ANY_NUMBER,
    .summary = "Trains every kind of network on a text, each for the same time, and compares how "
               "well they predict the part that is held out.",
    .options = options, .given = offsetof(Options, given)
};

/* ---------------------------------------------------------------- a rung */

/* What one network came to. */
typedef struct {
    const Family *family;
    size_t parameters;
    Score score;
    int64_t steps;
    double seconds;                 /* of training */
    double train_rate, sample_rate; /* characters a second */
    char sample[PREVIEW_LENGTH * TOKEN_ROOM + 1];
    Err failed;                     /* status 0: it has not */
} Rung;

typedef struct {
    const Options *o;
    const Kernels *K;
    Tokenizer tokenizer;
    Corpus corpus;
    HoldOut hold_out;
    size_t documents, characters;   /* held out; 0: no documents */
    Rung rungs[RUNGS_MAX];
    int count;
} Ladder;

/* Everything that one network is trained with. */
typedef struct {
    Settings settings;
    Trainer trainer;
    Scorer scorer;
    Preview preview;
    Timing timing;
    real *best;                     /* (size) the weights of the best evaluation */
    double best_loss;
} Climb;

/* The options that ./train would be given. */
static int parse(const Ladder *l, const Family *f, Settings *s, Err *err)
{
    static char program[] = "train", bytes[] = "--bytes";
    char pairs[6][2][64];
    const Options *o = l->o;
    char *argv[WORDS_MAX] = { program };
    int argc = 1, count = 0;
    Operands none = { 0 };
#define PAIR(name, ...) \
    snprintf(pairs[count][0], sizeof pairs[0][0], "--%s", name); \
    snprintf(pairs[count][1], sizeof pairs[0][1], __VA_ARGS__); \
    argv[argc++] = pairs[count][0]; \
    argv[argc++] = pairs[count++][1]
    PAIR("family", "%s", f->name);
    PAIR("seed", "%lld", (long long)o->seed);
    PAIR("split-documents", "%s", o->split_documents);
    if (o->steps > 0 && f->fit == NULL) {
        PAIR("steps", "%lld", (long long)o->steps);
    } else {
        PAIR("minutes", "%.17g", o->minutes);
    }
    if (o->image_width != NULL && family_field(f, "image-width") != NULL) {
        PAIR("image-width", "%s", o->image_width);
    }
#undef PAIR
    if (o->bytes) argv[argc++] = bytes;
    settings_init(s);
    int failed = cli_parse(&s->cli, argc, argv, s, &none, err);
    operands_close(&none);
    s->split_documents = o->split_documents;
    s->values = o->values;
    s->hold_out = (int)l->hold_out;
    return failed;
}

/* What the time or the text decides, and all memory. */
static int open_climb(Ladder *l, const Family *f, Climb *c, Err *err)
{
    Settings *s = &c->settings;
    Space config;
    int64_t reduced;
    int vocab = l->tokenizer.count;
    c->timing.begun = clock_seconds();
    if (parse(l, f, s, err) || timing_deadline(&c->timing, s, false, "", err)) return -1;
    int failed = c->timing.deadline > 0
        ? timing_choose(&c->timing, s, l->K, &l->corpus, vocab, &reduced, err)
        : fit_family(s, err) || fit_documents(s, &l->corpus, vocab, err)
          || settings_fit_context(s, l->corpus.train_count, l->corpus.read, &reduced, err);
    if (failed || settings_config(s, &config, vocab, err)
        || family_fit(f, &config, l->corpus.train_count, err))
        return -1;
    TrainerOptions how = { .family = f, .config = &config, .kernels = l->K,
                           .plan = settings_plan(s, 0), .numbers = l->tokenizer.numbers,
                           .part = corpus_part(&l->corpus, PART_TRAIN), .batch = (int)s->batch,
                           .sampling = s->sampling, .seed = (uint64_t)s->seed };
    size_t weights = family_parameters(f, &config) * sizeof(real);
    double bytes = (double)trainer_bytes(&how) + (double)preview_bytes(f, &config)
                 + scorer_bytes(1, trainer_slice(&how), family_context(f, &config))
                 + (double)weights + (double)l->corpus.count * sizeof(int32_t);
    if (memory_check(bytes, err) || trainer_open(&c->trainer, &how, err)) return -1;
    Model *m = &c->trainer.model;
    int32_t newline = l->tokenizer.ids['\n'];
    int32_t first = l->corpus.longest_size > 0 ? SEPARATOR_ID
                  : newline >= 0 ? newline : l->corpus.ids[0];
    if (scorer_open(&c->scorer, m, 1, l->tokenizer.separator, err)
        || preview_open(&c->preview, m, &l->tokenizer, first, err)) return -1;
    c->best = malloc(m->size * sizeof *c->best);
    if (c->best == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the best weights");
    trainer_start(&c->trainer);
    return 0;
}

static void close_climb(Climb *c)
{
    preview_close(&c->preview);
    scorer_close(&c->scorer);
    trainer_close(&c->trainer);
    free(c->best);
}

/* Of these weights, on the part that is held out. */
static Score score(Ladder *l, Climb *c, real *weights, size_t most)
{
    Model *m = &c->trainer.model;
    Part val = corpus_part(&l->corpus, PART_VAL);
    model_use(m, weights);
    Score s = l->corpus.longest_size > 0 ? evaluate_documents(&c->scorer, val, m->context, most)
                                         : evaluate_full(&c->scorer, val, m->context, most);
    model_use(m, m->params);
    return s;
}

/* Keeps the weights if no earlier ones were better. */
static void evaluate(Ladder *l, Climb *c)
{
    double start = clock_seconds();
    const Trainer *t = &c->trainer;
    double loss = score_mean(score(l, c, trainer_weights(t), EVAL_CHARACTERS));
    c->timing.last_evaluation = clock_seconds() - start;
    c->timing.evaluating += c->timing.last_evaluation;
    if (!isfinite(loss) || (isfinite(c->best_loss) && loss >= c->best_loss)) return;
    c->best_loss = loss;
    memcpy(c->best, trainer_weights(t), t->model.size * sizeof *c->best);
}

static bool all_steps_made(const Climb *c)
{
    return !settings_steps_open(&c->settings) && c->trainer.step >= c->settings.plan.steps;
}

static int train(Ladder *l, Climb *c, Err *err)
{
    Trainer *t = &c->trainer;
    Settings *s = &c->settings;
    TrainingPlan plan = settings_plan(s, 0);
    c->best_loss = (double)NAN;
    c->timing.started = clock_seconds();
    trainer_set_plan(t, &plan);
    while (!all_steps_made(c)) {
        if (trainer_step(t) == STEP_DIVERGED)
            return fail(err, EXIT_DIVERGED, "the loss is no longer a number after step %lld",
                        (long long)t->step);
        bool open = settings_steps_open(s);
        if (open ? timing_plan_end(&c->timing, s, t, 0) : timing_adjust_end(&c->timing, s, t, 0)) {
            plan = settings_plan(s, 0);
            trainer_set_plan(t, &plan);
        }
        if (t->step % s->eval_every == 0 || all_steps_made(c)) evaluate(l, c);
    }
    if (isfinite(c->best_loss)) return 0;
    return fail(err, EXIT_DIVERGED, "no evaluation gave a number");
}

/* ---------------------------------------------------------------- what it came to */

/* The first line of what the model writes that is not empty, and how fast it writes. */
static void write_sample(Climb *c, Rung *r)
{
    double start = clock_seconds();
    uint64_t key = rng_key((uint64_t)c->settings.seed, 0, 0, RNG_SAMPLE);
    size_t size = preview_write(&c->preview, c->best, key), begin = 0, end;
    r->sample_rate = PREVIEW_LENGTH / (clock_seconds() - start);
    while (begin < size && c->preview.text[begin] == '\n') begin++;
    for (end = begin; end < size && c->preview.text[end] != '\n';) end++;
    memcpy(r->sample, c->preview.text + begin, end - begin);
    r->sample[end - begin] = '\0';
}

static int keep(const Ladder *l, Climb *c, Err *err)
{
    char path[PATH_ROOM], temp[PATH_ROOM];
    Setting settings[SETTINGS_MAX];
    const Trainer *t = &c->trainer;
    Saver *saver;
    History none = { 0 };
    Snapshot shot = { .family = t->how.family, .config = t->how.config, .tokenizer = &l->tokenizer,
                      .settings = settings, .step = (uint64_t)t->step, .sha256 = l->corpus.sha256,
                      .tensors = t->model.tensors, .tensor_count = t->model.tensor_count,
                      .params = c->best, .history = &none };
    shot.setting_count = settings_store(&c->settings, l->corpus.train_separators, settings);
    snprintf(path, sizeof path, "%s/%s.bin", l->o->out, t->how.family->name);
    snprintf(temp, sizeof temp, "%s/%s.tmp", l->o->out, t->how.family->name);
    int failed = saver_open(&saver, &shot, err) || checkpoint_save(saver, &shot, path, temp, err);
    saver_close(saver);
    return failed;
}

static int climb(Ladder *l, Climb *c, Rung *r, Err *err)
{
    if (open_climb(l, r->family, c, err)) return -1;
    const Trainer *t = &c->trainer;
    r->parameters = family_parameters(r->family, t->how.config);
    if (train(l, c, err)) return -1;
    r->steps = t->step;
    r->seconds = clock_seconds() - c->timing.started;
    double characters = (double)t->made * trainer_tokens_per_step(t);
    r->train_rate = characters / (r->seconds - c->timing.evaluating);
    r->score = score(l, c, c->best, SIZE_MAX);
    write_sample(c, r);
    return l->o->out != NULL ? keep(l, c, err) : 0;
}

/* ---------------------------------------------------------------- the table */

static double in_document(const Ladder *l, const Rung *r)
{
    return r->score.sum / (double)l->documents;
}

/* A line of standard error when a rung is reached. */
static void say_rung(const Ladder *l, const Rung *r)
{
    if (l->o->common.quiet) return;
    if (r->failed.status != 0) program_say("%-8s %s\n", r->family->name, r->failed.msg);
    else
        program_say("%-8s %.4f nats/%s, %lld steps in %.0f s\n", r->family->name,
                    score_mean(r->score), l->o->values ? "value" : "char", (long long)r->steps,
                    r->seconds);
}

static void print_table(const Ladder *l, Output *out)
{
    bool documents = l->documents > 0;
    const char *unit = l->o->values ? "nats/vec" : documents ? "nats/doc" : "nats";
    output_print(out, "%-8s%11s%9s%9s%10s%10s  %s\n", "family", "parameters", unit, "bits",
                 "trained/s", "written/s", "a line of it");
    for (const Rung *r = l->rungs; r < l->rungs + l->count; r++) {
        double nats = score_mean(r->score);
        if (r->failed.status != 0) continue;
        output_print(out, "%-8s%11zu%9.4f%9.4f%10.0f%10.0f  ", r->family->name, r->parameters,
                     documents ? in_document(l, r) : nats, nats / log(2.0), r->train_rate,
                     r->sample_rate);
        int shown = 0;
        const char *at = r->sample;
        for (; *at != '\0' && (shown < LINE_SHOWN || ((unsigned char)*at & 0xc0) == 0x80); at++)
            shown += ((unsigned char)*at & 0xc0) != 0x80;
        output_visible_bytes(out, r->sample, (size_t)(at - r->sample));
        output_print(out, "\n");
    }
    if (tokenizer_has_numbers(&l->tokenizer)) return;       /* no density is uniform on a line */
    double uniform = log(l->tokenizer.count);
    double characters = documents ? (double)l->characters / (double)l->documents : 1;
    output_print(out, "%-8s%11d%9.4f%9.4f\n", "uniform", 0, uniform * characters,
                 uniform / log(2.0));
}

static void print_json(const Ladder *l, Output *out)
{
    output_print(out, "{\"rungs\":[");
    for (int i = 0; i < l->count; i++) {
        const Rung *r = &l->rungs[i];
        output_print(out, "%s{\"family\":\"%s\"", i > 0 ? "," : "", r->family->name);
        if (r->failed.status != 0) {
            output_print(out, ",\"error\":");
            output_json_text(out, r->failed.msg);
            output_print(out, "}");
            continue;
        }
        double nats = score_mean(r->score);
        output_print(out, ",\"parameters\":%zu,\"steps\":%lld,\"seconds\":%.3f,\"nats_per_char\":",
                     r->parameters, (long long)r->steps, r->seconds);
        output_json_real(out, nats);
        output_print(out, ",\"bits_per_char\":");
        output_json_real(out, nats / log(2.0));
        if (l->documents > 0) {
            output_print(out, ",\"nats_per_document\":");
            output_json_real(out, in_document(l, r));
        }
        output_print(out, ",\"train_chars_per_second\":");
        output_json_real(out, r->train_rate);
        output_print(out, ",\"sample_chars_per_second\":");
        output_json_real(out, r->sample_rate);
        output_print(out, ",\"sample\":");
        output_json(out, r->sample, strlen(r->sample), !l->tokenizer.bytes);
        output_print(out, "}");
    }
    output_print(out, "]}\n");
}

/* ---------------------------------------------------------------- the program */

/* The networks asked for. EXIT_USAGE. */
static int choose_families(Ladder *l, Err *err)
{
    const Family *f;
    char word[CLI_WORD];
    const char *at = l->o->families;
    for (int i = 0; at == NULL && (f = family_at(i)) != NULL && l->count < RUNGS_MAX; i++)
        if (f->fit == NULL || !l->o->values) l->rungs[l->count++].family = f;
    while (at != NULL && l->count < RUNGS_MAX) {
        size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        if ((f = family_named(word)) == NULL)
            return fail(err, EXIT_USAGE, "--families: there is no family %s; ./train --help lists "
                        "them", word);
        l->rungs[l->count++].family = f;
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    return 0;
}

/* Nothing is replaced that nobody gave away. */
static int check_out(const Ladder *l, Err *err)
{
    char path[PATH_ROOM];
    const char *folder = l->o->out;
    if (folder == NULL) return 0;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return fail(err, EXIT_RUNTIME, "%s: cannot be made: %s", folder, strerror(errno));
    for (int i = 0; i < l->count && !l->o->overwrite; i++) {
        snprintf(path, sizeof path, "%s/%s.bin", folder, l->rungs[i].family->name);
        if (file_exists(path))
            return fail(err, EXIT_USAGE, "%s: in the way; --overwrite replaces it", path);
    }
    return 0;
}

static int open_text(Ladder *l, const Operands *texts, Err *err)
{
    const Options *o = l->o;
    const char *split = o->values ? SPLIT_LINE : corpus_split(o->split_documents);
    if (corpus_check_split(o->split_documents, err)) return -1;
    if (o->values && (o->bytes || CLI_GIVEN(&cli, o, Options, split_documents)))
        return fail(err, EXIT_USAGE, "--values and %s exclude each other: each line is a vector of "
                    "numbers", o->bytes ? "--bytes" : "--split-documents");
    CorpusOptions how = { .bytes = o->bytes, .values = o->values, .separator = true,
                          .unknown = UNKNOWN_FAILS, .split = split, .val_fraction = 0.1 };
    bool plain = split == NULL && texts->count == 1;
    l->hold_out = how.hold_out = plain ? HOLD_OUT_END : HOLD_OUT_SPREAD;
    if (corpus_open(&l->corpus, &l->tokenizer, &how, texts->items, texts->count, err)) return -1;
    if (l->corpus.longest_size > 0) l->documents = l->corpus.held_out;
    l->characters = l->corpus.characters - corpus_train_characters(&l->corpus);
    if (l->corpus.train_count < l->corpus.count - 1 && corpus_train_characters(&l->corpus) >= 2)
        return 0;
    return fail(err, EXIT_TEXT, "%s: too short to hold a part of it out", l->corpus.read);
}

static int climb_all(Ladder *l, Output *out, Err *err)
{
    bool any = false;
    Climb *c = malloc(sizeof *c);
    if (c == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for a run");
    for (Rung *r = l->rungs; r < l->rungs + l->count; r++) {
        memset(c, 0, sizeof *c);
        r->failed.status = climb(l, c, r, &r->failed) ? r->failed.status : 0;
        close_climb(c);
        say_rung(l, r);
        any = any || r->failed.status == 0;
    }
    free(c);
    if (!any) {
        *err = l->rungs[0].failed;
        return -1;
    }
    if (l->o->common.json) print_json(l, out);
    else print_table(l, out);
    return 0;
}

static int ladder(const Call *call, Output *out, Err *err)
{
    Ladder *l = calloc(1, sizeof *l);
    if (l == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for a table");
    l->o = call->options;
    l->K = call->kernels;
    int failed = choose_families(l, err) || check_out(l, err)
              || open_text(l, call->operands, err) || climb_all(l, out, err);
    corpus_close(&l->corpus);
    tokenizer_close(&l->tokenizer);
    free(l);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    return program_main(&cli, &o, ladder, argc, argv);
}
