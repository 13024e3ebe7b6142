/* profile.c: owns the names of the phases and the reading of the clock. */
#include "../base.h"
#include "profile.h"

const char *const phase_names[PHASES] = {
    "drawing the batch, zeroing gradients", "embedding", "norms",
    "linear layers, the head included", "norms and rotation of queries and keys", "attention",
    "GELU or SwiGLU", "residual additions, dropout", "cross-entropy",
    "norm of the gradient, check of the weights", "optimizer", "evaluation", "log, samples, saves"
};

void profile_charge(Profile *p, Phase phase)
{
    double now = clock_seconds();
    p->seconds[phase] += now - p->last;
    p->last = now;
}
