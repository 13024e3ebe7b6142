/* test_fuzz.c: the fuzz targets (fuzz.h) over mutated seeds, with no more than a compiler.
 *
 * Each target runs in a process of its own, over its seeds, over the files of FOLDER/NAME (inputs
 * that once broke it, and a few made by hand), and over random changes of both. An input that
 * breaks it is written beside this program.
 *
 *     test_fuzz [FOLDER [SECONDS [SEED]]]     FOLDER: tests/fuzz; SECONDS: for all targets
 *     test_fuzz --seeds FOLDER                writes the seeds to FOLDER/NAME, for another fuzzer
 *
 * Without SECONDS it tries a fixed number of inputs.
 */
#include "../../base.h"
#include "../../formats/checkpoint.h"
#include "../unit/check.h"
#include "../unit/gpt.h"
#include "../unit/saved.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { INPUT_MAX = 1 << 16, SEEDS_MAX = 200, CHANGES_MAX = 5 };
enum { SECONDS_MAX = 10, MEMORY_MAX = 1 << 30 };

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = true };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) };
#else
enum { SANITIZED = false };
#endif

typedef struct {
    uint8_t *bytes;
    size_t size;
} Seed;

typedef struct {
    Seed items[SEEDS_MAX];
    int count;
} Seeds;

/* The next input; in memory that a target's process shares with this one. */
typedef struct {
    long tried;
    size_t size;
    uint8_t bytes[INPUT_MAX];
} Input;

typedef struct {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
    void (*seeds)(Seeds *s);
    long inputs;            /* for the time that a test may take */
} Target;

int fuzz_checkpoint(const uint8_t *data, size_t size);
int fuzz_text(const uint8_t *data, size_t size);
int fuzz_options(const uint8_t *data, size_t size);
int fuzz_json(const uint8_t *data, size_t size);

/* ---------------------------------------------------------------- seeds */

/* `head` bytes that choose what a target does, then the input itself. */
static void add_seed(Seeds *s, const uint8_t *head, size_t head_size, const void *bytes,
                     size_t size)
{
    Seed one = { malloc(head_size + size + 1), head_size + size };
    bool fits = one.bytes != NULL && one.size <= INPUT_MAX && s->count < SEEDS_MAX;
    CHECK(fits, "a seed of %zu bytes, after %d others", size, s->count);
    if (!fits) {
        free(one.bytes);
        return;
    }
    memcpy(one.bytes, head, head_size);
    if (size > 0) memcpy(one.bytes + head_size, bytes, size);
    s->items[s->count++] = one;
}

typedef enum { SOME_BYTES, SOME_CHARACTERS, SOME_NUMBERS, KINDS } SomeKind;

/* A checkpoint with two evaluations, of bytes, of characters or of numbers; train: with all that
 * resuming needs, and an average. */
static char *some_checkpoint(Config config, SomeKind kind, bool train, size_t *size)
{
    enum { TENSORS = 40, ELEMENTS = 1000 };
    static const char text[] = "a\n\xc3\xa9";
    static Setting settings[] = { { "lr", "0.001", true }, { "schedule", "cosine", false },
                                  { "separators", "0", true }, { "memory", "3", true } };
    static const int32_t ids[] = { 1, 2, 1, 2, 0, 1 };
    SavedMemory memory = { 3, 6, ids, { { { 0.4, 0.1 }, { 0.6, 0, -0.1, 0.2 } } } };
    Tensor tensors[TENSORS];
    real flat[ELEMENTS];
    uint64_t steps[] = { 0, 300 };
    double losses[] = { 4.5, 2.25 };
    History history = { 2, steps, losses, losses };
    TrainState state = { .best_step = 300, .best_loss = 2.25, .train_loss = 2.5, .grad_norm = 0.7 };
    Tokenizer t;
    Err err = { 0 };
    char *file = NULL;
    for (int i = 0; i < ELEMENTS; i++) flat[i] = (real)rng_normal(1, (uint64_t)i);
    if (kind == SOME_NUMBERS ? tokenizer_from_numbers(&t, (Numbers){ 172.25, 9.1, 0.5 }, &err)
        : tokenizer_start(&t, kind == SOME_BYTES, true, &err)
          || tokenizer_add(&t, text, sizeof text - 1, "text", &err) || tokenizer_finish(&t, &err))
        return NULL;
    config.vocab = t.count;
    gpt_complete(&config);
    Snapshot s = { .family = gpt_family(&config), .config = &config, .tokenizer = &t,
                   .settings = settings, .setting_count = 3, .step = 300,
                   .sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                   .tensors = tensors, .params = flat, .history = &history };
    size_t elements = SIZE_MAX;
    if (family_tensors(gpt_family(&config), &config, NULL, NULL) <= TENSORS)
        s.tensor_count = family_tensors(gpt_family(&config), &config, tensors, &elements);
    if (kind != SOME_NUMBERS) {
        s.setting_count++;
        s.memory = &memory;
    }
    if (train) {
        s.moment1 = s.moment2 = s.raw = flat;
        s.train = &state;
    }
    if (elements <= ELEMENTS) file = saved_bytes(&s, size, &err);
    tokenizer_close(&t);
    return file;
}

