/* eval.c: checkpoint + text -> nats and bits per character, perplexity.
 *
 * The score is -1/N sum_t ln p(x_t | x_1 .. x_{t-1}) in nats per character; divided by ln 2 it is bits per
 * character, and its exponential is the perplexity. protocol.h says which characters each x_t sees.
 *
 *     ./eval ckpt.bin shakespeare.txt --protocol random
 */
#include "base.h"
#include "checkpoint.h"
#include "cli.h"
#include "corpus.h"
#include "kernels/kernels.h"
#include "machine.h"
#include "protocol.h"
#include "tokenizer.h"
#define MODEL_IMPLEMENTATION
#include "model.h"

enum { PROTOCOL_FULL, PROTOCOL_RANDOM, PROTOCOL_STRIDED };

/* ---------------------------------------------------------------- options */

typedef struct {
    const char *isa;
    int64_t stride, batches, seed, threads;
    int part, protocol, unknown;
    bool quiet, json, help, version;
    bool given[CLI_ROWS];
} Options;

#define PART_WORDS "train|val|all"
#define PROTOCOL_WORDS "full|random|strided"
#define AT(field) offsetof(Options, field)
static const Option options[] = {
    /* name, argument, kind, into, default, low, high, words, flags, help */
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "What is scored" },
    { "--part", NULL, OPT_WORD, AT(part), NULL, 0, 0, PART_WORDS, 0,
      "part of the text (default: val if it is the text that the model was trained on, else all)" },
    { "--unknown", NULL, OPT_WORD, AT(unknown), "fail", 0, 0, "fail|skip", 0,
      "what to do about characters that the vocabulary lacks" },
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "How" },
    { "--protocol", NULL, OPT_WORD, AT(protocol), "full", 0, 0, PROTOCOL_WORDS, 0,
      "full: consecutive windows of the context, every character but the first scored once; random: batches "
      "of 64 windows of at most 256 characters; strided: windows overlap, each scores its last --stride" },
    { "--stride", "N", OPT_INT, AT(stride), NULL, 1, 65536, NULL, 0,
      "of --protocol strided (default: a quarter of the context)" },
    { "--batches", "N", OPT_INT, AT(batches), "200", 1, 1e6, NULL, 0, "of --protocol random" },
    { "--seed", "N", OPT_INT, AT(seed), "1", 0, 9e15, NULL, 0, "of --protocol random" },
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Machine and output" },
    { "--threads", "N", OPT_INT, AT(threads), NULL, 1, 1024, NULL, 0,
      "threads (default: what the machine or container has)" },
    { "--isa", "NAME", OPT_STRING, AT(isa), NULL, 0, 0, NULL, 0,
      "instruction set: portable, avx2, avx512, amx, neon (default: the fastest); list shows them" },
    { "--json", NULL, OPT_SWITCH, AT(json), NULL, 0, 0, NULL, 0,
      "print one object: nats_per_char, bits_per_char, perplexity, characters, protocol, part" },
    { "--quiet", NULL, OPT_SWITCH, AT(quiet), NULL, 0, 0, NULL, 0, "no messages but errors" },
    { "--help", NULL, OPT_ACTION, AT(help), NULL, 0, 0, NULL, 0, "show this and end" },
    { "--version", NULL, OPT_ACTION, AT(version), NULL, 0, 0, NULL, 0, "show the version and end" },
    { 0 }
};
#undef AT

static const Cli cli = {
    "eval", "CKPT TEXT...",
    "Measures how well a model predicts a text. For the text that it was trained on, give the same files.",
    options, NULL, offsetof(Options, given)
};

/* The text of one of the word options. */
static const char *word_of(const Options *o, const char *name, char *out, size_t room)
{
    cli_get_text(&options[cli_find(&cli, name, strlen(name))], o, out, room);
    return out;
}

/* ---------------------------------------------------------------- scoring */

/* What is being scored. */
typedef struct {
    const Options *o;       /* `part` filled in */
    const Checkpoint *c;
    const Corpus *corpus;
    const Kernels *kernels;
    const char *path;       /* of the checkpoint */
    int threads;
} Job;

static void print_score(const Job *job, Score score, Output *out)
{
    char part[CLI_WORD], protocol[CLI_WORD];
    double nats = score_mean(score);
    word_of(job->o, "--part", part, sizeof part);
    word_of(job->o, "--protocol", protocol, sizeof protocol);
    if (!job->o->json) {
        output_print(out, "%.4f nats/char, %.4f bits/char, ", nats, nats / log(2.0));
        output_print(out, "perplexity %.4g, ", exp(nats));
        output_print(out, "%zu characters, protocol %s, part %s\n", score.characters, protocol, part);
        return;
    }
    output_print(out, "{\"nats_per_char\":");
    output_json_real(out, nats);
    output_print(out, ",\"bits_per_char\":");
    output_json_real(out, nats / log(2.0));
    output_print(out, ",\"perplexity\":");
    output_json_real(out, exp(nats));
    output_print(out, ",\"characters\":%zu,\"protocol\":\"%s\",\"part\":\"%s\"}\n", score.characters,
                 protocol, part);
}

