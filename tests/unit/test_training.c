/* test_training.c: the rooms of a run: what options become, what --resume and --init-from refuse,
 * what a timed run chooses, the log, the history and which of its steps NAME.bin holds, and a step
 * itself.
 *
 *     make build/o/test_training && build/o/test_training
 *     test_training --slow            without what times this machine, for valgrind
 */
#include "../../system/files.h"
#include "../../training/runlog.h"
#include "../../training/saves.h"
#include "../../training/timing.h"
#include "check.h"
#include "gpt.h"

enum { WORDS_MAX = 24, TEXT = 300 };

/* ---------------------------------------------------------------- what is tried */

/* Parses options written as one string with single spaces; 0 or -1. The words stay in `room`. */
static int parse(Settings *s, const char *line, char room[500])
{
    char *argv[WORDS_MAX] = { "train", "text.txt" };
    int argc = 2;
    Operands operands = { 0 };
    Err err = { 0 };
    snprintf(room, 500, "%s", line);
    for (char *p = strtok(room, " "); p != NULL && argc < WORDS_MAX; p = strtok(NULL, " "))
        argv[argc++] = p;
    settings_init(s);
    int failed = cli_parse(&s->cli, argc, argv, s, &operands, &err);
    CHECK(!failed, "%s: %s", line, err.msg);
    operands_close(&operands);
    return failed;
}

/* A checkpoint as a run with these settings leaves it, without a file: family, fields and
 * settings. */
static void stored(Checkpoint *c, const Settings *s)
{
    Space config;
    Err err = { 0 };
    Setting settings[SETTINGS_MAX];
    *c = (Checkpoint){ .family = settings_family(s) };
    CHECK(settings_config(s, &config, 11, &err) == 0, "%s", err.msg);
    int n = settings_store(s, 5, settings);
    snprintf(c->settings[0].name, SETTING_TEXT, "family");
    snprintf(c->settings[0].value, SETTING_TEXT, "%s", c->family->name);
    c->setting_count = 1;
    for (int i = 0; i < c->family->field_count; i++) {
        Setting *one = &c->settings[c->setting_count++];
        snprintf(one->name, SETTING_TEXT, "%s", c->family->fields[i].name);
        field_get(&config, &c->family->fields[i], one->value, SETTING_TEXT);
    }
    for (int i = 0; i < n; i++) c->settings[c->setting_count++] = settings[i];
    c->config = config;
}

#define TINY "--layers 1 --heads 2 --channels 16 --context 16 --batch 4 --steps 20 --warmup 5 " \
             "--lr 1e-2 " \
             "--dropout 0.1 --eval-every 5"

/* ---------------------------------------------------------------- settings */

/* What a setting of a run says when it is given again: NULL, or what the refusal names. */
static void check_taken(const char *run, const char *again, const char *refusal)
{
    static Settings s;
    static Checkpoint c;
    char a[500], b[500];
    Err err = { 0 };
    if (parse(&s, run, a)) return;
    stored(&c, &s);
    if (parse(&s, again, b)) return;
    int failed = settings_take(&s, &c, "x.last.bin", &err);
    if (refusal == NULL) CHECK(!failed, "%s, then %s: %s", run, again, err.msg);
    else
        CHECK(failed && err.status == EXIT_USAGE && strstr(err.msg, refusal) != NULL
              && strstr(err.msg, "x.last.bin has") != NULL,
              "%s, then %s: status %d, %s", run, again, err.status, err.msg);
}

/* Every field has a row, and so has the last option: the table is large enough. */
static void test_rows(void)
{
    static Settings s;
    const Family *f;
    settings_init(&s);
    for (int i = 0; (f = family_at(i)) != NULL; i++)
        for (const Field *field = f->fields; field < f->fields + f->field_count; field++)
            CHECK(field->text == NULL
                      || cli_find(&s.cli, field->option, strlen(field->option)) >= 0,
                  "%s has no row", field->option);
    CHECK(cli_find(&s.cli, "--version", strlen("--version")) >= 0, "no room for all options");
}

static void test_resume_rules(void)
{
    static const char *const refused[] = {
        "--lr 2e-2", "--batch 5", "--layers 2", "--heads 1", "--dropout 0", "--seed 2",
        "--schedule linear", "--val-fraction 0.2", "--bytes", "--separator off",
        "--steps 19", "--gelu tanh", "--bias on", "--preset quick", "--context 8", "--warmup 6",
        "--clip 2", "--eval-batches 1", "--family qwen3", "--optimizer muon", "--ema 0.9",
        "--sampling epoch", "--beta1 0.8", "--beta2 0.9", "--weight-decay 0", "--min-lr 0",
        "--split-documents LINE", "--hidden 65", "--head-size 7", "--decay-steps 3",
    };
    static const char *const allowed[] = {
        "", "--threads 2", "--slice 1", "--log x.log", "--save-every 2", "--sample-every 7",
        "--patience 9", "--eval-every 6", "--stop-at 15", "--json", "--overwrite", "--steps 30",
        "--lr 0.01", "--steps 2e1 --dropout .1", "--isa portable", "--quiet", "--family gpt2",
        "--layers 1",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char option[40];
        snprintf(option, sizeof option, "%.*s", (int)strcspn(refused[i], " "), refused[i]);
        bool preset = strcmp(option, "--preset") == 0;
        check_taken(TINY, refused[i], preset ? "has" : option);
    }
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        check_taken(TINY, allowed[i], NULL);
    /* The refusal names the way that there is, in numbers as people write them. */
    check_taken(TINY, "--lr 0.004", "x.last.bin has 0.01; leave");
    check_taken(TINY, "--lr 0.004", "--init-from ckpt.bin --lr 0.004 --out OTHER");
    check_taken(TINY, "--context 8", "--init-from ckpt.bin --context 8 --out OTHER");
    check_taken(TINY, "--context 17", "start anew with another --out");
    check_taken(TINY, "--layers 2", "start anew with another --out");
    check_taken(TINY, "--steps 19", "start anew with another --out");
    /* It was reduced to the text. */
    check_taken("--preset quick --context 7", "--preset quick", NULL);
    check_taken("--preset quick", "--preset nanogpt-cpu", "has");
    /* It names its steps, too. */
    check_taken("--preset quick --steps 2", "--preset quick", NULL);
    check_taken("--preset quick --eval-every 6", "--preset quick", NULL);
}

