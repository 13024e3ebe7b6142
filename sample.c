/* sample.c: checkpoint + prompt -> text.
 *
 * Draws x_t ~ p(x_t | x_1 .. x_{t-1}) one character after another; p is the model's softmax, sharpened by
 * --temperature and cut by --top-k and --top-p.
 *
 *     ./sample ckpt.bin --prompt "ROMEO:" --length 500 --seed 2
 */
#include "base.h"
#include "checkpoint.h"
#include "cli.h"
#include "kernels/kernels.h"
#include "machine.h"
#include "sampling.h"
#include "tokenizer.h"
#define MODEL_IMPLEMENTATION
#include "model.h"

enum {
    SEPARATORS_ENOUGH = 100,    /* separators in the training part, for the model to know what they mean */
    PROBES_MAX = 256            /* symbols to ask for the likeliest one */
};

/* ---------------------------------------------------------------- options */

typedef struct {
    const char *prompt, *prompt_file, *stop, *isa;
    int64_t length, top_k, samples, seed, threads;
    double temperature, top_p;
    int unknown;
    bool quiet, json, help, version;
    bool given[CLI_ROWS];
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    /* name, argument, kind, into, default, low, high, words, flags, help */
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Text" },
    { "--prompt", "S", OPT_STRING, AT(prompt), NULL, 0, 0, NULL, 0, "text to continue; it is printed first" },
    { "--prompt-file", "F", OPT_STRING, AT(prompt_file), NULL, 0, 0, NULL, 0,
      "file with the text to continue (- is standard input)" },
    { "--length", "N", OPT_INT, AT(length), "500", 0, 1e9, NULL, 0, "new characters, at most" },
    { "--samples", "N", OPT_INT, AT(samples), "1", 1, 1e9, NULL, 0,
      "how many texts; a line --- stands between them" },
    { "--stop", "S", OPT_STRING, AT(stop), NULL, 0, 0, NULL, 0,
      "end the text where S would begin in its new characters" },
    { "--unknown", NULL, OPT_WORD, AT(unknown), "fail", 0, 0, "fail|skip", 0,
      "what to do about characters of the prompt that the vocabulary lacks" },
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Choice of the next character" },
    { "--temperature", "X", OPT_REAL, AT(temperature), "0.8", 0, 1e30, NULL, 0,
      "below 1 sharper, above 1 flatter; 0 always takes the likeliest" },
    { "--top-k", "N", OPT_INT, AT(top_k), "0", 0, 1e9, NULL, 0, "only among the N likeliest; 0: among all" },
    { "--top-p", "X", OPT_REAL, AT(top_p), "1", 0, 1, NULL, 0,
      "only among the likeliest that together reach probability X" },
    { "--seed", "N", OPT_INT, AT(seed), "1", 0, 9e15, NULL, 0, "same seed, same text" },
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Machine and output" },
    { "--threads", "N", OPT_INT, AT(threads), NULL, 1, 1024, NULL, 0,
      "threads (default: what the machine or container has); the text does not depend on it" },
    { "--isa", "NAME", OPT_STRING, AT(isa), NULL, 0, 0, NULL, 0,
      "instruction set: portable, avx2, avx512, amx, neon (default: the fastest); list shows them" },
    { "--json", NULL, OPT_SWITCH, AT(json), NULL, 0, 0, NULL, 0,
      "print {\"samples\":[{\"prompt\":...,\"text\":...}]} instead; text is what is new" },
    { "--quiet", NULL, OPT_SWITCH, AT(quiet), NULL, 0, 0, NULL, 0, "no messages but errors" },
    { "--help", NULL, OPT_ACTION, AT(help), NULL, 0, 0, NULL, 0, "show this and end" },
    { "--version", NULL, OPT_ACTION, AT(version), NULL, 0, 0, NULL, 0, "show the version and end" },
    { 0 }
};
#undef AT

static const Cli cli = {
    "sample", "CKPT", "Writes text with a trained model, starting from a prompt or from nothing.",
    options, NULL, offsetof(Options, given)
};

/* ---------------------------------------------------------------- a text on its way out */

