/* optimizer.c: AdamW, clipping and schedules; see optimizer.h. */
#include "optimizer.h"

enum { CHUNK = 4096 };      /* elements summed in one go; fixed, so that the norm does not depend on the threads */

double plan_lr(const TrainingPlan *p, int64_t step)
{
    if (step < p->warmup) return p->lr * (double)(step + 1) / (double)(p->warmup + 1);
    if (p->schedule == SCHEDULE_CONSTANT) return p->lr;
    if (step >= p->steps) return p->min_lr;
    double done = (double)(step - p->warmup) / (double)(p->steps - p->warmup);
    double left = p->schedule == SCHEDULE_COSINE ? 0.5 * (1 + cos(3.141592653589793 * done)) : 1 - done;
    return p->min_lr + left * (p->lr - p->min_lr);
}

static size_t chunks(size_t size) { return (size + CHUNK - 1) / CHUNK; }

static void layout_optimizer(Optimizer *o, Arena *a, size_t size)
{
    o->size = size;
    o->m = arena_reals(a, size);
    o->v = arena_reals(a, size);
    o->partial = arena_take(a, chunks(size), sizeof *o->partial);
}

size_t optimizer_bytes(size_t size)
{
    Optimizer o;
    Arena a = { 0 };
    layout_optimizer(&o, &a, size);
    return a.used;
}

int optimizer_open(Optimizer *o, size_t size, Err *err)
{
    *o = (Optimizer){ 0 };
    layout_optimizer(o, &o->arena, size);
    if (arena_open(&o->arena, "optimizer", err)) return -1;
    layout_optimizer(o, &o->arena, size);
    return 0;
}

void optimizer_close(Optimizer *o) { arena_close(&o->arena); }

static int chunk_length(size_t size, size_t chunk)
{
    size_t left = size - chunk * CHUNK;
    return left < CHUNK ? (int)left : CHUNK;
}

double optimizer_norm(Optimizer *o, const Kernels *K, const real *grads)
{
    ptrdiff_t count = (ptrdiff_t)chunks(o->size);
    OMP(parallel for schedule(static))
    for (ptrdiff_t i = 0; i < count; i++)
        o->partial[i] = K->sum_squares(grads + i * CHUNK, chunk_length(o->size, (size_t)i));
    double sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) sum += o->partial[i];
    return sqrt(sum);
}

void optimizer_step(Optimizer *o, const Kernels *K, const TrainingPlan *p, int64_t step, double norm, const Tensor *tensors,
                    int n, real *params, const real *grads)
{
    double clip = p->clip > 0 ? p->clip / (norm + 1e-6) : 1, t = (double)(step + 1);
    AdamW a = {
        .lr = (real)plan_lr(p, step), .beta1 = (real)p->beta1, .beta2 = (real)p->beta2, .eps = (real)1e-8,
        .correction1 = (real)(1 - pow(p->beta1, t)), .sqrt_correction2 = (real)sqrt(1 - pow(p->beta2, t)),
        .grad_scale = (real)(clip < 1 ? clip : 1),
    };
    for (int i = 0; i < n; i++) {
        size_t size = tensor_size(&tensors[i]), offset = tensors[i].offset;
        ptrdiff_t count = (ptrdiff_t)chunks(size);
        a.decay = tensors[i].decay ? (real)p->weight_decay : 0;
        OMP(parallel for schedule(static))
        for (ptrdiff_t c = 0; c < count; c++) {
            size_t at = offset + (size_t)c * CHUNK;
            K->adamw(params + at, o->m + at, o->v + at, grads + at, chunk_length(size, (size_t)c), a);
        }
    }
}
