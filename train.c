/* train.c: text -> checkpoint.
 *
 * Each step draws a batch of windows from the training part, computes the mean of -log p(next character) and its
 * gradient a slice of sequences at a time, clips, and takes one AdamW step. Two files result: NAME.bin holds the weights of
 * the best evaluation, NAME.last.bin all that --resume needs.
 *
 *     ./train shakespeare.txt --preset nanogpt-cpu --out shakespeare.bin
 */
#include "base.h"
#include "training/budget.h"
#include "formats/checkpoint.h"
#include "cli/program.h"
#include "corpus.h"
#include "kernels/kernels.h"
#include "system/machine.h"
#include "training/optimizer.h"
#include "system/files.h"
#include "inference/sampling.h"
#include "tokenizer.h"
#include "model.h"
#include "inference/ensemble.h"
#include "inference/evaluate.h"

#include <signal.h>

#ifndef FOLIO_COMMIT
#define FOLIO_COMMIT "unknown"
#endif

enum {
    EVAL_CHARACTERS = 120000,   /* of the validation part, scored at each evaluation */
    SAVE_SECONDS = 30,          /* a run that is killed loses this much work and one step, or what --save-every says */
    HISTORY_ROOM = 10000,       /* evaluations that have their room from the start */
    SMALL_TEXT = 10000,         /* characters below which a model learns a text by heart */
    SMALL_MODEL = 100000,       /* parameters below which they are printed to the last one */
    STALE_EVALUATIONS = 5,      /* without improvement, before a line says so */
    SAMPLE_LENGTH = 200,        /* characters of --sample-every */
    LINE_SECONDS_TENTHS = 2,    /* between two states of the live line */
    SKIPS_MAX = 3,              /* updates left out in a row before the run returns to its last save */
    RETURNS_MAX = 5,            /* returns, each at half the rate, before it gives up */
    EVAL_SHARE = 50,            /* a timed run spends one part in so many on evaluations, */
    EVALS_MAX = 20,             /* and makes at most about so many */
    OPTION_TEXT = 4300,         /* bytes of an option's value, the longest path included */
    HEAD_CHANNELS = 32          /* of a head, at least, where --channels is given and --heads is not */
};

static const double measure_most = 0.7, measure_share = 0.02;   /* seconds, and share of the time that --minutes gives: to
                                                                   measure the machine's speed */
static const double deadline_tolerance = 0.03;  /* of the time that --minutes gives */

/* ---------------------------------------------------------------- options */

enum { SAMPLING_RANDOM, SAMPLING_EPOCH };

typedef struct {
    Common common;
    const char *out, *preset, *init_from, *log;
    bool resume, overwrite, bytes, profile;
    int64_t layers, heads, channels, hidden, head_size, context, batch;
    int family, bias, gelu, head, optimizer, schedule, sampling, separator, split_documents;
    double minutes, ema, dropout, rope_base, lr, min_lr, beta1, beta2, weight_decay, clip, val_fraction;
    int64_t steps, warmup, decay_steps, eval_every, eval_batches, sample_every, save_every, stop_at, patience;
    int64_t seed, slice;
    bool given[CLI_ROWS];
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    HEADING("Files"),
    STRING("out", "FILE", out, "ckpt.bin",
           "NAME.bin: what to use, the best evaluation; NAME.last.bin beside it: what "
           "--resume needs", ON_RESUME),
    SWITCH("resume", resume,
           "go on from NAME.last.bin, with the same text; settings come from the file", ON_RESUME),
    SWITCH("overwrite", overwrite, "replace existing files, at the first save", ON_RESUME),
    STRING("init-from", "FILE", init_from, NULL,
           "start from the weights of this checkpoint, perhaps on another text: its sizes "
           "are taken over, characters are matched, new ones start at random"),
    STRING("log", "FILE", log, NULL, "write a line of JSON for every step", ON_RESUME),
    HEADING("Model"),
    PRESET("preset", preset, "quick", "a list of settings, see below; instead of --minutes"),
    WORD("family", family, "gpt2", "gpt2|qwen3",
         "gpt2: learned positions, layer norm, GELU; qwen3: rotary positions, RMS norm, "
         "SwiGLU", STORED),
    INT("layers", layers, "4", 0, 1000, "blocks", STORED),
    INT("heads", heads, "4", 1, HEADS_MAX, "attention heads of a block", STORED),
    INT("channels", channels, "128", 1, 65536, "width; a multiple of the heads", STORED),
    INT("hidden", hidden, "0", 0, 262144,
        "width of the MLP; 0: 4 times the channels, with qwen3 8/3 times", STORED),
    INT("head-size", head_size, "0", 0, 65536,
        "channels of a head; 0: --channels / --heads", STORED),
    INT("context", context, "64", 1, 65536, "characters the model looks back at", STORED),
    REAL("dropout", dropout, "0", 0, 0.99, "probability of dropping an activation", STORED),
    WORD("bias", bias, "off", "off|on", "biases in linear layers and norms", STORED),
    WORD("gelu", gelu, "erf", "erf|tanh", "exact GELU, or its tanh form", STORED),
    WORD("head", head, "tied", "tied|untied",
         "qwen3: the head is the embedding, or its own", STORED),
    REAL("rope-base", rope_base, "10000", 1, 1e12, "qwen3: base of the rotary angles", STORED),
    HEADING("Training"),
    REAL("minutes", minutes, "5", 0.01, 1e6,
         "train for so long: times this machine, chooses what --preset and other options "
         "leave open, ends on time and prints the command that repeats the run; this is "
         "what happens without --preset and --steps", ON_RESUME),
    INT("steps", steps, "1200", 1, 1e12,
        "updates in all; may grow on --resume, which computes the schedule afresh", STORED),
    INT("batch", batch, "16", 1, 1e6, "windows of the context in a step", STORED),
    WORD("optimizer", optimizer, "adamw", "adamw|muon",
         "muon: for the matrices of the blocks, and AdamW at a quarter of the rate for the "
         "rest", STORED),
    REAL("lr", lr, "4e-3", 0, 1e6, "peak learning rate", STORED),
    REAL("min-lr", min_lr, "1e-4", 0, 1e6, "learning rate at the end", STORED),
    INT("warmup", warmup, "100", 0, 1e12, "steps of rising rate", STORED),
    WORD("schedule", schedule, "cosine", "cosine|linear|constant|wsd",
         "how the rate goes from --lr to --min-lr; wsd: along a line over the last "
         "--decay-steps", STORED),
    INT("decay-steps", decay_steps, "0", 0, 1e12, "of wsd; 0: half of the steps", STORED),
    REAL("ema", ema, "0", 0, 0.999999,
         "keep an average of the weights that forgets 1 - X a step, and evaluate and save "
         "that; 0: none", STORED),
    WORD("sampling", sampling, "random", "random|epoch",
         "windows anywhere with replacement, or each once an epoch", STORED),
    REAL("beta1", beta1, "0.9", 0, 0.9999999, "AdamW: memory of the gradient", STORED),
    REAL("beta2", beta2, "0.99", 0, 0.9999999, "AdamW: memory of its square", STORED),
    REAL("weight-decay", weight_decay, "0.1", 0, 1e6, "of matrices, times the rate", STORED),
    REAL("clip", clip, "1", 0, 1e12, "largest norm of the gradient; 0: any", STORED),
    INT("seed", seed, "1", 0, 9e15, "same seed, same bytes", STORED),
    HEADING("Text"),
    REAL("val-fraction", val_fraction, "0.1", 0, 0.99,
         "the end of the text that is not trained on", STORED),
    SWITCH("bytes", bytes, "symbols are bytes, not characters of UTF-8", STORED),
    WORD("separator", separator, "on", "off|on",
         "a symbol <|endoftext|> that stands between texts", STORED),
    WORD("split-documents", split_documents, "off", DOCUMENTS_WORDS,
         "the separator stands after every line, too, or after every blank line; samples "
         "end at it", STORED | LATER),
    HEADING("While it runs"),
    INT("eval-every", eval_every, "300", 1, 1e12, "steps between evaluations", STORED),
    INT("eval-batches", eval_batches, "0", 0, 1e6,
        "evaluate on N random batches; 0: on up to 120000 characters in even windows", STORED),
    INT("sample-every", sample_every, "0", 0, 1e12, "steps between samples; 0: none", ON_RESUME),
    INT("save-every", save_every, "0", 0, 1e12,
        "steps between saves; 0: at least twice a minute", ON_RESUME),
    INT("stop-at", stop_at, "0", 0, 1e12,
        "save and end after step N, with the schedule of --steps; 0: do not", ON_RESUME),
    INT("patience", patience, "0", 0, 1e9,
        "end after N evaluations without improvement; 0: never", ON_RESUME),
    HEADING("Machine and output"),
    INT("threads", common.threads, NULL, 1, 1024,
        "threads (default: what the machine or container has); the result does not depend "
        "on it", ON_RESUME),
    INT("slice", slice, "0", 0, 1e6,
        "sequences worked on at once, which bounds memory; the result does not depend on "
        "it; 0: what suits the cache", ON_RESUME),
    STRING("isa", "ISA", common.isa, NULL,
           "instruction set (default: the fastest); list shows them", ON_RESUME),
    SWITCH("profile", profile, "show at the end where the time went", ON_RESUME),
    SWITCH("json", common.json, "print the result as JSON", ON_RESUME),
    SWITCH("quiet", common.quiet, "no messages but errors", ON_RESUME),
    ABOUT_ROWS(common.about),
    { 0 }
};
#undef AT

