/* eval.c: checkpoint + text -> nats and bits per character, perplexity.
 *
 * The score is -1/N sum_t ln p(x_t | x_1 .. x_{t-1}) in nats per character; divided by ln 2 it is
 * bits per character, and its exponential is the perplexity. evaluate.h says which characters each
 * x_t sees. p is the mean of the probabilities where several checkpoints are given.
 *
 *     ./eval ckpt.bin shakespeare.txt --protocol random
 *     ./eval ckpt.bin lines.txt --per-line
 */
#include "base.h"
#include "cli/program.h"
#include "corpus.h"
#include "formats/checkpoint.h"
#include "inference/ensemble.h"
#include "inference/evaluate.h"
#include "kernels/kernels.h"
#include "system/machine.h"
#include "tokenizer.h"

#define READER "./eval CKPT -"

enum { PROTOCOL_FULL, PROTOCOL_RANDOM, PROTOCOL_STRIDED };

/* ---------------------------------------------------------------- options */

typedef struct {
    Common common;
    int64_t stride, batches, seed;
    int part, protocol, unknown;
    bool per_line, given[CLI_ROWS];
} Options;

#define PART_WORDS "train|val|all"
#define PROTOCOL_WORDS "full|random|strided"
#define AT(field) offsetof(Options, field)
static const Option options[] = {
    HEADING("What is scored"),
    WORD("part", part, NULL, PART_WORDS,
         "part of the text (default: val if it is the text that the model was trained on, "
         "else all)"),
    WORD("unknown", unknown, "fail", "fail|skip",
         "what to do about characters that the vocabulary lacks"),
    SWITCH("per-line", per_line,
           "score every line by itself, as the beginning of a text; prints its "
           "log-likelihood in nats, characters, bits per character, with tabs between them"),
    HEADING("How"),
    WORD("protocol", protocol, "full", PROTOCOL_WORDS,
         "full: consecutive windows of the context, every character but the first scored "
         "once; random: batches of 64 windows of at most 256 characters; strided: windows "
         "overlap, each scores its last --stride"),
    INT("stride", stride, NULL, 1, 65536,
        "of --protocol strided (default: a quarter of the context)"),
    INT("batches", batches, "200", 1, 1e6, "of --protocol random"),
    INT("seed", seed, "1", 0, 9e15, "of --protocol random"),
    HEADING("Machine and output"),
    THREADS_ROW(0),
    ISA_ROW(0),
    JSON_ROW("print one object: nats_per_char, bits_per_char, perplexity, characters, "
             "protocol, part; with --per-line a list lines of log_likelihood, characters, "
             "bits_per_char", 0),
    QUIET_ROW(0),
    ABOUT_ROWS(common.about),
    { 0 }
};

static const Cli cli = {
    .program = "eval", .operands = "CKPT... TEXT...", .least = 1, .most = ANY_NUMBER,
    .summary = "Measures how well a model predicts a text. For the text that it was trained on, "
               "give the same files. What follows the first checkpoint and begins as one is a "
               "checkpoint, too; the rest is the text. Of several models with the same vocabulary "
               "the probabilities are averaged, in windows of the smallest context.",
    .options = options, .given = offsetof(Options, given)
};

#define GIVEN(o, field) CLI_GIVEN(&cli, o, Options, field)

/* The word that the option at an offset has. */
static void word_at(const Options *o, size_t offset, char word[CLI_WORD])
{
    cli_get_text(&options[cli_find_at(&cli, offset)], o, word, CLI_WORD);
}

/* ---------------------------------------------------------------- scoring */

/* What is being scored. */
typedef struct {
    const Options *o;       /* `part` filled in */
    Ensemble *ensemble;
    const Corpus *corpus;   /* NULL: lines */
    const Kernels *kernels;
    char names[600];        /* of the checkpoints */
    int threads;
} Job;

static int not_finite(const Job *job, Err *err)
{
    return fail(err, EXIT_DIVERGED, "%.300s: the loss is not a number: the weights are too large; "
                "train it again with a smaller --lr", job->names);
}

/* The first line of standard error; `what` is scored. */
static void print_header(const Job *job, const char *what)
{
    const Ensemble *e = job->ensemble;
    bool differ = false;
    if (job->o->common.quiet) return;
    program_say("eval: %s, %s, %s, %d thread%s", job->names, what, job->kernels->name,
            job->threads, job->threads == 1 ? "" : "s");
    for (int m = 1; m < e->count; m++)
        differ |= e->checkpoints[m].context != e->checkpoints[0].context;
    if (differ) fprintf(stderr, ", windows of %d, the smallest context", ensemble_context(e));
    fputc('\n', stderr);
}

