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
#include "text/lines.h"
#include "system/machine.h"
#include "tokenizer.h"

#define READER "./eval CKPT -"

enum { PROTOCOL_FULL, PROTOCOL_RANDOM, PROTOCOL_STRIDED, PROTOCOL_DOCUMENTS };

/* ---------------------------------------------------------------- options */

typedef struct {
    Common common;
    int64_t stride, batches, seed;
    int part, protocol, unknown, end, memory;
    bool per_line, given[CLI_ROWS];
} Options;

#define PART_WORDS "train|val|all"
#define PROTOCOL_WORDS "full|random|strided|documents"
#define AT(field) offsetof(Options, field)
static const Option options[] = {
    HEADING("What is scored"),
    WORD("part", part, NULL, PART_WORDS,
         "part of the text (default: val if it is the text that the model was trained on, "
         "else all)"),
    WORD("unknown", unknown, "fail", "fail|skip",
         "what to do about characters that the vocabulary lacks; --per-line counts them"),
    SWITCH("per-line", per_line,
           "score every line by itself, as the beginning of a text, as soon as it has come; "
           "prints its log-likelihood in nats, characters, how many of them the vocabulary lacks "
           "(126 bits each), bits per character, with tabs between them"),
    WORD("end", end, NULL, "off|on",
         "whether the end of each line counts, with --per-line: the line end, and that nothing "
         "follows it (default: on for models of --split-documents LINE, else off)"),
    HEADING("How"),
    WORD("protocol", protocol, NULL, PROTOCOL_WORDS,
         "full: consecutive windows of the context, every character but the first scored "
         "once; random: batches of 64 windows of at most 256 characters; strided: windows "
         "overlap, each scores its last --stride; documents: each begins a window (default: "
         "documents for models of --sampling document, else full)"),
    INT("stride", stride, NULL, 1, 65536,
        "of --protocol strided (default: a quarter of the context)"),
    INT("batches", batches, "200", 1, 1e6, "of --protocol random"),
    INT("seed", seed, "1", 0, 9e15, "of --protocol random"),
    WORD("memory", memory, "on", "off|on",
         "off: only the network counts, of a model with a memory beside it (./train --memory)"),
    HEADING("Machine and output"),
    THREADS_ROW(0),
    ISA_ROW(0),
    JSON_ROW("print one object: nats_per_char, bits_per_char, perplexity, characters, "
             "protocol, part, and of models with a memory whether it counts: memory; "
             "--unknown skip adds skipped, documents add "
             "nats_per_document and documents; of numbers nats_per_value, rmse, nats_per_vector, "
             "values, vectors, part; --per-line: a list lines of log_likelihood, characters, "
             "unknown, bits_per_char", 0),
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

/* Of a part of documents, each of which begins after a separator. */
static size_t count_documents(const Job *job, Part part)
{
    size_t count = 0;
    for (size_t i = 0; i < part.count; i++) count += part.ids[i] == SEPARATOR_ID;
    return job->corpus->longest_size > 0 ? count : 0;
}

/* What the density of numbers comes to; nats may be below 0. */
static void print_numbers(const Job *job, Score score, size_t vectors, double rmse, Output *out)
{
    char part[CLI_WORD];
    double nats = score_mean(score), vector = score.sum / (double)vectors;
    word_at(job->o, AT(part), part);
    if (!job->o->common.json) {
        output_print(out, "%.4f nats/value, rmse %.6g, %.4f nats/vector, %zu values, %zu vectors, "
                     "part %s\n", nats, rmse, vector, score.characters, vectors, part);
        return;
    }
    output_print(out, "{\"nats_per_value\":");
    output_json_real(out, nats);
    output_print(out, ",\"rmse\":");
    output_json_real(out, rmse);
    output_print(out, ",\"nats_per_vector\":");
    output_json_real(out, vector);
    output_print(out, ",\"values\":%zu,\"vectors\":%zu,\"part\":\"%s\"}\n", score.characters,
                 vectors, part);
}

/* Root mean squared error of the means. With a deviation of 1 the mean of -ln p is half the mean
 * squared error and ln(2 pi) / 2. */
static double root_mean_square(const Job *job, Scorer *s, Part part)
{
    Model *m = &job->ensemble->models[0];
    double deviation = m->numbers.deviation;
    m->numbers.deviation = m->numbers.scale;
    double nats = score_mean(evaluate_documents(s, part, m->context, SIZE_MAX));
    m->numbers.deviation = deviation;
    double half = nats - 0.91893853320467274 - log(m->numbers.scale);
    return m->numbers.scale * sqrt(half > 0 ? 2 * half : 0);
}

/* documents: how many were scored whole; 0: none. */
static void print_score(const Job *job, Score score, size_t documents, Output *out)
{
    char part[CLI_WORD], protocol[CLI_WORD];
    double nats = score_mean(score), document = score.sum / (double)documents;
    size_t skipped = job->corpus->skipped;
    word_at(job->o, AT(part), part);
    word_at(job->o, AT(protocol), protocol);
    if (!job->o->common.json) {
        output_print(out, "%.4f nats/char, %.4f bits/char, ", nats, nats / log(2.0));
        output_print(out, "perplexity %.4g, ", exp(nats));
        if (documents > 0)
            output_print(out, "%.4f nats/document, %zu documents, ", document, documents);
        output_print(out, "%zu characters, ", score.characters);
        if (job->o->unknown) output_print(out, "%zu unknown skipped, ", skipped);
        output_print(out, "protocol %s, part %s%s\n", protocol, part,
                     ensemble_memory_words(job->ensemble));
        return;
    }
    output_print(out, "{\"nats_per_char\":");
    output_json_real(out, nats);
    output_print(out, ",\"bits_per_char\":");
    output_json_real(out, nats / log(2.0));
    output_print(out, ",\"perplexity\":");
    output_json_real(out, exp(nats));
    if (documents > 0) {
        output_print(out, ",\"nats_per_document\":");
        output_json_real(out, document);
        output_print(out, ",\"documents\":%zu", documents);
    }
    output_print(out, ",\"characters\":%zu", score.characters);
    if (job->o->unknown) output_print(out, ",\"skipped\":%zu", skipped);
    output_print(out, ",\"protocol\":\"%s\",\"part\":\"%s\"%s}\n", protocol, part,
                 ensemble_remembers(job->ensemble) ? ",\"memory\":true"
                 : *ensemble_memory_words(job->ensemble) ? ",\"memory\":false" : "");
}

static int score_part(const Job *job, Part part, Output *out, Err *err)
{
    const Options *o = job->o;
    Ensemble *e = job->ensemble;
    if (o->protocol != PROTOCOL_DOCUMENTS && tokenizer_has_numbers(ensemble_tokenizer(e)))
        return fail(err, EXIT_USAGE, "--protocol: vectors of numbers are scored as documents; "
                    "leave the option out");
    if (o->protocol == PROTOCOL_DOCUMENTS && job->corpus->longest_size == 0)
        return fail(err, EXIT_USAGE, "--protocol documents: %s is one document for this model; "
                    "try --protocol full", job->corpus->read);
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
    else if (o->protocol == PROTOCOL_DOCUMENTS)
        score = evaluate_documents(&scorer, part, context, SIZE_MAX);
    else
        score = evaluate_full(&scorer, part, context, SIZE_MAX);
    bool numbers = tokenizer_has_numbers(ensemble_tokenizer(e));
    double rmse = numbers ? root_mean_square(job, &scorer, part) : 0;
    scorer_close(&scorer);
    if (score.characters == 0)
        return fail(err, EXIT_TEXT, "%s: there is no character to score", job->corpus->read);
    if (!isfinite(score.sum)) return not_finite(job, err);
    bool whole = o->protocol != PROTOCOL_RANDOM;
    size_t documents = whole ? count_documents(job, part) : 0;
    if (numbers) print_numbers(job, score, documents, rmse, out);
    else print_score(job, score, documents, out);
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
    if (!GIVEN(o, protocol))
        o->protocol = corpus.longest_size > 0 && ensemble_all_have(e, "sampling", "document")
            ? PROTOCOL_DOCUMENTS : PROTOCOL_FULL;
    if (!GIVEN(o, part)) o->part = corpus.train_count < corpus.count ? PART_VAL : PART_ALL;
    job->corpus = &corpus;
    failed = score_corpus(job, out, err);
    corpus_close(&corpus);
    return failed;
}

/* ---------------------------------------------------------------- line by line */

/* What a character that the vocabulary lacks costs: the smallest probability that a float holds,
 * 2^-126. It is more than ln(V + 1), a symbol like all others but never seen, for every V; and more
 * than known characters cost, so that a line of nothing else is the least likely one. */
static const double unknown_nats = 126 * 0.69314718055994531;

typedef struct {
    const Job *job;
    Scorer scorer;
    int32_t *ids;           /* (room) a start symbol, a line and its end */
    size_t room, count;     /* count: lines so far */
    bool end, separator;    /* whether the end of a line counts, and a separator after it */
} LineScorer;

/* Room for a line of so many bytes, what comes before it and what comes after it. */
static int line_room(LineScorer *s, size_t size, Err *err)
{
    enum { START = 1, END = 2, SEPARATOR = 1 };
    size_t room = START + size + END + SEPARATOR;
    if (room <= s->room) return 0;
    if (room < 2 * s->room) room = 2 * s->room;
    int32_t *ids = realloc(s->ids, room * sizeof *ids);
    if (ids == NULL)
        return fail(err, EXIT_RUNTIME, "not enough memory for a line of %zu bytes", size);
    s->ids = ids;
    s->room = room;
    return 0;
}

typedef struct {
    double nats;
    size_t characters, unknown;     /* unknown: of the characters */
} LineScore;

static void print_line(const Job *job, LineScore score, bool first, Output *out)
{
    double bits = score.nats / (double)score.characters / log(2.0);
    if (job->o->common.json) {
        output_print(out, "%s{\"log_likelihood\":", first ? "{\"lines\":[" : ",");
        output_json_real(out, 0.0 - score.nats);
        output_print(out, ",\"characters\":%zu,\"unknown\":%zu,\"bits_per_char\":",
                     score.characters, score.unknown);
        output_json_real(out, bits);
        output_print(out, "}");
        return;
    }
    output_print(out, "%.4f\t%zu\t%zu\t", 0.0 - score.nats, score.characters, score.unknown);
    if (score.characters > 0) output_print(out, "%.4f\n", bits);
    else output_print(out, "-\n");
    output_flush(out);
}

/* Appends the characters that the vocabulary has; returns how many it lacks. */
static size_t append(const Tokenizer *t, const char *text, size_t size, Part *part, int32_t *ids)
{
    Err none;
    Encoding e = { .ids = ids + part->count };
    tokenizer_encode(t, text, size, "", ILL_FORMED_SKIPPED, EXIT_TEXT, &e, &none);
    part->count += e.count;
    return e.skipped;
}

/* Of numbers nothing is skipped, and a vector has as many as the model's. */
static int check_vector(const LineScorer *s, Line line, size_t count, size_t unknown, Err *err)
{
    const Ensemble *e = s->job->ensemble;
    char name[40];
    snprintf(name, sizeof name, "vector %zu", s->count + 1);
    if (unknown > 0 && numbers_check(&ensemble_tokenizer(e)->numbers, line.bytes, line.size, name,
                                     EXIT_TEXT, err)) return -1;
    if (count <= (size_t)ensemble_context(e)) return 0;
    return fail(err, EXIT_TEXT, "%s has %zu numbers, and those of this model %d", name, count,
                ensemble_context(e));
}

/* A line is scored as the full protocol scores the start symbol and the line. Of its end counts
 * what the vocabulary has: a list with CR LF is scored by a model of LF as if it had LF. */
static int score_line(LineScorer *s, Line line, Output *out, Err *err)
{
    const Job *job = s->job;
    const Tokenizer *tokenizer = ensemble_tokenizer(job->ensemble);
    if (line_room(s, line.size, err)) return -1;
    Part part = { .ids = s->ids, .count = 1 };
    size_t unknown = append(tokenizer, line.bytes, line.size, &part, s->ids);
    size_t characters = part.count - 1 + unknown;
    if (tokenizer_has_numbers(tokenizer)
        && check_vector(s, line, characters, unknown, err)) return -1;
    if (s->end) append(tokenizer, line.returned ? "\r\n" : "\n", 1 + line.returned, &part, s->ids);
    if (s->end && s->separator) s->ids[part.count++] = SEPARATOR_ID;

    Score known = evaluate_full(&s->scorer, part, ensemble_context(job->ensemble), SIZE_MAX);
    if (!isfinite(known.sum)) return not_finite(job, err);
    LineScore score = { known.sum + (double)unknown * unknown_nats, characters, unknown };
    print_line(job, score, s->count++ == 0, out);
    return 0;
}

static int score_lines_of(LineScorer *s, Lines *lines, Output *out, Err *err)
{
    Line line;
    int got;
    while (out->error == 0 && (got = lines_next(lines, &line, err)) != 0) {
        if (got < 0) return -1;
        print_text_note(s->job, &lines->note);
        lines->note.text[0] = '\0';
        if (score_line(s, line, out, err)) return -1;
    }
    return 0;
}

static int score_texts(LineScorer *s, const char *const *paths, int count, Output *out, Err *err)
{
    int failed = 0;
    for (int i = 0; i < count && !failed; i++) {
        Lines lines;
        char what[300];
        failed = lines_open(&lines, paths[i], ensemble_tokenizer(s->job->ensemble), READER, err);
        if (!failed && i == 0) {
            snprintf(what, sizeof what, "every line of %.200s%s%s", text_name(&lines.text),
                     count > 1 ? " and more" : "", s->end ? ", with its end" : "");
            print_header(s->job, what);
        }
        if (!failed) failed = score_lines_of(s, &lines, out, err);
        lines_close(&lines);
    }
    if (failed) return -1;
    if (s->count == 0)
        return fail(err, EXIT_TEXT, "%.200s: there is no line to score", paths[0]);
    if (s->job->o->common.json) output_print(out, "]}\n");
    return 0;
}

static int score_lines(const Job *job, const char *const *paths, int count, Output *out, Err *err)
{
    Ensemble *e = job->ensemble;
    bool lines = ensemble_all_have(e, "split-documents", SPLIT_LINE);
    /* A window that is a document may have no room for the separator after it. */
    bool whole = ensemble_all_have(e, "sampling", "document");
    bool known = !whole && (lines || ensemble_knows_separator(e));
    LineScorer s = { .job = job, .end = GIVEN(job->o, end) ? job->o->end : lines,
                     .separator = ensemble_tokenizer(e)->separator && known };
    if (tokenizer_has_numbers(ensemble_tokenizer(e))) s.end = s.separator = false;
    double scoring = scorer_bytes(e->count, 1, ensemble_context(e));
    if (ensemble_build(e, job->kernels, 1, scoring, err) || line_room(&s, 0, err)) return -1;
    int failed = ensemble_start(e, &s.ids[0], err)
              || scorer_open(&s.scorer, e->models, e->count, false, err)
              || score_texts(&s, paths, count, out, err);
    scorer_close(&s.scorer);
    free(s.ids);
    return failed ? -1 : 0;
}

/* ---------------------------------------------------------------- the program */

/* The operands that are checkpoints: the first, and those after it that begin as one. */
static int count_checkpoints(const Operands *operands)
{
    int count = 1;
    while (count < operands->count && checkpoint_begins(operands->items[count])) count++;
    return count;
}

/* A checkpoint that ends the list is no text. */
static int check_order(const Operands *operands, int checkpoints, Err *err)
{
    const char *last = operands->items[operands->count - 1];
    int text = checkpoint_begins(operands->items[0]) ? checkpoints : 0;
    if (text == operands->count || !checkpoint_begins(last)) return 0;
    return fail(err, EXIT_USAGE, "wrong order: %.150s is a checkpoint, and checkpoints come before "
                "the text: ./eval %.150s %.150s", last, last, operands->items[text]);
}

/* --per-line has its own way to score. */
static int check_options(const Options *o, Err *err)
{
    const char *other = GIVEN(o, part) ? "--part" : GIVEN(o, protocol) ? "--protocol"
        : GIVEN(o, stride) ? "--stride" : GIVEN(o, batches) ? "--batches"
        : GIVEN(o, seed) ? "--seed" : NULL;
    if (!o->per_line && GIVEN(o, end))
        return fail(err, EXIT_USAGE, "--end is an option of --per-line");
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
    if (check_order(operands, count, err)) return -1;
    if (texts == 0)
        return fail(err, EXIT_USAGE, "missing TEXT after the checkpoints; try --help");
    if (check_options(o, err) || ensemble_load(&e, operands->items, count, err)) return -1;
    e.network_only = !o->memory;
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
