/* test_cli.c: tables of options, the pages made from them and the way from argv to the exit status
 * (cli/); what the machine says about itself (system/machine.h).
 *
 *     make build/o/test_cli && build/o/test_cli
 */
#include "../../base.h"
#include "../../tokenizer.h"
#include "../../cli/program.h"
#include "../../system/machine.h"
#include "check.h"

#include <sys/wait.h>

typedef struct {
    int64_t steps, seed, size;
    double lr, share;
    const char *out, *preset;
    int schedule, bias, colour;
    bool bytes, quiet, given[CLI_ROWS];
    About about;
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    HEADING("Training"),
    INT("steps", steps, "100", 0, 1e9, "updates", ON_RESUME | STORED),
    INT("seed", seed, "1", 0, 9e15, "same seed, same numbers", STORED),
    REAL("lr", lr, "1e-3", 0, 1e6, "learning rate", STORED),
    REAL("share", share, "0.1", -1, 0.9, "a number that may be negative", STORED),
    WORD("schedule", schedule, "cosine", "cosine|linear|constant",
         "how the rate falls, with a help text that is long enough to need a second and "
         "even a third line", STORED),
    WORD("bias", bias, "off", "off|on", "biases", STORED),
    STRING("out", "FILE", out, "ckpt.bin", "where to", ON_RESUME),
    PRESET("preset", preset, "quick", "values to start from"),
    SWITCH("bytes", bytes, "bytes", STORED),
    SWITCH("quiet", quiet, "errors only", ON_RESUME),
    WORD("colour", colour, "auto", "auto|always", "colours"),
    INT("size", size, "40", 0, 1000, "a number that suits the text", CHOSEN | STORED),
    ABOUT_ROWS(about),
    { 0 }
};
#undef AT

static const Preset presets[] = {
    { "quick", "a short run", { { "--steps", "7" }, { "--lr", "0.5" }, { NULL, NULL } } },
    { "large", "a long run, with many values",
      { { "--steps", "1e6" }, { "--schedule", "linear" }, { "--bias", "on" }, { "--share", "0.25" },
        { "--seed", "1234567890" }, { "--lr", "0.000123" }, { NULL, NULL } } },
    { NULL, NULL, { { NULL, NULL } } }
};

static const Cli cli = {
    .program = "test", .operands = "TEXT...", .least = 0, .most = ANY_NUMBER,
    .summary = "Does nothing, in a sentence that is long enough to show that the summary is "
               "wrapped.",
    .options = options, .presets = presets, .given = offsetof(Options, given)
};

#define GIVEN(o, field) CLI_GIVEN(&cli, o, Options, field)

enum { WORDS_MAX = 16 };

/* Parses a command line written as one string with single spaces; "_" stands for an empty word. */
static int parse(const char *line, Options *o, Operands *operands, Err *err)
{
    static char storage[400];
    static char empty[1] = "";
    char *argv[WORDS_MAX + 1] = { storage };
    int argc = 0;
    snprintf(storage, sizeof storage, "test %s", line);
    char *word = strtok(storage, " ");
    for (; word != NULL && argc < WORDS_MAX; word = strtok(NULL, " "))
        argv[argc++] = strcmp(word, "_") == 0 ? empty : word;
    memset(o, 0, sizeof *o);
    memset(err, 0, sizeof *err);
    return cli_parse(&cli, argc, argv, o, operands, err);
}

static void test_forms(void)
{
    Options o;
    Operands p = { 0 };
    Err err;
    CHECK(parse("", &o, &p, &err) == 0, "%s", err.msg);
    CHECK(o.steps == 7 && o.lr == 0.5 && o.seed == 1, "the default preset beats defaults");
    CHECK(strcmp(o.out, "ckpt.bin") == 0 && !o.bytes && p.count == 0, "defaults");
    CHECK(!GIVEN(&o, steps), "a preset's value is not given");
    operands_close(&p);

    CHECK(parse("a --steps 5 b --lr=0.25 --bytes c --out --steps -", &o, &p, &err) == 0, "%s",
          err.msg);
    CHECK(o.steps == 5 && o.lr == 0.25 && o.bytes, "--name value, --name=value, switch");
    CHECK(strcmp(o.out, "--steps") == 0, "a value may look like an option: %s", o.out);
    CHECK(p.count == 4 && strcmp(p.items[0], "a") == 0 && strcmp(p.items[1], "b") == 0
          && strcmp(p.items[2], "c") == 0 && strcmp(p.items[3], "-") == 0, "operands in order");
    CHECK(GIVEN(&o, steps) && GIVEN(&o, bytes) && GIVEN(&o, out), "given");
    CHECK(!GIVEN(&o, seed) && !GIVEN(&o, preset), "not given");
    CHECK(!cli_given_at(&cli, &o, 0) == !GIVEN(&o, steps), "a heading has no field");
    CHECK(!GIVEN(&o, given), "a field without an option");
    operands_close(&p);

    CHECK(parse("--quiet -- --steps --", &o, &p, &err) == 0, "%s", err.msg);
    CHECK(o.quiet && p.count == 2 && strcmp(p.items[0], "--steps") == 0, "-- ends the options");
    operands_close(&p);

    CHECK(parse("--steps 1 --steps 2 --steps=3", &o, &p, &err) == 0 && o.steps == 3,
          "the last one wins");
    operands_close(&p);
    CHECK(parse("--out= x", &o, &p, &err) == 0 && o.out[0] == '\0' && p.count == 1,
          "--name= is empty");
    operands_close(&p);
    CHECK(parse("-h --nonsense", &o, &p, &err) == 0 && o.about.help, "-h ends parsing at once");
    operands_close(&p);

    char *none[] = { NULL };
    memset(&o, 0, sizeof o);
    CHECK(cli_parse(&cli, 0, none, &o, &p, &err) == 0 && p.count == 0 && o.steps == 7, "argc == 0");
    operands_close(&p);
}

