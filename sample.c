/* sample.c: checkpoint + prompt -> text.
 *
 * Draws x_t ~ p(x_t | x_1 .. x_{t-1}) one character after another; p is the model's softmax, or the
 * mean of several models', changed by --repeat-penalty, sharpened by --temperature and cut by
 * --top-k, --top-p and --min-p. Several texts are written together, so that the weights are read
 * once for all of them; none depends on the others.
 *
 *     ./sample ckpt.bin --prompt "ROMEO:" --length 500 --seed 2
 */
#include "base.h"
#include "cli/picture.h"
#include "cli/program.h"
#include "formats/checkpoint.h"
#include "formats/kind.h"
#include "inference/ensemble.h"
#include "inference/sampling.h"
#include "inference/stops.h"
#include "tokenizer.h"

#include <signal.h>

enum {
    GROUP = 32,                 /* texts written together: more would make nothing faster, */
    GROUP_BYTES = 256 << 20,    /* and fewer are if they need more memory than this */
    LINE_ROOM = 1 << 16         /* bytes of a typed line */
};

/* ---------------------------------------------------------------- options */

typedef struct {
    Common common;
    const char *prompt, *prompt_file, *between;
    Strings stop;
    int64_t length, top_k, samples, seed, repeat_window, image_width;
    double temperature, top_p, min_p, repeat_penalty;
    int middle, unknown, colour, memory;
    bool interactive, show_probs, given[CLI_ROWS];
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    HEADING("Text"),
    STRING("prompt", "S", prompt, NULL, "text to continue; it is printed first"),
    STRING("prompt-file", "FILE", prompt_file, NULL,
           "file with the text to continue (- is standard input)"),
    WORD("prompt-at", middle, "start", "start|middle",
         "whether the prompt, or the first line of --interactive, begins a document or stands "
         "within one; only a model of documents tells them apart"),
    INT("length", length, "500", 0, 1e9, "new characters, at most"),
    INT("samples", samples, "1", 1, 1e9, "how many texts"),
    STRING("between", "S", between, NULL,
           "print this between the texts, as it is (default: a line ---; nothing if the model was "
           "trained on a list of lines)"),
    INT("image-width", image_width, "0", 0, 1e6,
        "draw texts that are images, one character a pixel, side by side, N pixels wide; 0: as "
        "they are"),
    STRING("stop", "S", stop, NULL,
           "end the text where S would begin in its new characters, the one of several that comes "
           "first", MANY),
    WORD("unknown", unknown, "fail", "fail|skip",
         "what to do about characters of the prompt that the vocabulary lacks"),
    SWITCH("interactive", interactive,
           "continue each line that is typed, at most --length characters a time; all of it "
           "stays the context; Ctrl-C stops a text, Ctrl-D ends"),
    HEADING("Choice of the next character"),
    REAL("temperature", temperature, "0.8", 0, 1e30,
         "below 1 sharper, above 1 flatter; 0 always takes the likeliest. Numbers have 1 if it is "
         "not given"),
    INT("top-k", top_k, "0", 0, 1e9, "only among the N likeliest; 0: among all"),
    REAL("top-p", top_p, "1", 0, 1, "only among the likeliest that together reach probability X"),
    REAL("min-p", min_p, "0", 0, 1,
         "then only what is at least X times as likely as the likeliest, at temperature 1; 0: all"),
    REAL("repeat-penalty", repeat_penalty, "1", 0.01, 100,
         "before all that: of characters among the last --repeat-window, prompt included, a "
         "positive logit is divided by X, a negative one multiplied; 1: none"),
    INT("repeat-window", repeat_window, "64", 0, 1e6, "characters that --repeat-penalty looks at"),
    INT("seed", seed, "1", 0, 9e15, "same seed, same text"),
    WORD("memory", memory, "on", "off|on",
         "off: only the network chooses, of a model with a memory beside it (./train --memory)"),
    HEADING("Machine and output"),
    SWITCH("show-probs", show_probs,
           "colour each new character by -ln p in nats, p the model's probability of it "
           "before --temperature; with --json a list nats for each text"),
    WORD("colour", colour, "auto", "auto|always", "auto: only on a terminal"),
    THREADS_ROW(0),
    ISA_ROW(0),
    JSON_ROW("print {\"samples\":[{\"prompt\":...,\"text\":...}]} instead; text is what is new", 0),
    QUIET_ROW(0),
    ABOUT_ROWS(common.about),
    { 0 }
};