static void checkpoint_seeds(Seeds *s)
{
    static const uint8_t switches[] = { 0, 7, 15, 1, 31, 33 };  /* see fuzz_checkpoint.c */
    static const Config configs[] = {
        { .family = FAMILY_GPT2, .layers = 1, .heads = 1, .channels = 2, .context = 2, .bias = 1 },
        { .family = FAMILY_GPT2, .layers = 0, .heads = 2, .channels = 4, .context = 3 },
        { .family = FAMILY_QWEN3, .layers = 1, .heads = 2, .channels = 4, .hidden = 3,
          .context = 4 },
        { .family = FAMILY_QWEN3, .layers = 1, .heads = 1, .channels = 2, .hidden = 2, .context = 2,
          .untied = 1 },
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++)
        for (int train = 0; train < 2; train++) {
            size_t size = 0;
            char *file = some_checkpoint(configs[i], (SomeKind)(i % KINDS), train, &size);
            CHECK(file != NULL, "checkpoint %zu", i);
            for (size_t k = 0; k < sizeof switches && file != NULL; k++)
                add_seed(s, switches + k, 1, file, size);
            free(file);
        }
}

static void text_seeds(Seeds *s)
{
    static const char *const texts[] = {
        "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
        ("\xef\xbb\xbf|caf\xc3\xa9\r\n\xe2\x82\xac \xf0\x9f\x98\x80 "
         "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80 na\xc3\xafve"),
        "\xc0\x80 overlong, \xed\xa0\x80 surrogate, \xf4\x90\x80\x80 too large, \xe2\x82",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\x1f\x8b\x08 PK\x03\x04word/ %PDF-1.7 \xff\xfe BZh91AY&SY GGUF\x03 <html> \x80\x04",
        "PK\x03\x04[Content_Types].xml", "GIF89a\x01", "\xff\xfe" "a",
        "1 2.5,-3e4\n\t.5 7. 1e30\r\n0.1 1e-300", "7 7 7",
        "\x01\x02\x03\x04\x05\x06\x07\x08\x10\x02 windows \x80\x02\x03\x04", "",
    };
    static const uint8_t heads[][2] = { { 30, 128 }, { 31, 128 }, { 28, 0 }, { 2, 255 },
                                        { 29, 64 }, { 32, 0 } };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t k = 0; k < sizeof heads / sizeof heads[0]; k++)
            add_seed(s, heads[k], 2, texts[i], strlen(texts[i]));
}

static void options_seeds(Seeds *s)
{
    static const char *const lines[] = {
        "a.txt\n--preset\nnanogpt\n--steps=5000\n--lr\n1e-3\n--out\nx.bin\n--\n--b",
        "-\n--resume\n--overwrite\n--bytes\n--quiet\n--json\n--seed=9000000000000000",
        "--layers\n6\n--heads=6\n--channels\n384\n--context\n256\n--batch\n64\n"
        "--dropout\n0.2\n--bias\non\n--gelu=tanh",
        "--family\nqwen3\n--hidden\n0\n--head-size\n64\n--head\nuntied\n--rope-base\n1e4\n"
        "--optimizer=muon\n--schedule=wsd",
        "--min-lr\n+.5e-3\n--beta1=0.9\n--beta2\n0.99\n--weight-decay\n-0\n--clip=1.\n"
        "--val-fraction=00.10",
        "1.5e3\n--stop-at\n15e2\n--patience\n100e-2\n--threads=0x10\n--slice=nan\n"
        "--warmup\n9223372036854775807",
        "-h\n--sampling\nepoch", "--version", "--sed\n1", "--preset=huge", "--decay-steps",
        "--isa\n\n--ema=0.999",
        "--eval-every\n1\n--eval-batches=1\n--sample-every=1\n--save-every=1\n"
        "--separator=off\n--log=\n--init-from=a",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        add_seed(s, (const uint8_t *)"", 0, lines[i], strlen(lines[i]));
}

static void json_seeds(Seeds *s)
{
    static const char *const texts[] = {
        ("{\"__metadata__\":{\"step\":\"12\"},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}   "),
        "{ \"a\" : -1.5e+10 , \"b\" : [ ] , \"c\" : { } , \"d\" : \"\\u00e9\\ud83d\\ude00\\n\" }",
        "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD834\\uDD1E \xc3\xa9\xf0\x9f\x98\x80\" ",
        "\"\\ud800\"", "\"\\udc00\\ud800\"", "18446744073709551615", "18446744073709551616",
        "-0.0E-7", "01", " 1e999,", "", "{\"a\":{\"a\":{\"a\":{\"a\":1}}}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (uint8_t kind = 0; kind < 4; kind++) add_seed(s, &kind, 1, texts[i], strlen(texts[i]));
}

/* The files of a folder; a folder that is not there has none. */
static void file_seeds(Seeds *s, const char *folder, const char *name)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL; ) {
        if (entry->d_name[0] == '.') continue;
        Err err = { 0 };
        char *bytes = NULL;
        size_t size = 0;
        snprintf(path, sizeof path, "%s/%s/%s", folder, name, entry->d_name);
        int failed = read_file(path, &bytes, &size, &err);
        CHECK(failed == 0, "%s", err.msg);
        if (!failed) add_seed(s, (const uint8_t *)"", 0, bytes, size);
        if (!failed) free(bytes);
    }
    if (dir != NULL) closedir(dir);
}