/* Every value comes back, larger --steps stay, and an open number of steps stays open. */
static void test_settings_come_back(void)
{
    static Settings s, back;
    static Checkpoint c;
    char a[500], b[500];
    Err err = { 0 };
    parse(&s, "--preset nanogpt --family qwen3 --lr 0.3 --ema 0.125 --seed 8999999999999999 "
              "--bytes", a);
    stored(&c, &s);
    parse(&back, "--steps 6000", b);
    CHECK(settings_take(&back, &c, "x", &err) == 0, "%s", err.msg);
    CHECK(back.plan.steps == 6000 && back.seed == 8999999999999999 && back.bytes,
          "settings come back");
    CHECK(back.plan.lr == 0.3 && back.plan.ema == 0.125 && back.plan.warmup == 100,
          "rates come back");
    CHECK(settings_family(&back) == &family_qwen3 && back.batch == 64,
          "family and batch come back");
    Space config;
    CHECK(settings_config(&back, &config, 11, &err) == 0, "%s", err.msg);
    const Config *sizes = (const Config *)(const void *)config.bytes;
    CHECK(sizes->layers == 6 && sizes->context == 256 && sizes->dropout == 0.2, "sizes come back");

    s.plan.steps = 0;
    stored(&c, &s);
    parse(&back, "", b);
    CHECK(settings_take(&back, &c, "x", &err) == 0 && settings_steps_open(&back),
          "steps stay open");
    for (int i = 0; i < c.setting_count; i++)
        if (strcmp(c.settings[i].name, "lr") == 0) snprintf(c.settings[i].name, SETTING_TEXT, "lo");
    parse(&back, "", b);
    CHECK(settings_take(&back, &c, "x", &err) == -1 && err.status == EXIT_CHECKPOINT
          && strstr(err.msg, "lacks the setting lr") != NULL, "a setting is missing: %s", err.msg);
}