/* Printed as it grows, or collected first. */
typedef struct {
    Output *out;            /* NULL: collected */
    char *bytes;            /* what is collected */
    size_t size, room;
    bool open_line;         /* does not end with a newline */
    bool no_memory;
} Text;

static void text_add(Text *t, const char *bytes, size_t size)
{
    if (size == 0 || t->no_memory) return;
    t->open_line = bytes[size - 1] != '\n';
    if (t->out != NULL) {
        output_bytes(t->out, bytes, size);
        return;
    }
    if (size > t->room - t->size) {
        size_t room = 2 * t->room + size;
        char *larger = room > t->room ? realloc(t->bytes, room) : NULL;
        if (larger == NULL) {
            t->no_memory = true;
            return;
        }
        t->bytes = larger;
        t->room = room;
    }
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

static bool text_failed(const Text *t) { return t->no_memory || (t->out != NULL && t->out->error != 0); }

/* Watches for the stop string (Knuth, Morris, Pratt 1977). What is held back is always its first `matched`
 * bytes; back[n] is the longest shorter beginning that the first n bytes end with. */
typedef struct {
    const char *string;
    size_t length, matched;
    size_t *back;           /* (length + 1) */
} Stop;

static int stop_open(Stop *s, const char *string, Err *err)
{
    *s = (Stop){ .string = string, .length = strlen(string) };
    s->back = calloc(s->length + 1, sizeof *s->back);
    if (s->back == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for --stop");
    for (size_t n = 1, k = 0; n < s->length; n++) {
        while (k > 0 && string[n] != string[k]) k = s->back[k];
        k += string[n] == string[k];
        s->back[n + 1] = k;
    }
    return 0;
}

/* Passes one byte on, or holds it back while it may belong to the stop string; true: that is complete. */
static bool stop_add(Stop *s, Text *text, char byte)
{
    while (s->matched > 0 && s->string[s->matched] != byte) {
        size_t kept = s->back[s->matched];
        text_add(text, s->string, s->matched - kept);
        s->matched = kept;
    }
    if (s->length == 0 || s->string[s->matched] != byte) {
        text_add(text, &byte, 1);
        return false;
    }
    s->matched++;
    return s->matched == s->length;
}

/* ---------------------------------------------------------------- one sample */

typedef struct {
    const Options *options;
    const Tokenizer *tokenizer;
    Decoder decoder;
    Stop stop;
    bool separator_known;   /* the model has seen enough separators to start from one and to end at one */
    const char *prompt;     /* as given */
    size_t prompt_size;
    int32_t *ids;           /* (id_count) what the decoder reads first: the prompt or a start symbol */
    size_t id_count;
    Chooser chooser;
} Sampler;

static int not_finite(Err *err)
{
    return fail(err, EXIT_DIVERGED, "the model's output is not a number: its weights are too large; "
                "train it again with a smaller --lr");
}

/* Writes sample number `index` to text: new characters only. Fails where the model's output is not finite. */
static int generate(Sampler *s, uint64_t index, Text *text, Err *err)
{
    const Options *o = s->options;
    uint64_t key = rng_key((uint64_t)o->seed, index, 0, RNG_SAMPLE);
    bool terminal = text->out != NULL && isatty(fileno(text->out->file)), complete = false;
    const real *logits = NULL;

    s->stop.matched = 0;
    if (terminal) output_flush(text->out);
    decoder_reset(&s->decoder);
    for (size_t i = 0; i < s->id_count; i++) logits = decoder_step(&s->decoder, s->ids[i]);
    for (int64_t i = 0; i < o->length && !complete && !text_failed(text); i++) {
        int32_t id = chooser_pick(&s->chooser, logits, key, (uint64_t)i);
        if (id < 0) return not_finite(err);
        if (s->tokenizer->separator && id == SEPARATOR_ID) break;
        char bytes[UTF8_MAX];
        int size = tokenizer_decode(s->tokenizer, id, bytes);
        for (int b = 0; b < size && !complete; b++) complete = stop_add(&s->stop, text, bytes[b]);
        if (terminal) output_flush(text->out);
        if (i + 1 < o->length && !complete) logits = decoder_step(&s->decoder, id);
    }
    if (!complete) text_add(text, s->stop.string, s->stop.matched);
    return text->no_memory ? fail(err, EXIT_RUNTIME, "not enough memory for a text of this --length") : 0;
}

static void print_json(const Sampler *s, const Text *text, uint64_t index, Output *out)
{
    bool utf8 = !s->tokenizer->bytes;
    output_print(out, "%s{\"prompt\":", index > 0 ? "," : "");
    output_json(out, s->prompt, s->prompt_size, utf8);
    output_print(out, ",\"text\":");
    output_json(out, text->bytes, text->size, utf8);
    output_print(out, "}");
}

/* Prints sample number `index`: as it grows if it is the only one, otherwise when it is complete. */
static int print_sample(Sampler *s, uint64_t index, Output *out, Err *err)
{
    const Options *o = s->options;
    bool stream = o->samples == 1 && !o->json;
    Text text = { .out = stream ? out : NULL, .open_line = true };
    if (!o->json) text_add(&text, s->prompt, s->prompt_size);
    int failed = generate(s, index, &text, err);
    if (!failed && o->json) {
        print_json(s, &text, index, out);
    } else if (!failed) {
        if (index > 0) output_print(out, "---\n");
        output_bytes(out, text.bytes, text.size);
        if (text.open_line) output_print(out, "\n");
        output_flush(out);
    }
    free(text.bytes);
    return failed;
}

static int print_samples(Sampler *s, Output *out, Err *err)
{
    const Options *o = s->options;
    if (o->json) output_print(out, "{\"samples\":[");
    for (int64_t i = 0; i < o->samples && out->error == 0; i++)
        if (print_sample(s, (uint64_t)i, out, err)) return -1;
    if (o->json) output_print(out, "]}\n");
    return 0;
}

/* ---------------------------------------------------------------- before the first character */

/* The symbol with the largest probability after an average symbol (at most PROBES_MAX of them, evenly
 * spaced): where a vocabulary without a newline starts. */
static int32_t likeliest_symbol(Sampler *s)
{
    int V = s->tokenizer->count, first = s->tokenizer->separator ? 1 : 0, symbols = V - first;
    int probes = symbols < PROBES_MAX ? symbols : PROBES_MAX;
    int32_t best = first;
    double *sum = s->chooser.weights;
    memset(sum, 0, (size_t)V * sizeof *sum);
    for (int p = 0; p < probes; p++) {
        decoder_reset(&s->decoder);
        const real *logits = decoder_step(&s->decoder, first + (int32_t)((int64_t)p * symbols / probes));
        double max = -HUGE_VAL, total = 0;
        for (int i = first; i < V; i++) max = fmax(max, (double)logits[i]);
        for (int i = first; i < V; i++) total += exp((double)logits[i] - max);
        for (int i = first; i < V; i++) sum[i] += exp((double)logits[i] - max) / total;
    }
    for (int i = first; i < V; i++)
        if (sum[i] > sum[best]) best = i;
    return best;
}

/* Without a prompt: the separator if the model knows it, else a newline, else the likeliest symbol. */
static int32_t start_symbol(Sampler *s)
{
    const Tokenizer *t = s->tokenizer;
    if (s->separator_known) return SEPARATOR_ID;
    return t->ids['\n'] >= 0 ? t->ids['\n'] : likeliest_symbol(s);
}

/* Encodes the prompt and leaves a symbol to start from where it is empty. Fails with EXIT_USAGE. */
static int encode_prompt(Sampler *s, Err *err)
{
    const Options *o = s->options;
    Unknown unknown = o->unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS;
    size_t room = s->prompt_size + 1;
    s->ids = room <= SIZE_MAX / sizeof *s->ids ? malloc(room * sizeof *s->ids) : NULL;
    if (s->ids == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the prompt");
    Encoding encoding = { .ids = s->ids };
    if (s->prompt_size > 0
        && tokenizer_encode(s->tokenizer, s->prompt, s->prompt_size, "the prompt", unknown, EXIT_USAGE,
                            &encoding, err))
        return -1;
    s->id_count = encoding.count;
    if (encoding.skipped > 0 && !o->quiet)
        fprintf(stderr, "sample: note: %zu characters of the prompt are not in the vocabulary: skipped\n",
                encoding.skipped);
    if (s->id_count == 0) s->ids[s->id_count++] = start_symbol(s);
    return 0;
}

/* A stop string that is not text could end the output in the middle of a character. */
static int check_stop(const Tokenizer *t, const char *string, Err *err)
{
    size_t size = strlen(string);
    for (size_t at = 0; at < size && !t->bytes; ) {
        uint32_t value;
        int length = utf8_decode(string + at, size - at, &value);
        if (length == 0) return fail(err, EXIT_USAGE, "--stop is not well-formed UTF-8 at byte %zu", at);
        at += (size_t)length;
    }
    return 0;
}

static int sample_with(Sampler *s, Output *out, Err *err)
{
    const Options *o = s->options;
    const char *stop = o->stop != NULL ? o->stop : "";
    if (check_stop(s->tokenizer, stop, err) || chooser_open(&s->chooser, s->tokenizer, err)) return -1;
    s->chooser.temperature = o->temperature;
    s->chooser.top_k = o->top_k;
    s->chooser.top_p = o->top_p;
    if (s->separator_known) s->chooser.first = 0;
    int failed = stop_open(&s->stop, stop, err) || encode_prompt(s, err) || print_samples(s, out, err);
    chooser_close(&s->chooser);
    free(s->stop.back);
    free(s->ids);
    return failed ? -1 : 0;
}

/* ---------------------------------------------------------------- the program */

static int sample_checkpoint(const Options *o, const Checkpoint *c, const char *prompt, size_t size,
                             const Kernels *kernels, Output *out, Err *err)
{
    const char *separators = checkpoint_setting(c, "separators");
    Sampler s = { .options = o, .tokenizer = &c->tokenizer, .prompt = prompt, .prompt_size = size };
    s.separator_known = c->tokenizer.separator && separators != NULL
        && strtod(separators, NULL) >= SEPARATORS_ENOUGH;
    Model model;
    if (memory_check((double)model_bytes(&c->config, kernels, MODEL_EVAL, 1), err)
        || model_open(&model, &c->config, kernels, MODEL_EVAL, 1, err))
        return -1;
    int failed = checkpoint_copy(c, "", model.tensors, model.tensor_count, model.params, err)
        || decoder_open(&s.decoder, &model, err);
    if (!failed) {
        failed = sample_with(&s, out, err);
        decoder_close(&s.decoder);
    }
    model_close(&model);
    return failed ? -1 : 0;
}

static int sample(const Options *o, const char *path, Output *out, Err *err)
{
    int threads = o->threads > 0 ? (int)o->threads : default_threads();
    const Kernels *kernels = kernels_pick(o->isa, err);
    if (kernels == NULL) return -1;
    omp_set_num_threads(threads);

    char *file = NULL;
    size_t size = o->prompt != NULL ? strlen(o->prompt) : 0;
    Checkpoint c;
    if (o->prompt_file != NULL && read_file(o->prompt_file, &file, &size, err)) return -1;
    if (checkpoint_load(&c, path, err)) {
        free(file);
        return -1;
    }
    if (!o->quiet)
        fprintf(stderr, "sample: %s, step %llu, %s, %d thread%s\n", path, (unsigned long long)c.step,
                kernels->name, threads, threads == 1 ? "" : "s");
    int failed = sample_checkpoint(o, &c, file != NULL ? file : o->prompt, size, kernels, out, err);
    checkpoint_close(&c);
    free(file);
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
    } else if (operands->count != 1) {
        return fail(err, EXIT_USAGE, "one checkpoint is wanted, %d were given; try --help", operands->count);
    } else if (o->prompt != NULL && o->prompt_file != NULL) {
        return fail(err, EXIT_USAGE, "--prompt and --prompt-file exclude each other");
    } else {
        return sample(o, operands->items[0], out, err);
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
    if (failed) fprintf(stderr, "sample: %s\n", err.msg);
    return failed ? err.status : 0;
}
