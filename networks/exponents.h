/* exponents.h: the numbers that weigh a network and the memory beside it, without the mathematics.
 *
 * Owns: their number and range. What they mean is memory.h's; whoever only reads checkpoints needs
 * nothing else.
 */
#ifndef EXPONENTS_H
#define EXPONENTS_H

enum {
    MEMORY_FEATURES = 4,        /* what is known of a context: 1, k, ln c, ln d */
    MEMORY_IDS = 10000000       /* characters that a memory counts at most: of a longer text the
                                 * end; that takes half a gigabyte */
};

#define EXPONENT_MOST 1e3       /* the largest that a sound file has */

typedef struct {
    double of[2][MEMORY_FEATURES];      /* of the network's exponent, of the memory's */
} Exponents;

#endif