static void test_init_rules(void)
{
    static const struct { const char *options; bool accepted; } cases[] = {
        { "", true }, { "--context 8", true }, { "--context 16", true }, { "--context 17", false },
        { "--dropout 0.5", true }, { "--layers 1", true }, { "--layers 2", false },
        { "--heads 1", false }, { "--family qwen3", false }, { "--bias on", false },
        { "--lr 5", true }, { "--batch 9", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static Settings s;
        static Checkpoint c;
        char a[500], b[500];
        Err err = { 0 };
        parse(&s, TINY, a);
        stored(&c, &s);
        parse(&s, cases[i].options, b);
        s.init_from = "x.bin";
        bool accepted = settings_inherit(&s, &c, &err) == 0;
        CHECK(accepted == cases[i].accepted, "--init-from with %s: %s", cases[i].options, err.msg);
        if (!accepted) continue;
        Space config;
        CHECK(settings_config(&s, &config, 11, &err) == 0, "%s", err.msg);
        const Config *sizes = (const Config *)(const void *)config.bytes;
        CHECK(sizes->layers == 1 && sizes->channels == 16, "sizes are inherited");
        CHECK(sizes->context == (i == 1 ? 8 : 16) && sizes->dropout == (i == 4 ? 0.5 : 0.1),
              "%s: context %d, dropout %g", cases[i].options, sizes->context, sizes->dropout);
        CHECK(SETTLED(&s, fields), "a field of --init-from is settled");
    }
}

/* The defaults of the table are the preset quick; every preset can be trained. */
static void test_presets(void)
{
    static Settings plain, s;
    char a[500], b[500], line[60], first[SETTING_TEXT], second[SETTING_TEXT];
    parse(&plain, "", a);
    parse(&s, "--preset quick", b);
    for (int row = 0; s.rows[row].kind != OPT_END; row++) {
        if (s.rows[row].kind == OPT_GROUP || s.rows[row].kind == OPT_PRESET) continue;
        cli_get_text(&plain.rows[row], &plain, first, sizeof first);
        cli_get_text(&s.rows[row], &s, second, sizeof second);
        CHECK(strcmp(first, second) == 0, "%s: default %s, quick %s", s.rows[row].name, first,
              second);
    }
    for (const Preset *p = s.cli.presets; p->name != NULL; p++) {
        Space config;
        Err err = { 0 };
        snprintf(line, sizeof line, "--preset %s", p->name);
        parse(&s, line, a);
        CHECK(settings_config(&s, &config, 65, &err) == 0, "%s: %s", p->name, err.msg);
    }
}

static void test_plan(void)
{
    static Settings s;
    char a[500];
    parse(&s, "--steps 100 --lr 0.5 --min-lr 0.25 --schedule wsd", a);
    TrainingPlan p = settings_plan(&s, 0), again = settings_plan(&s, 3);
    CHECK(p.decay_steps == 50 && p.lr == 0.5 && p.steps == 100, "half of the steps decay");
    CHECK(again.lr == 0.0625 && again.min_lr == 0.03125, "each return halves the rates: %g",
          again.lr);
    s.plan.steps = 0;
    CHECK(settings_plan(&s, 0).steps == INT64_MAX, "steps that are not settled");
    int64_t reduced = 1;
    Err err = { 0 };
    CHECK(settings_fit_context(&s, 1000, "t", &reduced, &err) == 0 && reduced == 0,
          "64 of 1000 fit");
    CHECK(settings_fit_context(&s, 40, "t", &reduced, &err) == 0 && reduced == 64,
          "64 of 40 do not");
    parse(&s, "--context 64", a);
    CHECK(settings_fit_context(&s, 65, "t", &reduced, &err) == 0 && reduced == 0, "64 of 65 fit");
    CHECK(settings_fit_context(&s, 64, "t", &reduced, &err) == -1 && err.status == EXIT_TEXT
          && strstr(err.msg, "at most 63") != NULL, "what was asked for stays: %s", err.msg);
}

/* ---------------------------------------------------------------- --minutes */

static double value_of(const Choice *values, const char *name)
{
    for (; values->name != NULL; values++)
        if (strcmp(values->name, name) == 0) return strtod(values->value, NULL);
    return (double)NAN;
}

/* Weights of the blocks, but for a factor. */
static double budget_weight(double flops, size_t characters)
{
    const Choice *v = timing_sizes(&family_qwen3, flops, characters);
    double channels = value_of(v, "channels"), head = channels / value_of(v, "heads");
    CHECK(floor(head / 2) == head / 2, "%g operations, %zu characters: heads of %g channels", flops,
          characters, head);
    CHECK(value_of(v, "context") >= 64 && value_of(v, "batch") >= 1,
          "%g operations: context and batch", flops);
    return value_of(v, "layers") * channels * channels;
}

/* More time or more text never means a smaller model, and dropout rises with the epochs; the ends
 * of the table are reached. */
static void test_budget(void)
{
    static const size_t texts[] = { 300, 20000, 1000000, 100000000 };
    for (int t = 0; t < 4; t++) {
        double before = 0;
        for (double flops = 1e9; flops < 1e17; flops *= 1.5) {
            double weight = budget_weight(flops, texts[t]);
            CHECK(weight >= before, "%zu characters: smaller from %g operations on", texts[t],
                  flops);
            CHECK(t == 0 || weight >= budget_weight(flops, texts[t - 1]),
                  "%g operations: smaller for a longer text", flops);
            before = weight;
        }
    }
    CHECK(budget_weight(1e17, 100000000) > 4 * budget_weight(1e9, 300),
          "a day is worth more than a second");
    CHECK(budget_weight(1e17, 100000000) > budget_weight(1e17, 20000),
          "a long text is worth more than a short one");
    double before = 0;
    for (double epochs = 0; epochs < 1000; epochs += 0.5) {
        double dropout = value_of(timing_regularisation(epochs), "dropout");
        CHECK(dropout >= before && dropout < 0.5, "dropout %g after %g for %g epochs", dropout,
              before, epochs);
        before = dropout;
    }
    CHECK(before > 0 && value_of(timing_regularisation(0), "dropout") == 0.0,
          "dropout for many epochs only");
}

/* A text in memory: of its `count` symbols the last tenth is held out. */
static Corpus text_of(int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)(1 + rng_below(4, (uint64_t)i, 10));
    return (Corpus){ .ids = ids, .count = count, .characters = count,
                     .train_count = count - count / 10 };
}

/* What a timed run settles with these options. */
static void choose(Settings *s, const char *options, char room[500])
{
    static int32_t ids[5000];
    Corpus text = text_of(ids, 5000);
    Timing t = { .begun = clock_seconds() };
    Err err = { 0 };
    int64_t reduced;
    parse(s, options, room);
    CHECK(timing_deadline(&t, s, false, "x", &err) == 0 && settings_steps_open(s), "%s: %s",
          options, err.msg);
    CHECK(timing_choose(&t, s, kernels_usable(0), &text, 11, &reduced, &err) == 0, "%s: %s",
          options, err.msg);
}

static void test_choice(void)
{
    static Settings s;
    char room[500];
    Space config;
    Err err = { 0 };
    const Config *sizes = (const Config *)(const void *)config.bytes;
    choose(&s, "--minutes 0.01", room);
    CHECK(settings_family(&s) == &family_qwen3 && s.plan.optimizer == OPTIMIZER_MUON
              && s.plan.lr == 0.02 && s.sampling == SAMPLING_EPOCH
              && s.plan.schedule == SCHEDULE_WSD,
          "what a plain run takes");
    CHECK(settings_config(&s, &config, 11, &err) == 0 && sizes->channels % (2 * sizes->heads) == 0,
          "%s: %d heads", err.msg, sizes->heads);
    choose(&s, "--minutes 0.01 --optimizer adamw", room);
    CHECK(s.plan.lr == 0.02 * 0.25, "AdamW takes a quarter of Muon's rate, not %g", s.plan.lr);
    choose(&s, "--minutes 0.01 --family gpt2 --channels 96 --batch 3 --dropout 0.5 "
               "--optimizer adamw --lr 0.02", room);
    CHECK(settings_config(&s, &config, 11, &err) == 0 && sizes->channels == 96 && sizes->heads == 3
          && s.batch == 3 && sizes->dropout == 0.5 && settings_family(&s) == &family_gpt2
          && s.plan.lr == 0.02,
          "what is given stays: %d heads", sizes->heads);
}

