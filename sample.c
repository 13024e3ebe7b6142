/* sample.c: checkpoint + prompt -> text.
 *
 * Draws x_t ~ p(x_t | x_1 .. x_{t-1}) one character after another; p is the model's softmax, or the mean of
 * several models', sharpened by --temperature and cut by --top-k and --top-p. Several texts are written
 * together, so that the weights are read once for all of them; none depends on the others.
 *
 *     ./sample ckpt.bin --prompt "ROMEO:" --length 500 --seed 2
 */
#include "base.h"
#include "formats/checkpoint.h"
#include "cli/options.h"
#include "inference/ensemble.h"
#include "kernels/kernels.h"
#include "system/machine.h"
#include "cli/pages.h"
#include "inference/sampling.h"
#include "tokenizer.h"
#include "model.h"

enum {
    GROUP = 32,                 /* texts written together: more of them would make nothing faster ... */
    GROUP_BYTES = 256 << 20,    /* ... and if they need more memory than this, fewer are */
    LINE_ROOM = 1 << 16         /* bytes of a typed line */
};

/* ---------------------------------------------------------------- options */

typedef struct {
    const char *prompt, *prompt_file, *stop, *isa;
    int64_t length, top_k, samples, seed, threads;
    double temperature, top_p;
    int unknown, colour;
    bool interactive, show_probs, quiet, json;
    About about;
    bool given[CLI_ROWS];
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    /* name, argument, kind, into, default, low, high, words, flags, help */
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Text" },
    { "--prompt", "S", OPT_STRING, AT(prompt), NULL, 0, 0, NULL, 0, "text to continue; it is printed first" },
    { "--prompt-file", "FILE", OPT_STRING, AT(prompt_file), NULL, 0, 0, NULL, 0,
      "file with the text to continue (- is standard input)" },
    { "--length", "N", OPT_INT, AT(length), "500", 0, 1e9, NULL, 0, "new characters, at most" },
    { "--samples", "N", OPT_INT, AT(samples), "1", 1, 1e9, NULL, 0,
      "how many texts; a line --- stands between them" },
    { "--stop", "S", OPT_STRING, AT(stop), NULL, 0, 0, NULL, 0,
      "end the text where S would begin in its new characters" },
    { "--unknown", NULL, OPT_WORD, AT(unknown), "fail", 0, 0, "fail|skip", 0,
      "what to do about characters of the prompt that the vocabulary lacks" },
    { "--interactive", NULL, OPT_SWITCH, AT(interactive), NULL, 0, 0, NULL, 0,
      "go on from each line that is typed, at most --length characters a time; all of it stays the context; "
      "Ctrl-C stops a text, Ctrl-D ends" },
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Choice of the next character" },
    { "--temperature", "X", OPT_REAL, AT(temperature), "0.8", 0, 1e30, NULL, 0,
      "below 1 sharper, above 1 flatter; 0 always takes the likeliest" },
    { "--top-k", "N", OPT_INT, AT(top_k), "0", 0, 1e9, NULL, 0, "only among the N likeliest; 0: among all" },
    { "--top-p", "X", OPT_REAL, AT(top_p), "1", 0, 1, NULL, 0,
      "only among the likeliest that together reach probability X" },
    { "--seed", "N", OPT_INT, AT(seed), "1", 0, 9e15, NULL, 0, "same seed, same text" },
    { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Machine and output" },
    { "--show-probs", NULL, OPT_SWITCH, AT(show_probs), NULL, 0, 0, NULL, 0,
      "colour each new character by -ln p in nats, p the model's probability of it before --temperature; "
      "with --json a list nats for each text" },
    { "--colour", NULL, OPT_WORD, AT(colour), "auto", 0, 0, "auto|always", 0, "auto: only on a terminal" },
    { "--threads", "N", OPT_INT, AT(threads), NULL, 1, 1024, NULL, 0,
      "threads (default: what the machine or container has); the text does not depend on it" },
    { "--isa", "ISA", OPT_STRING, AT(isa), NULL, 0, 0, NULL, 0,
      "instruction set: portable, avx2, avx512, amx, neon (default: the fastest); list shows them" },
    { "--json", NULL, OPT_SWITCH, AT(json), NULL, 0, 0, NULL, 0,
      "print {\"samples\":[{\"prompt\":...,\"text\":...}]} instead; text is what is new" },
    { "--quiet", NULL, OPT_SWITCH, AT(quiet), NULL, 0, 0, NULL, 0, "no messages but errors" },
    ABOUT_ROWS(AT(about)),
    { 0 }
};
#undef AT

static const Cli cli = {
    "sample", "CKPT...",
    "Writes text with a trained model, starting from a prompt or from nothing. Of several models with the "
    "same vocabulary the probabilities are averaged.",
    options, NULL, offsetof(Options, given)
};

/* ---------------------------------------------------------------- a text on its way out */

/* How surprised the model was. The last one has no bound. */
static const struct {
    double below;           /* nats */
    const char *name, *code;
} surprises[] = {
    { 0.5, "green", "\033[30;48;5;157m" }, { 1, "yellow", "\033[30;48;5;229m" },
    { 2, "amber", "\033[30;48;5;222m" },   { 4, "orange", "\033[30;48;5;215m" },
    { HUGE_VAL, "red", "\033[30;48;5;210m" },
};
#define NO_COLOUR "\033[0m"

/* Printed as it grows, or collected first. */
typedef struct {
    Output *out;            /* NULL: collected */
    char *bytes;            /* (size) what is collected */
    size_t size, room;
    bool open_line;         /* does not end with a newline */
    bool no_memory;
    bool utf8;              /* a character may have several bytes */
    bool coloured;
    const char *colour;     /* that is switched on, or NULL */
    float *nats;            /* (nats_count) of new characters; the text has the first nats_shown of them */
    size_t nats_count, nats_shown, nats_room;
} Text;

/* Makes room for `more` elements behind the first `used`. */
static bool text_grow(Text *t, void **memory, size_t *room, size_t used, size_t more, size_t size)
{
    if (more <= *room - used) return true;
    size_t wanted = 2 * *room + more;
    void *larger = wanted > *room && wanted <= SIZE_MAX / size ? realloc(*memory, wanted * size) : NULL;
    if (larger != NULL) {
        *memory = larger;
        *room = wanted;
    }
    t->no_memory = larger == NULL;
    return larger != NULL;
}

static void text_raw(Text *t, const char *bytes, size_t size)
{
    if (t->no_memory) return;
    if (t->out != NULL) {
        output_bytes(t->out, bytes, size);
        return;
    }
    void *memory = t->bytes;
    if (!text_grow(t, &memory, &t->room, t->size, size, 1)) return;
    t->bytes = memory;
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

static void text_colour(Text *t, const char *colour)
{
    if (t->colour == colour) return;
    t->colour = colour;
    if (colour == NULL) colour = NO_COLOUR;
    text_raw(t, colour, strlen(colour));
}

/* Text that is not new. */
static void text_add(Text *t, const char *bytes, size_t size)
{
    if (size == 0) return;
    t->open_line = bytes[size - 1] != '\n';
    text_raw(t, bytes, size);
}

/* A byte of a new character. Newlines stay without colour, which would fill the line. */
static void text_add_new(Text *t, char byte)
{
    bool begins = !t->utf8 || ((unsigned char)byte & 0xc0) != 0x80;
    if (begins && t->nats_shown < t->nats_count) {
        int level = 0;
        while ((double)t->nats[t->nats_shown] >= surprises[level].below) level++;
        if (t->coloured) text_colour(t, byte == '\n' ? NULL : surprises[level].code);
        t->nats_shown++;
    }
    text_add(t, &byte, 1);
}

/* The surprise of the next new character, whose bytes follow. */
static void text_add_nats(Text *t, double nats)
{
    if (t->out != NULL && t->nats_shown == t->nats_count) t->nats_shown = t->nats_count = 0;
    void *memory = t->nats;
    if (!text_grow(t, &memory, &t->nats_room, t->nats_count, 1, sizeof *t->nats)) return;
    t->nats = memory;
    t->nats[t->nats_count++] = (float)nats;
}

static bool text_failed(const Text *t) { return t->no_memory || (t->out != NULL && t->out->error != 0); }

static void text_close(Text *t)
{
    free(t->bytes);
    free(t->nats);
    *t = (Text){ 0 };
}

/* Watches for the stop string (Knuth, Morris, Pratt 1977). What a text holds back is always its first
 * `matched` bytes; back[n] is the longest shorter beginning that the first n bytes end with. */
typedef struct {
    const char *string;
    size_t length;
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

/* Shows the first bytes of the stop string after all. */
static void stop_release(const Stop *s, Text *text, size_t size)
{
    for (size_t i = 0; i < size; i++) text_add_new(text, s->string[i]);
}

/* Passes one byte on, or holds it back while it may belong to the stop string; true: that is complete. */
static bool stop_add(const Stop *s, size_t *matched, Text *text, char byte)
{
    while (*matched > 0 && s->string[*matched] != byte) {
        size_t kept = s->back[*matched];
        stop_release(s, text, *matched - kept);
        *matched = kept;
    }
    if (s->length == 0 || s->string[*matched] != byte) {
        text_add_new(text, byte);
        return false;
    }
    ++*matched;
    return *matched == s->length;
}

/* ---------------------------------------------------------------- writing */

static volatile sig_atomic_t interrupted;   /* by Ctrl-C, which --interactive takes for the end of a text */

/* One text in the making. */
typedef struct {
    Text text;
    uint64_t key;           /* of its random numbers */
    size_t matched;         /* bytes of the stop string that are held back */
    bool complete;          /* the stop string has come */
} Stream;

typedef struct {
    const Options *options;
    const Tokenizer *tokenizer;
    Ensemble *ensemble;
    Writers writers;
    Chooser chooser;
    Stop stop;
    bool terminal, coloured;    /* of standard output */
    const char *prompt;     /* as given */
    size_t prompt_size;
    int32_t *ids;           /* (id_count) the prompt */
    size_t id_count;
    int group;              /* texts written together at most */
    Stream streams[GROUP];
    int place[GROUP];       /* which text each stream of the writers holds */
    int32_t last[GROUP];    /* the character that each drew last */
} Sampler;

static Text new_text(const Sampler *s, Output *out)
{
    return (Text){ .out = out, .open_line = true, .utf8 = !s->tokenizer->bytes, .coloured = s->coloured };
}

static Stream new_stream(const Sampler *s, uint64_t index, Output *out)
{
    uint64_t key = rng_key((uint64_t)s->options->seed, index, 0, RNG_SAMPLE);
    return (Stream){ .text = new_text(s, out), .key = key };
}

/* Reads ids into the first stream, the only one. Ctrl-C ends it early. */
static void feed(Sampler *s, const int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count && !interrupted; i++) writers_step(&s->writers, ids + i);
}

/* Draws character number `position` of the text in stream `slot`. 1: it goes on, 0: it has ended, -1: the
 * models' output is not finite. */
static int draw(Sampler *s, int slot, uint64_t position, Err *err)
{
    Stream *t = &s->streams[s->place[slot]];
    const real *logits = writers_logits(&s->writers, slot);
    int32_t id = s->last[slot] = chooser_pick(&s->chooser, logits, t->key, position);
    if (id < 0)
        return fail(err, EXIT_DIVERGED, "the model's output is not a number: its weights are too large; "
                    "train it again with a smaller --lr");
    if (s->tokenizer->separator && id == SEPARATOR_ID) return 0;
    if (s->options->show_probs)
        text_add_nats(&t->text, log_sum_exp(logits, s->writers.vocab) - (double)logits[id]);
    char bytes[UTF8_MAX];
    int size = tokenizer_decode(s->tokenizer, id, bytes);
    for (int b = 0; b < size && !t->complete; b++)
        t->complete = stop_add(&s->stop, &t->matched, &t->text, bytes[b]);
    if (t->text.out != NULL && s->terminal) output_flush(t->text.out);
    return !t->complete && !text_failed(&t->text);
}

/* Writes the new characters of s->streams[0 .. count-1], all behind what the writers' first stream has read. */
static int write_texts(Sampler *s, int count, Err *err)
{
    int live = count;
    writers_spread(&s->writers, count);
    for (int i = 0; i < count; i++) s->place[i] = i;
    for (int64_t position = 0; position < s->options->length && live > 0 && !interrupted; position++) {
        if (position > 0) writers_step(&s->writers, s->last);
        for (int slot = live - 1; slot >= 0; slot--) {  /* downwards: what fills a gap has drawn already */
            int goes_on = draw(s, slot, (uint64_t)position, err);
            if (goes_on < 0) return -1;
            if (goes_on) continue;
            writers_end(&s->writers, slot);
            live--;
            s->place[slot] = s->place[live];
            s->last[slot] = s->last[live];
        }
    }
    for (Stream *t = s->streams; t < s->streams + count; t++) {
        if (!t->complete) stop_release(&s->stop, &t->text, t->matched);
        text_colour(&t->text, NULL);
        if (t->text.no_memory)
            return fail(err, EXIT_RUNTIME, "not enough memory for a text of this --length");
    }
    return 0;
}

/* ---------------------------------------------------------------- samples */

static void print_json(const Sampler *s, const Text *text, uint64_t index, Output *out)
{
    output_print(out, "%s{\"prompt\":", index > 0 ? "," : "");
    output_json(out, s->prompt, s->prompt_size, text->utf8);
    output_print(out, ",\"text\":");
    output_json(out, text->bytes, text->size, text->utf8);
    if (s->options->show_probs) {
        output_print(out, ",\"nats\":[");
        for (size_t i = 0; i < text->nats_shown; i++)
            output_print(out, "%s%.6g", i > 0 ? "," : "", (double)text->nats[i]);
        output_print(out, "]");
    }
    output_print(out, "}");
}

static void print_text(const Text *text, uint64_t index, Output *out)
{
    if (index > 0) output_print(out, "---\n");
    output_bytes(out, text->bytes, text->size);
    if (text->open_line) output_print(out, "\n");
    output_flush(out);
}

/* Prints the texts from number `first` on: as it grows if it is the only one, else when they are complete. */
static int print_group(Sampler *s, uint64_t first, int count, Output *out, Err *err)
{
    const Options *o = s->options;
    bool stream = o->samples == 1 && !o->json;
    for (int i = 0; i < count; i++) {
        s->streams[i] = new_stream(s, first + (uint64_t)i, stream ? out : NULL);
        if (!o->json) text_add(&s->streams[i].text, s->prompt, s->prompt_size);
    }
    if (stream) output_flush(out);
    writers_reset(&s->writers, 1);
    feed(s, s->ids, s->id_count);
    int failed = write_texts(s, count, err);
    for (int i = 0; i < count; i++) {
        Text *text = &s->streams[i].text;
        if (!failed && o->json) print_json(s, text, first + (uint64_t)i, out);
        else if (!failed) print_text(text, first + (uint64_t)i, out);
        text_close(text);
    }
    return failed;
}

static int print_samples(Sampler *s, Output *out, Err *err)
{
    const Options *o = s->options;
    if (s->id_count == 0) {
        s->id_count = 1;
        if (ensemble_start(s->ensemble, &s->ids[0], err)) return -1;
    }
    if (o->json) output_print(out, "{\"samples\":[");
    for (int64_t i = 0; i < o->samples && out->error == 0; i += s->group) {
        int64_t left = o->samples - i;
        if (print_group(s, (uint64_t)i, left < s->group ? (int)left : s->group, out, err)) return -1;
    }
    if (o->json) output_print(out, "]}\n");
    return 0;
}

/* ---------------------------------------------------------------- a conversation */

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

typedef enum { LINE_READ, LINE_NONE, LINE_INTERRUPTED, LINE_TOO_LONG, LINE_FAILED } LineStatus;

/* A line of standard input with its newline, which only the last one may lack: line (LINE_ROOM). */
static LineStatus read_line(char *line, size_t *size)
{
    int c;
    bool cut = false;
    *size = 0;
    errno = 0;
    while ((c = getc(stdin)) != EOF && !interrupted) {
        if (*size == LINE_ROOM) cut = true;
        else line[(*size)++] = (char)c;
        if (c == '\n') break;
    }
    if (interrupted || (ferror(stdin) && errno == EINTR)) {
        clearerr(stdin);
        return LINE_INTERRUPTED;
    }
    if (ferror(stdin)) return LINE_FAILED;
    return cut ? LINE_TOO_LONG : *size == 0 ? LINE_NONE : LINE_READ;
}

/* Asks until there is a line that the vocabulary has, and encodes it to s->ids. A newline that it lacks is
 * left out. 1: there is one, 0: no more lines, -1: err. */
static int next_line(Sampler *s, char *line, Err *err)
{
    const Tokenizer *t = s->tokenizer;
    Unknown unknown = s->options->unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS;
    bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !s->options->quiet;
    for (;;) {
        size_t size;
        Err why = { 0 };
        Encoding e = { .ids = s->ids };
        interrupted = 0;
        if (terminal) fprintf(stderr, "> ");
        LineStatus status = read_line(line, &size);
        if (terminal && status != LINE_READ) fputc('\n', stderr);
        if (status == LINE_NONE) return 0;
        if (status == LINE_FAILED)
            return fail(err, EXIT_RUNTIME, "standard input: cannot be read: %s", strerror(errno));
        if (status == LINE_INTERRUPTED) continue;
        if (status == LINE_TOO_LONG)
            fail(&why, EXIT_USAGE, "the line has more than %d bytes: it is left out", (int)LINE_ROOM);
        else if (line[size - 1] == '\n' && t->ids['\n'] < 0) size--;
        if (why.status == 0
            && tokenizer_encode(t, line, size, "the line", unknown, EXIT_USAGE, &e, &why) == 0) {
            s->id_count = e.count;
            return 1;
        }
        fprintf(stderr, "sample: %s\n", why.msg);
    }
}

/* One turn: the character that was drawn last and s->ids follow all that came before; then it is written on. */
static int answer(Sampler *s, uint64_t turn, Output *out, Err *err)
{
    writers_spread(&s->writers, 1);
    if (s->last[0] >= 0) writers_step(&s->writers, s->last);
    s->last[0] = -1;
    feed(s, s->ids, s->id_count);
    s->streams[0] = new_stream(s, turn, out);
    int failed = write_texts(s, 1, err);
    if (s->streams[0].text.open_line) output_print(out, "\n");
    text_close(&s->streams[0].text);
    output_flush(out);
    return failed;
}

/* The context is what was typed and all that was drawn, a stop string included. */
static int converse(Sampler *s, char *line, Output *out, Err *err)
{
    struct sigaction action = { .sa_handler = on_interrupt };   /* no SA_RESTART: reading is interrupted */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);

    Text opening = new_text(s, out);
    text_add(&opening, s->prompt, s->prompt_size);
    if (s->prompt_size > 0 && opening.open_line) output_print(out, "\n");
    output_flush(out);
    writers_reset(&s->writers, 1);
    feed(s, s->ids, s->id_count);

    bool begun = s->id_count > 0;
    int more = 1;
    s->last[0] = -1;
    for (uint64_t turn = 0; out->error == 0 && (more = next_line(s, line, err)) > 0; turn++) {
        if (!begun && s->id_count == 0) {
            s->id_count = 1;
            if (ensemble_start(s->ensemble, &s->ids[0], err)) return -1;
        }
        begun = true;
        if (answer(s, turn, out, err)) return -1;
    }
    return more < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- before the first character */

/* Encodes the prompt; s->ids also has room for a symbol to start from, or for a line. EXIT_USAGE. */
static int encode_prompt(Sampler *s, Err *err)
{
    const Options *o = s->options;
    Unknown unknown = o->unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS;
    size_t room = s->prompt_size > LINE_ROOM ? s->prompt_size : LINE_ROOM;
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
    if (ensemble_knows_separator(s->ensemble)) s->chooser.first = 0;
    char *line = o->interactive ? malloc(LINE_ROOM) : NULL;
    int failed = stop_open(&s->stop, stop, err) || encode_prompt(s, err);
    if (!failed && o->interactive && line == NULL)
        failed = fail(err, EXIT_RUNTIME, "not enough memory for a line");
    if (!failed) failed = o->interactive ? converse(s, line, out, err) : print_samples(s, out, err);
    chooser_close(&s->chooser);
    free(line);
    free(s->stop.back);
    free(s->ids);
    return failed ? -1 : 0;
}

/* ---------------------------------------------------------------- the program */

/* How many texts are written together: all, or as many as the constants allow. */
static int group_size(Ensemble *e, int64_t samples)
{
    int group = samples < GROUP ? (int)samples : GROUP;
    for (;; group /= 2) {
        size_t bytes = 0;
        for (int m = 0; m < e->count; m++) bytes += decoder_bytes(&e->models[m], group);
        if (group == 1 || bytes <= GROUP_BYTES) return group;
    }
}

static int sample_from(const Options *o, Ensemble *e, const char *prompt, size_t size, Output *out, Err *err)
{
    Sampler s = { .options = o, .tokenizer = ensemble_tokenizer(e), .ensemble = e, .prompt = prompt };
    s.prompt_size = size;
    s.terminal = isatty(fileno(out->file));
    s.coloured = o->show_probs && !o->json && (o->colour || terminal_has_colour(fileno(out->file)));
    s.group = group_size(e, o->samples);
    if (writers_open(&s.writers, e, s.group, err)) return -1;
    int failed = sample_with(&s, out, err);
    writers_close(&s.writers);
    return failed;
}

/* What the colours mean, in colour where that can be seen. */
static void print_legend(const Options *o, Output *out)
{
    enum { LEVELS = sizeof surprises / sizeof surprises[0] };
    bool shown = o->colour || terminal_has_colour(STDERR_FILENO);
    if (!o->colour && !terminal_has_colour(fileno(out->file))) {
        fprintf(stderr, "sample: note: no colours on this output; --colour always puts them there\n");
        return;
    }
    fprintf(stderr, "sample: nats:");
    for (int i = 0; i < LEVELS; i++) {
        fprintf(stderr, " %s%s ", shown ? surprises[i].code : "", surprises[i].name);
        if (i + 1 < LEVELS) fprintf(stderr, "< %g", surprises[i].below);
        else fprintf(stderr, "from %g", surprises[i - 1].below);
        fprintf(stderr, "%s%s", shown ? NO_COLOUR : "", i + 1 < LEVELS ? "," : "\n");
    }
}

static int sample(const Options *o, const Operands *operands, Output *out, Err *err)
{
    int threads = o->threads > 0 ? (int)o->threads : default_threads();
    const Kernels *kernels = kernels_pick(o->isa, err);
    if (kernels == NULL) return -1;
    omp_set_num_threads(threads);

    char *file = NULL, names[600];
    size_t size = o->prompt != NULL ? strlen(o->prompt) : 0;
    Ensemble e;
    if (o->prompt_file != NULL && read_file(o->prompt_file, &file, &size, err)) return -1;
    if (ensemble_load(&e, operands->items, operands->count, err)) {
        free(file);
        return -1;
    }
    ensemble_name(&e, names, sizeof names);
    if (!o->quiet)
        fprintf(stderr, "sample: %s, %s, %d thread%s\n", names, kernels->name, threads,
                threads == 1 ? "" : "s");
    if (!o->quiet && o->show_probs && !o->json) print_legend(o, out);
    int failed = ensemble_build(&e, kernels, 1, err)
        || sample_from(o, &e, file != NULL ? file : o->prompt, size, out, err);
    ensemble_close(&e);
    free(file);
    return failed ? -1 : 0;
}

/* Options that exclude each other. */
static int check_options(const Options *o, Err *err)
{
    if (o->prompt != NULL && o->prompt_file != NULL)
        return fail(err, EXIT_USAGE, "--prompt and --prompt-file exclude each other");
    if (o->interactive && (o->json || o->samples > 1))
        return fail(err, EXIT_USAGE, "--interactive and %s exclude each other",
                    o->json ? "--json" : "--samples");
    if (o->interactive && o->prompt_file != NULL && strcmp(o->prompt_file, "-") == 0)
        return fail(err, EXIT_USAGE, "--interactive reads standard input, and so would --prompt-file -");
    return 0;
}

static int run(const Options *o, const Operands *operands, Output *out, Err *err)
{
    char built[80];
    kernels_built(built, sizeof built);
    if (pages_answer(&cli, o, &o->about, operands, built, out) || kernels_list(o->isa, out->file)) return 0;
    if (operands->count < 1)
        return fail(err, EXIT_USAGE, "a checkpoint is wanted; try --help");
    return check_options(o, err) || sample(o, operands, out, err) ? -1 : 0;
}

static int sample_main(int argc, char **argv, Output *out, Err *err)
{
    Options o = { 0 };
    Operands operands = { 0 };
    int failed = cli_parse(&cli, argc, argv, &o, &operands, err) || run(&o, &operands, out, err);
    operands_close(&operands);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    Err err = { 0 };
    if (cli_run(sample_main, argc, argv, &err)) fprintf(stderr, "sample: %s\n", err.msg);
    return err.status;
}