/* Which options are reported as given twice with different values. */
static void test_twice(void)
{
    static const struct { const char *line, *rows; } cases[] = {
        { "--steps 1 --steps 2", "--steps" }, { "--steps 1 --steps=1", "" },
        { "--steps 1000 --steps 1e3", "" }, { "--steps 1 --steps 2 --steps 2", "--steps" },
        { "--steps 1 --steps 2 --steps 1", "--steps" }, { "--lr 0.1 --lr 1e-1", "" },
        { "--lr 0.1 --lr 0.10000000000000002", "--lr" }, { "--bytes --bytes", "" },
        { "--out a --seed 1 --out b --lr 2 --seed 2", "--seed--out" }, { "--out a --out a", "" },
        { "--out _ --out a", "--out" }, { "--colour auto --color always", "--colour" },
        { "--preset quick --preset large", "--preset" }, { "--preset large --steps 3", "" },
        { "--schedule linear --schedule linear", "" }, { "--steps 100", "" },
        { "--bias on --bias off", "--bias" },
    };
    Operands p = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Options o;
        Err err;
        char rows[200] = "";
        CHECK(parse(cases[i].line, &o, &p, &err) == 0, "%s: %s", cases[i].line, err.msg);
        for (const Option *row = options; row->kind != OPT_END; row++)
            if (p.twice[row - options] && row->name != NULL)
                snprintf(rows + strlen(rows), sizeof rows - strlen(rows), "%s", row->name);
        CHECK(strcmp(rows, cases[i].rows) == 0, "%s: %s", cases[i].line, rows);
        operands_close(&p);
    }
}

/* An option that may be given several times, between others. */
static void test_many(void)
{
    typedef struct { const char *out; Strings stop; int64_t n; bool given[CLI_ROWS]; } Repeated;
#define AT(field) offsetof(Repeated, field)
    static const Option rows[] = {
        STRING("out", "S", out, "o", "one"), STRING("stop", "S", stop, NULL, "several", MANY),
        INT("n", n, "1", 0, 9, "a number"), { 0 }
    };
#undef AT
    char program[] = "many", stop[] = "--stop", a[] = "a", b[] = "--stop=b", n[] = "--n=2";
    char *argv[2 * CLI_MANY + 4] = { program, stop, a, n, b, stop, stop, b };
    Cli c = { .program = program, .operands = "", .options = rows };
    Repeated o = { .n = 0 };
    Operands p = { 0 };
    Err err = { 0 };
    char text[20];
    c.given = offsetof(Repeated, given);
    CHECK(cli_parse(&c, 8, argv, &o, &p, &err) == 0, "%s", err.msg);
    CHECK(o.stop.count == 4 && strcmp(o.stop.items[0], "a") == 0
          && strcmp(o.stop.items[1], "b") == 0 && strcmp(o.stop.items[2], "--stop") == 0
          && strcmp(o.stop.items[3], "b") == 0, "%d values, in order", o.stop.count);
    CHECK(o.n == 2 && strcmp(o.out, "o") == 0 && !p.twice[1] && o.given[1], "and the others");
    cli_get_text(&rows[1], &o, text, sizeof text);
    CHECK(strcmp(text, "b") == 0, "the last one as text: %s", text);
    operands_close(&p);

    for (int i = 0; i < CLI_MANY + 1; i++) argv[i + 1] = b;
    o = (Repeated){ .n = 0 };
    CHECK(cli_parse(&c, CLI_MANY + 1, argv, &o, &p, &err) == 0 && o.stop.count == CLI_MANY, "%s",
          err.msg);
    operands_close(&p);
    o = (Repeated){ .n = 0 };
    CHECK(cli_parse(&c, CLI_MANY + 2, argv, &o, &p, &err) == -1 && err.status == EXIT_USAGE
          && strcmp(err.msg, "--stop may be given 16 times at most") == 0, "%s", err.msg);
    o = (Repeated){ .n = 0 };
    CHECK(cli_parse(&c, 1, argv, &o, &p, &err) == 0 && o.stop.count == 0, "none");
    cli_get_text(&rows[1], &o, text, sizeof text);
    CHECK(text[0] == '\0', "no value: %s", text);
    operands_close(&p);
}

static void test_aliases(void)
{
    Options o;
    Operands p = { 0 };
    Err err;
    CHECK(parse("--color always", &o, &p, &err) == 0 && o.colour == 1, "--color: %s", err.msg);
    CHECK(GIVEN(&o, colour), "an alias fills the row");
    operands_close(&p);
    CHECK(parse("--colour always --color=auto", &o, &p, &err) == 0 && o.colour == 0, "one row");
    operands_close(&p);
    CHECK(parse("--color blue", &o, &p, &err) == -1 && strstr(err.msg, "--colour must be") != NULL,
          "the message has the row's own name: %s", err.msg);
    CHECK(parse("--colo auto", &o, &p, &err) == -1 && strstr(err.msg, "--colour?") != NULL, "%s",
          err.msg);
    CHECK(strcmp(cli_short(&options[cli_find(&cli, "-h", 2)]), "-h") == 0, "-h is short");
    CHECK(cli_short(&options[cli_find(&cli, "--color", 7)])[0] == '\0', "--color is not");
}

