/* numbers.h: texts of numbers, one vector a line, instead of characters.
 *
 * A number is an id, too: one of 2^31 - 1 steps on the scale of the text's own mean and deviation,
 * so that windows, documents, evaluations and decoders pass numbers on as they do characters. Only
 * a network's first layer reads what an id stands for, and its last one gives a Gaussian in place
 * of a softmax (networks/layers.h).
 *
 *     Numbers n = { 0 };
 *     if (numbers_learn(&n, texts, sizes, names, count, &err)) ...;
 *     int32_t id = number_id(&n, 171.5);             171.5 = number_value(&n, id), nearly
 */
#ifndef NUMBERS_H
#define NUMBERS_H

#include "base.h"

typedef struct {
    double center, scale;   /* mean and standard deviation of the texts; scale 0: characters */
    double deviation;       /* of every conditional, in units of the texts; 0: the network's */
} Numbers;

enum {
    NUMBER_OUTPUTS = 2,     /* what a network gives: mean, log deviation; V, the rows it reads */
    NUMBER_ZERO = 1 << 30,  /* the id of the mean, */
    NUMBER_UNIT = 1 << 20,  /* and how many ids lie within a deviation */
    NUMBER_ROOM = 32        /* bytes of a number as text */
};

/* z of x = center + scale z: what networks compute with. A separator is 0. */
static inline double number_standard(int32_t id)
{
    return id > 0 ? (double)(id - NUMBER_ZERO) / NUMBER_UNIT : 0;
}

#define NUMBER_MOST 1e30     /* the largest that a text may have */
#define NUMBER_BOUND 6.9

/* The log deviation that an output stands for: between those of a thousandth and of a thousand
 * deviations of the texts, or no constant would ever be learnt well enough. */
static inline double number_log_deviation(const Numbers *n, double output)
{
    return n->deviation > 0 ? log(n->deviation / n->scale)
                            : NUMBER_BOUND * tanh(output / NUMBER_BOUND);
}

/* Its slope at the output that gave the log deviation l. */
static inline double number_log_slope(const Numbers *n, double l)
{
    double share = l / NUMBER_BOUND;
    return n->deviation > 0 ? 0 : 1 - share * share;
}

double number_value(const Numbers *n, int32_t id);
/* The nearest id; the first or the last for what lies more than a thousand deviations away. */
int32_t number_id(const Numbers *n, double value);
/* In the fewest digits that lead back to about the same id; returns how many. */
int number_print(const Numbers *n, int32_t id, char out[NUMBER_ROOM]);

/* Sets center and scale (1 for texts of one value). EXIT_TEXT: something is no number, with its
 * line, or there is none. */
int numbers_learn(Numbers *n, const char *const *texts, const size_t *sizes,
                  const char *const *names, int count, Err *err);
/* Whether all of a text is numbers, parted by white space or commas; else `status`, with the line.
 * n: also whether all lie within what its ids reach; or NULL. */
int numbers_check(const Numbers *n, const char *text, size_t size, const char *name, int status,
                  Err *err);
/* Ids of the numbers of a text; what is none is left out and counted in *skipped. Returns how
 * many. */
size_t numbers_encode(const Numbers *n, const char *text, size_t size, int32_t *ids,
                      size_t *skipped);

#endif