static const Preset presets[] = {
    { "quick", "about a minute on two cores",
      { { "--family", "gpt2" }, { "--optimizer", "adamw" },
        { "--layers", "4" }, { "--heads", "4" }, { "--channels", "128" }, { "--context", "64" }, { "--batch", "16" },
        { "--steps", "1200" }, { "--lr", "4e-3" }, { "--min-lr", "1e-4" }, { "--warmup", "100" }, { "--eval-every", "300" },
        { NULL, NULL } } },
    { "nanogpt-cpu", "nanoGPT's shakespeare_char for a CPU",
      { { "--family", "gpt2" }, { "--optimizer", "adamw" }, { "--sampling", "random" },
        { "--layers", "4" }, { "--heads", "4" }, { "--channels", "128" }, { "--context", "64" }, { "--batch", "12" },
        { "--dropout", "0" }, { "--steps", "2000" }, { "--lr", "1e-3" }, { "--min-lr", "1e-4" }, { "--warmup", "100" },
        { "--beta2", "0.99" }, { "--weight-decay", "0.1" }, { "--clip", "1" }, { "--eval-every", "250" },
        { "--eval-batches", "20" }, { "--separator", "off" }, { "--seed", "1337" }, { NULL, NULL } } },
    { "nanogpt", "nanoGPT's shakespeare_char",
      { { "--family", "gpt2" }, { "--optimizer", "adamw" }, { "--sampling", "random" },
        { "--layers", "6" }, { "--heads", "6" }, { "--channels", "384" }, { "--context", "256" }, { "--batch", "64" },
        { "--dropout", "0.2" }, { "--steps", "5000" }, { "--lr", "1e-3" }, { "--min-lr", "1e-4" }, { "--warmup", "100" },
        { "--beta2", "0.99" }, { "--weight-decay", "0.1" }, { "--clip", "1" }, { "--eval-every", "250" },
        { "--separator", "off" }, { "--seed", "1337" }, { NULL, NULL } } },
    { 0 }
};

static const Cli cli = {
    .program = "train", .operands = "TEXT...", .least = 1, .most = ANY_NUMBER,
    .summary = "Trains a character-level GPT on any text (- is standard input).",
    .options = options, .presets = presets, .given = offsetof(Options, given)
};

static bool cli_given(const Cli *table, const Options *o, const char *name)
{
    int row = cli_find(table, name, strlen(name));
    return row >= 0 && o->given[row];
}

/* ---------------------------------------------------------------- a run */

typedef struct {
    Options *o;
    int argc;
    char **argv;
    const Operands *texts;
    RunPaths paths;
    int lock;
    bool has_last, has_best;    /* NAME.last.bin and NAME.bin are this run's */
    bool best_due;          /* NAME.bin should hold the weights of this step, and does not yet */
    TrainState held;        /* what it holds until then */
    bool lost;              /* an evaluation was not finite: back to the last save */
    bool resumed;
    Checkpoint from;        /* what is resumed, until it is copied */
    Tokenizer tokenizer;
    Corpus corpus;
    bool has_val;
    Config config;
    const Kernels *kernels;
    Model model;
    Optimizer optimizer;
    TrainingPlan plan;
    Scorer scorer;
    Decoder decoder;
    Chooser chooser;
    Saver *saver;
    int32_t *x, *y;         /* (batch, context) */
    Setting settings[SETTINGS_MAX];
    int setting_count;
    int64_t step;           /* updates made */
    TrainState state;
    History history;
    size_t history_room;
    int log;                /* descriptor, or -1 */
    bool log_failed, save_failed;
    double begun, started, saved;   /* clock: of the program, of the training, of the last save */
    double deadline;        /* clock: when --minutes wants it to end; 0: no timed run */
    int64_t made;           /* updates of this start */
    double evaluating;      /* seconds of this start's evaluations, */
    double last_evaluation, last_save;      /* and of the last evaluation and save */
    double planned_step;    /* seconds of a step that the end of a timed run was planned with */
    double seconds_before;  /* of earlier starts, from the log */
    double step_seconds;    /* of the last step */
    double pace;            /* seconds of a step, smoothed over the last dozen */
    double line_shown;      /* clock */
    Profile profile;
    bool moving_line;       /* standard error is a terminal */
} Run;

/* Set by the first signal; the second ends the program. */
static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    if (stop_signal != 0) _exit(128 + number);
    stop_signal = number;
}

static bool stop_wanted(void) { return stop_signal != 0; }

static void catch_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action, old;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigemptyset(&action.sa_mask);
        action.sa_flags = SA_RESTART;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) sigaction(numbers[i], &action, NULL);
    }
}

/* ---------------------------------------------------------------- what the user sees */

static void clear_line(Run *r)
{
    if (r->moving_line && r->line_shown > 0) fprintf(stderr, "\r\033[K");
}

/* One line on standard error. */
#define SAY(r, ...) \
    do { \
        if (!(r)->o->common.quiet) { \
            clear_line(r); \
            fprintf(stderr, __VA_ARGS__); \
            fputc('\n', stderr); \
        } \
    } while (0)

/* A complaint that does not end the run. */
static void complain(Run *r, const char *what)
{
    clear_line(r);
    fprintf(stderr, "train: %s\n", what);
}

/* Whether a timed run has not settled yet how many steps it makes: --steps is 0 then, in its checkpoints too. */
static bool steps_open(const Run *r) { return r->o->steps == 0; }

static bool all_steps_made(const Run *r) { return !steps_open(r) && r->step >= r->o->steps; }

static bool evaluated(const Run *r)
{
    return r->history.count > 0 && r->history.step[r->history.count - 1] == (uint64_t)r->step;
}

static bool evaluation_due(const Run *r)
{
    return r->has_val && (r->step % r->o->eval_every == 0 || all_steps_made(r)) && !evaluated(r);
}

/* Evaluations after the best one. */
static int64_t stale_evaluations(const Run *r)
{
    int64_t n = 0;
    for (size_t i = r->history.count; i > 0 && r->history.step[i - 1] > r->state.best_step; i--) n++;
    return r->state.best_step > 0 ? n : 0;
}

static bool out_of_patience(const Run *r) { return r->o->patience > 0 && stale_evaluations(r) >= r->o->patience; }

static double tokens_per_step(const Run *r) { return (double)r->o->batch * r->config.context; }

static double run_seconds(const Run *r) { return r->seconds_before + clock_seconds() - r->started; }

static size_t train_characters(const Run *r) { return r->corpus.train_count - r->corpus.train_separators; }

static bool knows_separator(const Run *r) { return r->corpus.train_separators >= SEPARATORS_ENOUGH; }

static void show_header(Run *r, double memory)
{
    const Config *c = &r->config;
    SAY(r, "text     %s", r->corpus.read);
    SAY(r, "         %zu characters, %d symbols; training %zu, validation %zu", r->corpus.characters,
        r->tokenizer.count, train_characters(r), r->corpus.characters - train_characters(r));
    char parameters[32], length[60];
    size_t count = model_parameters(c);
    if (count < SMALL_MODEL) snprintf(parameters, sizeof parameters, "%zu", count);
    else snprintf(parameters, sizeof parameters, "%.2fM", (double)count / 1e6);
    SAY(r, "model    %s: %d layers, %d heads, %d channels, context %d, %s parameters", config_field(0)->words[c->family],
        c->layers, c->heads, c->channels, c->context, parameters);
    double minutes = (r->deadline - r->begun) / 60;
    if (steps_open(r)) snprintf(length, sizeof length, "%.3g minute%s, in steps", minutes, fabs(minutes - 1) < 1e-6 ? "" : "s");
    else snprintf(length, sizeof length, "%lld steps", (long long)r->o->steps);
    SAY(r, "training %s of %lld x %d characters, %.2f MFLOP each; %.0f MB of memory", length,
        (long long)r->o->batch, c->context, model_flops_per_token(c, c->context) / 1e6, memory / 1e6);
    SAY(r, "machine  %s, %d thread%s, %d sequence%s at once", r->kernels->name, r->model.gemm.threads,
        r->model.gemm.threads == 1 ? "" : "s", r->model.slice, r->model.slice == 1 ? "" : "s");
    if (r->corpus.characters < SMALL_TEXT && !r->has_val)
        SAY(r, "note: a text of %zu characters will be learnt by heart", r->corpus.characters);
    else if (r->corpus.characters < SMALL_TEXT)
        SAY(r, "note: a text of %zu characters will be learnt by heart; sample %s to see that, %s is best on the validation part",
            r->corpus.characters, r->paths.last, r->paths.best);
    if (!r->has_val) SAY(r, "note: no validation part; %s will hold the last weights, not the best", r->paths.best);
    if (r->corpus.val_only > 0)
        SAY(r, "note: the validation part has %zu symbol%s that the training part lacks: nothing can be learnt about %s",
            r->corpus.val_only, r->corpus.val_only == 1 ? "" : "s", r->corpus.val_only == 1 ? "it" : "them");
    if (r->o->split_documents != DOCUMENTS_OFF && !knows_separator(r))
        SAY(r, "note: the training part has %zu separators; samples start from one and end at one from %d on",
            r->corpus.train_separators, SEPARATORS_ENOUGH);
    if (!steps_open(r) && r->o->warmup >= r->o->steps)
        SAY(r, "note: the warm-up (%lld steps) lasts for the whole run", (long long)r->o->warmup);
}