static void print_skipped(const Job *job, size_t skipped)
{
    if (skipped > 0 && !job->o->common.quiet)
        fprintf(stderr, "eval: note: %zu characters are not in the vocabulary and were skipped\n",
                skipped);
}

static void print_text_note(const Job *job, const TextNote *note)
{
    if (note->text[0] != '\0' && !job->o->common.quiet)
        fprintf(stderr, "eval: note: %s\n", note->text);
}

static void print_score(const Job *job, Score score, Output *out)
{
    char part[CLI_WORD], protocol[CLI_WORD];
    double nats = score_mean(score);
    word_at(job->o, AT(part), part);
    word_at(job->o, AT(protocol), protocol);
    if (!job->o->common.json) {
        output_print(out, "%.4f nats/char, %.4f bits/char, ", nats, nats / log(2.0));
        output_print(out, "perplexity %.4g, ", exp(nats));
        output_print(out, "%zu characters, protocol %s, part %s\n", score.characters, protocol,
                     part);
        return;
    }
    output_print(out, "{\"nats_per_char\":");
    output_json_real(out, nats);
    output_print(out, ",\"bits_per_char\":");
    output_json_real(out, nats / log(2.0));
    output_print(out, ",\"perplexity\":");
    output_json_real(out, exp(nats));
    output_print(out, ",\"characters\":%zu,\"protocol\":\"%s\",\"part\":\"%s\"}\n",
                 score.characters, protocol, part);
}

static int score_part(const Job *job, Part part, Output *out, Err *err)
{
    const Options *o = job->o;
    Ensemble *e = job->ensemble;
    int context = ensemble_context(e), quarter = context >= 4 ? context / 4 : 1;
    int stride = o->stride > 0 ? (int)o->stride : quarter;
    if (o->protocol == PROTOCOL_STRIDED && stride > context)
        return fail(err, EXIT_USAGE, "--stride %d is more than the model's context, %d", stride,
                    context);

    Scorer scorer;
    if (scorer_open(&scorer, e->models, e->count, ensemble_tokenizer(e)->separator, err)) return -1;
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
    if (!isfinite(score.sum)) return not_finite(job, err);
    print_score(job, score, out);
    return 0;
}

/* The slice that suits all models. */
static int common_slice(const Ensemble *e)
{
    int slice = RANDOM_BATCH;
    for (int m = 0; m < e->count; m++)
        slice = model_slice(e->checkpoints[m].family, &e->checkpoints[m].config, cache_bytes(),
                            slice);
    return slice;
}

static int score_corpus(const Job *job, Output *out, Err *err)
{
    char name[CLI_WORD], what[300];
    Part part = corpus_part(job->corpus, (PartName)job->o->part);
    word_at(job->o, AT(part), name);
    if (part.count < 2)
        return fail(err, EXIT_TEXT, "%s: its part %s has %zu characters, and at least 2 are "
                    "needed; try --part all", job->corpus->read, name, part.count);
    snprintf(what, sizeof what, "part %s of %s", name, job->corpus->read);
    print_header(job, what);
    print_text_note(job, &job->corpus->note);
    print_skipped(job, job->corpus->skipped);
    Ensemble *e = job->ensemble;
    int slice = common_slice(e);
    double more = scorer_bytes(e->count, slice, ensemble_context(e))
                + (double)job->corpus->count * sizeof(int32_t);
    if (ensemble_build(e, job->kernels, slice, more, err)) return -1;
    return score_part(job, part, out, err);
}

/* A setting of the models' runs, which must be the same in all. */
static int common_setting(const Ensemble *e, const char *name, const char *otherwise,
                          const char **value, Err *err)
{
    for (int m = 0; m < e->count; m++) {
        const char *word = checkpoint_setting(&e->checkpoints[m], name);
        if (word == NULL) word = otherwise;
        if (m > 0 && strcmp(word, *value) != 0)
            return fail(err, EXIT_USAGE, "%.200s and %.200s were trained with different --%s, so "
                        "they cannot score one text; --per-line can", e->paths[0], e->paths[m],
                        name);
        *value = word;
    }
    return 0;
}

/* How the models' training texts were split into documents, and what of them was held out. */
static int common_split(const Ensemble *e, CorpusOptions *how, Err *err)
{
    const char *split = NULL, *held_out = NULL;
    if (common_setting(e, "split-documents", SPLIT_OFF, &split, err)
        || common_setting(e, "hold-out", "end", &held_out, err))
        return -1;
    int which = cli_which_word(HOLD_OUT_WORDS, held_out);
    if (which < 0 || corpus_check_split(split, err))
        return fail(err, EXIT_CHECKPOINT, "%s: is not sound: its settings split-documents and "
                    "hold-out are %.60s and %.60s", e->paths[0], split, held_out);
    how->split = corpus_split(split);
    how->hold_out = (HoldOut)which;
    return 0;
}

