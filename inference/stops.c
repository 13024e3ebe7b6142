/* stops.c: owns the search for stop strings, one automaton of Knuth, Morris and Pratt (1977) for
 * each. */
#include "../base.h"
#include "stops.h"

void stops_close(Stops *s)
{
    for (int i = 0; i < s->count; i++) free(s->strings[i].back);
    *s = (Stops){ .count = 0 };
}

int stops_open(Stops *s, const char *const *strings, int count, Err *err)
{
    *s = (Stops){ .count = 0 };
    if (count > STOPS_MAX)
        return fail(err, EXIT_USAGE, "more than %d stop strings", (int)STOPS_MAX);
    for (int i = 0; i < count; i++) {
        const char *string = strings[i];
        size_t length = strlen(string), k = 0;
        if (length == 0) continue;
        size_t *back = calloc(length + 1, sizeof *back);
        if (back == NULL) {
            stops_close(s);
            return fail(err, EXIT_RUNTIME, "not enough memory for --stop");
        }
        for (size_t n = 1; n < length; n++) {
            while (k > 0 && string[n] != string[k]) k = back[k];
            k += string[n] == string[k];
            back[n + 1] = k;
        }
        s->strings[s->count++] = (StopString){ string, length, back };
    }
    return 0;
}

/* Until a text is complete, `held` bytes of it are not shown: its longest end that is a beginning
 * of a stop string. With a byte more, those before the new longest end are free. */
Released stops_add(const Stops *s, Watch *w, char byte)
{
    size_t held = w->matched[w->holder], longest = 0;
    Released r = { held > 0 ? s->strings[w->holder].string : "", 0, false };
    for (int i = 0; i < s->count; i++) {
        const StopString *x = &s->strings[i];
        size_t k = w->matched[i];
        while (k > 0 && x->string[k] != byte) k = x->back[k];
        k += x->string[k] == byte;
        w->matched[i] = k;
        bool complete = k == x->length;
        if (complete && !w->complete) longest = 0;      /* what may still come no longer counts */
        if (complete) w->complete = true;
        if ((complete || !w->complete) && k > longest) {
            longest = k;
            w->holder = i;
        }
    }
    r.size = held + 1 - longest;
    r.passes = longest == 0;
    if (r.passes) r.size--;
    return r;
}

Released stops_rest(const Stops *s, const Watch *w)
{
    Released none = { "", 0, false };
    if (s->count == 0 || w->complete) return none;
    return (Released){ s->strings[w->holder].string, w->matched[w->holder], false };
}