static const Cli cli = {
    .program = "sample", .operands = "CKPT...", .least = 1, .most = ANY_NUMBER,
    .summary = "Writes text with a trained model, starting from a prompt or from nothing. Of "
               "several models with the same vocabulary the probabilities are averaged.",
    .options = options, .given = offsetof(Options, given)
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
    bool terminal;          /* control characters in a visible form only */
    Visible visible;
    const char *colour;     /* that is switched on, or NULL */
    float *nats;            /* (nats_count) of new characters; nats_shown of them are in the text */
    size_t nats_count, nats_shown, nats_room;
} Text;

/* Makes room for `more` elements after the first `used`. */
static bool text_grow(Text *t, void **memory, size_t *room, size_t used, size_t more, size_t size)
{
    if (more <= *room - used) return true;
    size_t count = 2 * *room + more;
    bool possible = count > *room && count <= SIZE_MAX / size;
    void *larger = possible ? realloc(*memory, count * size) : NULL;
    if (larger != NULL) {
        *memory = larger;
        *room = count;
    }
    t->no_memory = larger == NULL;
    return larger != NULL;
}

static void text_raw(Text *t, const char *bytes, size_t size)
{
    if (t->no_memory || size == 0) return;
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
    char shown[VISIBLE_MAX];
    if (size == 0) return;
    t->open_line = bytes[size - 1] != '\n';
    if (!t->terminal) text_raw(t, bytes, size);
    for (size_t i = 0; t->terminal && i < size; i++)
        text_raw(t, shown, visible_add(&t->visible, bytes[i], shown));
}

/* The text is complete. */
static void text_end(Text *t)
{
    char shown[VISIBLE_MAX];
    text_raw(t, shown, visible_end(&t->visible, shown));
    text_colour(t, NULL);
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

static bool text_failed(const Text *t)
{
    return t->no_memory || (t->out != NULL && t->out->error != 0);
}

static void text_close(Text *t)
{
    free(t->bytes);
    free(t->nats);
    *t = (Text){ 0 };
}

/* What the stop strings let through; byte: the one that they saw last. */
static void text_add_released(Text *t, Released r, char byte)
{
    for (size_t i = 0; i < r.size; i++) text_add_new(t, r.bytes[i]);
    if (r.passes) text_add_new(t, byte);
}

/* ---------------------------------------------------------------- writing */

static volatile sig_atomic_t interrupted;   /* by Ctrl-C, for --interactive the end of a text */

/* One text in the making. */
typedef struct {
    Text text;
    uint64_t key;           /* of its random numbers */
    Watch watch;            /* for the stop strings */
    Recent recent;          /* the end of its context, for --repeat-penalty */
} Stream;

typedef struct {
    const Options *options;
    const Tokenizer *tokenizer;
    Ensemble *ensemble;
    Writers writers;
    Chooser chooser;
    Stops stops;
    bool terminal, coloured;    /* of standard output */
    const char *between;    /* printed between two texts */
    bool line_ends;         /* a text ends with a line end */
    const char *prompt;     /* as given */
    size_t prompt_size;
    int32_t *ids;           /* (id_count) the prompt */
    size_t id_count;
    int group;              /* texts written together at most */
    Stream streams[GROUP];
    int place[GROUP];       /* which text each stream of the writers holds */
    int32_t last[GROUP];    /* the character that each drew last */
} Sampler;

/* The bytes at the start of a text that are left out: a byte order mark that the vocabulary
 * lacks. */
static size_t unknown_mark(const Options *o, const Tokenizer *t, const char *text, size_t size,
                           const char *name)
{
    size_t mark = size > 0 ? tokenizer_unknown_mark(t, text, size) : 0;
    if (mark > 0 && !o->common.quiet)
        fprintf(stderr, "sample: note: %.200s: the byte order mark at its start is left out\n",
                name);
    return mark;
}

static Text new_text(const Sampler *s, Output *out)
{
    return (Text){ .out = out, .open_line = true, .utf8 = !s->tokenizer->bytes,
                   .coloured = s->coloured,
                   .terminal = s->terminal && !s->options->common.json };
}

/* What comes next from a stream is text number `index`; its context stays. */
static void begin_text(Sampler *s, Stream *t, uint64_t index, Output *out)
{
    t->text = new_text(s, out);
    t->key = rng_key((uint64_t)s->options->seed, index, 0, RNG_SAMPLE);
    t->watch = (Watch){ .complete = false };
}

/* Only the first stream is left, and its context is empty. */
static void forget(Sampler *s)
{
    writers_reset(&s->writers, 1);
    recent_clear(&s->streams[0].recent);
}

/* Reads ids into the first stream, the only one. Ctrl-C ends it early. */
static void feed(Sampler *s, const int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count && !interrupted; i++) {
        writers_step(&s->writers, ids + i);
        recent_add(&s->streams[0].recent, ids[i]);
    }
}