/* As many rows as there may be, made by a loop. */
static void test_built_table(void)
{
    typedef struct { int64_t values[CLI_ROWS]; bool given[CLI_ROWS]; } Values;
    Values o = { .values = { 0 } };
    Option rows[CLI_ROWS] = { { 0 } };
    char names[CLI_ROWS][24];
    char program[] = "built", option[] = "--row94=5";
    char *argv[] = { program, option, NULL };
    Operands p = { 0 };
    Err err = { 0 };
    for (int i = 0; i < CLI_ROWS - 1; i++) {
        snprintf(names[i], sizeof names[i], "--row%d", i);
        rows[i] = (Option){ .name = names[i], .arg = "N", .kind = OPT_INT, .text = "7", .high = 9 };
        rows[i].offset = offsetof(Values, values) + (size_t)i * sizeof o.values[0];
    }
    Cli built = { .program = program, .operands = "", .summary = "Is built.", .options = rows };
    built.given = offsetof(Values, given);
    CHECK(cli_parse(&built, 2, argv, &o, &p, &err) == 0, "%s", err.msg);
    CHECK(o.values[94] == 5 && o.values[0] == 7 && o.given[94] && !o.given[93], "the last row");
    CHECK(CLI_GIVEN(&built, &o, Values, values[94]) && !CLI_GIVEN(&built, &o, Values, values[0]),
          "given, by the offset of an element");
    operands_close(&p);
}

static void test_presets(void)
{
    static const char *const lines[] = {
        "--preset large --steps 3", "--steps 3 --preset large",
        "--preset quick --steps=3 --preset=large"
    };
    Options o;
    Operands p = { 0 };
    Err err;
    for (int i = 0; i < 3; i++) {
        CHECK(parse(lines[i], &o, &p, &err) == 0, "%s: %s", lines[i], err.msg);
        CHECK(o.steps == 3, "%s: explicit options beat presets", lines[i]);
        CHECK(o.schedule == 1 && o.bias == 1 && o.share == 0.25 && o.seed == 1234567890, "%s",
              lines[i]);
        CHECK(strcmp(o.preset, "large") == 0, "%s", lines[i]);
        operands_close(&p);
    }
    CHECK(parse("--preset huge", &o, &p, &err) == -1 && err.status == EXIT_USAGE, "unknown preset");
    CHECK(strstr(err.msg, "quick") && strstr(err.msg, "large"), "it names them: %s", err.msg);
}

