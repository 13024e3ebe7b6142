/* test_memory.c: a network with an n-gram memory beside it: the mixture as its formula says, from
 * the two parts; the exponents that are chosen, against all others near them.
 *
 * Built with -DFOLIO_DOUBLE. What every network owes, mixtures too, is in test_networks.c. */
#include "../../networks/memory.h"
#include "../../networks/ngram.h"
#include "check.h"

enum { V = 7, T = 12, IDS = 600, KEPT = 400, ORDER = 4, F = MEMORY_FEATURES };

static void stop(const char *why)
{
    printf("test_memory: %s\n", why);
    exit(1);
}

/* A language of its own, of all ids but the last: what follows depends on the two before it,
 * mostly. */
static void speak(int32_t *ids, int count, uint64_t key)
{
    for (int i = 0; i < count; i++) {
        uint64_t before = i < 2 ? 0 : (uint64_t)(ids[i - 1] * V + ids[i - 2]), most = V - 1;
        bool any = rng_uniform(key, (uint64_t)i) < 0.3;
        ids[i] = (int32_t)(any ? rng_below(key + 1, (uint64_t)i, most)
                               : rng_below(99, before, most));
    }
}

typedef struct {
    Model network;
    Memory memory;
    int32_t ids[IDS], kept[KEPT];
} Pair;

static void pair_open(Pair *p, int kept)
{
    const Family *f = family_named("fvsbn");
    MemorySize size = { .order = ORDER, .ids = IDS, .fitted = (size_t)kept };
    Space config = { { 0 } };
    Err err = { 0 };
    for (int i = 0; i < f->field_count; i++)
        if (f->fields[i].text != NULL) field_set(&config, &f->fields[i], f->fields[i].text);
    *field_int(&config, family_field(f, FIELD_CONTEXT)) = T;
    if (family_check(f, &config, V, &err)
        || model_open(&p->network, network_of(f), &config, kernels_usable(0), MODEL_EVAL, 2, &err))
        stop(err.msg);
    model_init(&p->network, 1);
    for (size_t i = 0; i < p->network.size; i++)
        p->network.params[i] += 0.4 * rng_normal(5, i);
    speak(p->ids, IDS, 20);
    p->ids[IDS - 1] = V - 1;                /* once, and nothing follows */
    speak(p->kept, KEPT, 30);
    if (memory_open(&p->memory, &p->network, &size, &err)) stop(err.msg);
    memory_learn(&p->memory, p->ids, IDS);
}

static void pair_close(Pair *p)
{
    memory_close(&p->memory);
    model_close(&p->network);
}

/* The longest end of the `read` ids before `end` that the text has with an id after it. */
static NgramContext longest(const Pair *p, const int32_t *end, int read)
{
    for (int k = read < ORDER - 1 ? read : ORDER - 1; k >= 0; k--) {
        NgramContext known = { .length = k };
        bool met[V] = { false };
        int occurs = 0, followed = 0;
        for (int i = 0; i + k <= IDS; i++) {
            if (memcmp(p->ids + i, end - k, (size_t)k * sizeof *end) != 0) continue;
            occurs++;
            if (i + k == IDS) continue;
            followed++;
            known.followers += !met[p->ids[i + k]];
            met[p->ids[i + k]] = true;
        }
        known.count = k > 0 ? occurs : IDS;
        if (followed > 0) return known;
    }
    return (NgramContext){ 0 };
}

static void test_contexts(Pair *p)
{
    double q[V];
    int lengths[ORDER] = { 0 };
    for (int t = 1; t < KEPT; t++) {
        int read = t < 1 + t % T ? t : 1 + t % T;
        NgramContext got = ngram_predict(&p->memory.counts, p->kept + t, read, q);
        NgramContext want = longest(p, p->kept + t, read);
        double sum = 0;
        for (int v = 0; v < V; v++) sum += q[v];
        CHECK(got.length == want.length && got.count == want.count
              && got.followers == want.followers, "place %d: %d %d %d, not %d %d %d", t, got.length,
              (int)got.count, (int)got.followers, want.length, (int)want.count,
              (int)want.followers);
        CHECK_NEAR(sum, 1, 0, 1e-12, "place %d", t);
        lengths[got.length]++;
    }
    for (int k = 1; k < ORDER; k++) CHECK(lengths[k] > 0, "some contexts have %d ids", k);
    NgramContext end = ngram_predict(&p->memory.counts, p->ids + IDS, T, q);
    CHECK(end.length == 0 && end.count == IDS && end.followers == V, "where the text ends: %d",
          end.length);
}