/* Heads and channels suit each other where only one of them is given. */
static void test_suit(void)
{
    static const struct { const char *options; int heads, channels; } cases[] = {
        { "--heads 7", 7, 140 }, { "--channels 96", 3, 96 }, { "--channels 20", 1, 20 },
        { "--channels 1000", 25, 1000 }, { "--heads 3 --channels 12", 3, 12 }, { "", 4, 128 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static Settings s;
        char room[500];
        Space config;
        Err err = { 0 };
        const Config *sizes = (const Config *)(const void *)config.bytes;
        parse(&s, cases[i].options, room);
        CHECK(settings_suit(&s, &err) == 0 && settings_config(&s, &config, 11, &err) == 0, "%s",
              err.msg);
        CHECK(sizes->heads == cases[i].heads && sizes->channels == cases[i].channels,
              "%s: %d heads of %d", cases[i].options, sizes->heads, sizes->channels);
    }
}

/* Characters that are worked on at once are counted in ints. */
static void test_slice(void)
{
    static const struct { const char *options; bool possible; } cases[] = {
        { "--batch 1000000 --context 1024", true },     /* the slice is chosen */
        { "--batch 1000000 --context 1024 --slice 1000000", true },
        { "--batch 1000000 --context 65536 --slice 16384", true },
        { "--batch 1000000 --context 65536 --slice 16385", false },
        { "--batch 1000000 --context 65536 --slice 1000000", false },
        { "--batch 16384 --context 65536 --slice 1000000", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static Settings s;
        char room[500];
        Space config;
        Err err = { 0 };
        parse(&s, cases[i].options, room);
        int failed = settings_config(&s, &config, 11, &err);
        CHECK((failed == 0) == cases[i].possible && err.status == (failed ? EXIT_USAGE : 0),
              "%s: %s", cases[i].options, err.msg);
        int64_t slice = model_slice(settings_family(&s), &config, SIZE_MAX, (int)s.batch);
        CHECK(slice * family_context(settings_family(&s), &config) <= SLICE_CHARACTERS,
              "%s: %lld are chosen", cases[i].options, (long long)slice);
    }
}

static void test_deadline(void)
{
    static const struct { const char *options; bool resumed; int status; bool timed; } cases[] = {
        { "", false, 0, true }, { "", true, 0, false }, { "--minutes 2", true, EXIT_USAGE, false },
        { "--steps 5", false, 0, false }, { "--preset quick", false, 0, false },
        { "--preset quick --minutes 1", false, 0, true },
        { "--steps 5 --minutes 1", false, EXIT_USAGE, false },
        { "--minutes 1 --schedule cosine", false, EXIT_USAGE, false },
        { "--minutes 1 --schedule constant", true, 0, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static Settings s;
        char room[500];
        Err err = { 0 };
        Timing t = { .begun = 100 };
        parse(&s, cases[i].options, room);
        int failed = timing_deadline(&t, &s, cases[i].resumed, "x", &err);
        CHECK((failed ? err.status : 0) == cases[i].status && (t.deadline > 0) == cases[i].timed,
              "%s: status %d, deadline %g", cases[i].options, err.status, t.deadline);
    }
}

/* More time for a run that has ended: it decays anew, over half of the new steps. */
static void test_more_time(void)
{
    static Settings s;
    char room[500];
    Err err = { 0 };
    Timing t = { .begun = 100 };
    for (int settled = 0; settled < 2; settled++) {
        parse(&s, "--minutes 1 --schedule wsd", room);
        s.plan.steps = settled ? 90 : 0;
        s.plan.decay_steps = 45;
        CHECK(timing_deadline(&t, &s, true, "x", &err) == 0 && settings_steps_open(&s), "%s",
              err.msg);
        CHECK(s.plan.decay_steps == (settled ? 0 : 45), "%lld steps decay",
              (long long)s.plan.decay_steps);
    }
}

/* The decay begins where what is left of the time is what it costs. */
static void test_plan_end(void)
{
    static Settings s;
    char room[500];
    Trainer trainer = { .step = 100, .made = 100 };
    parse(&s, "--minutes 1 --schedule wsd", room);
    s.plan.steps = 0;
    double now = clock_seconds();
    Timing t = { .begun = now - 10, .started = now - 10, .deadline = now + 30 };
    CHECK(!timing_plan_end(&t, &s, &trainer, 0) && settings_steps_open(&s),
          "300 steps fit, 200 decay");
    t.deadline = now + 9;
    CHECK(timing_plan_end(&t, &s, &trainer, 0), "90 steps fit, and 95 should decay");
    CHECK(s.plan.steps >= 189 && s.plan.steps <= 190 && s.plan.decay_steps == s.plan.steps - 100,
          "%lld steps, %lld of them decay", (long long)s.plan.steps, (long long)s.plan.decay_steps);
    s.plan.steps = 0;
    s.plan.decay_steps = 0;
    t.last_evaluation = 2;
    CHECK(timing_plan_end(&t, &s, &trainer, 1.5), "an evaluation of 2 s and two saves of 1.5 s");
    CHECK(s.plan.steps >= 139 && s.plan.steps <= 140, "%lld steps", (long long)s.plan.steps);
    /* 33 s are left: four rounds of 50 steps and an evaluation, and all but one step of a fifth. An
     * evaluation takes longer than the steps before it, and the number of steps is still found. */
    static const struct { int64_t every; double evaluation; int64_t fit; } cases[] = {
        { 50, 2, 249 }, { 2, 2, 30 }, { 3, 0.25, 190 }, { 1000, 2, 330 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s.plan.steps = 0;
        s.plan.decay_steps = 1000;
        s.eval_every = cases[i].every;
        now = clock_seconds();
        t = (Timing){ .begun = now - 10, .started = now - 10, .deadline = now + 35,
                      .last_evaluation = cases[i].evaluation };
        CHECK(timing_plan_end(&t, &s, &trainer, 0), "every %lld", (long long)cases[i].every);
        CHECK(llabs(s.plan.steps - trainer.step - cases[i].fit) <= 1, "every %lld: %lld steps",
              (long long)cases[i].every, (long long)(s.plan.steps - trainer.step));
    }
    trainer.made = 0;
    CHECK(!timing_plan_end(&t, &s, &trainer, 0), "no step was made, so none can be planned");
}

/* Half of a decay of 200 steps is made, of the time 50 s are left of 100: steps of 1 s leave half
 * of the rest, of 0.25 s make it twice as long, and hardly other ones change nothing. The rate of
 * the next step stays. */
static void test_adjusted_end(void)
{
    static const struct { double pace; int64_t rest; } cases[] = {
        { 1, 50 }, { 0.25, 200 }, { 0.509, 100 }, { 0.492, 100 }, { 0.55, 90 }, { 1e3, 1 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static Settings s;
        char room[500];
        Trainer trainer = { .step = 300, .made = 300 };
        parse(&s, "--minutes 1 --schedule wsd --eval-every 1000", room);
        s.plan.steps = 400;
        s.plan.decay_steps = 200;
        s.changed = NULL;
        double now = clock_seconds();
        Timing t = { .begun = now - 50, .deadline = now + 50.5, .planned_step = 0.5,
                     .evaluating = 3, .span_begun = now - 3 - 20 * cases[i].pace,
                     .span_step = 280 };
        bool moved = timing_adjust_end(&t, &s, &trainer, 0);
        int64_t rest = s.plan.steps - trainer.step;
        CHECK(moved == (cases[i].rest != 100) && (s.changed != NULL) == moved, "pace %g",
              cases[i].pace);
        CHECK(llabs(rest - cases[i].rest) <= 2, "pace %g: %lld steps are left", cases[i].pace,
              (long long)rest);
        CHECK(llabs(2 * rest - s.plan.decay_steps) <= 1, "pace %g: %lld of %lld steps",
              cases[i].pace, (long long)rest, (long long)s.plan.decay_steps);
        CHECK(!timing_adjust_end(&t, &s, &trainer, 0), "pace %g: at once again", cases[i].pace);
        t.planned_step = 0;
        CHECK(!timing_adjust_end(&t, &s, &trainer, 0), "what another start planned stays");
    }
}

/* ---------------------------------------------------------------- the log */

static char folder[200];

static const char *in_folder(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void check_file(const char *path, const char *want)
{
    char *text = NULL;
    size_t size = 0;
    Err err = { 0 };
    CHECK(read_file(path, &text, &size, &err) == 0 && size == strlen(want)
              && memcmp(text, want, size) == 0,
          "the log is\n%s\ninstead of\n%s", text != NULL ? text : err.msg, want);
    free(text);
}

static void test_log(void)
{
    static char *const argv[] = { "./train", "a \"b\"" };
    RunLog l;
    Err err = { 0 };
    const char *path = in_folder("x.log");
    Surroundings here = { "abc", "a machine", "portable", 2, 16, 1234, 0, 2, argv };
    LogLine zero = { .step = 0, .val_loss = 4.25 };
    LogLine one = { 1, 0.5, 64, 3.5, 0.01, 2, 128, (double)NAN };
    CHECK(runlog_open(&l, path, RUNLOG_NEW, 0, &err) == 0, "%s", err.msg);
    CHECK(runlog_surroundings(&l, &here, &err) == 0 && runlog_step(&l, &zero, &err) == 0
          && runlog_step(&l, &one, &err) == 0 && runlog_close(&l, &err) == 0, "%s", err.msg);
    const char *start =
        "{\"folio\":\"" FOLIO_VERSION "\",\"commit\":\"abc\",\"machine\":\"a machine\","
        "\"isa\":\"portable\",\"threads\":2,\"slice\":16,\"parameters\":1234,\"from_step\":0,"
        "\"command\":[\"./train\",\"a \\\"b\\\"\"]}\n{\"step\":0,\"val_loss\":4.25}\n"
        "{\"step\":1,\"seconds\":0.500,\"tokens\":64,\"loss\":3.5,\"lr\":0.01,\"grad_norm\":2,"
        "\"tokens_per_second\":128.0}\n";
    check_file(path, start);

    CHECK(runlog_open(&l, path, RUNLOG_NEW, 0, &err) == -1 && err.status == EXIT_USAGE,
          "in the way");
    FILE *f = fopen(path, "a");
    if (f != NULL) fputs("{\"step\":2,\"sec", f);           /* a power cut */
    if (f != NULL) fclose(f);
    CHECK(runlog_open(&l, path, RUNLOG_CONTINUE, 1, &err) == 0 && l.seconds_before == 0.5, "%s",
          err.msg);
    CHECK(runlog_resumed(&l, 1, &err) == 0, "%s", err.msg);
    one.step = 2;
    one.val_loss = 3;
    CHECK(runlog_step(&l, &one, &err) == 0 && runlog_close(&l, &err) == 0, "%s", err.msg);
    char whole[1000];
    snprintf(whole, sizeof whole,
             "%s{\"step\":2,\"sec\n{\"resumed\":1}\n{\"step\":2,\"seconds\":0.500,"
             "\"tokens\":64,\"loss\":3.5,\"lr\":0.01,\"grad_norm\":2,\"tokens_per_second\":128.0,"
             "\"val_loss\":3}\n",
             start);
    check_file(path, whole);
    CHECK(runlog_open(&l, path, RUNLOG_REPLACE, 0, &err) == 0 && runlog_close(&l, &err) == 0, "%s",
          err.msg);
    check_file(path, "");
    unlink(path);
}

static void test_log_refusals(void)
{
    RunLog l;
    Err err = { 0 };
    const char *path = in_folder("notes.txt");
    FILE *f = fopen(path, "w");
    if (f != NULL) fputs("my notes\n", f);
    if (f != NULL) fclose(f);
    for (int how = RUNLOG_NEW; how <= RUNLOG_CONTINUE; how++)
        CHECK(runlog_open(&l, path, (RunLogStart)how, 0, &err) == -1 && err.status == EXIT_USAGE,
              "%d: a file that is no log is left alone", how);
    check_file(path, "my notes\n");
    unlink(path);
    CHECK(runlog_open(&l, folder, RUNLOG_NEW, 0, &err) == -1 && err.status == EXIT_RUNTIME,
          "a folder");
    CHECK(runlog_open(&l, NULL, RUNLOG_NEW, 0, &err) == 0 && runlog_resumed(&l, 5, &err) == 0
          && runlog_close(&l, &err) == 0, "no log");
    if (access("/dev/full", W_OK) != 0) return;
    LogLine line = { .step = 1 };
    CHECK(runlog_open(&l, "/dev/full", RUNLOG_NEW, 0, &err) == 0, "%s", err.msg);
    CHECK(runlog_step(&l, &line, &err) == -1 && l.failed, "a full device is said");
    CHECK(runlog_step(&l, &line, &err) == 0 && runlog_close(&l, &err) == 0 && l.failed,
          "and said once");
}

static void test_log_seconds(void)
{
    static const char text[] =
        "{\"folio\":\"0\"}\n{\"step\":0,\"val_loss\":4}\n{\"step\":1,\"seconds\":1.5}\n"
        "{\"step\":2,\"seconds\":2.5}\n{\"resumed\":1}\n{\"step\":2,\"seconds\":7}\n"
        "{\"step\":3,\"seconds\":8}\n"
        "{\"step\":4,\"sec";
    static const double want[] = { 0, 1.5, 7, 8, 8 };
    for (int step = 0; step < 5; step++)
        CHECK(runlog_seconds(text, sizeof text - 1, step) == want[step], "step %d: %g seconds",
              step, runlog_seconds(text, sizeof text - 1, step));
    CHECK(runlog_seconds("", 0, 5) == 0, "an empty log");
}

/* ---------------------------------------------------------------- a step */

typedef struct {
    Trainer t;
    int32_t ids[TEXT];
    Config config;
} Run;

static void open_trainer(Run *r, Config config, int sampling, int slice, uint64_t seed)
{
    TrainingPlan plan = { .steps = 50, .lr = 0.02, .beta1 = 0.9, .beta2 = 0.99, .clip = 1,
                          .ema = 0.5 };
    Corpus text = text_of(r->ids, TEXT);
    Err err = { 0 };
    r->config = config;
    r->config.vocab = 11;
    gpt_complete(&r->config);
    TrainerOptions how = { .family = gpt_family(&config), .config = &r->config, .plan = plan,
                           .batch = 6, .kernels = kernels_pick("portable", &err),
                           .part = corpus_part(&text, PART_TRAIN), .slice = slice,
                           .sampling = sampling, .seed = seed };
    CHECK(trainer_open(&r->t, &how, &err) == 0, "%s", err.msg);
    CHECK(trainer_bytes(&how) >= r->t.model.weights.used, "memory is counted");
    trainer_start(&r->t);
}

static const Config step_config = { .family = FAMILY_GPT2, .layers = 1, .heads = 2, .channels = 8,
                                    .context = 7, .dropout = 0.3 };

/* The weights after three steps do not depend on the slice, but on the seed, attempt and way of
 * sampling. */
static void test_steps(void)
{
    static Run a, b;
    open_trainer(&a, step_config, SAMPLING_RANDOM, 6, 1);
    size_t bytes = a.t.model.size * sizeof(real);
    for (int i = 0; i < 3; i++) CHECK(trainer_step(&a.t) == STEP_MADE, "step %d", i);
    CHECK(a.t.step == 3 && a.t.made == 3 && a.t.state.train_loss > 0 && a.t.state.grad_norm > 0,
          "state");
    for (int variant = 0; variant < 7; variant++) {
        bool same = variant < 3;
        open_trainer(&b, step_config, variant == 3 ? SAMPLING_EPOCH : SAMPLING_RANDOM, variant + 1,
                     variant == 4 ? 2 : 1);
        if (variant == 5) b.t.state.attempt = 1;
        if (variant == 6) b.t.step = 1;
        for (int i = 0; i < 3; i++) trainer_step(&b.t);
        CHECK((memcmp(a.t.model.params, b.t.model.params, bytes) == 0) == same, "variant %d",
              variant);
        CHECK((memcmp(trainer_weights(&a.t), trainer_weights(&b.t), bytes) == 0) == same,
              "average %d", variant);
        trainer_close(&b.t);
    }
    CHECK(trainer_weights(&a.t) == a.t.optimizer.average && trainer_tokens_per_step(&a.t) == 42,
          "average");
    trainer_close(&a.t);
}

/* Seed, attempt and step each change what is drawn; nothing else does. An epoch moves on with every
 * step. */
static void test_draws(void)
{
    enum { VARIANTS = 4 };
    static Run a, b;
    for (int sampling = SAMPLING_RANDOM; sampling <= SAMPLING_EPOCH; sampling++) {
        for (int variant = 0; variant < VARIANTS; variant++) {
            open_trainer(&a, step_config, sampling, 6, 1);
            open_trainer(&b, step_config, sampling, 6, variant == 1 ? 2 : 1);
            size_t bytes = a.t.model.size * sizeof(real), batch = 6 * 7 * sizeof(int32_t);
            CHECK((memcmp(a.t.model.params, b.t.model.params, bytes) != 0) == (variant == 1),
                  "the seed decides the first weights");
            CHECK(memcmp(trainer_weights(&a.t), a.t.model.params, bytes) == 0,
                  "the average begins as they are");
            if (variant == 2) b.t.state.attempt = 1;
            if (variant == 3) b.t.step = 1;
            trainer_step(&a.t);
            trainer_step(&b.t);
            CHECK((memcmp(a.t.x, b.t.x, batch) != 0) == (variant > 0), "windows %d %d", sampling,
                  variant);
            CHECK(memcmp(a.t.x + 1, a.t.y, 6 * sizeof(int32_t)) == 0, "y is x moved on");
            trainer_close(&a.t);
            trainer_close(&b.t);
        }
    }
}

/* Dropout is drawn anew in every step: on one batch with a rate of zero the losses of two steps
 * differ, and those of two runs do not. */
static void test_dropout_of_each_step(void)
{
    static Run r;
    double losses[2][2];
    for (int run = 0; run < 2; run++) {
        open_trainer(&r, step_config, SAMPLING_RANDOM, 6, 1);
        TrainingPlan still = r.t.how.plan;
        still.lr = 0;
        trainer_set_plan(&r.t, &still);
        r.t.how.part.count = 8;                         /* one window: every batch is the same */
        for (int i = 0; i < 2; i++) {
            CHECK(trainer_step(&r.t) == STEP_MADE, "a step");
            losses[run][i] = r.t.state.train_loss;
        }
        trainer_close(&r.t);
    }
    CHECK(losses[0][0] != losses[0][1], "two steps drop the same: loss %g", losses[0][0]);
    CHECK(losses[0][0] == losses[1][0] && losses[0][1] == losses[1][1], "two runs drop the same");
}

static bool stop_now;
static bool stop(void) { return stop_now; }

static void test_step_results(void)
{
    static Run r;
    open_trainer(&r, step_config, SAMPLING_RANDOM, 2, 1);
    r.t.stop = stop;
    real before = r.t.model.params[0];
    stop_now = true;
    CHECK(trainer_step(&r.t) == STEP_STOPPED && r.t.step == 0 && r.t.model.params[0] == before,
          "a stopped step changes nothing");
    stop_now = false;
    CHECK(trainer_step(&r.t) == STEP_MADE && trainer_sound(&r.t), "and the next one is made");
    real sound = r.t.model.params[1];
    r.t.model.params[1] = (real)NAN;
    CHECK(!trainer_sound(&r.t), "a weight is no number");
    CHECK(trainer_step(&r.t) == STEP_LEFT_OUT && r.t.state.skipped == 1, "a step is left out");
    r.t.model.params[1] = sound;
    CHECK(trainer_step(&r.t) == STEP_MADE && r.t.state.skipped == 0, "those in a row are counted");
    r.t.step = 1;
    r.t.model.params[1] = (real)NAN;
    for (int i = 1; i < SKIPS_MAX; i++)
        CHECK(trainer_step(&r.t) == STEP_LEFT_OUT && r.t.step == 1 + i
                  && r.t.state.skipped == (uint64_t)i,
              "step %d is left out", i);
    CHECK(trainer_step(&r.t) == STEP_DIVERGED && r.t.step == SKIPS_MAX && r.t.made == 2,
          "then it diverged");
    trainer_start(&r.t);
    CHECK(r.t.step == 0 && r.t.state.skipped == 0 && trainer_step(&r.t) == STEP_MADE,
          "a new start");
    TrainingPlan wild = r.t.how.plan;
    wild.lr = HUGE_VAL;
    trainer_set_plan(&r.t, &wild);
    CHECK(trainer_step(&r.t) == STEP_DIVERGED, "weights that are not finite");
    trainer_close(&r.t);
}

/* ---------------------------------------------------------------- history, NAME.bin, going back */

static void evaluated(Saves *s, Trainer *t, int64_t step, double loss, bool best)
{
    Err err = { 0 };
    t->step = step;
    CHECK(saves_evaluated(s, t, loss, &err) == 0 && s->best_due == best, "step %lld",
          (long long)step);
    CHECK(saves_has_evaluated(s, t), "step %lld is evaluated", (long long)step);
}

static void test_history(void)
{
    static Run r;
    static Saves s;
    Trainer *t = &r.t;
    *t = (Trainer){ .state = { .train_loss = 9 } };
    s = (Saves){ .lock.fd = -1 };
    evaluated(&s, t, 0, 4, false);                      /* the untrained model is never the best */
    evaluated(&s, t, 5, 3, true);
    evaluated(&s, t, 10, 3.5, false);
    CHECK(saves_stale(&s, t) == 1 && t->state.best_step == 5 && t->state.best_loss == 3,
          "one is stale");
    evaluated(&s, t, 15, 3, false);
    CHECK(saves_stale(&s, t) == 2, "an equal loss is no better one");
    evaluated(&s, t, 20, 2.5, true);
    CHECK(saves_stale(&s, t) == 0, "none is stale");
    t->step = 21;
    CHECK(!saves_has_evaluated(&s, t), "step 21 is not evaluated");
    saves_forget_due(&s, t);                                /* it could not be saved */
    CHECK(!s.best_due && t->state.best_step == 5 && t->state.best_loss == 3,
          "NAME.bin still holds step 5");
    saves_forget_due(&s, t);
    CHECK(t->state.best_step == 5, "once is enough");
    t->state.skipped = 1;
    evaluated(&s, t, 25, 1, false);                         /* weights that a return may undo */
    CHECK(s.history.count == 6 && s.history.train_loss[0] == 4 && s.history.train_loss[1] == 9
          && s.history.val_loss[5] == 1 && s.history.step[5] == 25,
          "the history holds all of them");
    saves_close(&s);
}

/* A run that is saved after three steps and restored makes the same fourth step. */
static void test_restore(void)
{
    static Run a, b;
    static Saves s, other;
    static Settings settings;
    char room[500];
    Err err = { 0 };
    Tokenizer tokenizer = { 0 };
    Checkpoint from;
    uint64_t lost = 1;
    uint32_t values[11];
    for (uint32_t i = 0; i < 11; i++) values[i] = 'a' + i;
    CHECK(tokenizer_from_values(&tokenizer, values, 11, false, false, &err) == 0, "%s", err.msg);
    parse(&settings, TINY, room);
    open_trainer(&a, step_config, SAMPLING_RANDOM, 6, 1);
    SavedText text = { &tokenizer,
                       "0123456789012345678901234567890123456789012345678901234567890123", true };
    s = (Saves){ .lock.fd = -1 };
    CHECK(run_paths(&s.paths, in_folder("run.bin"), &err) == 0
          && run_lock(&s.paths, &s.lock, &err) == 0, "%s", err.msg);
    s.setting_count = settings_store(&settings, 0, s.settings);
    CHECK(saves_open(&s, &a.t, &text, 4, &err) == 0, "%s", err.msg);
    CHECK(saves_write(&s, &a.t, false, &err) == 0 && s.has_last && s.has_best,
          "the first save writes both");
    CHECK(access(s.paths.best, F_OK) == 0 && access(s.paths.last, F_OK) == 0, "both files");
    for (int i = 0; i < 3; i++) trainer_step(&a.t);
    evaluated(&s, &a.t, 3, 2, true);
    CHECK(saves_write(&s, &a.t, true, &err) == 0 && s.has_last && s.has_best && !s.best_due, "%s",
          err.msg);

    open_trainer(&b, step_config, SAMPLING_RANDOM, 3, 1);
    other = (Saves){ .lock.fd = -1, .paths = s.paths };
    CHECK(saves_open(&other, &b.t, &text, 4, &err) == 0, "%s", err.msg);
    CHECK(checkpoint_load(&from, s.paths.last, &err) == 0, "%s", err.msg);
    CHECK(saves_restore(&other, &b.t, &from, &lost, &err) == 0 && lost == 0, "%s", err.msg);
    CHECK(b.t.step == 3 && b.t.state.best_step == 3 && other.history.count == 1 && other.best_due
          && other.has_last && other.has_best, "the state comes back");
    trainer_step(&a.t);
    trainer_step(&b.t);
    size_t bytes = a.t.model.size * sizeof(real);
    CHECK(memcmp(a.t.model.params, b.t.model.params, bytes) == 0
          && memcmp(a.t.optimizer.average, b.t.optimizer.average, bytes) == 0,
          "the fourth step is the same");

    unlink(s.paths.best);                               /* at a later step its weights are lost */
    CHECK(saves_write(&s, &a.t, true, &err) == 0, "%s", err.msg);
    unlink(s.paths.best);
    CHECK(checkpoint_load(&from, s.paths.last, &err) == 0, "%s", err.msg);
    CHECK(saves_restore(&other, &b.t, &from, &lost, &err) == 0 && lost == 3
              && b.t.state.best_step == 0,
          "step %llu is lost", (unsigned long long)lost);
    unlink(s.paths.last);
    saves_close(&other);
    saves_close(&s);
    trainer_close(&a.t);
    trainer_close(&b.t);
    tokenizer_close(&tokenizer);
}

int main(int argc, char **argv)
{
    bool slow = argc > 1 && strcmp(argv[1], "--slow") == 0;
    omp_set_num_threads(1);                                 /* all that is trained here is tiny */
    const char *temp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/folio-XXXXXX", temp != NULL ? temp : "/tmp");
    if (mkdtemp(folder) == NULL) return EXIT_RUNTIME;
    test_rows();
    test_resume_rules();
    test_settings_come_back();
    test_init_rules();
    test_presets();
    test_plan();
    test_budget();
    if (!slow) test_choice();
    test_suit();
    test_slice();
    test_deadline();
    test_more_time();
    test_plan_end();
    test_adjusted_end();
    test_log();
    test_log_refusals();
    test_log_seconds();
    test_steps();
    test_draws();
    test_dropout_of_each_step();
    test_step_results();
    test_history();
    test_restore();
    CHECK(rmdir(folder) == 0, "nothing is left in %s", folder);
    return check_report("training");
}