static void format_left(char *out, size_t room, double seconds)
{
    int s = seconds < 359999 ? (int)(seconds + 0.5) : 359999;
    if (s >= 3600) snprintf(out, room, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, room, "%d:%02d", s / 60, s % 60);
}

/* Step, losses, speed and time left, for both the live line and the lines that stay. */
static void show_progress(Run *r, const char *loss)
{
    char left[24], step[48];
    if (steps_open(r)) snprintf(step, sizeof step, "%lld", (long long)r->step);
    else snprintf(step, sizeof step, "%lld/%lld", (long long)r->step, (long long)r->o->steps);
    clear_line(r);
    fprintf(stderr, "step %11s  %-26s", step, loss);
    if (r->pace <= 0) return;                       /* no step made yet */
    double speed = tokens_per_step(r) / r->pace;
    format_left(left, sizeof left, steps_open(r) ? r->deadline - clock_seconds() : (double)(r->o->steps - r->step) * r->pace);
    fprintf(stderr, "%7.0f chars/s%5.0f GFLOP/s %s", speed,
            speed * model_flops_per_token(&r->config, r->config.context) / 1e9, left);
}

static void live_line(Run *r)
{
    double now = clock_seconds();
    if (!r->moving_line || r->o->common.quiet || now - r->line_shown < LINE_SECONDS_TENTHS / 10.0) return;
    if (r->step_seconds <= 0) return;                       /* no step made yet */
    char loss[40];
    snprintf(loss, sizeof loss, "train %.4f", r->state.train_loss);
    show_progress(r, loss);
    fflush(stderr);
    r->line_shown = now;
}

/* Writes a word so that a shell reads it back as one. */
static void print_word(FILE *f, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";
    if (*word != '\0' && word[strspn(word, plain)] == '\0') {
        fputs(word, f);
        return;
    }
    fputc('\'', f);
    for (; *word != '\0'; word++) {
        if (*word == '\'') fputs("'\\''", f);
        else fputc(*word, f);
    }
    fputc('\'', f);
}

/* The beginning of a command: this program and the texts. */
static void print_command(Run *r, const char *what)
{
    clear_line(r);
    fprintf(stderr, "%s: ", what);
    print_word(stderr, r->argv[0]);
    for (int i = 0; i < r->texts->count; i++) {
        const char *text = r->texts->items[i];
        fputc(' ', stderr);
        if (text[0] == '-' && text[1] != '\0') fputs("./", stderr);
        print_word(stderr, text);
    }
}

/* An option with the value that it has; a number with no more digits than it needs. */
static void print_option(const Option *row, const Options *o)
{
    char value[OPTION_TEXT];
    fprintf(stderr, " %s", row->name);
    if (!cli_takes_value(row)) return;
    cli_get_text(row, o, value, sizeof value);
    double number = row->kind == OPT_REAL ? strtod(value, NULL) : 0;
    for (int digits = 1; row->kind == OPT_REAL && digits <= 17; digits++) {
        snprintf(value, sizeof value, "%.*g", digits, number);
        if (strtod(value, NULL) == number) break;
    }
    fputc(' ', stderr);
    print_word(stderr, value);
}

/* The command that goes on: the texts, --resume, and what the checkpoint does not hold. */
static void show_resume_command(Run *r)
{
    static const char *const once[] = { "--resume", "--overwrite", "--stop-at", "--minutes" };
    if (r->o->common.quiet) return;
    print_command(r, "go on with");
    fprintf(stderr, " --resume");
    if (steps_open(r)) fprintf(stderr, " --minutes %.2f", fmax(0.01, (r->deadline - clock_seconds()) / 60));
    for (int i = 0; options[i].kind != OPT_END; i++) {
        const Option *row = &options[i];
        bool repeated = r->o->given[i] && (row->flags & ON_RESUME);
        for (size_t j = 0; repeated && j < sizeof once / sizeof once[0]; j++) repeated = strcmp(row->name, once[j]) != 0;
        if (repeated && !(strcmp(row->name, "--patience") == 0 && out_of_patience(r))) print_option(row, r->o);
    }
    fputc('\n', stderr);
}

/* The command that gives the bytes of this run without a clock: every setting that is not a default, another --out. */
static int show_repeat_command(Run *r, Err *err)
{
    char *bare[] = { NULL };
    Options plain = { 0 };
    Operands none = { 0 };
    if (r->o->common.quiet) return 0;
    if (cli_parse(&cli, 0, bare, &plain, &none, err)) return -1;
    operands_close(&none);
    print_command(r, "repeat with");
    for (int i = 0; options[i].kind != OPT_END; i++) {
        const Option *row = &options[i];
        char value[OPTION_TEXT], other[OPTION_TEXT];
        if (row->kind == OPT_GROUP) continue;
        cli_get_text(row, r->o, value, sizeof value);
        cli_get_text(row, &plain, other, sizeof other);
        bool counts = (row->flags & STORED) || strcmp(row->name, "--init-from") == 0 || strcmp(row->name, "--isa") == 0;
        if (counts && (strcmp(value, other) != 0 || strcmp(row->name, "--steps") == 0)) print_option(row, r->o);
    }
    char out[sizeof r->paths.best + 8];
    int stem = (int)(strlen(r->paths.temp) - strlen(".tmp"));
    snprintf(out, sizeof out, "%.*s.again%s", stem, r->paths.best, r->paths.best + stem);
    fprintf(stderr, " --out ");
    print_word(stderr, out);
    fputc('\n', stderr);
    return 0;
}

/* ---------------------------------------------------------------- the log: one JSON object a line */

static void log_write(Run *r, const char *text, size_t size)
{
    while (r->log >= 0 && size > 0) {
        ssize_t n = write(r->log, text, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            char what[200];
            snprintf(what, sizeof what, "the log cannot be written (%s); training goes on without it", strerror(errno));
            complain(r, what);
            close(r->log);
            r->log = -1;
            r->log_failed = true;
            return;
        }
        text += n;
        size -= (size_t)n;
    }
}

/* The surroundings of this start: they stand here and nowhere in a checkpoint. */
static int log_start(Run *r, Err *err)
{
    if (r->log < 0) return 0;
    char *text = NULL;
    size_t size = 0;
    Output out = { open_memstream(&text, &size), 0 };
    if (out.file == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the log");
    char machine[MACHINE_LINE];
    machine_name(machine);
    output_print(&out, "{\"folio\":\"%s\",\"commit\":\"%s\",\"machine\":", FOLIO_VERSION, FOLIO_COMMIT);
    output_json_text(&out, machine);
    output_print(&out, ",\"isa\":\"%s\",\"threads\":%d,\"slice\":%d,\"parameters\":%zu,\"from_step\":%lld,\"command\":[",
                 r->kernels->name, r->model.gemm.threads, r->model.slice, model_parameters(&r->config), (long long)r->step);
    for (int i = 0; i < r->argc; i++) {
        output_print(&out, "%s", i > 0 ? "," : "");
        output_json_text(&out, r->argv[i]);
    }
    output_print(&out, "]}\n");
    int failed = output_close(&out, err);
    if (!failed) log_write(r, text, size);
    free(text);
    return failed;
}

/* The line of the last step made; val_loss only if it was evaluated, else NAN. */
static void log_step(Run *r, double val_loss)
{
    char line[400];
    if (r->log < 0) return;
    int n = snprintf(line, sizeof line, "{\"step\":%lld,\"seconds\":%.3f,\"tokens\":%.0f,\"loss\":%.9g,\"lr\":%.9g,"
                     "\"grad_norm\":%.9g,\"tokens_per_second\":%.1f", (long long)r->step, run_seconds(r),
                     (double)r->step * tokens_per_step(r), r->state.train_loss, plan_lr(&r->plan, r->step - 1),
                     r->state.grad_norm, r->step_seconds > 0 ? tokens_per_step(r) / r->step_seconds : 0);
    if (isfinite(val_loss)) n += snprintf(line + n, sizeof line - (size_t)n, ",\"val_loss\":%.9g", val_loss);
    n += snprintf(line + n, sizeof line - (size_t)n, "}\n");
    log_write(r, line, (size_t)n);
}

/* The length of what an existing log keeps when training goes on from `step`: whole lines before the first one of a
 * later step. *seconds: of the last step kept. */
static size_t log_kept(const char *text, size_t size, int64_t step, double *seconds)
{
    size_t kept = 0;
    while (kept < size) {
        const char *line = text + kept, *end = memchr(line, '\n', size - kept);
        char start[80];
        long long at = 0;
        double s = 0;
        if (end == NULL) break;
        snprintf(start, sizeof start, "%.79s", line);       /* sscanf looks for the end of all that is behind */
        if (sscanf(start, "{\"step\":%lld,\"seconds\":%lf", &at, &s) >= 1 && at > step) break;
        if (s > 0) *seconds = s;
        kept = (size_t)(end + 1 - text);
    }
    return kept;
}

/* Whether a file begins as log_start does: nothing else is overwritten. */
static bool is_log(const char *path)
{
    static const char start[] = "{\"folio\":";
    char seen[sizeof start] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0) return false;
    ssize_t n = read(fd, seen, sizeof start - 1);
    close(fd);
    return n == (ssize_t)sizeof start - 1 && strcmp(seen, start) == 0;
}

