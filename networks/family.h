/* family.h: what a family of networks is made of; how it computes is network.h's.
 *
 * Owns: fields (the sizes and switches of a network, from which options, what a checkpoint stores
 * and what ./inspect shows follow), tensors, and the list of families. No mathematics: whoever only
 * reads checkpoints needs nothing else.
 *
 *     const Family *f = family_named("qwen3");
 *     Space config = { { 0 } };
 *     if (field_set(&config, family_field(f, "layers"), "4")) ...;            not a value of it
 *     if (family_check(f, &config, vocab, &err)) ...;
 *     int n = family_tensors(f, &config, NULL, &size);
 */
#ifndef FAMILY_H
#define FAMILY_H

#include "../base.h"

/* Room for a network's own struct: its configuration, its state, or its decoder's. */
typedef union {
    char bytes[1024];
    double number;
    void *pointer;          /* these two: for the alignment */
} Space;

/* ---------------------------------------------------------------- fields */

typedef enum { FIELD_INT, FIELD_REAL, FIELD_WORD } FieldKind;

/* Another value than that of --init-from: it is refused, it may be smaller, it is free. */
typedef enum { FIELD_FIXED, FIELD_SHRINKS, FIELD_FREE } FieldChange;

typedef struct {
    const char *name;       /* of the checkpoint's setting; the option's without its dashes */
    const char *option;     /* "--" name */
    FieldKind kind;
    size_t offset;          /* into the configuration: an int, or a double for FIELD_REAL */
    double low, high;
    const char *words;      /* "off|on": word i is the value i */
    const char *text;       /* the default; NULL: no option, it follows from the text */
    FieldChange change;
    const char *help;
} Field;

enum { CONTEXT_MAX = 65536, VOCAB_MAX = 1 << 21, FIELD_TEXT = 48 };

/* Two fields that every family has: the largest T, and V. */
#define FIELD_CONTEXT "context"
#define FIELD_VOCAB "vocab"

int *field_int(const void *config, const Field *f);
double *field_real(const void *config, const Field *f);
/* The value as text: "6", "on", "0.20000000000000001". */
void field_get(const void *config, const Field *f, char *out, size_t room);
/* -1: not a value of the field, or out of its range. */
int field_set(void *config, const Field *f, const char *value);

/* ---------------------------------------------------------------- tensors */

/* One tensor, as the optimizer and the checkpoint see it. Parameters, gradients and moments are
 * flat arrays of one length, and a tensor has the same offset in each. */
typedef struct {
    char name[80];          /* Hugging Face's, where there is one */
    size_t offset;          /* into the flat arrays, in elements */
    int rows, cols;         /* rows x cols, row-major; a vector has rows == 1 and rank 1 */
    int rank;               /* 1 or 2: what the checkpoint states */
    bool stored_transposed; /* the checkpoint holds (cols, rows), as Hugging Face's Conv1D does */
    bool decay;             /* weight decay applies: every matrix, as nanoGPT does */
    bool hidden;            /* a matrix between two hidden layers: Muon's share */
    bool by_symbol;         /* one row for each symbol of the vocabulary */
    real start;             /* initial value: start + deviation * normal */
    double deviation;
    int block;              /* the network's own: which of its structs points at the tensor, */
    size_t field;           /* and where in it */
} Tensor;

/* What tensors are appended to. */
typedef struct {
    Tensor *list;           /* NULL: only count */
    int count;
    size_t size;            /* elements of a flat array of all */
    size_t parameters;
} TensorTable;

size_t tensor_size(const Tensor *t);
/* Appends a tensor and sets its offset: on a cache line of its own, or `joined` to the one before
 * it without a gap, as one matrix. */
void tensors_add(TensorTable *t, Tensor one, bool joined);

/* ---------------------------------------------------------------- families */

typedef struct { const char *name, *value; } Choice;

/* What suits a run of at least so many floating-point operations and characters of text. */
typedef struct {
    double flops;
    size_t characters;
    Choice values[8];       /* fields, and options of training; the last one has no name */
} Budget;

/* Whether the user has settled a field. */
typedef bool Settled(const void *context, const char *field);

typedef struct Family {
    const char *name;       /* the word of --family */
    const char *help;       /* "learned positions, layer norm, GELU" */
    const Field *fields;    /* a field of one name is the same in all families */
    int field_count;
    size_t config;          /* bytes of the configuration */
    /* Fills in what is 0 and checks what the ranges of the fields do not say. EXIT_USAGE. */
    int (*check)(void *config, Err *err);
    /* Appends every tensor: the only list of them. */
    void (*tensors)(TensorTable *t, const void *config);
    /* Of one of T characters, forward and backward: 2 for each multiply-add. */
    double (*flops)(const void *config, int T);
    /* Numbers that a position's forward pass keeps for the backward pass. */
    double (*kept)(const void *config);
    /* "4 layers, 4 heads, 128 channels, context 64" */
    void (*describe)(const void *config, char *out, size_t room);

    /* For --minutes (LAB.md says how these were measured): what every timed run takes; sizes, the
     * largest budget last; the model that the machine's speed is measured with. */
    const Choice *always;
    const Budget *budgets;
    int budget_count;
    const Choice *probe;
    /* Makes what nobody settled suit what somebody did; NULL: nothing to do. */
    void (*suit)(void *config, Settled *settled, const void *context);
    /* Whether its weights belong to positions, so that a window is best a document; NULL: never. */
    bool (*by_position)(const void *config);
    /* Of a network that learns without gradients, all at once (Network.learn): says how many ids
     * that will be. NULL: it learns by gradients. */
    void (*fit)(void *config, size_t ids);
} Family;

/* by_position of a family to which that always applies. */
bool family_by_position(const void *config);

/* Family i of this build; NULL after the last. */
const Family *family_at(int i);
/* NULL: there is none of this name. */
const Family *family_named(const char *name);
const Field *family_field(const Family *f, const char *name);

/* Sets the vocabulary, checks the ranges of the fields, then what the family's own check does.
 * EXIT_USAGE, also where the configuration had another vocabulary. */
int family_check(const Family *f, void *config, int vocab, Err *err);
/* Whether a checked configuration can do with numbers. EXIT_USAGE. */
int family_check_numbers(const Family *f, const void *config, Err *err);
/* For a checked configuration: fits it to so many ids, where the family does that. EXIT_USAGE. */
int family_fit(const Family *f, void *config, size_t ids, Err *err);
int family_context(const Family *f, const void *config);
int family_vocab(const Family *f, const void *config);
/* Fills out[] (NULL: only counts) with every tensor; returns how many. *size (NULL: not wanted):
 * elements of a flat array of all. */
int family_tensors(const Family *f, const void *config, Tensor *out, size_t *size);
size_t family_parameters(const Family *f, const void *config);

#endif
