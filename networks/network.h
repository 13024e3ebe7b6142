/* network.h: what the house asks of a network that models p(x) = prod_t p(x_t | x_<t): the
 * contract.
 *
 * Owns: what all networks share. A network is a const table of functions, as an instruction set is
 * one; Model holds its parameters, gradients and memory, Decoder the characters that it has read.
 * What a network's configuration is made of is family.h's.
 *
 *     Model m;                                       allocates everything; nothing later does
 *     model_open(&m, network_of(family), &config, kernels, MODEL_TRAIN, slice, &err);
 *     model_init(&m, seed);
 *     model_begin(&m);                               one step:
 *     for (each slice s of the batch) model_train(&m, &s, &loss_sum);
 *     model_finish(&m);                              m.grads is d(mean loss) / d(m.params)
 *     model_learn(&m, ids, count);                   or, without gradients, everything at once
 *
 *     Decoder d;                                     one character at a time:
 *     decoder_open(&d, &m, 1, &err);
 *     const real *logits = decoder_step(&d, &id);    p(next) = softmax(logits)
 */
#ifndef NETWORK_H
#define NETWORK_H

#include "../kernels/kernels.h"
#include "../numbers.h"
#include "../system/profile.h"
#include "family.h"

typedef enum { MODEL_EVAL, MODEL_TRAIN } ModelUse;

/* Characters of a slice at most, slice x context: rows are counted in ints, and a loop may step
 * beyond the last one. */
enum { SLICE_CHARACTERS = 1 << 30 };

typedef struct {            /* some sequences of a batch */
    const int32_t *x, *y;   /* (n,T) characters and the ones that follow them; a y below 0 does not
                             * count: its loss is 0 */
    int n, T;               /* n <= the model's slice, T <= its context */
    int first;              /* index of the first sequence within the batch */
    size_t targets;         /* of the batch that count */
    uint64_t dropout_key;   /* of the step */
} Slice;

typedef struct Model Model;
typedef struct Decoder Decoder;

/* Counts as a teacher: the target at each place is (1 - share) times the character that stands
 * there, and share times what the rest of the text says about it (ngram_teach). */
typedef struct {
    const Model *counts;    /* of the ngram family */
    double share;           /* from 0 to 1 */
    double *q;              /* (threads,V) */
} Teacher;

/* A function that may be NULL has nothing to do. */
typedef struct Network {
    const Family *family;
    /* Takes all memory but that of parameters and gradients, into m->state; runs twice (Arena). */
    void (*layout)(Model *m, Arena *a);
    /* Computes constants, once the memory is there. May be NULL. */
    void (*prepare)(Model *m);
    /* From here on computes with the flat array `params` as it now is, and with gradients in
     * m->grads. */
    void (*bind)(Model *m, real *params);
    /* Before the first slice of a batch and after the last, if gradients need it. May be NULL. */
    void (*begin)(Model *m);
    void (*finish)(Model *m);
    /* nats (n,T) = -log p(y | x up to there); adds d(sum of nats / s->targets) to m->grads. Slices
     * come in order, and neither nats nor gradients depend on where a batch is cut. */
    void (*gradients)(Model *m, const Slice *s, real *nats);
    /* The same nats without dropout, and no gradient. */
    void (*losses)(Model *m, const Slice *s, real *nats);
    /* logits (T,V) of one sequence. */
    void (*logits)(Model *m, const int32_t *x, int T, real *logits);

    /* Decoding: memory of d->state for d->room streams; runs twice. */
    void (*decoder_layout)(Decoder *d, Arena *a);
    /* Reads `count` characters of each stream, those at d->pos and after it in d->ids. */
    void (*decoder_feed)(Decoder *d, int count);
    /* d->logits (n,V) of what follows the character that was read last. */
    void (*decoder_logits)(Decoder *d);
    /* Makes what it keeps of stream `to` equal to stream `from`. */
    void (*decoder_copy)(Decoder *d, int to, int from);

    /* Learns all ids of the training part at once, as many as Family.fit was told: sets m->params
     * and computes with them. NULL: it learns by gradients; else there are no `gradients`. */
    void (*learn)(Model *m, const int32_t *ids, size_t count);
    /* What a note should say about what it learnt; leaves `out` alone if there is nothing. May be
     * NULL. */
    void (*remark)(Model *m, char *out, size_t room);
} Network;