/* ---------------------------------------------------------------- changes */

/* Draws that follow from the seed alone. */
typedef struct {
    uint64_t key, count;
} Draws;

static size_t draw(Draws *d, size_t below)
{
    return (size_t)rng_below(d->key, d->count++, below > 0 ? below : 1);
}

/* Replaces `old` bytes at `at`; what does not fit is left out. */
static void replace(Input *in, size_t at, size_t old, const void *bytes, size_t size)
{
    if (in->size - old + size > INPUT_MAX) return;
    memmove(in->bytes + at + size, in->bytes + at + old, in->size - at - old);
    if (size > 0) memcpy(in->bytes + at, bytes, size);
    in->size += size - old;
}

/* The decimal number at a random place or next after it becomes one that is hard to hold, or one
 * close by. */
static void change_number(Input *in, Draws *d)
{
    static const int steps[] = { -4, -2, -1, 1, 2, 4 };
    static const char *const numbers[] = {
        "-1", "0", "1", "2147483648", "4294967296", "9223372036854775808", "18446744073709551615",
        "18446744073709551616", "1e999", "0.5", "65537", "00", "", "4611686018427387904", "-0",
        "1e-999"
    };
    size_t at = draw(d, in->size), digits = 0;
    while (at < in->size && (in->bytes[at] < '0' || in->bytes[at] > '9')) at++;
    while (at + digits < in->size && in->bytes[at + digits] >= '0' && in->bytes[at + digits] <= '9')
        digits++;
    const char *number = numbers[draw(d, sizeof numbers / sizeof numbers[0])];
    char near[24];
    if (draw(d, 2) == 0 && digits < 9) {
        long value = 0;
        for (size_t i = 0; i < digits; i++) value = 10 * value + (in->bytes[at + i] - '0');
        snprintf(near, sizeof near, "%ld", value + steps[draw(d, sizeof steps / sizeof steps[0])]);
        number = near;
    }
    if (digits > 0) replace(in, at, digits, number, strlen(number));
}

/* A range of the input, or of another seed, is put in at a random place. */
static void insert_range(Input *in, const uint8_t *from, size_t size, Draws *d)
{
    uint8_t range[256];
    size_t start = draw(d, size), length = 1 + draw(d, draw(d, 8) == 0 ? sizeof range : 16);
    if (size == 0) return;
    if (length > size - start) length = size - start;
    memcpy(range, from + start, length);
    replace(in, draw(d, in->size + 1), 0, range, length);
}

static void change(Input *in, const Seeds *seeds, Draws *d)
{
    static const uint8_t bytes[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, '"', '{', '}', '-', '=', '\n',
                                     0xc2, 0xed, 0xf4 };
    size_t at = draw(d, in->size), length = 1 + draw(d, draw(d, 8) == 0 ? 256 : 8);
    const Seed *other = &seeds->items[draw(d, (size_t)seeds->count)];
    if (in->size == 0) {
        insert_range(in, other->bytes, other->size, d);
        return;
    }
    if (length > in->size - at) length = in->size - at;
    switch (draw(d, 9)) {
    case 0: in->bytes[at] ^= (uint8_t)(1u << draw(d, 8)); break;
    case 1: in->bytes[at] = bytes[draw(d, sizeof bytes)]; break;
    case 2: in->bytes[at] = (uint8_t)draw(d, 256); break;
    case 3: replace(in, at, 0, bytes + draw(d, sizeof bytes), 1); break;
    case 4: replace(in, at, length, NULL, 0); break;
    case 5: insert_range(in, in->bytes, in->size, d); break;
    case 6: insert_range(in, other->bytes, other->size, d); break;
    case 7: change_number(in, d); break;
    default: in->size = draw(d, 8) == 0 ? at : in->size; break;
    }
}

