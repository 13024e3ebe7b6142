/* test_gradients.c: gradients of model.h against finite differences, its losses against a second
 * network. Built with -DFOLIO_DOUBLE, so that differences are exact to about ten digits.
 *
 * Along a direction u, (f(x + h u) - f(x - h u)) / 2h must equal grad . u, for every tensor of tiny
 * models with every switch of Config. f is the mean loss of a batch, dropout with a fixed key
 * included.
 *
 *     test_gradients               the verdict
 *     test_gradients --stop        the same, ended by the first case that fails (for mutate.sh)
 */
#include "gpt.h"
#include "check.h"
#include "tiny.h"

typedef struct {
    Model m;
    int T, B;
    int32_t *x, *y;             /* (B,T) */
    double *grads;              /* the gradient under test, of m.params */
    char name[120];
} Case;

enum { DROPOUT_KEY = 4711 };

/* Mean loss of the batch, in slices of at most n sequences; gradients end in m.grads. */
static double run(Case *c, int n)
{
    double sum = 0;
    model_begin(&c->m);
    for (int first = 0; first < c->B; first += n) {
        Slice s = { c->x + first * c->T, c->y + first * c->T, n < c->B - first ? n : c->B - first,
                    c->T, first, (size_t)(c->B * c->T), DROPOUT_KEY };
        model_train(&c->m, &s, &sum);
    }
    model_finish(&c->m);
    return sum / c->B / c->T;
}

/* The slope of the loss along u (count) from offset, by central differences. */
static double slope(Case *c, size_t offset, const double *u, size_t count)
{
    const double h = 1e-5;
    double loss[2];
    for (int side = 0; side < 2; side++) {
        double step = side == 0 ? h : -h;
        for (size_t i = 0; i < count; i++) c->m.params[offset + i] += step * u[i];
        loss[side] = run(c, c->B);
        for (size_t i = 0; i < count; i++) c->m.params[offset + i] -= step * u[i];
    }
    return (loss[0] - loss[1]) / (2 * h);
}

/* |slope - grad . u| as a multiple of what is allowed. */
static double misfit(Case *c, size_t offset, const double *u, size_t count)
{
    double want = slope(c, offset, u, count), got = 0;
    for (size_t i = 0; i < count; i++) got += c->grads[offset + i] * u[i];
    return fabs(got - want) / (1e-8 + 1e-5 * fabs(want));
}

/* With one position its probability is 1 whatever the score: queries and keys then change
 * nothing. */
static bool without_effect(const Case *c, const Tensor *t)
{
    return c->T == 1
           && (strstr(t->name, "self_attn.q_") != NULL || strstr(t->name, "self_attn.k_") != NULL);
}

/* One verdict: a random direction of length 1; single elements too, all of a short vector, else
 * some. */
static void check_tensor(Case *c, const Tensor *t, double *u)
{
    size_t n = tensor_size(t);
    double length = 0, norm = 0, worst;
    for (size_t i = 0; i < n; i++) {
        u[i] = rng_normal(77, t->offset + i);
        length += u[i] * u[i];
        norm += c->grads[t->offset + i] * c->grads[t->offset + i];
    }
    for (size_t i = 0; i < n; i++) u[i] /= sqrt(length);
    worst = misfit(c, t->offset, u, n);
    u[0] = 1;
    for (size_t i = 0; i < n; i += t->rank == 1 && n < 64 && c->T < QUERIES ? 1 : 1 + n / 5)
        worst = tiny_larger(worst, misfit(c, t->offset + i, u, 1));
    CHECK(worst <= 1 && (norm > 1e-12) != without_effect(c, t),
          "%s: %s: %.3g times the allowed difference, norm %.3g", c->name, t->name, worst,
          sqrt(norm));
}

/* Losses, and with dropout their mean, agree with the second network. */
static void check_forward(Case *c)
{
    Tiny *o = tiny_open(&c->m, DROPOUT_KEY);
    double *losses = malloc((size_t)c->B * (size_t)c->T * sizeof *losses), worst = 0;
    CHECK(o != NULL && losses != NULL, "memory");
    if (o != NULL && losses != NULL) {
        CHECK_NEAR(run(c, c->B), tiny_mean_loss(o, c->x, c->y, c->B, c->T), 0, 1e-9,
                   "%s: mean loss", c->name);
        o->dropout = 0;
        model_losses(&c->m, c->x, c->y, c->B, c->T, losses);
        for (int r = 0; r < c->B * c->T; r++) {
            if (r % c->T == 0) tiny_logits(o, c->x + r, c->T, (size_t)(r / c->T));
            double want = tiny_loss(o->logits[r % c->T], c->y[r], c->m.vocab);
            worst = tiny_larger(worst, fabs(losses[r] - want));
        }
        CHECK(worst <= 1e-9, "%s: losses differ by %.3g", c->name, worst);
    }
    if (o != NULL) tiny_close(o);
    free(losses);
}

