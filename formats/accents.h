/* accents.h: letters with an accent, which Unicode writes in two ways: as one character (NFC, as
 * keyboards type it) or as the letter and the accent after it (NFD, as some files have it).
 *
 *     accents_split(0x159, &letter, &accent)      U+0159 is r and U+030C
 *     accents_join('r', 0x30c)                    is U+0159
 */
#ifndef ACCENTS_H
#define ACCENTS_H

#include "../base.h"

/* Latin, Greek and Cyrillic letters with one more accent than `letter`, which may have one, too;
 * false: it is none of them. */
bool accents_split(uint32_t value, uint32_t *letter, uint32_t *accent);

/* The character of both, or 0. */
uint32_t accents_join(uint32_t letter, uint32_t accent);

#endif
