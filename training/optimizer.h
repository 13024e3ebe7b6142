/* optimizer.h: AdamW and Muon over a table of tensors, gradient clipping, an average of the
 * weights, learning-rate schedules.
 *
 * Knows tensors, not networks: flat arrays of parameters and gradients and a Tensor for each
 * stretch of them.
 *
 *     optimizer_open(&o, &plan, K, tensors, n, size, &err);
 *     double norm = optimizer_norm(&o, grads);
 *     if (isfinite(norm)) optimizer_step(&o, step, norm, params, grads);
 */
#ifndef OPTIMIZER_H
#define OPTIMIZER_H

#include "../base.h"
#include "../kernels/kernels.h"
#include "../networks/family.h"

typedef enum { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT, SCHEDULE_WSD } Schedule;
typedef enum { OPTIMIZER_ADAMW, OPTIMIZER_MUON } OptimizerKind;

static const double adamw_share = 0.25;    /* of Muon's learning rate: what suits AdamW */

/* How a run changes its parameters: settings, not state. */
typedef struct {
    int optimizer;          /* OptimizerKind */
    int schedule;           /* Schedule */
    int64_t steps, warmup;
    int64_t decay_steps;    /* wsd: the last steps, over which the rate falls */
    double lr, min_lr;      /* peak and final learning rate */
    double beta1, beta2;    /* of AdamW */
    double weight_decay;    /* per unit of learning rate, on the tensors that decay */
    double clip;            /* largest norm of the whole gradient; 0: any */
    double ema;             /* X of average <- X average + (1 - X) params; 0: no average */
} TrainingPlan;

/* Learning rate of step 0, 1, ..: lr (step + 1) / (warmup + 1) during the warm-up; then from lr to
 * min_lr over the steps that are left: along half a cosine (Loshchilov and Hutter 2017), a line,
 * not at all, or with wsd along a line over the last decay_steps only (warm-up, stable, decay: Hu
 * et al. 2024). min_lr after the last. */
double plan_lr(const TrainingPlan *p, int64_t step);

/* What one thread needs to orthogonalise a matrix. */
typedef struct {
    real *x, *y;            /* (rows,cols) of the largest hidden matrix: the iterates */
    real *gram, *poly;      /* (r,r), r the smaller side */
    Gemm gemm;
} MuonWork;

typedef struct {
    TrainingPlan plan;
    const Kernels *K;
    const Tensor *tensors;
    int tensor_count;
    size_t size;            /* of each flat array */
    real *m, *v;            /* (size) first and second moments; Muon's momentum is its m */
    real *average;          /* (size) or NULL */
    double *partial;        /* one sum of squares for each chunk of a flat array */
    MuonWork *work;         /* (workers) with Muon */
    int workers;
    Arena arena;
} Optimizer;

size_t optimizer_bytes(const TrainingPlan *p, const Kernels *K, const Tensor *tensors, int n,
                       size_t size);
/* Everything zero; where there is an average, the caller copies the first params to it.
 * EXIT_RUNTIME: memory. */
int optimizer_open(Optimizer *o, const TrainingPlan *p, const Kernels *K, const Tensor *tensors,
                   int n, size_t size, Err *err);
void optimizer_close(Optimizer *o);

/* sqrt(sum of x^2) of a flat array, joined from fixed chunks in order. Not finite if any element is
 * not. */
double optimizer_norm(Optimizer *o, const real *x);

/* One step on gradients scaled by min(1, clip / (norm + 1e-6)), norm being optimizer_norm(grads);
 * `step` counts from 0.
 *
 * AdamW (Loshchilov and Hutter 2019; kernels.h has the formulas), eps 1e-8, for every tensor, or
 * with Muon for those that are not hidden matrices, at adamw_share of the rate.
 *
 * Muon (Jordan et al. 2024), for hidden matrices (rows,cols) with momentum 0.95:
 *     m <- 0.95 m + g        u = g + 0.95 m                        (Nesterov)
 *     w <- w (1 - lr decay) - lr sqrt(max(1, rows / cols)) ortho(u)
 * ortho(u): five quintic Newton-Schulz steps x <- a x + (b x x^T + c (x x^T)^2) x from x = u /
 * (|u| + 1e-7), with (a, b, c) = (3.4445, -4.7750, 2.0315), which take every singular value
 * close to 1. */
void optimizer_step(Optimizer *o, int64_t step, double norm, real *params, const real *grads);

#endif