/* Cuts the log back to what is true at r->step. */
static int log_cut(const Run *r, double *seconds, Err *err)
{
    char *text = NULL;
    size_t size = 0;
    if (read_file(r->o->log, &text, &size, err)) return -1;
    size_t kept = log_kept(text, size, evaluation_due(r) ? r->step - 1 : r->step, seconds);
    free(text);
    if (truncate(r->o->log, (off_t)kept) == 0) return 0;
    return fail(err, EXIT_RUNTIME, "%s: the log cannot be cut back to step %lld: %s", r->o->log, (long long)r->step,
                strerror(errno));
}

static int log_open(Run *r, Err *err)
{
    const char *path = r->o->log;
    r->log = -1;
    if (path == NULL) return 0;
    struct stat info;
    bool exists = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
    if (exists && !r->o->resume && !r->o->overwrite)
        return fail(err, EXIT_USAGE, "%s: the log exists; --resume goes on with it, --overwrite replaces it", path);
    if (exists && !is_log(path))
        return fail(err, EXIT_USAGE, "%s: is not a log that train wrote; choose another --log", path);
    if (exists && r->resumed && log_cut(r, &r->seconds_before, err)) return -1;
    r->log = open(path, O_WRONLY | O_CREAT | O_APPEND | (r->resumed ? 0 : O_TRUNC), 0666);
    if (r->log < 0) return fail(err, EXIT_RUNTIME, "%s: the log cannot be opened: %s", path, strerror(errno));
    return 0;
}

static void log_close(Run *r)
{
    if (r->log >= 0 && close(r->log) != 0 && errno != EINTR) {
        complain(r, "the log cannot be closed: its end may be missing");
        r->log_failed = true;
    }
    r->log = -1;
}

/* ---------------------------------------------------------------- saving */

/* What is evaluated and kept: the average, or the weights themselves. */
static real *best_weights(const Run *r) { return r->optimizer.average != NULL ? r->optimizer.average : r->model.params; }

/* The stored text of an option: a field of the Config, or a setting. NULL: not stored. */
static const char *stored_value(const Checkpoint *c, const char *name, char *out, size_t room)
{
    const ConfigField *f;
    for (int i = 0; (f = config_field(i)) != NULL; i++)
        if (strcmp(f->name, name) == 0) {
            config_get(&c->config, f, out, room);
            return out;
        }
    return checkpoint_setting(c, name);
}

/* The settings that a checkpoint stores. */
static void store_settings(Run *r)
{
    const Options *o = r->o;
    char buffer[SETTING_TEXT];
    Checkpoint config_only = { .config = r->config };
    r->setting_count = 0;
    for (int i = 0; options[i].kind != OPT_END; i++) {
        Setting *s = &r->settings[r->setting_count];
        const char *name = options[i].name != NULL ? options[i].name + 2 : "";
        if (!(options[i].flags & STORED) || stored_value(&config_only, name, buffer, sizeof buffer) != NULL) continue;
        snprintf(s->name, sizeof s->name, "%s", name);
        cli_get_text(&options[i], o, s->value, sizeof s->value);
        s->is_number = options[i].kind == OPT_INT || options[i].kind == OPT_REAL;
        r->setting_count++;
    }
    Setting *s = &r->settings[r->setting_count++];          /* whether a sample may start from the separator */
    snprintf(s->name, sizeof s->name, "separators");
    snprintf(s->value, sizeof s->value, "%zu", r->corpus.train_separators);
    s->is_number = true;
}

/* What NAME.bin holds, or with `all` NAME.last.bin. */
static Snapshot snapshot(const Run *r, bool all)
{
    Snapshot s = {
        .config = &r->config, .tokenizer = &r->tokenizer, .settings = r->settings, .setting_count = r->setting_count,
        .step = (uint64_t)r->step, .sha256 = r->corpus.sha256, .tensors = r->model.tensors,
        .tensor_count = r->model.tensor_count, .params = best_weights(r), .history = &r->history,
    };
    if (all) {
        s.moment1 = r->optimizer.m;
        s.moment2 = r->optimizer.v;
        s.train = &r->state;
        if (r->optimizer.average != NULL) s.raw = r->model.params;
    }
    return s;
}

static int save_file(Run *r, const char *path, bool all, Err *err)
{
    Snapshot s = snapshot(r, all);
    return checkpoint_save(r->saver, &s, path, r->paths.temp, err);
}

static int diverged(const Run *r, Err *err)
{
    return fail(err, EXIT_DIVERGED, "the loss is no longer a number after step %lld; %s; try a smaller --lr (now %g)",
                (long long)r->step, r->has_best ? "the files of the last save are kept" : "nothing was saved yet", r->o->lr);
}

/* Saves NAME.last.bin (`all`, and in the first save of a run) and NAME.bin where it should hold the same weights: of the
 * best evaluation, or until this run has written it. In this order, so that NAME.bin never stands alone, and a run that is
 * killed between the two knows from its state that NAME.bin is due. A save that fails is one line, and the run goes on.
 * Only a state that is not finite is an error. */
static int save(Run *r, bool all, Err *err)
{
    Err why = { 0 };
    double start = clock_seconds();
    if (!isfinite(optimizer_norm(&r->optimizer, r->model.params))) return diverged(r, err);
    all = all || !r->has_best;
    r->save_failed = all && save_file(r, r->paths.last, true, &why) != 0;
    if (all && !r->save_failed) r->has_last = true;
    if (!r->save_failed && (r->best_due || !r->has_best || !r->has_val)) {
        r->save_failed = save_file(r, r->paths.best, false, &why) != 0;
        if (!r->save_failed) {
            r->has_best = true;
            r->best_due = false;
        }
    }
    if (r->save_failed) complain(r, why.msg);
    if (all) {
        r->saved = clock_seconds();
        r->last_save = r->saved - start;
    }
    return 0;
}

/* ---------------------------------------------------------------- evaluating */

static int history_reserve(Run *r, size_t room, Err *err)
{
    History *h = &r->history;
    if (room <= r->history_room) return 0;
    uint64_t *step = realloc(h->step, room * sizeof *step);
    if (step != NULL) h->step = step;
    double *train = realloc(h->train_loss, room * sizeof *train);
    if (train != NULL) h->train_loss = train;
    double *val = realloc(h->val_loss, room * sizeof *val);
    if (val != NULL) h->val_loss = val;
    if (step == NULL || train == NULL || val == NULL)
        return fail(err, EXIT_RUNTIME, "not enough memory for the history of the run");
    r->history_room = room;
    return 0;
}

/* Room for all evaluations of the run, unless they are very many. */
static int history_open(Run *r, Err *err)
{
    int64_t evaluations = r->o->steps / r->o->eval_every + 2;
    bool few = !steps_open(r) && evaluations < HISTORY_ROOM;
    return history_reserve(r, few ? (size_t)evaluations : HISTORY_ROOM, err);
}

static int history_add(Run *r, double val_loss, Err *err)
{
    History *h = &r->history;
    if (h->count == r->history_room && history_reserve(r, 2 * r->history_room + 64, err)) return -1;
    h->step[h->count] = (uint64_t)r->step;
    h->train_loss[h->count] = r->step > 0 ? r->state.train_loss : val_loss;
    h->val_loss[h->count++] = val_loss;
    return 0;
}

/* Scores the validation part. Neither a signal that comes first nor a loss that is not finite makes an evaluation. */
static int evaluate(Run *r, double *val_loss, Err *err)
{
    Part val = corpus_part(&r->corpus, PART_VAL);
    double start = clock_seconds();
    r->model.profile = NULL;                                /* all of it is one phase */
    model_use(&r->model, best_weights(r));
    Score score = r->o->eval_batches > 0
        ? evaluate_random(&r->scorer, val, rng_key((uint64_t)r->o->seed, r->state.attempt, (uint64_t)r->step, RNG_EVAL),
                          (size_t)(r->o->eval_batches * r->o->batch), r->config.context)
        : evaluate_full(&r->scorer, val, r->config.context, EVAL_CHARACTERS);
    model_use(&r->model, r->model.params);
    if (r->o->profile) r->model.profile = &r->profile;
    profile_mark(r->model.profile, PHASE_EVALUATION);
    r->last_evaluation = clock_seconds() - start;
    r->evaluating += r->last_evaluation;
    if (score.stopped) return 0;
    *val_loss = score_mean(score);
    r->lost = !isfinite(*val_loss);
    if (r->lost) return 0;
    if (history_add(r, *val_loss, err)) return -1;

    /* While updates are left out, these may be the weights that a return must undo. */
    bool sound = r->step > 0 && r->state.skipped == 0;
    r->best_due = sound && (r->state.best_step == 0 || *val_loss < r->state.best_loss);
    if (r->best_due) {
        r->held = r->state;
        r->state.best_loss = *val_loss;
        r->state.best_step = (uint64_t)r->step;
    }
    char loss[60];
    if (r->step == 0) snprintf(loss, sizeof loss, "              val %.4f", *val_loss);
    else snprintf(loss, sizeof loss, "train %.4f  val %.4f%s", r->state.train_loss, *val_loss, r->best_due ? " *" : "");
    if (!r->o->common.quiet) {
        show_progress(r, loss);
        fputc('\n', stderr);
        r->line_shown = 0;
    }
    if (stale_evaluations(r) == STALE_EVALUATIONS)
        SAY(r, "note: no improvement for %d evaluations; %s holds step %llu", STALE_EVALUATIONS, r->paths.best,
            (unsigned long long)r->state.best_step);
    return 0;
}