/* -ln p of the places of a window, as memory.h defines it. */
static void slow_losses(Pair *p, const Exponents *e, const int32_t *x, int length, double *nats)
{
    real logits[T * V];
    model_logits(&p->network, x, length, logits);
    for (int t = 0; t < length; t++) {
        double memory[V], sum = 0, Z = 0, a = 0, b = 0;
        ngram_predict(&p->memory.counts, x + t + 1, t + 1, memory);
        NgramContext known = longest(p, x + t + 1, t + 1);
        double f[F] = { 1, known.length, log(known.count), log(known.followers) };
        for (int i = 0; i < F; i++) {
            a += e->of[0][i] * f[i];
            b += e->of[1][i] * f[i];
        }
        for (int v = 0; v < V; v++) sum += exp(logits[t * V + v]);
        for (int v = 0; v < V; v++)
            Z += pow(exp(logits[t * V + v]) / sum, a) * pow(memory[v], b);
        int32_t y = x[t + 1];
        nats[t] = -log(pow(exp(logits[t * V + y]) / sum, a) * pow(memory[y], b) / Z);
    }
}

static void test_mixture(Pair *p)
{
    double want[T];
    real got[T];
    for (int i = 0; i < 2 * F; i++)
        p->memory.exponents.of[i / F][i % F] = 0.4 * rng_normal(3, (uint64_t)i);
    for (int at = 0; at + T < KEPT; at += T) {
        int length = 1 + at % T;
        slow_losses(p, &p->memory.exponents, p->kept + at, length, want);
        model_losses(&p->memory.mixture, p->kept + at, p->kept + at + 1, 1, length, got);
        for (int t = 0; t < length; t++)
            CHECK_NEAR(got[t], want[t], 1e-9, 1e-9, "window at %d, place %d", at, t);
    }
}

/* What memory_fit minimises. */
static double objective(Pair *p, const Exponents *e, int kept)
{
    double sum = 0, nats[T];
    for (int at = 0; at < kept - 1; at += T) {
        int length = kept - 1 - at < T ? kept - 1 - at : T;
        slow_losses(p, e, p->kept + at, length, nats);
        for (int t = 0; t < length; t++) sum += nats[t];
    }
    for (int i = 0; i < 2 * F; i++) {
        double away = e->of[i / F][i % F] - (i % F == 0 ? 0.5 : 0);
        sum += away * away / 2;
    }
    return sum;
}

/* The slope is 0 in every direction, by central differences; and the mixture is better than halves
 * and than the memory alone. */
static void test_fit(Pair *p, int kept)
{
    const double h = 1e-4;
    Exponents first = { { { 0.5 }, { 0.5 } } }, alone = { { { 0 }, { 1 } } };
    memory_fit(&p->memory, p->kept, (size_t)kept);
    Exponents best = p->memory.exponents;
    double least = objective(p, &best, kept);
    CHECK(least < objective(p, &first, kept) && least < objective(p, &alone, kept),
          "%d kept: %g, halves %g, memory %g", kept, least, objective(p, &first, kept),
          objective(p, &alone, kept));
    for (int i = 0; i < 2 * F; i++) {
        Exponents e = best;
        double *x = &e.of[i / F][i % F], keep = *x, side[2];
        for (int s = 0; s < 2; s++) {
            *x = keep + (s == 0 ? h : -h);
            side[s] = objective(p, &e, kept);
        }
        CHECK(fabs(side[0] - side[1]) / (2 * h) < 1e-2 && side[0] > least && side[1] > least,
              "%d kept: exponent %d: slope %g", kept, i, (side[0] - side[1]) / (2 * h));
    }
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        memory_fit(&p->memory, p->kept, (size_t)kept);
        CHECK(memcmp(&best, &p->memory.exponents, sizeof best) == 0, "%d threads", threads);
    }
    omp_set_num_threads(1);
}

/* Too little to choose by leaves halves; a slice of several windows, and targets that do not
 * count. */
static void test_edges(Pair *p)
{
    int32_t y[2 * T];
    real nats[2 * T], one[T];
    for (int count = 0; count < 2; count++) {
        memory_fit(&p->memory, p->kept, (size_t)count);
        CHECK(p->memory.exponents.of[0][0] == 0.5 && p->memory.exponents.of[1][0] == 0.5
              && p->memory.exponents.of[1][1] == 0, "%d kept", count);
    }
    for (int t = 0; t < 2 * T; t++) y[t] = t % 5 == 0 ? -1 : p->kept[t + 1];
    model_losses(&p->memory.mixture, p->kept, y, 2, T, nats);
    model_losses(&p->memory.mixture, p->kept + T, y + T, 1, T, one);
    CHECK(memcmp(nats + T, one, sizeof one) == 0, "the second window by itself");
    for (int t = 0; t < 2 * T; t++)
        CHECK((nats[t] == 0) == (y[t] < 0), "place %d: %g", t, (double)nats[t]);
}

int main(void)
{
    static Pair p;
    omp_set_num_threads(3);
    pair_open(&p, KEPT);
    omp_set_num_threads(1);
    test_contexts(&p);
    test_mixture(&p);
    test_fit(&p, KEPT);
    test_fit(&p, 30);
    test_edges(&p);
    pair_close(&p);
    return check_report("memory");
}