/* ---------------------------------------------------------------- running */

/* In the target's process: every seed, then changed ones, until there are enough or time is up. */
static void run_inputs(const Target *t, const Seeds *seeds, Input *in, double seconds,
                       uint64_t seed)
{
    double end = clock_seconds() + seconds;
    Draws d = { rng_bits(seed, (uint64_t)t->name[0]), 0 };
    struct rlimit limit = { MEMORY_MAX, MEMORY_MAX };
    const struct itimerval most = { .it_value = { SECONDS_MAX, 0 } };
    if (!SANITIZED) setrlimit(RLIMIT_AS, &limit);           /* a sanitizer's shadow is larger */
    for (long n = 0; seconds > 0 ? n < seeds->count || clock_seconds() < end : n < t->inputs; n++) {
        const Seed *from =
            &seeds->items[n < seeds->count ? (size_t)n : draw(&d, (size_t)seeds->count)];
        in->size = 0;
        replace(in, 0, 0, from->bytes, from->size);
        size_t changes = n < seeds->count ? 0 : 1 + draw(&d, 1 + draw(&d, CHANGES_MAX));
        for (; changes > 0; changes--) change(in, seeds, &d);
        setitimer(ITIMER_PROF, &most, NULL);        /* of the processor: others may need it too */
        t->run(in->bytes, in->size);
        in->tried++;
    }
}

static void keep_input(const char *path, const Input *in)
{
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL && fwrite(in->bytes, 1, in->size, f) == in->size && fclose(f) == 0,
          "%s cannot be written", path);
}

static void try_target(const Target *t, const Seeds *seeds, double seconds, uint64_t seed,
                       const char *program)
{
    char path[4400];
    int status = -1;
    Input *in = mmap(NULL, sizeof *in, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(in != MAP_FAILED, "no memory for an input");
    if (in == MAP_FAILED) return;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run_inputs(t, seeds, in, seconds, seed);
        exit(0);
    }
    bool ended = child > 0 && waitpid(child, &status, 0) == child;
    snprintf(path, sizeof path, "%s-%s.input", program, t->name);
    CHECK(ended && status == 0, "%s: %s %d at input %ld, which is in %s", t->name,
          WIFSIGNALED(status) ? "signal" : "exit status",
          WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), in->tried, path);
    if (!ended || status != 0) keep_input(path, in);
    for (long n = 0; n < in->tried; n++) CHECK(true, "%s", t->name);
    if (seconds > 0) printf("%s: %ld inputs\n", t->name, in->tried);
    munmap(in, sizeof *in);
}

static void write_seeds(const Target *t, const Seeds *seeds, const char *folder)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", folder, t->name);
    CHECK(mkdir(path, 0777) == 0 || errno == EEXIST, "%s: %s", path, strerror(errno));
    for (int i = 0; i < seeds->count; i++) {
        snprintf(path, sizeof path, "%s/%s/seed-%03d", folder, t->name, i);
        FILE *f = fopen(path, "wb");
        const Seed *s = &seeds->items[i];
        bool written = f != NULL && fwrite(s->bytes, 1, s->size, f) == s->size;
        CHECK(written && fclose(f) == 0, "%s cannot be written", path);
    }
}

int main(int argc, char **argv)
{
    static const Target targets[] = {
        { "checkpoint", fuzz_checkpoint, checkpoint_seeds, 5000 },
        { "text", fuzz_text, text_seeds, 250 },
        { "options", fuzz_options, options_seeds, 15000 },
        { "json", fuzz_json, json_seeds, 80000 },
    };
    enum { TARGETS = sizeof targets / sizeof targets[0] };
    static Seeds seeds[TARGETS];
    bool write_only = argc == 3 && strcmp(argv[1], "--seeds") == 0;
    const char *folder = write_only ? argv[2] : argc > 1 ? argv[1] : "tests/fuzz";
    double seconds = !write_only && argc > 2 ? strtod(argv[2], NULL) / TARGETS : 0;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    omp_set_num_threads(1);                             /* a child of fork has no other threads */
    for (int i = 0; i < TARGETS; i++) {
        targets[i].seeds(&seeds[i]);
        if (!write_only) file_seeds(&seeds[i], folder, targets[i].name);
        if (write_only) write_seeds(&targets[i], &seeds[i], folder);
        else try_target(&targets[i], &seeds[i], seconds, seed, argv[0]);
        for (int k = 0; k < seeds[i].count; k++) free(seeds[i].items[k].bytes);
    }
    return check_report("fuzz");
}