/* Every line is refused with EXIT_USAGE, and the sentence holds `part`. */
static void test_refusals(void)
{
    static const struct { const char *line, *part; } cases[] = {
        { "--step 1", "--steps" }, { "--sed 1", "--seed" }, { "--shcedule linear", "--schedule" },
        { "--hlep", "did you mean --help?" },
        { "-q", "unknown option" }, { "--=3", "unknown option" },
        { "--steps", "--steps needs a value (N)" }, { "--bytes=on", "no value" },
        { "--schedule square", "linear" }, { "--schedule cos", "cosine" }, { "--bias _", "off|on" },
        { "--bias on|off", "off|on" }, { "--steps _", "0 to 1000000000" },
        { "--steps 1e", "0 to 1000000000" }, { "--steps 0x", "0 to 1000000000" },
        { "--steps 0x10", "0 to 1000000000" }, { "--steps nan", "0 to" }, { "--steps inf", "0 to" },
        { "--steps 9999999999999999999", "0 to" }, { "--steps 1e9x", "0 to" },
        { "--steps -1", "0 to" }, { "--steps 1.5", "--steps needs a whole number from 0 to" },
        { "--steps 1.5e3", "whole number" }, { "--steps 1.0", "whole number" },
        { "--steps 1e-1", "whole number" }, { "--steps 1e10", "0 to" },
        { "--steps 1e999999999999", "0 to" }, { "--steps +", "0 to" }, { "--steps .", "0 to" },
        { "--steps .e1", "0 to" }, { "--steps 1e+", "0 to" }, { "--steps 5k", "0 to" },
        { "--steps --1", "0 to" }, { "--lr _", "0 to 1e+06" }, { "--lr 1e", "0 to 1e+06" },
        { "--lr x", "--lr needs a number from 0 to 1e+06, not" }, { "--lr 0x1p3", "0 to 1e+06" },
        { "--lr nan", "0 to 1e+06" }, { "--lr inf", "0 to 1e+06" },
        { "--lr 1e999", "0 to 1e+06" }, { "--lr -1", "0 to 1e+06" }, { "--lr 0.1.2", "0 to 1e+06" },
        { "--lr 0,1", "0 to 1e+06" }, { "--lr infinity", "0 to" }, { "--share 0.91", "-1 to 0.9" },
        { "--steps x --steps 5", "0 to" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Options o;
        Operands p = { 0 };
        Err err;
        CHECK(parse(cases[i].line, &o, &p, &err) == -1, "%s is accepted", cases[i].line);
        CHECK(err.status == EXIT_USAGE, "%s: status %d", cases[i].line, err.status);
        CHECK(strstr(err.msg, cases[i].part) != NULL, "%s: %s", cases[i].line, err.msg);
        CHECK(p.items == NULL, "%s: operands are released", cases[i].line);
    }
}

static void test_numbers(void)
{
    static const struct { const char *text; bool good; int64_t value; } wholes[] = {
        { "0", true, 0 }, { "1e9", true, 1000000000 }, { "1000", true, 1000 },
        { "1e3", true, 1000 }, { "15E2", true, 1500 }, { "20e05", true, 2000000 }, { "7e0", true,
                                                                                     7 },
        { "7e00", true, 7 },
        { "+7", true, 7 }, { "-7", true, -7 }, { "-2e3", true, -2000 },
        { "0e99", true, 0 }, { "0007", true, 7 }, { "9e18", true, 9000000000000000000 },
        { "9223372036854775807", true, INT64_MAX },
        { "9007199254740993", true, 9007199254740993 },
        { "9223372036854775808", false, 0 }, { "1e19", false, 0 }, { "10e18", false, 0 },
        { "1e400", false, 0 }, { "0e100", false, 0 }, { "1e009", false, 0 }, { "1e+3", false, 0 },
        { "1e-0", false, 0 }, { "100e-2", false, 0 }, { "1e", false, 0 }, { "1e3e3", false, 0 },
        { "1.5e3", false, 0 }, { "1.0", false, 0 }, { "1.", false, 0 }, { "-", false, 0 },
        { "1.5", false, 0 }, { "0.1", false, 0 }, { " 5", false, 0 }, { "5 ", false, 0 },
        { "5\n", false, 0 },
        { "", false, 0 }, { "e5", false, 0 }, { "1e5.0", false, 0 }, { "0b1", false, 0 },
        { "1_000", false, 0 },
    };
    for (size_t i = 0; i < sizeof wholes / sizeof wholes[0]; i++) {
        int64_t value = 0;
        bool good = cli_whole(wholes[i].text, &value);
        CHECK(good == wholes[i].good, "\"%s\"", wholes[i].text);
        CHECK(!good || value == wholes[i].value, "\"%s\" is %lld", wholes[i].text,
              (long long)value);
    }
}

/* Text to value to text: the second text equals the first, and the value is the same bit for
 * bit. */
static void test_round_trip(void)
{
    Options a, b;
    Operands p = { 0 };
    Err err;
    CHECK(parse("--seed 8999999999999999 --lr 0.1 --share=-0.3333333333333333 --schedule constant "
                "--bias on --bytes", &a, &p, &err) == 0, "%s", err.msg);
    memset(&b, 0, sizeof b);
    for (const Option *row = options; row->kind != OPT_END; row++) {
        char first[100], second[100];
        if (row->kind == OPT_GROUP) continue;
        cli_get_text(row, &a, first, sizeof first);
        CHECK(cli_set_text(row, &b, first, &err) == 0, "%s %s: %s", row->name, first, err.msg);
        cli_get_text(row, &b, second, sizeof second);
        CHECK(strcmp(first, second) == 0, "%s: \"%s\" became \"%s\"", row->name, first, second);
    }
    CHECK(a.seed == b.seed && memcmp(&a.lr, &b.lr, sizeof a.lr) == 0, "numbers");
    CHECK(memcmp(&a.share, &b.share, sizeof a.share) == 0, "a negative number");
    CHECK(b.schedule == 2 && b.bias == 1 && b.bytes, "words and switches");
    char text[100];
    cli_get_text(&options[cli_find(&cli, "--lr", 4)], &a, text, sizeof text);
    CHECK(strcmp(text, "0.10000000000000001") == 0, "17 digits: %s", text);
    operands_close(&p);
}

static void test_nearest(void)
{
    CHECK(cli_distance("kitten", 6, "sitting") == 3, "kitten, sitting");
    CHECK(cli_distance("stesp", 5, "steps") == 1 && cli_distance("setps", 5, "steps") == 1,
          "neighbours that changed places");
    CHECK(cli_distance("pset", 4, "step") == 3 && cli_distance("abab", 4, "baba") == 2, "and more");
    CHECK(cli_distance("", 0, "abc") == 3 && cli_distance("abc", 3, "abc") == 0, "ends");
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    CHECK(cli_distance(longest, strlen(longest), longest) == 0, "long words are cut");
}

/* Options of several programs; the fields do not matter. */
#define AT(field) offsetof(Options, field)
static const Option named_rows[] = {
    INT("steps", steps, NULL, 0, 9, "updates"), REAL("lr", lr, NULL, 0, 9, "rate"),
    REAL("minutes", share, NULL, 0, 9, "time"), REAL("temperature", share, NULL, 0, 9, "sharper"),
    INT("top-k", size, NULL, 0, 9, "likeliest"), REAL("top-p", share, NULL, 0, 9, "likeliest"),
    SWITCH("show-probs", bytes, "colours"), SWITCH("overwrite", quiet, "replaces", DESTROYS),
    WORD("colour", colour, NULL, "auto|always", "colours"), ACTION("help", bytes, "this"),
    STRING("separators-between-texts-are-kept", "S", out, NULL, "long"),
    { 0 }
};
static const Option learning_rows[] = {
    INT("layers", steps, NULL, 0, 9, ""), INT("channels", steps, NULL, 0, 9, ""),
    INT("heads", steps, NULL, 0, 9, ""), INT("context", steps, NULL, 0, 9, ""),
    INT("batch", steps, NULL, 0, 9, ""), INT("length", steps, NULL, 0, 9, ""),
    INT("samples", steps, NULL, 0, 9, ""), INT("prompt", steps, NULL, 0, 9, ""), { 0 }
};
#undef AT

/* What an unknown option is taken for; NULL: nothing is near. */
static void test_suggestions(void)
{
    static const struct { const Option *rows; const char *word, *meant; } cases[] = {
        { named_rows, "--top_k", "--top-k" }, { named_rows, "--show_probs", "--show-probs" },
        { named_rows, "-steps", "--steps" }, { named_rows, "--STEPS=3", "--steps" },
        { named_rows, "--temp", "--temperature" }, { named_rows, "--temp=1", "--temperature" },
        { named_rows, "-t", "--top-k" }, { named_rows, "--ste", "--steps" },
        { named_rows, "--show", "--show-probs" }, { named_rows, "--learning-rate", "--lr" },
        { named_rows, "--learning_rate=1e-3", "--lr" }, { named_rows, "--max-iters", "--steps" },
        { named_rows, "--max-steps", "--steps" }, { named_rows, "--iterations", "--steps" },
        { named_rows, "--epochs", "--steps or --minutes" },
        { named_rows, "--temprature", "--temperature" }, { named_rows, "--stesp", "--steps" },
        { named_rows, "--setsp", NULL }, { named_rows, "--setps", "--steps" },
        { named_rows, "--minuets", "--minutes" }, { named_rows, "--minsetu", NULL },
        { named_rows, "--over", NULL }, { named_rows, "--overwrit", NULL },
        { named_rows, "--over_write", NULL }, { named_rows, "--Overwrite", NULL },
        { named_rows, "--overwrote", NULL }, { named_rows, "--x", NULL },
        { named_rows, "-n", NULL },
        { named_rows, "--=3", NULL }, { named_rows, "--n-embd", NULL }, { named_rows, "-=", NULL },
        { named_rows, "--colo", "--colour" },
        { named_rows, "--separators-between-texts-are-lost-and-kept", NULL },
        { learning_rows, "--n-embd", "--channels" }, { learning_rows, "--n_embd", "--channels" },
        { learning_rows, "--d-model", "--channels" }, { learning_rows, "--n-layer", "--layers" },
        { learning_rows, "--hidden-size", "--channels" },
        { learning_rows, "--num-layers", "--layers" }, { learning_rows, "--n-head", "--heads" },
        { learning_rows, "--num-heads", "--heads" }, { learning_rows, "--block-size", "--context" },
        { learning_rows, "--seq-len", "--context" }, { learning_rows, "--batch-size", "--batch" },
        { learning_rows, "--context-length", "--context" },
        { learning_rows, "--max-new-tokens", "--length" },
        { learning_rows, "--max-tokens", "--length" }, { learning_rows, "--n-predict", "--length" },
        { learning_rows, "--num-samples", "--samples" }, { learning_rows, "--start", "--prompt" },
        { learning_rows, "--learning-rate", NULL }, { learning_rows, "--epochs", NULL },
        { learning_rows, "--temp", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[200], word[80], program[] = "p", *argv[] = { program, word };
        Cli c = { .program = program, .operands = "", .options = cases[i].rows };
        Options o = { .steps = 0 };
        Operands p = { 0 };
        Err err = { 0 };
        c.given = offsetof(Options, given);
        snprintf(word, sizeof word, "%s", cases[i].word);
        snprintf(want, sizeof want, "unknown option \"%.*s\"; %s%s%s--help lists all%s",
                 (int)strcspn(word, "="), word, cases[i].meant ? "did you mean " : "",
                 cases[i].meant ? cases[i].meant : "", cases[i].meant ? "? (" : "",
                 cases[i].meant ? ")" : "");
        CHECK(cli_parse(&c, 2, argv, &o, &p, &err) == -1 && err.status == EXIT_USAGE, "%s", word);
        CHECK(strcmp(err.msg, want) == 0, "%s, not %s", err.msg, want);
    }
}

static void print_help(Output *out) { pages_help(&cli, NULL, out); }
static void print_json_c1(Output *out) { output_json_text(out, "\xc2\x9b\xc2\xa0"); }
static void print_json(Output *out) { output_json(out, "a\"\\\n\t\x7f\0\xc3\xa9", 9, false); }

/* Well-formed, ill-formed at its start, and cut short. */
static void print_json_texts(Output *out)
{
    output_json_text(out, "\xc3\xa9 \"");
    output_json_text(out, "\xa9\xc3\xa9");
    output_json_text(out, "\xc3\xa9\xc3");
    output_json_text(out, "");
}

/* What a function prints, as a string. */
static void printed(void (*print)(Output *), char *text, size_t room)
{
    FILE *f = tmpfile();
    Output out = { f, 0 };
    text[0] = '\0';
    if (f == NULL) return;
    print(&out);
    rewind(f);
    text[fread(text, 1, room - 1, f)] = '\0';
    fclose(f);
}

static void test_output(void)
{
    static char text[20000];
    printed(print_help, text, sizeof text);
    CHECK(text[0] != '\0' && text[strlen(text) - 1] == '\n', "help ends with a newline");
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        CHECK(strcspn(line, "\n") <= 80, "%d columns: %.90s", (int)strcspn(line, "\n"), line);
    for (const Option *row = options; row->kind != OPT_END; row++)
        CHECK(strstr(text, row->name != NULL ? row->name : row->help) != NULL, "%s is missing",
              row->help);
    CHECK(strstr(text, "--lr=0.000123") != NULL && strstr(text, "quick") != NULL,
          "presets and their values");
    CHECK(strstr(text, "cosine|linear|constant") && strstr(text, "(default 100)"),
          "words, default");
    CHECK(strstr(text, "-h, --help") != NULL, "-h");
    CHECK(strstr(text, "suits the text (chosen)\n") && !strstr(text, "40"), "chosen: no default");
    CHECK(strstr(text, "--color ") == NULL, "only -h is an alias that is shown");

    printed(print_json, text, sizeof text);
    CHECK(strcmp(text, "\"a\\\"\\\\\\n\\u0009\\u007f\\u0000\\u00c3\\u00a9\"") == 0,
          "JSON string: %s",
          text);
    printed(print_json_texts, text, sizeof text);
    CHECK(strcmp(text,
                 "\"\xc3\xa9 \\\"\"\"\\u00a9\\u00c3\\u00a9\"\"\\u00c3\\u00a9\\u00c3\"\"\"") == 0,
          "JSON strings of any bytes: %s", text);
    printed(print_json_c1, text, sizeof text);
    CHECK(strcmp(text, "\"\\u009b\xc2\xa0\"") == 0, "JSON of C1: %s", text);
}

/* What a terminal is shown of a text, byte by byte as sample writes it. */
static const char *seen(const char *text, size_t size, char *room)
{
    Visible v = { .size = 0 };
    size_t used = 0;
    for (size_t i = 0; i < size; i++) used += visible_add(&v, text[i], room + used);
    used += visible_end(&v, room + used);
    room[used] = '\0';
    return room;
}

static const struct { const char *text, *seen; } sights[] = {
    { "", "" }, { "a\tb\nc\\", "a\tb\nc\\" }, { "\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m" },
    { "\x07\x08\r\x0b\x7f\x1f", "\\x07\\x08\\x0d\\x0b\\x7f\\x1f" },
    { "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0",
      "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0" },
    { "\xc2\x80\xc2\x9b" "2J\xc2\x9f", "\\u0080\\u009b2J\\u009f" },
    { "\x9b" "2J", "\\x9b2J" },                                 /* a byte that some obey */
    { "\xc2\x1b", "\\xc2\\x1b" }, { "\xe2\x82", "\\xe2\\x82" },
    { "\xe2\x82" "a", "\\xe2\\x82" "a" }, { "\xf0\x9f\xc3\xa9", "\\xf0\\x9f\xc3\xa9" },
    { "\xc0\x9b\xed\xa0\x80\xff", "\\xc0\\x9b\\xed\\xa0\\x80\\xff" },
};

static void print_sights(Output *out)
{
    for (size_t i = 0; i < sizeof sights / sizeof sights[0]; i++)
        output_visible(out, sights[i].text);
}

static void test_visible(void)
{
    char room[400], all[400] = "", text[400];
    for (size_t i = 0; i < sizeof sights / sizeof sights[0]; i++) {
        CHECK(strcmp(seen(sights[i].text, strlen(sights[i].text), room), sights[i].seen) == 0,
              "sight %zu: %s", i, room);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s", sights[i].seen);
    }
    printed(print_sights, text, sizeof text);
    CHECK(strcmp(text, all) == 0, "all of them: %s", text);
    CHECK(strcmp(seen("\0", 1, room), "\\x00") == 0, "NUL: %s", room);
    int changed = 0;
    for (uint32_t value = 0; value < CODE_POINTS; value++) {
        char bytes[UTF8_MAX];
        if (value >= 0xd800 && value <= 0xdfff) continue;
        size_t size = (size_t)utf8_encode(value, bytes);
        seen(bytes, size, room);
        changed += strlen(room) != size || memcmp(room, bytes, size) != 0;
    }
    CHECK(changed == 32 - 2 + 1 + 32, "%d code points are not shown as they are", changed);
}

/* Texts that roff and zsh would take for something else. */
#define AT(field) field
static const Option hostile_options[] = {
    HEADING("Back\\slash"),
    STRING("hostile", "X", 0, "a\\b",
           ".dot 'quote in front; of a line that is filled up to where the next word "
           "starts another one, which has .dots .dots .dots .dots .dots .dots .dots .dots "
           ".dots .dots .dots 'quote 'quote 'quote 'quote 'quote 'quote 'quote 'quote "
           "'quote 'quote. .dot [in] it's: ~^` end"),
    STRING("many", "S", 0, NULL, "repeats", MANY),
    { 0 }
};
#undef AT
static const Cli hostile = {
    .program = "hostile", .operands = "TEXT...", .summary = "Tests, a summary.",
    .options = hostile_options
};
static void print_man(Output *out) { pages_man(&hostile, out); }
static void print_man_of_cli(Output *out) { pages_man(&cli, out); }
static void print_zsh(Output *out) { pages_zsh(&hostile, "one two", out); }

static void test_pages(void)
{
    static char text[20000];
    int lines = 0;
    printed(print_man, text, sizeof text);
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++) {
        *end = '\0';
        CHECK(line[0] != '\'' && strncmp(line, ".dot", 4) != 0, "taken for a request: %s", line);
        CHECK(strpbrk(line, "~^`") == NULL && strlen(line) <= 100, "not plain, or too long: %s",
              line);
        for (char *c = line; *c != '\0'; c++) {
            bool escape = *c == '\\';
            CHECK(*c != '-' && (!escape || strchr("-e&f(", c[1]) != NULL), "not escaped: %s", line);
            c += escape;
        }
    }
    CHECK(lines > 20, "%d lines of a manual page", lines);
    printed(print_man_of_cli, text, sizeof text);
    CHECK(strstr(text, "the text (chosen; from 0 to 1000)\n") != NULL, "chosen, and the range");
    CHECK(strstr(text, "updates (default 100; from 0 to 1000000000)\n") != NULL, "default, range");

    printed(print_zsh, text, sizeof text);
    CHECK(strstr(text, "'\\''quote. .dot \\[in\\] it'\\''s\\: ~^` end]:X:'") != NULL,
          "quoted for zsh: %s", text);
    CHECK(strstr(text, "    '*--many=[repeats]:S:'") != NULL, "may come again: %s", text);
    printed(print_man, text, sizeof text);
    CHECK(strstr(text, "repeats (may be repeated)\n") != NULL, "may come again: %s", text);
}

static void test_broken_output(void)
{
    Err err = { 0 };
    Output full = { fopen("/dev/full", "w"), 0 };
    if (full.file != NULL) {
        output_print(&full, "x");
        CHECK(output_close(&full, &err) == -1 && err.status == EXIT_RUNTIME, "a full device");
        CHECK(strstr(err.msg, "write error") != NULL, "%s", err.msg);
    }
    int ends[2];
    cli_streams();
    CHECK(pipe(ends) == 0, "pipe");
    close(ends[0]);
    Output nobody = { fdopen(ends[1], "w"), 0 };
    output_print(&nobody, "x");
    CHECK(output_close(&nobody, &err) == 0 && nobody.error == EPIPE,
          "a reader that has gone is no failure");
}

/* ---------------------------------------------------------------- from argv to the exit status */

typedef struct {
    Common common;
    int64_t status;
    bool given[CLI_ROWS];
} Tiny;

#define AT(field) offsetof(Tiny, field)
static const Option tiny_rows[] = {
    INT("status", status, "0", 0, 9, "fail with it"),
    THREADS_ROW(ON_RESUME), ISA_ROW(ON_RESUME), JSON_ROW("print JSON", 0), QUIET_ROW(0),
    ABOUT_ROWS(common.about),
    { 0 }
};
static const Option bare_rows[] = {
    INT("status", status, "0", 0, 9, "fail with it"), ABOUT_ROWS(common.about), { 0 }
};
#undef AT

static const Cli tiny = {
    .program = "tiny", .operands = "IN", .least = 1, .most = 1,
    .summary = "Is tiny.", .options = tiny_rows, .given = offsetof(Tiny, given)
};
static const Cli bare = {
    .program = "bare", .operands = "A B...", .least = 2, .most = ANY_NUMBER,
    .summary = "Is bare.", .options = bare_rows, .given = offsetof(Tiny, given)
};
static const Cli alone = {
    .program = "alone", .operands = "", .least = 0, .most = 0,
    .summary = "Is alone.", .options = bare_rows, .given = offsetof(Tiny, given)
};

static int tiny_body(const Call *call, Output *out, Err *err)
{
    const Tiny *o = call->options;
    bool late = call->begun <= clock_seconds() && call->begun > clock_seconds() - 60;
    output_print(out, "%s of %d: %s, threads %d, kernels %s, quiet %d, begun %d\n",
                 call->operands->count > 0 ? call->operands->items[0] : "nothing", call->argc,
                 call->argv[0], call->threads, call->kernels != NULL ? call->kernels->name : "none",
                 o->common.quiet, late);
    return o->status == 0 ? 0 : fail(err, (int)o->status, "it is to fail");
}

/* Calls program_main in a process of its own, with a command line as parse takes it; returns the
 * exit status, and what is printed. */
static int run_program(const Cli *program, const char *line, char out[2][4000])
{
    char words[400], *argv[WORDS_MAX + 1] = { words };
    FILE *files[2] = { tmpfile(), tmpfile() };
    int argc = 0, status = -1;
    snprintf(words, sizeof words, "./%s %s", program->program, line);
    char *word = strtok(words, " ");
    for (; word != NULL && argc < WORDS_MAX; word = strtok(NULL, " ")) argv[argc++] = word;
    if (files[0] == NULL || files[1] == NULL) return -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        Tiny o = { .status = 0 };
        dup2(fileno(files[0]), STDOUT_FILENO);
        dup2(fileno(files[1]), STDERR_FILENO);
        _exit(program_main(program, &o, tiny_body, argc, argv));
    }
    waitpid(child, &status, 0);
    for (int i = 0; i < 2; i++) {
        rewind(files[i]);
        out[i][fread(out[i], 1, sizeof out[i] - 1, files[i])] = '\0';
        fclose(files[i]);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_program(void)
{
    /* OMP_THREAD_LIMIT, or a build without OpenMP, may allow fewer. */
    int three = omp_get_thread_limit() < 3 ? omp_get_thread_limit() : 3;
    char quiet[100], fails[100];
    snprintf(quiet, sizeof quiet,
             "a of 7: ./tiny, threads %d, kernels portable, quiet 1, begun 1\n", three);
    snprintf(fails, sizeof fails, "a of 6: ./tiny, threads %d, ", three);
    const struct { const Cli *cli; const char *line; int status; const char *out,
                   *err; } cases[] = {
        { &tiny, "a --threads 3 --isa portable --quiet", 0, quiet, "" },
        { &tiny, "a --status 5 --threads 3", EXIT_DIVERGED, fails, "tiny: it is to fail\n" },
        { &tiny, "", EXIT_USAGE, "", "tiny: missing IN; try --help\n" },
        { &tiny, "a b", EXIT_USAGE, "", "tiny: one IN is expected, 2 were given; try --help\n" },
        { &tiny, "a --isa mmx", EXIT_USAGE, "", "tiny: --isa mmx: not available here; " },
        { &tiny, "a --isa \x1b[2J\xc2\x9bm\xc3\xa9", EXIT_USAGE, "",
          "tiny: --isa \\x1b[2J\\u009bm\xc3\xa9: not available here; " },
        { &tiny, "a --threads 0", EXIT_USAGE, "",
          "tiny: --threads needs a whole number from 1 to" },
        { &tiny, "--page", EXIT_USAGE, "", "tiny: --page needs a value (man|bash|zsh)\n" },
        { &tiny, "--isa list", 0, "", "" },
        { &tiny, "--help", 0, "Usage: tiny IN [options]\nIs tiny.\n", "" },
        { &tiny, "--version", 0, "folio-tiny " FOLIO_VERSION "\ninstruction sets: ", "" },
        { &tiny, "--page man", 0, ".TH FOLIO\\-TINY 1", "" },
        { &bare, "", EXIT_USAGE, "", "bare: missing A; try --help\n" },
        { &bare, "a", EXIT_USAGE, "", "bare: missing B; try --help\n" },
        { &bare, "a b c", 0, "a of 4: ./bare, ", "" },
        { &bare, "--isa list", EXIT_USAGE, "", "bare: unknown option \"--isa\"; " },
        { &alone, "", 0, "nothing of 1: ./alone, ", "" },
        { &alone, "a", EXIT_USAGE, "",
          "alone: no argument is expected, 1 was given; try --help\n" },
    };
    char out[2][4000];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = run_program(cases[i].cli, cases[i].line, out);
        CHECK(status == cases[i].status, "%s %s: %d", cases[i].cli->program, cases[i].line, status);
        CHECK(strncmp(out[0], cases[i].out, strlen(cases[i].out)) == 0, "%s: out: %s",
              cases[i].line, out[0]);
        CHECK(strncmp(out[1], cases[i].err, strlen(cases[i].err)) == 0, "%s: err: %s",
              cases[i].line, out[1]);
        CHECK((out[1][0] == '\0') == (status == 0), "%s: a message if it fails: %s", cases[i].line,
              out[1]);
    }
    static const struct { const char *line, *err; } notes[] = {
        { "a --status 3 --status 0", "tiny: note: --status is given twice; the last one counts\n" },
        { "a --status 3 --status 0 --quiet", "" }, { "a --status 0 --status 0", "" },
        { "--status 3 --status 0 --help", "" },
    };
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        CHECK(run_program(&tiny, notes[i].line, out) == 0, "%s", notes[i].line);
        CHECK(strcmp(out[1], notes[i].err) == 0, "%s: %s", notes[i].line, out[1]);
    }
    setenv("FOLIO_ISA", "mmx", 1);
    CHECK(run_program(&tiny, "a", out) == EXIT_USAGE, "kernels are picked");
    CHECK(run_program(&bare, "a b", out) == 0 && strstr(out[0], "kernels none") != NULL,
          "not in a program without --isa: %s", out[1]);
    unsetenv("FOLIO_ISA");
}