/* A sample of the model as it is, to standard error; where a text ends the next one begins. */
static void show_sample(Run *r)
{
    uint64_t key = rng_key((uint64_t)r->o->seed, r->state.attempt, (uint64_t)r->step, RNG_SAMPLE);
    int32_t id = knows_separator(r) ? SEPARATOR_ID : r->tokenizer.ids['\n'] >= 0 ? r->tokenizer.ids['\n'] : r->corpus.ids[0];
    if (knows_separator(r)) r->chooser.first = SEPARATOR_ID;
    decoder_reset(&r->decoder);
    model_use(&r->model, best_weights(r));
    clear_line(r);
    for (uint64_t i = 0; i < SAMPLE_LENGTH && id >= 0; i++) {
        char bytes[UTF8_MAX];
        id = chooser_pick(&r->chooser, decoder_step(&r->decoder, &id), key, i);
        if (id >= 0) fwrite(bytes, 1, (size_t)tokenizer_decode(&r->tokenizer, id, bytes), stderr);
    }
    model_use(&r->model, r->model.params);
    fputc('\n', stderr);
}

/* ---------------------------------------------------------------- where training starts from */

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* Copies the rows of characters that both vocabularies have. */
static void take_rows(const Run *r, const Tokenizer *old, const real *from, real *to, size_t cols)
{
    for (int id = 0; id < r->tokenizer.count; id++) {
        bool separator = id == SEPARATOR_ID && r->tokenizer.separator;
        int32_t was = separator ? (old->separator ? SEPARATOR_ID : -1) : old->ids[r->tokenizer.values[id]];
        if (was >= 0) memcpy(to + (size_t)id * cols, from + (size_t)was * cols, cols * sizeof *to);
    }
}

/* Names the characters that the checkpoint of --init-from lacks. */
static void show_new_characters(Run *r)
{
    enum { SHOWN = 8 };
    char list[400] = "", name[24];
    int count = 0;
    for (int id = 0; id < r->tokenizer.count; id++) {
        bool separator = id == SEPARATOR_ID && r->tokenizer.separator;
        if (separator ? r->from.tokenizer.separator : r->from.tokenizer.ids[r->tokenizer.values[id]] >= 0) continue;
        tokenizer_name(&r->tokenizer, id, name, sizeof name);
        if (count++ < SHOWN) snprintf(list + strlen(list), sizeof list - strlen(list), " %s", name);
    }
    if (count > 0)
        SAY(r, "note: %d character%s new to %s and start%s at random:%s%s", count, count == 1 ? " is" : "s are",
            r->o->init_from, count == 1 ? "s" : "", list, count > SHOWN ? " ..." : "");
}

/* The weights of --init-from over random ones: characters matched by value, positions up to the smaller context. */
static int take_weights(Run *r, Err *err)
{
    const Config *c = &r->from.config;
    size_t size = 0;
    int n = model_tensors(c, NULL, &size), failed = -1;
    Tensor *tensors = malloc((size_t)n * sizeof *tensors);
    real *flat = malloc(size * sizeof *flat);
    if (tensors == NULL || flat == NULL) {
        fail(err, EXIT_RUNTIME, "%s: not enough memory for its weights", r->o->init_from);
        goto out;
    }
    model_tensors(c, tensors, NULL);
    if (checkpoint_copy(&r->from, "", tensors, n, flat, err)) goto out;
    for (int i = 0; i < n; i++) {                           /* the same sizes, so the same tensors in the same order */
        const Tensor *from = &tensors[i], *to = &r->model.tensors[i];
        size_t rows = (size_t)(from->rows < to->rows ? from->rows : to->rows), cols = (size_t)to->cols;
        real *w = r->model.params + to->offset;
        if (from->by_symbol) take_rows(r, &r->from.tokenizer, flat + from->offset, w, cols);
        else memcpy(w, flat + from->offset, rows * cols * sizeof *w);
    }
    show_new_characters(r);
    checkpoint_close(&r->from);
    failed = 0;
out:
    free(tensors);
    free(flat);
    return failed;
}

/* Step 0: random weights, or those of another checkpoint. */
static int start(Run *r, Err *err)
{
    model_init(&r->model, (uint64_t)r->o->seed);
    if (r->o->init_from != NULL && take_weights(r, err)) return -1;
    if (r->optimizer.average != NULL) memcpy(r->optimizer.average, r->model.params, r->model.size * sizeof(real));
    return 0;
}

/* Copies the state of the run that is resumed, and drops the file. */
static int restore(Run *r, Err *err)
{
    Checkpoint *c = &r->from;
    const Tensor *t = r->model.tensors;
    int n = r->model.tensor_count;
    real *average = r->optimizer.average;
    if (checkpoint_copy(c, average ? "train.raw." : "", t, n, r->model.params, err)
        || (average && checkpoint_copy(c, "", t, n, average, err)) || checkpoint_copy(c, "optim.m.", t, n, r->optimizer.m, err)
        || checkpoint_copy(c, "optim.v.", t, n, r->optimizer.v, err))
        return -1;
    r->state = c->train;
    r->step = (int64_t)c->step;
    free(r->history.step);
    free(r->history.train_loss);
    free(r->history.val_loss);
    r->history = c->history;
    r->history_room = c->history.count;
    c->history = (History){ 0 };
    checkpoint_close(c);
    r->has_last = true;

    bool best = exists(r->paths.best), evaluations = r->state.best_step > 0;
    r->best_due = evaluations && r->state.best_step == (uint64_t)r->step;
    r->has_best = best && evaluations;                      /* without one, NAME.bin may be what --overwrite left */
    if (!best && evaluations && !r->best_due) {
        SAY(r, "note: there is no %s, so the best weights so far (step %llu) are lost", r->paths.best,
            (unsigned long long)r->state.best_step);
        r->state.best_step = 0;
    }
    return 0;
}

/* ---------------------------------------------------------------- training */

/* The plan from the options. Rates halve with every return. */
static void set_plan(Run *r)
{
    const Options *o = r->o;
    double share = ldexp(1, -(int)r->state.attempt);
    int64_t steps = steps_open(r) ? INT64_MAX : o->steps;
    r->plan = (TrainingPlan){ .optimizer = o->optimizer, .schedule = o->schedule, .ema = o->ema,
                              .decay_steps = o->decay_steps > 0 ? o->decay_steps : steps / 2,
                              .steps = steps, .warmup = o->warmup, .lr = o->lr * share, .min_lr = o->min_lr * share,
                              .beta1 = o->beta1, .beta2 = o->beta2, .weight_decay = o->weight_decay, .clip = o->clip };
    r->optimizer.plan = r->plan;
}

/* What the log says of later steps is no longer true. */
static void log_go_back(Run *r)
{
    Err why = { 0 };
    double unused;
    struct stat info;
    bool file = r->log >= 0 && fstat(r->log, &info) == 0 && S_ISREG(info.st_mode);
    if (!file || log_cut(r, &unused, &why) == 0) return;
    complain(r, why.msg);
    log_close(r);
    r->log_failed = true;
}

/* Back to the last save, or to the start if there is none, with half the rate and other windows and dropout.
 * EXIT_DIVERGED after RETURNS_MAX of these. */
static int go_back(Run *r, Err *err)
{
    uint64_t attempt = r->state.attempt + 1;
    if (attempt > RETURNS_MAX) return diverged(r, err);
    if (r->has_last) {
        if (checkpoint_load(&r->from, r->paths.last, err) || restore(r, err)) return -1;
    } else {
        memset(r->optimizer.m, 0, r->model.size * sizeof(real));
        memset(r->optimizer.v, 0, r->model.size * sizeof(real));
        r->state = (TrainState){ 0 };
        r->history.count = 0;
        r->step = 0;
        if (r->o->init_from != NULL && checkpoint_load(&r->from, r->o->init_from, err)) return -1;
        if (start(r, err)) return -1;
    }
    r->lost = false;
    r->state.attempt = attempt;
    r->state.skipped = 0;
    set_plan(r);
    SAY(r, "note: training diverged; back to step %lld with --lr %g (return %llu of %d)", (long long)r->step, r->plan.lr,
        (unsigned long long)attempt, RETURNS_MAX);
    log_go_back(r);
    return r->has_last ? save(r, true, err) : 0;            /* until there is one, what --overwrite replaces stays */
}

/* The update of this step is left out; after SKIPS_MAX of them the run goes back. */
static int skip_step(Run *r, Err *err)
{
    SAY(r, "note: the gradient of step %lld is not finite; its update is left out", (long long)r->step + 1);
    if (++r->state.skipped >= SKIPS_MAX) return go_back(r, err);
    r->step++;
    return 0;
}

/* One update, or what takes its place. Returns 0, 1 if a signal came before it was complete (nothing has changed then),
 * or -1. */
