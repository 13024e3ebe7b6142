/* profile.h: where the time of a training run goes.
 *
 * Owns: the phases and their clock. A phase is charged with the time since the last mark, so the
 * phases together make the whole. The clock is the calling thread's, which waits for the others.
 *
 *     Profile p = { .last = clock_seconds() };
 *     ...                                                the batch is drawn
 *     profile_mark(&p, PHASE_BATCH);                     a NULL profile costs a comparison
 */
#ifndef PROFILE_H
#define PROFILE_H

#include "../base.h"

typedef enum {
    PHASE_BATCH, PHASE_EMBEDDING, PHASE_NORM, PHASE_LINEAR, PHASE_QK, PHASE_ATTENTION,
    PHASE_ACTIVATION, PHASE_RESIDUAL, PHASE_LOSS, PHASE_CLIP, PHASE_OPTIMIZER, PHASE_EVALUATION,
    PHASE_SAVE, PHASES
} Phase;

/* What a table of the phases calls each. */
extern const char *const phase_names[PHASES];

typedef struct {
    double seconds[PHASES];
    double last;            /* clock at the last mark */
} Profile;

/* seconds[phase] += the time since the last mark, which is now. */
void profile_charge(Profile *p, Phase phase);
/* The same where there is a profile; p may be NULL. */
static inline void profile_mark(Profile *p, Phase phase) { if (p) profile_charge(p, phase); }

#endif
