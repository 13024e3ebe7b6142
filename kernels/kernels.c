/* kernels.c: which tables exist, what this machine can run, and the choice between them. */
#include "kernels.h"

extern const Kernels kernels_avx512, kernels_avx2, kernels_neon, kernels_portable;

static bool always(void) { return true; }

/* The compiler's builtins ask CPUID and, through XGETBV, what the operating system enabled. */
#if defined(__x86_64__) || defined(__i386__)
static bool cpu_has_avx512(void) { return __builtin_cpu_supports("avx512f") != 0; }
static bool cpu_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
static bool cpu_has_avx512(void) { return false; }
static bool cpu_has_avx2(void) { return false; }
#endif

static const struct {
    const Kernels *table;
    bool (*usable)(void);
} ladder[] = {                              /* fastest first */
    { &kernels_avx512, cpu_has_avx512 },
    { &kernels_avx2, cpu_has_avx2 },
    { &kernels_neon, always },              /* in every 64-bit ARM; elsewhere its table is absent */
    { &kernels_portable, always },
};

enum { LADDER = sizeof ladder / sizeof ladder[0] };

const Kernels *kernels_usable(int i)
{
    for (int t = 0; t < LADDER; t++)
        if (ladder[t].table->name != NULL && ladder[t].usable() && i-- == 0) return ladder[t].table;
    return NULL;
}

const Kernels *kernels_pick(const char *want, Err *err)
{
    const char *environment = getenv("FOLIO_ISA");
    bool asked = want != NULL;
    if (!asked && environment != NULL && environment[0] != '\0') want = environment;
    const Kernels *k;
    for (int i = 0; (k = kernels_usable(i)) != NULL; i++)
        if (want == NULL || strcmp(want, k->name) == 0) return k;
    fail(err, EXIT_USAGE, "%s %s: not available here; --isa list shows what is",
         asked ? "--isa" : "FOLIO_ISA", want != NULL ? want : "");
    return NULL;
}

void kernels_built(char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (int t = 0; t < LADDER; t++)
        if (ladder[t].table->name != NULL && used < room)
            used += (size_t)snprintf(out + used, room - used, "%s%s", used ? " " : "",
                                     ladder[t].table->name);
}

bool kernels_list(const char *want, FILE *f)
{
    if (want == NULL || strcmp(want, "list") != 0) return false;
    const Kernels *fastest = kernels_usable(0);
    for (int t = 0; t < LADDER; t++) {
        const Kernels *k = ladder[t].table;
        if (k->name == NULL) continue;
        fprintf(f, "%-10s%s\n", k->name,
                k == fastest         ? "usable here, the automatic choice"
                : ladder[t].usable() ? "usable here"
                                     : "not usable here");
    }
    return true;
}