/* What of the text was held out: of several models' validation parts the smallest, which none of
 * them was trained on. It is the part that is scored without --part if a model was trained on this
 * text; another text is scored whole, and then it is not cut. */
static int score_text(Job *job, Options *o, const char *const *paths, int count, Output *out,
                      Err *err)
{
    Ensemble *e = job->ensemble;
    CorpusOptions how = { .unknown = o->unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS,
                          .val_fraction = 1, .drop_mark = true, .reader = READER };
    const char **known = calloc((size_t)e->count, sizeof *known);
    if (known == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for a list of texts");
    for (int m = 0; m < e->count; m++) {
        const char *fraction = checkpoint_setting(&e->checkpoints[m], "val-fraction");
        how.val_fraction = fmin(how.val_fraction, fraction != NULL ? strtod(fraction, NULL) : 0.0);
        known[m] = e->checkpoints[m].sha256;
    }
    how.known = known;
    if (!GIVEN(o, part)) how.known_count = e->count;
    else if (o->part == PART_ALL) how.val_fraction = 0;
    Corpus corpus = { 0 };
    int failed = common_split(e, &how, err)
              || corpus_open(&corpus, &e->checkpoints[0].tokenizer, &how, paths, count, err);
    free(known);
    if (failed) return -1;
    if (!GIVEN(o, part)) o->part = corpus.train_count < corpus.count ? PART_VAL : PART_ALL;
    job->corpus = &corpus;
    failed = score_corpus(job, out, err);
    corpus_close(&corpus);
    return failed;
}

/* ---------------------------------------------------------------- line by line */

typedef struct {
    Text *texts;            /* (count) */
    int count;
    int32_t *ids;           /* a start symbol and the longest line */
} Lines;

/* The line of a text that begins at *at, without its newline; moves *at on. NULL: there are no
 * more. */
static const char *next_line(const Text *t, size_t *at, size_t *size)
{
    if (*at >= t->size) return NULL;
    const char *line = t->bytes + *at, *end = memchr(line, '\n', t->size - *at);
    *size = end != NULL ? (size_t)(end - line) : t->size - *at;
    *at += *size + 1;
    return line;
}

static void lines_close(Lines *l)
{
    for (int i = 0; i < l->count && l->texts != NULL; i++) text_close(&l->texts[i]);
    free(l->texts);
    free(l->ids);
}

/* Reads the texts; every line must be well-formed, and known unless that may be skipped: *skipped
 * characters. */
static int lines_open(Lines *l, const Job *job, const char *const *paths, int count,
                      size_t *skipped, Err *err)
{
    size_t size, longest = 0, lines = 0;
    TextNote note = { "" };
    const Tokenizer *tokenizer = ensemble_tokenizer(job->ensemble);
    Unknown unknown = job->o->unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS;
    *l = (Lines){ .texts = calloc((size_t)count, sizeof *l->texts), .count = count };
    if (l->texts == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for %d texts", count);
    for (int i = 0; i < count; i++) {
        if (text_open(&l->texts[i], paths[i], err)
            || text_check(&l->texts[i], tokenizer->bytes, READER, &note, err)) return -1;
        text_drop_mark(&l->texts[i], tokenizer, &note);
        for (size_t at = 0; next_line(&l->texts[i], &at, &size) != NULL; lines++)
            if (size > longest) longest = size;
    }
    print_text_note(job, &note);
    if (lines == 0)
        return fail(err, EXIT_TEXT, "%s: there is no line to score", text_name(&l->texts[0]));
    l->ids = longest < SIZE_MAX / sizeof *l->ids ? malloc((longest + 1) * sizeof *l->ids) : NULL;
    if (l->ids == NULL)
        return fail(err, EXIT_RUNTIME, "not enough memory for a line of %zu bytes", longest);

    for (int i = 0; i < count; i++) {
        const char *line;
        for (size_t at = 0, n = 1; (line = next_line(&l->texts[i], &at, &size)) != NULL; n++) {
            char name[280];
            Encoding e = { .ids = l->ids };
            snprintf(name, sizeof name, "%.200s, line %zu", text_name(&l->texts[i]), n);
            if (tokenizer_encode(tokenizer, line, size, name, unknown, EXIT_TEXT, &e, err))
                return -1;
            *skipped += e.skipped;
        }
    }
    return 0;
}

static void print_line(const Job *job, Score score, bool first, Output *out)
{
    double bits = score_mean(score) / log(2.0);
    if (job->o->common.json) {
        output_print(out, "%s{\"log_likelihood\":", first ? "" : ",");
        output_json_real(out, 0.0 - score.sum);
        output_print(out, ",\"characters\":%zu,\"bits_per_char\":", score.characters);
        output_json_real(out, bits);
        output_print(out, "}");
    } else {
        output_print(out, "%.4f\t%zu\t", 0.0 - score.sum, score.characters);
        if (score.characters > 0) output_print(out, "%.4f\n", bits);
        else output_print(out, "-\n");
    }
}

/* Each line is scored as the full protocol scores the start symbol and the line. */
static int score_each(const Job *job, Lines *l, Scorer *scorer, Output *out, Err *err)
{
    Ensemble *e = job->ensemble;
    const Tokenizer *tokenizer = ensemble_tokenizer(e);
    int context = ensemble_context(e);
    bool first = true;
    if (ensemble_start(e, &l->ids[0], err)) return -1;
    if (job->o->common.json) output_print(out, "{\"lines\":[");
    for (int i = 0; i < l->count; i++) {
        const char *line;
        size_t size, at = 0;
        while (out->error == 0 && (line = next_line(&l->texts[i], &at, &size)) != NULL) {
            Encoding ids = { .ids = l->ids + 1 };
            if (tokenizer_encode(tokenizer, line, size, "the line", UNKNOWN_SKIPPED, EXIT_TEXT,
                                 &ids, err))
                return -1;
            Part part = { .ids = l->ids, .count = ids.count + 1 };
            Score score = evaluate_full(scorer, part, context, SIZE_MAX);
            if (!isfinite(score.sum)) return not_finite(job, err);
            print_line(job, score, first, out);
            first = false;
        }
    }
    if (job->o->common.json) output_print(out, "]}\n");
    return 0;
}

static int score_lines(const Job *job, const char *const *paths, int count, Output *out, Err *err)
{
    Ensemble *e = job->ensemble;
    Lines lines;
    Scorer scorer;
    char what[300];
    size_t skipped = 0;
    int failed = lines_open(&lines, job, paths, count, &skipped, err);
    if (!failed) {
        snprintf(what, sizeof what, "every line of %.200s%s", text_name(&lines.texts[0]),
                 count > 1 ? " and more" : "");
        print_header(job, what);
        print_skipped(job, skipped);
        double scoring = scorer_bytes(e->count, 1, ensemble_context(e));
        failed = ensemble_build(e, job->kernels, 1, scoring, err)
            || scorer_open(&scorer, e->models, e->count, ensemble_tokenizer(e)->separator, err);
    }
    if (!failed) {
        failed = score_each(job, &lines, &scorer, out, err);
        scorer_close(&scorer);
    }
    lines_close(&lines);
    return failed;
}

/* ---------------------------------------------------------------- the program */

/* The operands that are checkpoints: the first, and those after it that begin as one. */
static int count_checkpoints(const Operands *operands)
{
    int count = 1;
    while (count < operands->count && checkpoint_begins(operands->items[count])) count++;
    return count;
}

/* --per-line has its own way to score. */
static int check_options(const Options *o, Err *err)
{
    const char *other = GIVEN(o, part) ? "--part" : GIVEN(o, protocol) ? "--protocol"
        : GIVEN(o, stride) ? "--stride" : GIVEN(o, batches) ? "--batches"
        : GIVEN(o, seed) ? "--seed" : NULL;
    if (!o->per_line || other == NULL) return 0;
    return fail(err, EXIT_USAGE, "--per-line and %s exclude each other", other);
}

static int evaluate(const Call *call, Output *out, Err *err)
{
    const Operands *operands = call->operands;
    Options *o = call->options;
    Ensemble e;
    Job job = { .o = o, .ensemble = &e, .kernels = call->kernels, .threads = call->threads };
    int count = count_checkpoints(operands), texts = operands->count - count;
    const char *const *paths = operands->items + count;
    if (texts == 0)
        return fail(err, EXIT_USAGE, "missing TEXT after the checkpoints; try --help");
    if (check_options(o, err) || ensemble_load(&e, operands->items, count, err)) return -1;
    ensemble_name(&e, job.names, sizeof job.names);
    int failed = o->per_line ? score_lines(&job, paths, texts, out, err)
                             : score_text(&job, o, paths, texts, out, err);
    ensemble_close(&e);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    return program_main(&cli, &o, evaluate, argc, argv);
}