/* Draws character number `position` of the text in stream `slot`. 1: there may be more, 0: the text
 * has ended, -1: the models' output is not finite. */
static int draw(Sampler *s, int slot, uint64_t position, Err *err)
{
    Stream *t = &s->streams[s->place[slot]];
    const real *logits = writers_logits(&s->writers, slot);
    s->chooser.recent = &t->recent;
    int32_t id = s->last[slot] = chooser_pick(&s->chooser, logits, t->key, position);
    if (id < 0)
        return fail(err, EXIT_DIVERGED, "the model's output is not a number: its weights are too "
                    "large; train it again with a smaller --lr");
    recent_add(&t->recent, id);
    if (s->tokenizer->separator && id == SEPARATOR_ID) return 0;
    if (s->options->show_probs)
        text_add_nats(&t->text, log_sum_exp(logits, s->writers.vocab) - (double)logits[id]);
    char bytes[TOKEN_ROOM + 1] = " ";
    bool apart = tokenizer_has_numbers(s->tokenizer) && t->text.size > 0;
    int size = apart + tokenizer_decode(s->tokenizer, id, bytes + apart);
    for (int b = 0; b < size && !t->watch.complete; b++)
        text_add_released(&t->text, stops_add(&s->stops, &t->watch, bytes[b]), bytes[b]);
    if (t->text.out != NULL && s->terminal) output_flush(t->text.out);
    bool ended = s->line_ends && size == 1 && bytes[0] == '\n';
    return !ended && !t->watch.complete && !text_failed(&t->text);
}

/* Writes the new characters of s->streams[0 .. count-1], all after what the writers' first stream
 * has read. */
