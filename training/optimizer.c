/* optimizer.c: AdamW, Muon, clipping, averaging and schedules; see optimizer.h. */
#include "optimizer.h"

enum { CHUNK = 4096 };      /* elements at a time; fixed: no sum depends on the threads */

static const double muon_momentum = 0.95;

double plan_lr(const TrainingPlan *p, int64_t step)
{
    if (step < p->warmup) return p->lr * (double)(step + 1) / (double)(p->warmup + 1);
    if (p->schedule == SCHEDULE_CONSTANT) return p->lr;
    if (step >= p->steps) return p->min_lr;
    int64_t start = p->schedule == SCHEDULE_WSD ? p->steps - p->decay_steps : p->warmup;
    if (start < p->warmup) start = p->warmup;
    if (step < start) return p->lr;
    double done = (double)(step - start) / (double)(p->steps - start);
    double left = p->schedule == SCHEDULE_COSINE ? 0.5 * (1 + cos(3.141592653589793 * done))
                                                 : 1 - done;
    return p->min_lr + left * (p->lr - p->min_lr);
}

/* ---------------------------------------------------------------- memory */

static size_t chunks(size_t size) { return (size + CHUNK - 1) / CHUNK; }

static void layout_optimizer(Optimizer *o, Arena *a)
{
    size_t largest = 0, side = 0;
    for (int i = 0; i < o->tensor_count; i++) {
        const Tensor *t = &o->tensors[i];
        size_t small = (size_t)(t->rows < t->cols ? t->rows : t->cols);
        if (!t->hidden) continue;
        if (tensor_size(t) > largest) largest = tensor_size(t);
        if (small > side) side = small;
    }
    o->m = arena_reals(a, o->size);
    o->v = arena_reals(a, o->size);
    o->partial = arena_take(a, chunks(o->size), sizeof *o->partial);
    if (o->plan.ema > 0) o->average = arena_reals(a, o->size);
    if (o->plan.optimizer != OPTIMIZER_MUON) return;
    o->workers = omp_get_max_threads();
    o->work = arena_take(a, (size_t)o->workers, sizeof *o->work);
    for (int i = 0; i < o->workers; i++) {
        MuonWork w = { 0 };
        w.x = arena_reals(a, largest);
        w.y = arena_reals(a, largest);
        w.gram = arena_reals(a, side * side);
        w.poly = arena_reals(a, side * side);
        gemm_layout(&w.gemm, a, o->K, 1);
        if (o->work != NULL) o->work[i] = w;
    }
}

static Optimizer optimizer_measure(const TrainingPlan *p, const Kernels *K, const Tensor *tensors,
                                   int n, size_t size)
{
    Optimizer o = { .plan = *p, .K = K, .tensors = tensors, .tensor_count = n, .size = size };
    layout_optimizer(&o, &o.arena);
    return o;
}

size_t optimizer_bytes(const TrainingPlan *p, const Kernels *K, const Tensor *tensors, int n,
                       size_t size)
{
    return optimizer_measure(p, K, tensors, n, size).arena.used;
}

int optimizer_open(Optimizer *o, const TrainingPlan *p, const Kernels *K, const Tensor *tensors,
                   int n, size_t size, Err *err)
{
    *o = optimizer_measure(p, K, tensors, n, size);
    if (arena_open(&o->arena, "optimizer", err)) return -1;
    layout_optimizer(o, &o->arena);
    return 0;
}

void optimizer_close(Optimizer *o) { arena_close(&o->arena); }

/* ---------------------------------------------------------------- one step */

static int chunk_length(size_t size, ptrdiff_t chunk)
{
    size_t left = size - (size_t)chunk * CHUNK;
    return left < CHUNK ? (int)left : CHUNK;
}

double optimizer_norm(Optimizer *o, const real *x)
{
    ptrdiff_t count = (ptrdiff_t)chunks(o->size);
    OMP(parallel for schedule(static))
    for (ptrdiff_t i = 0; i < count; i++)
        o->partial[i] = o->K->sum_squares(x + i * CHUNK, chunk_length(o->size, i));
    double sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) sum += o->partial[i];
    return sqrt(sum);
}

/* sqrt(sum of x^2), y = a x + b z: of one matrix, by one thread. */
static double norm_of(const Kernels *K, const real *x, size_t size)
{
    double sum = 0;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)chunks(size); i++)
        sum += K->sum_squares(x + i * CHUNK, chunk_length(size, i));
    return sqrt(sum);
}