static int score_part(const Job *job, Model *model, Part part, Output *out, Err *err)
{
    const Options *o = job->o;
    int context = model->config.context, quarter = context >= 4 ? context / 4 : 1;
    int stride = o->stride > 0 ? (int)o->stride : quarter;
    if (o->protocol == PROTOCOL_STRIDED && stride > context)
        return fail(err, EXIT_USAGE, "--stride %d is more than the model's context, %d", stride, context);

    Scorer scorer;
    if (scorer_open(&scorer, model, job->c->tokenizer.separator, err)) return -1;
    Score score;
    uint64_t key = rng_key((uint64_t)o->seed, 0, 0, RNG_EVAL);
    if (o->protocol == PROTOCOL_RANDOM)
        score = evaluate_random(&scorer, part, key, (size_t)o->batches * RANDOM_BATCH,
                                context < RANDOM_CONTEXT ? context : RANDOM_CONTEXT);
    else if (o->protocol == PROTOCOL_STRIDED)
        score = evaluate_strided(&scorer, part, context, stride);
    else
        score = evaluate_full(&scorer, part, context, SIZE_MAX);
    scorer_close(&scorer);

    if (score.characters == 0)
        return fail(err, EXIT_TEXT, "%s: there is no character to score", job->corpus->read);
    if (!isfinite(score.sum))
        return fail(err, EXIT_DIVERGED, "%s: the loss is not a number: the weights are too large; train it "
                    "again with a smaller --lr", job->path);
    print_score(job, score, out);
    return 0;
}

static int score_text(const Job *job, Output *out, Err *err)
{
    char name[CLI_WORD];
    Part part = corpus_part(job->corpus, (PartName)job->o->part);
    word_of(job->o, "--part", name, sizeof name);
    if (part.count < 2)
        return fail(err, EXIT_TEXT, "%s: its part %s has %zu characters, and at least 2 are needed; "
                    "try --part all", job->corpus->read, name, part.count);
    if (!job->o->quiet)
        fprintf(stderr, "eval: %s, step %llu, part %s of %s, %s, %d thread%s\n", job->path,
                (unsigned long long)job->c->step, name, job->corpus->read, job->kernels->name, job->threads,
                job->threads == 1 ? "" : "s");
    if (job->corpus->skipped > 0 && !job->o->quiet)
        fprintf(stderr, "eval: note: %zu characters are not in the vocabulary and were skipped\n",
                job->corpus->skipped);

    Model model;
    const Config *config = &job->c->config;
    int slice = model_slice(config, cache_bytes(), RANDOM_BATCH);
    if (memory_check((double)model_bytes(config, job->kernels, MODEL_EVAL, slice), err)
        || model_open(&model, config, job->kernels, MODEL_EVAL, slice, err))
        return -1;
    int failed = checkpoint_copy(job->c, "", model.tensors, model.tensor_count, model.params, err)
        || score_part(job, &model, part, out, err);
    model_close(&model);
    return failed ? -1 : 0;
}

/* ---------------------------------------------------------------- the program */

static int evaluate(const Options *given, const Operands *operands, Output *out, Err *err)
{
    Options o = *given;
    Checkpoint c;
    Corpus corpus;
    Job job = { .o = &o, .c = &c, .corpus = &corpus, .path = operands->items[0] };
    job.threads = o.threads > 0 ? (int)o.threads : default_threads();
    job.kernels = kernels_pick(o.isa, err);
    if (job.kernels == NULL) return -1;
    omp_set_num_threads(job.threads);

    if (checkpoint_load(&c, job.path, err)) return -1;
    const char *fraction = checkpoint_setting(&c, "val-fraction");
    CorpusOptions how = { .unknown = o.unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS };
    how.val_fraction = fraction != NULL ? strtod(fraction, NULL) : 0.0;
    int failed = corpus_open(&corpus, &c.tokenizer, &how, operands->items + 1, operands->count - 1, err);
    if (!failed) {
        bool trained_on = strcmp(corpus.sha256, c.sha256) == 0;
        if (!cli_given(&cli, given, "--part")) o.part = trained_on ? PART_VAL : PART_ALL;
        failed = score_text(&job, out, err);
        corpus_close(&corpus);
    }
    checkpoint_close(&c);
    return failed;
}

static int run(const Options *o, const Operands *operands, Output *out, Err *err)
{
    char built[200];
    if (o->help) {
        cli_help(&cli, out);
    } else if (o->version) {
        kernels_built(built, sizeof built);
        cli_version(&cli, built, out);
    } else if (o->isa != NULL && strcmp(o->isa, "list") == 0) {
        kernels_list(out->file);
    } else if (operands->count < 2) {
        return fail(err, EXIT_USAGE, "a checkpoint and a text are wanted; try --help");
    } else {
        return evaluate(o, operands, out, err);
    }
    return 0;
}

int main(int argc, char **argv)
{
    Err err = { 0 };
    Options o = { 0 };
    Operands operands = { 0 };
    Output out = { stdout, 0 };
    cli_streams();
    int failed = cli_parse(&cli, argc, argv, &o, &operands, &err) || run(&o, &operands, &out, &err)
        || output_close(&out, &err);
    operands_close(&operands);
    if (failed) fprintf(stderr, "eval: %s\n", err.msg);
    return failed ? err.status : 0;
}