static int write_texts(Sampler *s, int count, Err *err)
{
    int live = count;
    writers_spread(&s->writers, count);
    for (int i = 0; i < count; i++) {
        s->place[i] = i;
        recent_copy(&s->streams[i].recent, &s->streams[0].recent);
    }
    int64_t length = s->options->length;
    if (tokenizer_has_numbers(s->tokenizer)) {              /* a vector has as many as it has */
        int64_t left = ensemble_context(s->ensemble) - (int64_t)s->id_count + 1;
        if (length > left) length = left;
    }
    for (int64_t position = 0; position < length && live > 0 && !interrupted; position++) {
        if (position > 0) writers_step(&s->writers, s->last);
        for (int slot = live - 1; slot >= 0; slot--) { /* down: what fills a gap has drawn */
            int more = draw(s, slot, (uint64_t)position, err);
            if (more < 0) return -1;
            if (more > 0) continue;
            writers_end(&s->writers, slot);
            live--;
            s->place[slot] = s->place[live];
            s->last[slot] = s->last[live];
        }
    }
    for (Stream *t = s->streams; t < s->streams + count; t++) {
        text_add_released(&t->text, stops_rest(&s->stops, &t->watch), 0);
        text_end(&t->text);
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

static void print_text(const Sampler *s, const Text *text, uint64_t index, Output *out)
{
    if (index > 0) output_bytes(out, s->between, strlen(s->between));
    output_bytes(out, text->bytes, text->size);
    if (text->open_line) output_print(out, "\n");
    output_flush(out);
}

static void draw_texts(const Sampler *s, int count, Output *out)
{
    Picture pictures[GROUP];
    for (int i = 0; i < count; i++)
        pictures[i] = (Picture){ s->streams[i].text.bytes, s->streams[i].text.size,
                                 s->streams[i].text.utf8 };
    pictures_draw(out, pictures, count, s->options->image_width);
    output_flush(out);
}

/* Prints the texts from number `first` on: as it grows if it is the only one, else when they are
 * complete. */
static int print_group(Sampler *s, uint64_t first, int count, Output *out, Err *err)
{
    const Options *o = s->options;
    bool drawn = o->image_width > 0, whole = drawn || tokenizer_has_numbers(s->tokenizer);
    bool stream = o->samples == 1 && !o->common.json && !whole;
    for (int i = 0; i < count; i++) {
        begin_text(s, &s->streams[i], first + (uint64_t)i, stream ? out : NULL);
        if (!o->common.json) text_add(&s->streams[i].text, s->prompt, s->prompt_size);
    }
    if (stream) output_flush(out);
    forget(s);
    feed(s, s->ids, s->id_count);
    int failed = write_texts(s, count, err);
    if (!failed && drawn) draw_texts(s, count, out);
    for (int i = 0; i < count; i++) {
        Text *text = &s->streams[i].text;
        if (!failed && o->common.json) print_json(s, text, first + (uint64_t)i, out);
        else if (!failed && !drawn) print_text(s, text, first + (uint64_t)i, out);
        text_close(text);
    }
    return failed;
}

/* Nothing stands before s->ids: unless they are within a document, or no model knows where one
 * begins, they get in front what a text starts from. */
static int begin_ids(Sampler *s, Err *err)
{
    bool within = s->options->middle || !ensemble_knows_separator(s->ensemble);
    if (within && s->id_count > 0) return 0;
    memmove(s->ids + 1, s->ids, s->id_count * sizeof *s->ids);
    s->id_count++;
    return ensemble_start(s->ensemble, &s->ids[0], err);
}

static int print_samples(Sampler *s, Output *out, Err *err)
{
    const Options *o = s->options;
    if (begin_ids(s, err)) return -1;
    if (o->common.json) output_print(out, "{\"samples\":[");
    for (int64_t i = 0; i < o->samples && out->error == 0; i += s->group) {
        int64_t left = o->samples - i;
        int count = left < s->group ? (int)left : s->group;
        if (print_group(s, (uint64_t)i, count, out, err)) return -1;
    }
    if (o->common.json) output_print(out, "]}\n");
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

/* Asks until there is a line that the vocabulary has, and encodes it to s->ids. A newline that it
 * lacks is left out, and so is a byte order mark of the first line. 1: there is one, 0: no more
 * lines, -1: err. */
static int next_line(Sampler *s, char *line, bool first, Err *err)
{
    const Tokenizer *t = s->tokenizer;
    Unknown unknown = s->options->unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS;
    bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !s->options->common.quiet;
    for (;;) {
        size_t size, mark = 0;
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
            fail(&why, EXIT_USAGE, "the line has more than %d bytes: left out", (int)LINE_ROOM);
        else if (line[size - 1] == '\n' && t->ids['\n'] < 0) size--;
        if (first) mark = unknown_mark(s->options, t, line, size, "standard input");
        first = false;
        if (why.status == 0
            && tokenizer_encode(t, line + mark, size - mark, "the line", unknown, EXIT_USAGE, &e,
                                &why) == 0) {
            s->id_count = e.count;
            return 1;
        }
        program_say("sample: %s\n", why.msg);
    }
}

/* One turn: the character that was drawn last and s->ids follow all that came before; then the
 * answer is written. */
static int answer(Sampler *s, uint64_t turn, Output *out, Err *err)
{
    writers_spread(&s->writers, 1);
    if (s->last[0] >= 0) writers_step(&s->writers, s->last);
    s->last[0] = -1;
    feed(s, s->ids, s->id_count);
    begin_text(s, &s->streams[0], turn, out);
    int failed = write_texts(s, 1, err);
    if (s->streams[0].text.open_line) output_print(out, "\n");
    text_close(&s->streams[0].text);
    output_flush(out);
    return failed;
}

/* The context is what was typed and all that was drawn, a stop string included. So is the separator
 * that ended an answer: the next line begins a document. */
static int converse(Sampler *s, char *line, Output *out, Err *err)
{
    struct sigaction action = { .sa_handler = on_interrupt };   /* no SA_RESTART: reading ends */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);

    Text opening = new_text(s, out);
    text_add(&opening, s->prompt, s->prompt_size);
    text_end(&opening);
    if (s->prompt_size > 0 && opening.open_line) output_print(out, "\n");
    output_flush(out);
    forget(s);
    bool begun = s->id_count > 0;
    if (begun && begin_ids(s, err)) return -1;
    if (begun) feed(s, s->ids, s->id_count);

    s->last[0] = -1;
    for (uint64_t turn = 0; out->error == 0; turn++) {
        int more = next_line(s, line, turn == 0, err);
        if (more <= 0) return more;
        if (!begun && begin_ids(s, err)) return -1;
        begun = true;
        if (answer(s, turn, out, err)) return -1;
    }
    return 0;
}

/* ---------------------------------------------------------------- before the first character */

/* Encodes the prompt; s->ids has room for it or a line, and for a symbol to start from.
 * EXIT_USAGE. */
static int encode_prompt(Sampler *s, Err *err)
{
    const Options *o = s->options;
    Unknown unknown = o->unknown ? UNKNOWN_SKIPPED : UNKNOWN_FAILS;
    size_t room = s->prompt_size > LINE_ROOM ? s->prompt_size : LINE_ROOM;
    s->ids = room < SIZE_MAX / sizeof *s->ids ? malloc((room + 1) * sizeof *s->ids) : NULL;
    if (s->ids == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the prompt");
    Encoding encoding = { .ids = s->ids };
    if (s->prompt_size > 0
        && tokenizer_encode(s->tokenizer, s->prompt, s->prompt_size, "the prompt", unknown,
                            EXIT_USAGE, &encoding, err))
        return -1;
    s->id_count = encoding.count;
    if (tokenizer_has_numbers(s->tokenizer) && s->id_count > (size_t)ensemble_context(s->ensemble))
        return fail(err, EXIT_USAGE, "--prompt: has %zu numbers, and a vector of this model %d",
                    s->id_count, ensemble_context(s->ensemble));
    if (encoding.skipped > 0 && !o->common.quiet)
        fprintf(stderr, "sample: note: %zu characters of the prompt are not in the vocabulary: "
                "skipped\n", encoding.skipped);
    return 0;
}

/* EXIT_USAGE for a stop string that the model cannot write, which would never come, or that could
 * end the output in the middle of a character. */
static int check_stop(const Tokenizer *t, const char *string, Err *err)
{
    const char *hint = strstr(string, "\\n") != NULL && t->ids['\\'] < 0
        ? "; a line end is typed as $'\\n'" : "";
    size_t size = strlen(string);
    for (size_t at = 0; at < size; ) {
        uint32_t value = (unsigned char)string[at];
        int length = t->bytes ? 1 : utf8_decode(string + at, size - at, &value);
        bool plain = value > ' ' && value <= '~';
        if (length == 0)
            return fail(err, EXIT_USAGE, "--stop is not well-formed UTF-8 at byte %zu", at);
        if (t->ids[value] < 0 && plain)
            return fail(err, EXIT_USAGE, "--stop: the vocabulary lacks '%c', so this would never "
                        "come%s", (int)value, hint);
        if (t->ids[value] < 0)
            return fail(err, EXIT_USAGE, "--stop: the vocabulary lacks %s%04X, so this would never "
                        "come%s", t->bytes ? "0x" : "U+", (unsigned)value, hint);
        at += (size_t)length;
    }
    return 0;
}

static int open_stops(Sampler *s, Err *err)
{
    const Strings *stop = &s->options->stop;
    for (int i = 0; i < stop->count; i++)
        if (check_stop(s->tokenizer, stop->items[i], err)) return -1;
    return stops_open(&s->stops, stop->items, stop->count, err);
}

static int sample_with(Sampler *s, Output *out, Err *err)
{
    const Options *o = s->options;
    if (chooser_open(&s->chooser, s->tokenizer, err)) return -1;
    bool plain = tokenizer_has_numbers(s->tokenizer)
              && !CLI_GIVEN(&cli, o, Options, temperature);
    s->chooser.temperature = plain ? 1 : o->temperature;
    s->chooser.top_k = o->top_k;
    s->chooser.top_p = o->top_p;
    s->chooser.min_p = o->min_p;
    s->chooser.repeat_penalty = o->repeat_penalty;
    if (ensemble_knows_separator(s->ensemble)) s->chooser.first = 0;
    char *line = o->interactive ? malloc(LINE_ROOM) : NULL;
    int window = o->repeat_penalty == 1 ? 0 : (int)o->repeat_window;
    int failed = open_stops(s, err) || encode_prompt(s, err);
    for (int i = 0; i < s->group && !failed; i++)
        failed = recent_open(&s->streams[i].recent, window, s->tokenizer, err);
    if (!failed && o->interactive && line == NULL)
        failed = fail(err, EXIT_RUNTIME, "not enough memory for a line");
    if (!failed) failed = o->interactive ? converse(s, line, out, err) : print_samples(s, out, err);
    chooser_close(&s->chooser);
    free(line);
    for (int i = 0; i < s->group; i++) recent_close(&s->streams[i].recent);
    stops_close(&s->stops);
    free(s->ids);
    return failed ? -1 : 0;
}

/* ---------------------------------------------------------------- the program */

/* Options that say how to choose among symbols, of which numbers are none. */
static int check_numbers(const Options *o, const Tokenizer *t, Err *err)
{
    const char *other = o->interactive ? "--interactive" : o->show_probs ? "--show-probs"
        : o->image_width > 0 ? "--image-width" : o->stop.count > 0 ? "--stop"
        : o->top_k > 0 ? "--top-k" : o->top_p < 1 ? "--top-p" : o->min_p > 0 ? "--min-p"
        : o->repeat_penalty != 1 ? "--repeat-penalty" : o->middle ? "--prompt-at middle" : NULL;
    if (!tokenizer_has_numbers(t) || other == NULL) return 0;
    return fail(err, EXIT_USAGE, "%s: this model draws numbers, each from a Gaussian, and has no "
                "symbols to choose among; leave the option out", other);
}

/* How many texts are written together: all, or as many as the constants allow. */
static int group_size(const Ensemble *e, const Options *o)
{
    int group = o->samples < GROUP ? (int)o->samples : GROUP;
    while (group > 1 && writers_bytes(e, group) > GROUP_BYTES) group /= 2;
    int across = o->image_width > 0 ? pictures_across(o->image_width) : 1;
    return group > across ? group / across * across : group;    /* no row of pictures is cut */
}

static int sample_from(const Options *o, Ensemble *e, const char *prompt, size_t size, Output *out,
                       Err *err)
{
    Sampler s = { .options = o, .tokenizer = ensemble_tokenizer(e), .ensemble = e };
    bool lines = ensemble_all_have(e, "split-documents", SPLIT_LINE);
    bool colour = o->colour || terminal_has_colour(fileno(out->file));
    bool listed = lines && ensemble_knows_separator(e);
    s.between = o->between != NULL ? o->between : listed ? "" : "---\n";
    s.line_ends = lines && ensemble_all_have(e, "sampling", "document");
    s.prompt = prompt;
    s.prompt_size = size;
    s.terminal = isatty(fileno(out->file));
    s.coloured = o->show_probs && !o->common.json && colour;
    s.group = group_size(e, o);
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
        fprintf(stderr, "sample: note: no colours on this output; --colour always puts them "
                "there\n");
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

/* Options that exclude each other. */
static int check_options(const Options *o, Err *err)
{
    if (o->prompt != NULL && o->prompt_file != NULL)
        return fail(err, EXIT_USAGE, "--prompt and --prompt-file exclude each other");
    if (o->interactive && (o->common.json || o->samples > 1))
        return fail(err, EXIT_USAGE, "--interactive and %s exclude each other",
                    o->common.json ? "--json" : "--samples");
    if (o->image_width > 0 && (o->interactive || o->common.json || o->show_probs))
        return fail(err, EXIT_USAGE, "--image-width and %s exclude each other",
                    o->interactive ? "--interactive" : o->common.json ? "--json" : "--show-probs");
    if (o->interactive && o->prompt_file != NULL && strcmp(o->prompt_file, "-") == 0)
        return fail(err, EXIT_USAGE,
                    "--interactive reads standard input, and so would --prompt-file -");
    return 0;
}

/* A prompt's file must be of text. */
static int check_prompt(const Options *o, const Tokenizer *t, const char **prompt, size_t *size,
                        Err *err)
{
    const char *name = o->prompt_file == NULL ? "the prompt"
                     : strcmp(o->prompt_file, "-") == 0 ? "standard input" : o->prompt_file;
    const Kind *kind = o->prompt_file != NULL ? kind_of(*prompt, *size) : NULL;
    if (kind_is_no_text(kind) && (!t->bytes || kind->group == KIND_FOLIO))
        return kind_refuse(kind, name, "./sample CKPT --prompt-file -", err);
    size_t mark = unknown_mark(o, t, *prompt, *size, name);
    *prompt += mark;
    *size -= mark;
    return 0;
}

static int sample(const Call *call, Output *out, Err *err)
{
    const Options *o = call->options;
    char *file = NULL, names[600];
    size_t size = o->prompt != NULL ? strlen(o->prompt) : 0;
    Ensemble e;
    if (check_options(o, err)) return -1;
    if (o->prompt_file != NULL && read_file(o->prompt_file, &file, &size, err)) return -1;
    if (ensemble_load(&e, call->operands->items, call->operands->count, err)) {
        free(file);
        return -1;
    }
    e.network_only = !o->memory;
    ensemble_name(&e, names, sizeof names);
    if (!o->common.quiet)
        program_say("sample: %s, %s, %d thread%s\n", names, call->kernels->name, call->threads,
                call->threads == 1 ? "" : "s");
    if (!o->common.quiet && o->show_probs && !o->common.json) print_legend(o, out);
    const char *prompt = file != NULL ? file : o->prompt != NULL ? o->prompt : "";
    double writers = writers_bytes(&e, group_size(&e, o));
    int failed = check_numbers(o, ensemble_tokenizer(&e), err)
        || check_prompt(o, ensemble_tokenizer(&e), &prompt, &size, err)
        || ensemble_build(&e, call->kernels, 1, writers, err)
        || sample_from(o, &e, prompt, size, out, err);
    ensemble_close(&e);
    free(file);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    return program_main(&cli, &o, sample, argc, argv);
}