static int train_step(Run *r, Err *err)
{
    double start = clock_seconds(), sum = 0;
    int B = (int)r->o->batch, T = r->config.context;
    uint64_t seed = (uint64_t)r->o->seed, step = (uint64_t)r->step;
    Part part = corpus_part(&r->corpus, PART_TRAIN);
    if (r->o->sampling == SAMPLING_EPOCH)
        corpus_epoch_windows(part, rng_key(seed, r->state.attempt, 0, RNG_BATCH), step * (uint64_t)B, B, T, r->x, r->y);
    else
        corpus_random_windows(part, rng_key(seed, r->state.attempt, step, RNG_BATCH), B, T, r->x, r->y);
    model_zero_grads(&r->model);
    profile_mark(r->model.profile, PHASE_BATCH);
    for (int first = 0; first < B; first += r->model.slice) {
        if (stop_wanted()) return 1;
        size_t at = (size_t)first * (size_t)T;
        Slice s = { .x = r->x + at, .y = r->y + at, .T = T, .first = first, .batch = B };
        s.n = B - first < r->model.slice ? B - first : r->model.slice;
        s.dropout_key = rng_key(seed, r->state.attempt, step, RNG_DROPOUT);
        model_train_slice(&r->model, &s, &sum);
    }
    if (stop_wanted()) return 1;
    model_finish_grads(&r->model);
    profile_mark(r->model.profile, PHASE_EMBEDDING);
    double norm = optimizer_norm(&r->optimizer, r->model.grads);
    if (!isfinite(sum) || !isfinite(norm)) return skip_step(r, err);
    if (r->best_due) {                                      /* it could not be saved, and now these weights go */
        r->best_due = false;
        r->state.best_step = r->held.best_step;
        r->state.best_loss = r->held.best_loss;
    }
    profile_mark(r->model.profile, PHASE_CLIP);
    optimizer_step(&r->optimizer, r->step, norm, r->model.params, r->model.grads);
    profile_mark(r->model.profile, PHASE_OPTIMIZER);
    r->step++;
    r->made++;
    r->state.grad_norm = norm;
    r->state.skipped = 0;
    r->state.train_loss = sum / ((double)B * T);
    r->step_seconds = clock_seconds() - start;
    r->pace += (r->step_seconds - r->pace) * (r->pace > 0 ? 1.0 / 12 : 1);
    bool sound = isfinite(optimizer_norm(&r->optimizer, r->model.params));
    profile_mark(r->model.profile, PHASE_CLIP);
    return sound ? 0 : go_back(r, err);
}

/* Not while updates are left out, as in evaluate. */
static bool save_due(const Run *r)
{
    if (r->state.skipped > 0) return false;
    if (r->o->save_every > 0) return r->step % r->o->save_every == 0;
    return clock_seconds() - r->saved >= SAVE_SECONDS;
}

/* Evaluates, samples, logs and saves what is due after r->step updates. `made`: the last of them was made just now. */
static int after_step(Run *r, bool made, Err *err)
{
    double val_loss = (double)NAN;
    bool due = evaluation_due(r);
    if (due && evaluate(r, &val_loss, err)) return -1;
    if (due && !evaluated(r)) return 0;                     /* the line of this step is written when it is evaluated */
    if (r->step > 0 && (made || due)) log_step(r, val_loss);
    if (r->step == 0 && isfinite(val_loss)) {
        char line[80];
        log_write(r, line, (size_t)snprintf(line, sizeof line, "{\"step\":0,\"val_loss\":%.9g}\n", val_loss));
    }
    if (r->o->sample_every > 0 && made && r->step % r->o->sample_every == 0 && !r->o->common.quiet) show_sample(r);
    /* With the best weights their state: a return must not lead behind what NAME.bin holds. */
    if ((r->best_due || (made && save_due(r))) && save(r, true, err)) return -1;
    live_line(r);
    return 0;
}

/* A timed run keeps its rate until what is left of the time is just what the decay costs, the evaluations that fall into
 * it, and the last evaluation and save. From then on --steps and --decay-steps are settled, and stored. */
static void plan_end(Run *r)
{
    Options *o = r->o;
    double now = clock_seconds(), left = r->deadline - now - r->last_evaluation - 2 * r->last_save;
    double step = (now - r->started - r->evaluating) / (double)r->made;         /* with its share of saves and samples */
    int64_t fit = left > 0 ? (int64_t)(left / step) : 0;
    int64_t evaluations = (r->step + fit) / o->eval_every - r->step / o->eval_every;
    left -= (double)evaluations * r->last_evaluation;
    fit = left > 0 ? (int64_t)(left / step) : 0;
    bool falls = o->schedule == SCHEDULE_WSD;
    int64_t decay = !falls ? 0 : o->decay_steps > 0 ? o->decay_steps : (r->step + fit) / 2;
    if (fit > decay) return;
    o->steps = r->step + fit;
    if (falls) o->decay_steps = fit > 0 ? fit : 1;          /* the first step of a decay still has the whole rate */
    r->planned_step = step;
    set_plan(r);
    store_settings(r);
}

/* Updates until the steps are made, --stop-at or --patience says so, or a signal comes. */
static int train_loop(Run *r, Err *err)
{
    for (bool made = false;;) {
        if (after_step(r, made, err)) return -1;
        profile_mark(r->model.profile, PHASE_SAVE);
        if (r->lost) {
            if (go_back(r, err)) return -1;
            made = false;
            continue;
        }
        if (stop_wanted() || all_steps_made(r) || (r->o->stop_at > 0 && r->step >= r->o->stop_at)) return 0;
        if (out_of_patience(r)) {
            SAY(r, "note: ends after %lld evaluations without improvement", (long long)r->o->patience);
            return 0;
        }
        int64_t before = r->step;
        int failed = train_step(r, err);
        if (failed != 0) return failed < 0 ? -1 : 0;
        made = r->step > before;
        if (steps_open(r) && made) plan_end(r);
    }
}

static void print_result(const Run *r, Output *out)
{
    const History *h = &r->history;
    output_print(out, "{\"steps\":%lld,\"seconds\":%.3f,\"train_loss\":", (long long)r->step, run_seconds(r));
    output_json_real(out, r->step > 0 ? r->state.train_loss : (double)NAN);
    output_print(out, ",\"val_loss\":");
    output_json_real(out, h->count > 0 ? h->val_loss[h->count - 1] : (double)NAN);
    output_print(out, ",\"best_step\":%llu,\"best_val_loss\":", (unsigned long long)r->state.best_step);
    output_json_real(out, r->state.best_step > 0 ? r->state.best_loss : (double)NAN);
    output_print(out, ",\"parameters\":%zu,\"checkpoint\":", model_parameters(&r->config));
    output_json_text(out, r->paths.best);
    output_print(out, "}\n");
}

/* How well a timed run kept its time and, where it did not, why; the command that repeats it. */
static int show_end(Run *r, Err *err)
{
    double given = r->deadline - r->begun, late = clock_seconds() - r->deadline;
    if (fabs(late) <= deadline_tolerance * given)
        SAY(r, "done in %.1f of %.1f seconds", given + late, given);
    else
        SAY(r, "done in %.1f of %.1f seconds, %.0f%% %s: a step took %.1f ms before the rate fell and %.1f ms at the end",
            given + late, given, fabs(late) / given * 100, late > 0 ? "late" : "early", r->planned_step * 1e3, r->pace * 1e3);
    return show_repeat_command(r, err);
}

/* Seconds and share of every phase since training began. */
static void show_profile(Run *r)
{
    double sum = 0;
    profile_mark(r->model.profile, PHASE_SAVE);
    for (int i = 0; i < PHASES; i++) sum += r->profile.seconds[i];
    SAY(r, "where %.1f seconds went:", sum);
    for (int i = 0; i < PHASES; i++)
        SAY(r, "  %-44s %10.3f s %7.4f", phase_names[i], r->profile.seconds[i], r->profile.seconds[i] / sum);
}

/* `finished`: the run had all its steps before this start. */
static int finish(Run *r, bool finished, Output *out, Err *err)
{
    if ((!finished || r->best_due || !r->has_best) && save(r, !finished, err)) return -1;
    log_close(r);
    if (r->o->profile && !finished) show_profile(r);
    if (r->save_failed)
        return fail(err, EXIT_RUNTIME, "the last save failed; free some space and go on with --resume");
    if (stop_wanted()) {
        SAY(r, "stopped after step %lld; %s is saved", (long long)r->step, r->paths.last);
        show_resume_command(r);
        return 0;
    }
    if (!all_steps_made(r)) show_resume_command(r);
    SAY(r, "%s: step %llu%s", r->paths.best,
        (unsigned long long)(r->state.best_step > 0 ? r->state.best_step : (uint64_t)r->step),
        r->state.best_step > 0 ? ", the best evaluation" : "");
    if (r->planned_step > 0 && show_end(r, err)) return -1;
    if (r->o->common.json) print_result(r, out);
    if (r->log_failed) return fail(err, EXIT_RUNTIME, "%s: the log is incomplete", r->o->log);
    return 0;
}

/* ---------------------------------------------------------------- before the first step */

/* Whether --minutes rules this start: it is given, or nothing else says how long. */
static bool is_timed(const Run *r)
{
    if (cli_given(&cli, r->o, "--minutes")) return true;
    return !r->resumed && !cli_given(&cli, r->o, "--preset") && !cli_given(&cli, r->o, "--steps");
}