/* ---------------------------------------------------------------- the machine */

static void test_machine(void)
{
    int threads = default_threads();
    CHECK(threads >= 1 && threads <= omp_get_num_procs(), "%d threads", threads);
    CHECK(physical_cores() >= 0, "%d cores", physical_cores());
    CHECK(memory_limit_bytes() > 1e6, "%g bytes of memory", memory_limit_bytes());
    CHECK(cache_bytes() >= 1 << 15 && cache_bytes() <= 1 << 30, "%zu bytes of cache",
          cache_bytes());
    Err err = { 0 };
    CHECK(memory_check(1.0, &err) == 0, "a byte fits");
    CHECK(memory_check(1e30, &err) == -1 && err.status == EXIT_RUNTIME, "too much does not");
    CHECK(setenv("OMP_NUM_THREADS", "1", 1) == 0 && default_threads() == 1, "OMP_NUM_THREADS caps");
    CHECK(setenv("OMP_NUM_THREADS", "x", 1) == 0 && default_threads() == threads,
          "nonsense is no cap");
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0, "%s", path);
}

/* The limits of a made-up tree of control groups. */
static void test_control_groups(void)
{
    static const char *const names[] = { "cpu.max", "memory.max", "memory.limit_in_bytes",
                                         "cpu.cfs_quota_us",
                                         "cpu.cfs_period_us" };
    char base[] = "/tmp/test_cli_XXXXXX", inner[100], path[200];
    CHECK(mkdtemp(base) != NULL, "mkdtemp");
    snprintf(inner, sizeof inner, "%s/inner", base);
    CHECK(mkdir(inner, 0700) == 0, "mkdir");
    CHECK(isinf(cgroup_cpus(inner)) && isinf(cgroup_memory(inner)), "nothing there: no limit");
    write_text(inner, "cpu.max", "max 100000\n");
    write_text(inner, "memory.max", "max\n");
    CHECK(isinf(cgroup_cpus(inner)) && isinf(cgroup_memory(inner)), "max: no limit");
    write_text(base, "cpu.max", "150000 100000\n");
    write_text(base, "memory.max", "5000000\n");
    CHECK_NEAR(cgroup_walk(base, "/inner", cgroup_cpus), 1.5, 0, 0, "the quota of the parent");
    CHECK_NEAR(cgroup_walk(base, "/inner/gone", cgroup_memory), 5e6, 0, 0,
               "the memory of the parent");
    write_text(inner, "memory.limit_in_bytes", "4000000\n");
    CHECK_NEAR(cgroup_walk(base, "/inner", cgroup_memory), 4e6, 0, 0, "the least of the limits");
    write_text(inner, "cpu.max", "");
    write_text(inner, "cpu.cfs_quota_us", "-1\n");
    write_text(inner, "cpu.cfs_period_us", "100000\n");
    CHECK(isinf(cgroup_cpus(inner)), "version 1 without a quota");
    write_text(inner, "cpu.cfs_quota_us", "50000\n");
    CHECK_NEAR(cgroup_walk(base, "/inner", cgroup_cpus), 0.5, 0, 0, "version 1 with a quota");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", inner, names[i]);
        unlink(path);
        snprintf(path, sizeof path, "%s/%s", base, names[i]);
        unlink(path);
    }
    CHECK(rmdir(inner) == 0 && rmdir(base) == 0, "rmdir");
}

int main(void)
{
    setenv("GOMP_SPINCOUNT", "1000", 1);        /* so that no program starts itself once more */
    test_forms();
    test_twice();
    test_many();
    test_aliases();
    test_built_table();
    test_presets();
    test_refusals();
    test_numbers();
    test_round_trip();
    test_nearest();
    test_suggestions();
    test_output();
    test_visible();
    test_pages();
    test_broken_output();
    test_program();
    test_machine();
    test_control_groups();
    return check_report("cli");
}