struct Model {
    const Network *network;
    Space config, state;    /* the network's own structs */
    ModelUse use;
    int vocab, context;
    Numbers numbers;        /* the owner's, set once it is open: of a text of numbers; else 0 */
    int slice;              /* sequences of `context` characters worked on at once */
    Gemm gemm;
    Tensor *tensors;
    int tensor_count;
    size_t size;            /* elements of params and of grads */
    real *params, *grads;   /* (size); grads only for MODEL_TRAIN and learning by gradients */
    real *nats;             /* (slice,context) of the slice trained on last */
    const Slice *at;        /* the slice that is trained on */
    const Teacher *teacher; /* the owner's, set once it is open; NULL: the text alone */
    Profile *profile;       /* NULL, or what the layers charge their time to */
    Arena weights, training, activations;
};

/* The network of a family. */
const Network *network_of(const Family *f);

/* Sequences to work on at once: as many as the last-level cache holds, but not fewer than make a
 * matrix product efficient, nor more than the batch or SLICE_CHARACTERS. Results do not depend on
 * it. */
int model_slice(const Family *f, const void *config, size_t cache_bytes, int batch);
/* Bytes that model_open would take (gradients included for MODEL_TRAIN). */
size_t model_bytes(const Network *n, const void *config, const Kernels *K, ModelUse use, int slice);
/* config: checked by family_check. EXIT_RUNTIME: memory. */
int model_open(Model *m, const Network *n, const void *config, const Kernels *K, ModelUse use,
               int slice, Err *err);
void model_close(Model *m);
/* Every tensor's start + deviation * normal. */
void model_init(Model *m, uint64_t seed);
/* Lets the model compute with another array of the same layout: an average, or m->params again; or
 * with m->params after something else than a step has changed them. */
void model_use(Model *m, real *flat);

void model_begin(Model *m);
/* Adds the sum of the slice's losses to *sum and its gradients to m->grads. */
void model_train(Model *m, const Slice *s, double *sum);
void model_finish(Model *m);
/* Network.learn, and the note about it: "" where there is nothing to say. */
void model_learn(Model *m, const int32_t *ids, size_t count);
void model_remark(Model *m, char *out, size_t room);
/* nats (n,T) = -log p(y | x up to there); no dropout. */
void model_losses(Model *m, const int32_t *x, const int32_t *y, int n, int T, real *nats);
void model_logits(Model *m, const int32_t *x, int T, real *logits);

/* Several texts of equal length, decoded together so that the weights are read once for all of
 * them. What a stream gives does not depend, to the last bit, on the others. */
struct Decoder {
    Model *model;
    Space state;            /* the network's own */
    int room;               /* streams that it was opened for */
    int n;                  /* of these in use; the caller may change it */
    int rows;               /* characters that can be fed together, of all streams */
    int pos;                /* characters that each has read since the start of the context */
    int32_t *ids;           /* (room,context) those characters */
    real *logits;           /* (room,V) */
    Arena arena;
};

/* Bytes that decoder_open would take. */
size_t decoder_bytes(const Network *n, const void *config, int streams);
int decoder_open(Decoder *d, Model *m, int streams, Err *err);
void decoder_close(Decoder *d);
void decoder_reset(Decoder *d);
/* Feeds one character to each stream, ids (n); returns the logits (n,V) of the next ones. When the
 * context is full, its last half is kept and read again from position 0. Equals the full forward
 * within 1e-4. */
const real *decoder_step(Decoder *d, const int32_t *ids);
/* Makes stream `to` equal to stream `from`, logits included. */
void decoder_copy(Decoder *d, int to, int from);

#endif