/* Sets the deadline of a timed run, whose number of steps is open. */
static int set_deadline(Run *r, Err *err)
{
    if (!is_timed(r)) {
        if (!steps_open(r)) return 0;
        return fail(err, EXIT_USAGE, "%s: is of a timed run that has not settled its steps yet; say how long it may go on, "
                    "with --minutes X or --steps N", r->paths.last);
    }
    if (cli_given(&cli, r->o, "--steps"))
        return fail(err, EXIT_USAGE, "--minutes and --steps: only one of them can say when training ends");
    bool settled = r->resumed || cli_given(&cli, r->o, "--schedule");
    if (settled && (r->o->schedule == SCHEDULE_COSINE || r->o->schedule == SCHEDULE_LINEAR))
        return fail(err, EXIT_USAGE, "--minutes: needs --schedule wsd or constant, because the other schedules must know the "
                    "number of steps in advance");
    r->deadline = r->begun + 60 * r->o->minutes;
    if (!steps_open(r) && r->resumed) r->o->decay_steps = 0;
    r->o->steps = 0;
    return 0;
}

/* Checks a setting that is given again, and takes the stored one over. */
static int take_setting(Run *r, int row, const char *stored, const Options *asked, bool was_asked, Err *err)
{
    char value[SETTING_TEXT];
    const Option *option = &options[row];
    cli_get_text(option, asked, value, sizeof value);
    bool more_steps = strcmp(option->name, "--steps") == 0 && was_asked && r->o->steps > strtoll(stored, NULL, 10);
    if (more_steps) return 0;
    if (strcmp(option->name, "--steps") == 0 && strcmp(stored, "0") == 0) {     /* open, which no user can ask for */
        r->o->steps = 0;
        return 0;
    }
    if (was_asked && strcmp(value, stored) != 0)
        return fail(err, EXIT_USAGE, "%s %s: the run in %s has %s; leave the option out, or start anew with --overwrite",
                    option->name, value, r->paths.last, stored);
    if (cli_set_text(option, r->o, stored, err))
        return fail(err, EXIT_CHECKPOINT, "%s: is not sound: its setting %s is %.60s", r->paths.last, option->name + 2, stored);
    return 0;
}

/* Whether an explicitly given preset names the option. */
static bool preset_names(const Run *r, const char *option)
{
    if (!cli_given(&cli, r->o, "--preset")) return false;
    for (const PresetValue *v = cli_preset(&cli, r->o->preset)->values; v->name != NULL; v++)
        if (strcmp(v->name, option) == 0) return true;
    return false;
}

/* The sizes of --init-from: what is given again must agree, but for the context, which may shrink, and dropout. */
static int open_init(Run *r, Err *err)
{
    if (checkpoint_load(&r->from, r->o->init_from, err)) return -1;
    r->o->bytes = r->from.tokenizer.bytes;
    Options asked = *r->o;
    const ConfigField *f;
    for (int i = 0; (f = config_field(i)) != NULL; i++) {
        char name[SETTING_TEXT], stored[SETTING_TEXT], value[SETTING_TEXT];
        snprintf(name, sizeof name, "--%s", f->name);
        config_get(&r->from.config, f, stored, sizeof stored);
        int row = cli_find(&cli, name, strlen(name));
        if (row < 0) continue;
        cli_get_text(&options[row], &asked, value, sizeof value);
        bool given = asked.given[row];
        bool shorter = strcmp(name, "--context") == 0 && asked.context <= r->from.config.context;
        if (given && (shorter || strcmp(name, "--dropout") == 0)) continue;
        if (given && strcmp(value, stored) != 0)
            return fail(err, EXIT_USAGE, "%s %s: %s has %s; leave the option out", name, value, r->o->init_from, stored);
        if (cli_set_text(&options[row], r->o, stored, err)) return -1;
    }
    const char *documents = checkpoint_setting(&r->from, "split-documents");
    bool split = documents != NULL && strcmp(documents, "off") != 0;
    if (split && !cli_given(&cli, r->o, "--split-documents"))       /* a matter of the text, and this is another one */
        SAY(r, "note: %s was trained with --split-documents %s, this run is not", r->o->init_from, documents);
    return 0;
}

static int take_settings(Run *r, Err *err)
{
    Options asked = *r->o;
    for (int i = 0; options[i].kind != OPT_END; i++) {
        char buffer[SETTING_TEXT];
        if (!(options[i].flags & STORED)) continue;
        const char *stored = stored_value(&r->from, options[i].name + 2, buffer, sizeof buffer);
        if (stored == NULL && (options[i].flags & LATER)) stored = options[i].text;
        if (stored == NULL)
            return fail(err, EXIT_CHECKPOINT, "%s: lacks the setting %s", r->paths.last, options[i].name + 2);
        bool reduced = strcmp(options[i].name, "--context") == 0 && strtoll(stored, NULL, 10) < asked.context;
        bool was_asked = asked.given[i] || (preset_names(r, options[i].name) && !reduced);
        if (take_setting(r, i, stored, &asked, was_asked, err)) return -1;
    }
    return 0;
}

/* Loads what --resume goes on from, or sees that nothing is in the way. */
static int open_files(Run *r, Err *err)
{
    const RunPaths *p = &r->paths;
    bool best = exists(p->best), last = exists(p->last);
    if (!r->o->resume) {
        if ((best || last) && !r->o->overwrite)
            return fail(err, EXIT_USAGE, "%s%s%s: in the way; --resume goes on with them, --overwrite replaces them",
                        best ? p->best : "", best && last ? " and " : "", last ? p->last : "");
        return r->o->init_from != NULL ? open_init(r, err) : 0;
    }
    if (!last && best)
        return fail(err, EXIT_USAGE, "%s is there but %s is not, and only that can be resumed; to train its weights "
                    "further, start anew with --init-from %s --out OTHER", p->best, p->last, p->best);
    if (!last) {
        SAY(r, "note: there is no %s; starting at step 0", p->last);
        return r->o->init_from != NULL ? open_init(r, err) : 0;
    }
    if (checkpoint_load(&r->from, p->last, err)) return -1;
    if (!r->from.has_train)
        return fail(err, EXIT_CHECKPOINT, "%s: holds weights only, so it cannot be resumed", p->last);
    if (take_settings(r, err)) return -1;
    if (!steps_open(r) && r->from.step > (uint64_t)r->o->steps)
        return fail(err, EXIT_CHECKPOINT, "%s: is not sound: it is at step %llu of %lld", p->last,
                    (unsigned long long)r->from.step, (long long)r->o->steps);
    r->resumed = true;
    r->tokenizer = r->from.tokenizer;
    r->from.tokenizer = (Tokenizer){ 0 };
    return 0;
}

static int open_text(Run *r, Err *err)
{
    CorpusOptions co = { .bytes = r->o->bytes, .separator = r->o->separator != 0, .unknown = UNKNOWN_FAILS,
                         .documents = (Documents)r->o->split_documents, .val_fraction = r->o->val_fraction };
    if (co.documents != DOCUMENTS_OFF && !co.separator)
        return fail(err, EXIT_USAGE, "--split-documents needs a separator, and there is none; give --separator on, too");
    if (r->resumed) co.unknown = UNKNOWN_SKIPPED;           /* another text is found out by its digest */
    if (corpus_open(&r->corpus, &r->tokenizer, &co, r->texts->items, r->texts->count, err)) return -1;
    if (r->resumed && strcmp(r->corpus.sha256, r->from.sha256) != 0)
        return fail(err, EXIT_USAGE, "%s: not the text that %s was trained on; to train its weights on another text, "
                    "start anew with --init-from", r->corpus.read, r->paths.last);
    Part val = corpus_part(&r->corpus, PART_VAL);
    if (train_characters(r) < 2)
        return fail(err, EXIT_TEXT, "%s: the training part has %zu characters, and training needs at least 2",
                    r->corpus.read, train_characters(r));
    for (size_t i = 1; i < val.count && !r->has_val; i++)
        r->has_val = !r->tokenizer.separator || val.ids[i] != SEPARATOR_ID;
    return 0;
}

/* A context that nobody asked for shrinks to what the training part can fill. */
static int fit_context(Run *r, Err *err)
{
    Part train = corpus_part(&r->corpus, PART_TRAIN);
    if ((size_t)r->o->context <= train.count - 1) return 0;
    if (cli_given(&cli, r->o, "--context"))
        return fail(err, EXIT_TEXT, "%s: the training part has %zu characters, so --context can be at most %zu, not %lld",
                    r->corpus.read, train.count, train.count - 1, (long long)r->o->context);
    SAY(r, "note: context %lld reduced to %zu, because the training part has %zu characters", (long long)r->o->context,
        train.count - 1, train.count);
    r->o->context = (int64_t)(train.count - 1);
    return 0;
}

static int set_config(Run *r, Err *err)
{
    const ConfigField *f;
    r->config = (Config){ 0 };
    for (int i = 0; (f = config_field(i)) != NULL; i++) {
        char name[SETTING_TEXT], value[SETTING_TEXT];
        snprintf(name, sizeof name, "--%s", f->name);
        int row = cli_find(&cli, name, strlen(name));
        if (row < 0) continue;
        cli_get_text(&options[row], r->o, value, sizeof value);
        if (config_set(&r->config, f, value)) return fail(err, EXIT_USAGE, "%s %s: out of range", name, value);
    }
    r->config.vocab = r->tokenizer.count;
    config_complete(&r->config);
    return config_check(&r->config, err);
}

