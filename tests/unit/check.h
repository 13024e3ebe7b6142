/* check.h: the whole test framework. A test program ends with `return check_report("name");`.
 *
 *     CHECK(count == 3, "count is %d", count);
 *     CHECK_NEAR(got, want, 1e-5, 1e-8, "softmax n=%d", n);       |got - want| <= abs + rel |want|
 */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdio.h>

static int check_passed, check_failed;

#define CHECK(condition, ...) \
    do { \
        if (condition) { \
            check_passed++; \
        } else { \
            check_failed++; \
            printf("%s:%d: FAILED: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__); \
            printf("\n"); \
        } \
    } while (0)

#define CHECK_NEAR(got, want, rel, abs, ...) \
    do { \
        double check_got = (double)(got), check_want = (double)(want); \
        if (fabs(check_got - check_want) <= (abs) + (rel) * fabs(check_want)) { \
            check_passed++; \
        } else { \
            check_failed++; \
            printf("%s:%d: FAILED: got %.9g, want %.9g: ", __FILE__, __LINE__, check_got, \
                   check_want); \
            printf(__VA_ARGS__); \
            printf("\n"); \
        } \
    } while (0)

/* Prints the verdict of this program and returns its exit status. */
static inline int check_report(const char *name)
{
    printf("%s: %d passed, %d failed\n", name, check_passed, check_failed);
    return check_failed != 0;
}

#endif
