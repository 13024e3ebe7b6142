/* optimizer.h: AdamW over a table of tensors, gradient clipping, learning-rate schedules.
 *
 * Knows tensors, not networks: flat arrays of parameters and gradients and a Tensor for each stretch of them.
 *
 *     optimizer_open(&o, size, &err);
 *     double norm = optimizer_norm(&o, K, grads);
 *     if (isfinite(norm)) optimizer_step(&o, K, &plan, step, norm, tensors, n, params, grads);
 */
#ifndef OPTIMIZER_H
#define OPTIMIZER_H

#include "base.h"
#include "kernels/kernels.h"

typedef enum { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT } Schedule;

/* How a run changes its parameters: settings, not state. */
typedef struct {
    int schedule;           /* Schedule */
    int64_t steps, warmup;
    double lr, min_lr;      /* peak and final learning rate */
    double beta1, beta2;
    double weight_decay;    /* per unit of learning rate, on the tensors that decay */
    double clip;            /* largest norm of the whole gradient; 0: any */
} TrainingPlan;

/* Learning rate of step 0, 1, ..: lr (step + 1) / (warmup + 1) during the warm-up; then from lr to min_lr over the steps
 * that are left, along half a cosine (Loshchilov and Hutter 2017), a line, or not at all; min_lr after the last. */
double plan_lr(const TrainingPlan *p, int64_t step);

typedef struct {
    real *m, *v;            /* (size) first and second moments */
    size_t size;
    double *partial;        /* one sum of squares for each chunk of the gradient */
    Arena arena;
} Optimizer;

size_t optimizer_bytes(size_t size);
int optimizer_open(Optimizer *o, size_t size, Err *err);        /* EXIT_RUNTIME: memory */
void optimizer_close(Optimizer *o);

/* sqrt(sum of g^2), the sum joined from fixed chunks in order. Not finite if any gradient is not. */
double optimizer_norm(Optimizer *o, const Kernels *K, const real *grads);

/* One AdamW step (kernels.h has the formulas) with eps 1e-8 on gradients scaled by min(1, clip / (norm + 1e-6)), the norm being
 * optimizer_norm's. `step` counts from 0. */
void optimizer_step(Optimizer *o, const Kernels *K, const TrainingPlan *p, int64_t step, double norm, const Tensor *tensors,
                    int n, real *params, const real *grads);

#endif