/* ---------------------------------------------------------------- what --minutes chooses */

/* Floating-point operations a second of this machine, from training steps of a model of middle size. */
static int measure(Run *r, double *flops, Err *err)
{
    enum { BATCH = 8, CONTEXT = 128 };
    Config c = { .family = FAMILY_QWEN3, .layers = 4, .heads = 4, .channels = 128, .context = CONTEXT, .vocab = 65 };
    static const int32_t ids[BATCH * CONTEXT];              /* the values do not change the time */
    Model m = { 0 };
    config_complete(&c);
    Slice s = { .x = ids, .y = ids, .T = CONTEXT, .batch = BATCH, .n = model_slice(&c, cache_bytes(), BATCH) };
    if (model_open(&m, &c, r->kernels, MODEL_TRAIN, s.n, err)) return -1;
    double loss = 0, tokens = 0;
    model_train_slice(&m, &s, &loss);                       /* wakes the threads and touches the memory */
    double start = clock_seconds(), seconds = 0, least = fmin(measure_most, measure_share * 60 * r->o->minutes);
    for (; seconds < least; seconds = clock_seconds() - start, tokens += s.n * CONTEXT)
        model_train_slice(&m, &s, &loss);
    *flops = tokens * model_flops_per_token(&c, CONTEXT) / seconds;
    model_close(&m);
    return 0;
}

/* Whether the command line, its preset or the file of --init-from has settled an option. */
static bool stands(const Run *r, const char *option)
{
    char value[CLI_WORD];
    Checkpoint sizes = { .config = r->from.config };
    bool size = r->o->init_from != NULL && stored_value(&sizes, option + 2, value, sizeof value) != NULL;
    return size || cli_given(&cli, r->o, option) || preset_names(r, option);
}

/* Takes over the values of what is not settled. */
static int adopt(Run *r, const PresetValue *values, Err *err)
{
    for (const PresetValue *v = values; v->name != NULL; v++)
        if (!stands(r, v->name) && cli_set_text(&options[cli_find(&cli, v->name, strlen(v->name))], r->o, v->value, err))
            return -1;
    return 0;
}

/* Heads that suit the channels, or channels that suit the heads, where only one of them is settled. */
static void fit_heads(Run *r)
{
    Options *o = r->o;
    if (o->head_size > 0 || stands(r, "--heads") == stands(r, "--channels")) return;
    if (stands(r, "--heads")) {
        o->channels = (o->channels + 2 * o->heads - 1) / (2 * o->heads) * (2 * o->heads);
        return;
    }
    o->heads = o->channels >= HEAD_CHANNELS ? o->channels / HEAD_CHANNELS : 1;
    if (o->heads > HEADS_MAX) o->heads = HEADS_MAX;
    while (o->heads > 1 && o->channels % (2 * o->heads) != 0) o->heads--;
}

/* Upwards to two digits: 1234 -> 1300. */
static int64_t two_digits(double x)
{
    double unit = x > 10 ? pow(10, floor(log10(x)) - 1) : 1;
    return (int64_t)(ceil(x / unit) * unit);
}

/* Model, batch, rate and regularisation of a timed run, from this machine's speed and the length of the text. */
static int choose(Run *r, Err *err)
{
    Options *o = r->o;
    Part val = corpus_part(&r->corpus, PART_VAL);
    size_t characters = train_characters(r);
    double rate = 0;
    if (measure(r, &rate, err)) return -1;
    double flops = rate * (r->deadline - clock_seconds());
    if (adopt(r, budget_common, err) || adopt(r, budget_size(flops, characters), err)) return -1;
    if (o->optimizer == OPTIMIZER_ADAMW && !stands(r, "--lr")) o->lr *= adamw_share;
    fit_heads(r);
    if (fit_context(r, err) || set_config(r, err)) return -1;

    double tokens = flops / model_flops_per_token(&r->config, r->config.context), batch = (double)(o->batch * o->context);
    if (adopt(r, budget_regularisation(tokens / (double)characters), err)) return -1;
    double scored = val.count < EVAL_CHARACTERS ? (double)val.count : EVAL_CHARACTERS;
    char every[24];
    snprintf(every, sizeof every, "%lld",
             (long long)two_digits(fmax(scored / 3 / batch * EVAL_SHARE, tokens / batch / EVALS_MAX)));
    return adopt(r, (const PresetValue[]){ { "--eval-every", every }, { NULL, NULL } }, err);
}

/* Bytes that a run takes, a checkpoint that it starts from included. EXIT_RUNTIME if there is less. */
static int check_memory(const Run *r, int slice, size_t windows, double *memory, Err *err)
{
    const Config *c = &r->config;
    size_t size = 0;
    int n = model_tensors(c, NULL, &size);
    Tensor *tensors = malloc((size_t)n * sizeof *tensors);
    if (tensors == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the table of tensors");
    model_tensors(c, tensors, NULL);
    double optimizer = (double)optimizer_bytes(&r->plan, r->kernels, tensors, n, size);
    free(tensors);
    *memory = (double)model_bytes(c, r->kernels, MODEL_TRAIN, slice) + optimizer + (double)r->from.size
            + (double)r->corpus.count * sizeof(int32_t) + 2.0 * (double)windows * sizeof(int32_t);
    return memory_check(*memory, err);
}

/* Everything that takes memory, after a check that it is there. */
static int open_memory(Run *r, double *memory, Err *err)
{
    const Options *o = r->o;
    const Config *c = &r->config;
    size_t windows = (size_t)o->batch * (size_t)c->context;
    int slice = o->slice > 0 ? (int)(o->slice < o->batch ? o->slice : o->batch) : model_slice(c, cache_bytes(), (int)o->batch);
    if (check_memory(r, slice, windows, memory, err)) return -1;
    if (model_open(&r->model, c, r->kernels, MODEL_TRAIN, slice, err)) return -1;
    if (optimizer_open(&r->optimizer, &r->plan, r->kernels, r->model.tensors, r->model.tensor_count, r->model.size, err)
        || scorer_open(&r->scorer, &r->model, 1, r->tokenizer.separator, err))
        return -1;
    Snapshot s = snapshot(r, true);
    if (saver_open(&r->saver, &s, err)) return -1;
    r->scorer.stop = stop_wanted;
    r->x = malloc(windows * sizeof *r->x);
    r->y = malloc(windows * sizeof *r->y);
    if (r->x == NULL || r->y == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for a batch");
    if (o->sample_every > 0 && (decoder_open(&r->decoder, &r->model, 1, err) || chooser_open(&r->chooser, &r->tokenizer, err)))
        return -1;
    return 0;
}

static void close_run(Run *r)
{
    if (r->log >= 0) close(r->log);
    free(r->x);
    free(r->y);
    free(r->history.step);
    free(r->history.train_loss);
    free(r->history.val_loss);
    saver_close(r->saver);
    chooser_close(&r->chooser);
    decoder_close(&r->decoder);
    scorer_close(&r->scorer);
    optimizer_close(&r->optimizer);
    model_close(&r->model);
    corpus_close(&r->corpus);
    tokenizer_close(&r->tokenizer);
    checkpoint_close(&r->from);
    if (r->lock >= 0) run_unlock(&r->paths, r->lock);
}

static int run(Run *r, Output *out, Err *err)
{
    double memory = 0;
    if (run_paths(&r->paths, r->o->out, err)) return -1;
    r->lock = run_lock(&r->paths, err);
    if (r->lock < 0 || open_files(r, err) || set_deadline(r, err) || open_text(r, err)) return -1;
    if (r->deadline > 0 && !r->resumed ? choose(r, err) : fit_context(r, err)) return -1;
    if (set_config(r, err)) return -1;
    set_plan(r);
    store_settings(r);
    if (open_memory(r, &memory, err)) return -1;
    if ((r->resumed ? restore(r, err) : start(r, err)) || history_open(r, err)) return -1;
    set_plan(r);
    if (log_open(r, err)) return -1;
    show_header(r, memory);
    r->started = r->saved = r->profile.last = clock_seconds();
    if (r->o->profile) r->model.profile = &r->profile;
    if (r->resumed) SAY(r, "resumed after step %lld", (long long)r->step);
    bool finished = r->resumed && all_steps_made(r) && !evaluation_due(r);
    if (finished) SAY(r, "the run is finished; a larger --steps makes it go on");
    catch_signals();
    if (!finished && (log_start(r, err) || train_loop(r, err))) return -1;
    return finish(r, finished, out, err);
}

static int train(const Call *call, Output *out, Err *err)
{
    Options *o = call->options;
    Run *r = calloc(1, sizeof *r);              /* too large for a small stack */
    if (r == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for a run");
    r->o = o;
    r->argc = call->argc;
    r->argv = call->argv;
    r->texts = call->operands;
    r->begun = call->begun;
    r->lock = r->log = -1;
    r->moving_line = terminal_moves(STDERR_FILENO);
    r->kernels = call->kernels;
    int failed = run(r, out, err);
    close_run(r);
    free(r);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    int status = program_main(&cli, &o, train, argc, argv);
    if (status == EXIT_SUCCESS && stop_signal != 0) {
        signal((int)stop_signal, SIG_DFL);
        raise((int)stop_signal);
    }
    return status;
}