static void blend(const Kernels *K, real *y, double a, const real *x, double b, const real *z,
                  size_t size)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)chunks(size); i++)
        K->blend(y + i * CHUNK, (real)a, x + i * CHUNK, (real)b, z + i * CHUNK,
                 chunk_length(size, i));
}

/* w->x (rows,cols) <- ortho(w->x), in w->x or w->y; returns where. The products are taken on the
 * smaller side. */
static const real *orthogonalise(const Kernels *K, MuonWork *w, int rows, int cols)
{
    enum { STEPS = 5 };
    const double a = 3.4445, b = -4.7750, c = 2.0315;
    size_t size = (size_t)rows * (size_t)cols;
    int r = rows < cols ? rows : cols;
    double scale = 1 / (norm_of(K, w->x, size) + 1e-7);
    real *x = w->x, *y = w->y;
    blend(K, x, scale, x, 0, x, size);
    for (int i = 0; i < STEPS; i++) {
        View v = view(x, rows, cols);
        gemm_square(&w->gemm, w->gram, rows <= cols ? v : transposed(v));
        gemm_square(&w->gemm, w->poly, view(w->gram, r, r));
        blend(K, w->poly, c, w->poly, b, w->gram, (size_t)r * (size_t)r);
        blend(K, y, a, x, 0, x, size);
        if (rows <= cols) gemm(&w->gemm, y, cols, view(w->poly, r, r), v, true);
        else gemm(&w->gemm, y, cols, v, view(w->poly, r, r), true);
        real *swap = x;
        x = y;
        y = swap;
    }
    return x;
}

static void muon_step(Optimizer *o, const Tensor *t, double lr, double scale, real *params,
                      const real *grads)
{
    MuonWork *work = &o->work[omp_get_thread_num()];
    const Kernels *K = o->K;
    size_t size = tensor_size(t);
    real *w = params + t->offset, *m = o->m + t->offset;
    const real *g = grads + t->offset;
    blend(K, m, muon_momentum, m, scale, g, size);
    blend(K, work->x, muon_momentum, m, scale, g, size);
    const real *direction = orthogonalise(K, work, t->rows, t->cols);
    double shape = t->rows > t->cols ? sqrt((double)t->rows / t->cols) : 1;
    blend(K, w, 1 - lr * (t->decay ? o->plan.weight_decay : 0), w, -lr * shape, direction, size);
}

static void adamw_step(Optimizer *o, const Tensor *t, AdamW a, real *params, const real *grads)
{
    size_t size = tensor_size(t);
    ptrdiff_t count = (ptrdiff_t)chunks(size);
    a.decay = t->decay ? (real)o->plan.weight_decay : 0;
    OMP(parallel for schedule(static))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t at = t->offset + (size_t)i * CHUNK;
        o->K->adamw(params + at, o->m + at, o->v + at, grads + at, chunk_length(size, i), a);
    }
}

void optimizer_step(Optimizer *o, int64_t step, double norm, real *params, const real *grads)
{
    const TrainingPlan *p = &o->plan;
    bool muon = p->optimizer == OPTIMIZER_MUON;
    double clip = p->clip > 0 ? p->clip / (norm + 1e-6) : 1, scale = clip < 1 ? clip : 1;
    double t = (double)(step + 1), lr = plan_lr(p, step);
    AdamW a = {
        .lr = (real)(muon ? lr * adamw_share : lr), .beta1 = (real)p->beta1,
        .beta2 = (real)p->beta2, .eps = (real)1e-8, .correction1 = (real)(1 - pow(p->beta1, t)),
        .sqrt_correction2 = (real)sqrt(1 - pow(p->beta2, t)), .grad_scale = (real)scale,
    };
    /* Each matrix by one thread: their products are too small to share. */
    OMP(parallel for schedule(dynamic) num_threads(muon ? o->workers : 1) if (muon))
    for (int i = 0; i < o->tensor_count; i++)
        if (muon && o->tensors[i].hidden) muon_step(o, &o->tensors[i], lr, scale, params, grads);
    for (int i = 0; i < o->tensor_count; i++)
        if (!muon || !o->tensors[i].hidden) adamw_step(o, &o->tensors[i], a, params, grads);
    if (o->average == NULL) return;
    ptrdiff_t count = (ptrdiff_t)chunks(o->size);
    OMP(parallel for schedule(static))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t at = (size_t)i * CHUNK;
        o->K->blend(o->average + at, (real)p->ema, o->average + at, (real)(1 - p->ema), params + at,
                    chunk_length(o->size, i));
    }
}