/* The same bytes, whatever the slices. */
static void check_slices(Case *c)
{
    double whole = run(c, c->B);
    memcpy(c->grads, c->m.grads, c->m.size * sizeof *c->grads);
    for (int n = 1; n < c->B; n++) {
        double loss = run(c, n);
        CHECK(loss == whole && memcmp(c->grads, c->m.grads, c->m.size * sizeof *c->grads) == 0,
              "%s: slices of %d give other gradients", c->name, n);
    }
}

/* Does nothing if it should stop at the first case that fails, and one did. */
static void check_case(const Config *config, int T, int B, bool stop)
{
    Case c = { .T = T, .B = B };
    if (stop && check_failed > 0) return;
    Err err = { 0 };
    tiny_name(c.name, sizeof c.name, config, T);
    int opened = gpt_open(&c.m, config, kernels_usable(0), MODEL_TRAIN, B, &err);
    CHECK(opened == 0, "%s: %s", c.name, err.msg);
    if (opened != 0) return;
    size_t N = (size_t)B * (size_t)T;
    c.x = malloc(N * sizeof *c.x);
    c.y = malloc(N * sizeof *c.y);
    c.grads = malloc(c.m.size * sizeof *c.grads);
    double *u = malloc(c.m.size * sizeof *u);
    bool memory = c.x != NULL && c.y != NULL && c.grads != NULL && u != NULL;
    CHECK(memory, "memory");
    if (memory) {
        tiny_fill(&c.m, 1);
        tiny_text(c.x, c.y, (int)N, config->vocab, 2);
        check_forward(&c);
        check_slices(&c);
        for (int t = 0; t < c.m.tensor_count; t++) check_tensor(&c, &c.m.tensors[t], u);
    }
    free(c.x);
    free(c.y);
    free(c.grads);
    free(u);
    model_close(&c.m);
}

static void check_gpt2(bool stop)
{
    static const int lengths[] = { 1, 7 };
    for (int bias = 0; bias < 2; bias++)
        for (int tanh_form = 0; tanh_form < 2; tanh_form++)
            for (int drop = 0; drop < 2; drop++) {
                Config c = gpt2(2, 2, 8, 9, 11, bias, tanh_form, 0.3 * drop);
                for (int layers = 0; layers <= 2; layers += 2)
                    for (int i = 0; i < 2; i++) {
                        c.layers = layers;
                        check_case(&c, lengths[i], 3, stop);
                    }
                /* Several blocks of queries, the last one ragged. */
                c.layers = 1;
                c.context = 2 * QUERIES + 4;
                if (bias != tanh_form) check_case(&c, 2 * QUERIES + 4, 2, stop);
            }
    /* Heads of one channel; more channels than a thread's share of columns. */
    Config narrow = gpt2(1, 8, 8, 5, 11, 1, 0, 0.3), wide = gpt2(1, 2, COLUMNS + 8, 3, 11, 1, 0, 0);
    check_case(&narrow, 5, 3, stop);
    check_case(&wide, 3, 2, stop);
}

static void check_qwen3(bool stop)
{
    static const int lengths[] = { 7, 1 };
    for (int untied = 1; untied >= 0; untied--)
        for (int drop = 1; drop >= 0; drop--)
            for (int large = 0; large < 2; large++) {   /* heads smaller and larger than C / H */
                Config c = qwen3(2, 2, large ? 6 : 2, 8, large ? 5 : 19, 9, 11, 0.3 * drop);
                c.untied = untied;
                c.rope_base = large ? 10000 : 3;
                for (int layers = 2; layers >= 0; layers -= 2)
                    for (int i = 0; i < 2; i++) {
                        c.layers = layers;
                        check_case(&c, lengths[i], 3, stop);
                    }
                c.layers = 1;
                c.context = 2 * QUERIES + 4;
                if (untied != large) check_case(&c, 2 * QUERIES + 4, 2, stop);
            }
    /* C / H channels a head; few channels between wide heads; more columns than a share. */
    Config usual = qwen3(1, 2, 0, 8, 0, 5, 11, 0), thin = qwen3(1, 3, 4, 3, 1, 5, 11, 0);
    Config wide = qwen3(1, 1, COLUMNS + 8, COLUMNS + 4, COLUMNS + 1, 3, 11, 0.3);
    check_case(&usual, 5, 3, stop);
    check_case(&thin, 5, 3, stop);
    check_case(&wide, 3, 2, stop);
}

int main(int argc, char **argv)
{
    bool stop = argc > 1 && strcmp(argv[1], "--stop") == 0;
    omp_set_num_threads(1);                     /* models this small keep no second thread busy */
    check_qwen3(stop);
    check_gpt2(stop);
    return check_report("gradients");
}
