/* machine.c: owns what is read of the system: /proc, /sys, control groups; on a Mac sysctl. */
#include "../base.h"
#include "machine.h"

#include <sys/resource.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

enum { MACHINE_PATH = 4096, CPUS_MAX = 4096 };

/* The first line of a small file, without its newline; false if there is none. */
static bool machine_read_line(const char *path, char line[MACHINE_LINE])
{
    int fd = open(path, O_RDONLY);
    if (fd < 0) return false;
    ssize_t n = read(fd, line, MACHINE_LINE - 1);
    close(fd);
    if (n <= 0) return false;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return true;
}

double machine_read_number(const char *folder, const char *name, double none)
{
    char path[MACHINE_PATH + 64], line[MACHINE_LINE], *end = line;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    double value = machine_read_line(path, line) ? strtod(line, &end) : none;
    return end == line ? none : value;
}

#ifdef __APPLE__
/* A number that the system keeps under this name, or 0. */
static double machine_sysctl(const char *name)
{
    int64_t value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 ? (double)value : 0.0;
}
#endif

/* ---------------------------------------------------------------- limits of the container */

double cgroup_cpus(const char *folder)
{
    char path[MACHINE_PATH + 64], line[MACHINE_LINE];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (!machine_read_line(path, line) || sscanf(line, "%lf %lf", &quota, &period) != 2) {
        quota = machine_read_number(folder, "cpu.cfs_quota_us", -1);
        period = machine_read_number(folder, "cpu.cfs_period_us", -1);
    }
    return quota > 0 && period > 0 ? quota / period : HUGE_VAL;
}

double cgroup_memory(const char *folder)
{
    double now = machine_read_number(folder, "memory.max", HUGE_VAL);
    return fmin(now, machine_read_number(folder, "memory.limit_in_bytes", HUGE_VAL));
}

double cgroup_walk(const char *base, const char *path, double (*limit)(const char *folder))
{
    char folder[MACHINE_PATH];
    size_t root = strlen(base);
    snprintf(folder, sizeof folder, "%s%s", base, path);
    double least = limit(folder);
    for (size_t n = strlen(folder); n > root; n--) {
        if (folder[n - 1] != '/') continue;
        folder[n - 1] = '\0';
        least = fmin(least, limit(folder));
    }
    return least;
}

/* The least limit of our own control groups. A line of /proc/self/cgroup is "id:controllers:path";
 * version 2 has no controllers. Inside a container the path may be the host's, so that only the
 * root is there. */
static double cgroup_limit(const char *controller, double (*limit)(const char *folder))
{
    char line[MACHINE_PATH], base[64];
    double least = limit("/sys/fs/cgroup");
    snprintf(base, sizeof base, "/sys/fs/cgroup/%s", controller);
    least = fmin(least, limit(base));
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *names = strchr(line, ':'), *path = names != NULL ? strchr(names + 1, ':') : NULL;
        if (path == NULL) continue;
        line[strcspn(line, "\n")] = '\0';
        *path++ = '\0';
        bool second = names[1] == '\0', ours = second;
        for (char *name = names + 1; !ours && name != NULL; name = strchr(name, ',')) {
            name += *name == ',';
            size_t length = strcspn(name, ",");
            ours = length == strlen(controller) && memcmp(name, controller, length) == 0;
        }
        if (ours) least = fmin(least, cgroup_walk(second ? "/sys/fs/cgroup" : base, path, limit));
    }
    if (f != NULL) fclose(f);
    return least;
}

/* ---------------------------------------------------------------- what the programs ask */

/* A core is counted at the CPU that comes first in its list of siblings. */
int physical_cores(void)
{
    int cores = 0;
#ifdef __APPLE__
    cores = (int)machine_sysctl("hw.physicalcpu");
#elif defined(__linux__)
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < cpus && cpu < CPUS_MAX; cpu++) {
        char folder[80];
        snprintf(folder, sizeof folder, "/sys/devices/system/cpu/cpu%d/topology", cpu);
        double first = machine_read_number(folder, "core_cpus_list", -1);
        if (first < 0) first = machine_read_number(folder, "thread_siblings_list", -1);
        cores += (int)first == cpu;
    }
#endif
    return cores;
}

int default_threads(void)
{
    int threads = omp_get_num_procs(), cores = physical_cores();
    if (cores > 0 && cores < threads) threads = cores;
    double quota = cgroup_limit("cpu", cgroup_cpus);
    if (quota < threads) threads = (int)quota;
    const char *wish = getenv("OMP_NUM_THREADS");
    long most = wish != NULL ? strtol(wish, NULL, 10) : 0;
    if (most > 0 && most < threads) threads = (int)most;
    return threads > 1 ? threads : 1;
}

void threads_wait_briefly(char **argv)
{
#if defined _OPENMP && !defined __clang__
    char path[4096];
    if (getenv("GOMP_SPINCOUNT") != NULL || getenv("OMP_WAIT_POLICY") != NULL) return;
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0 || setenv("GOMP_SPINCOUNT", "1000", 1) != 0) return;
    path[size] = '\0';
    execv(path, argv);                          /* if that fails, they spin as they did */
#else
    (void)argv;
#endif
}

double memory_limit_bytes(void)
{
    double bytes = HUGE_VAL;
#ifdef __APPLE__
    if (machine_sysctl("hw.memsize") > 0) bytes = machine_sysctl("hw.memsize");
#elif defined(_SC_PHYS_PAGES)
    if (sysconf(_SC_PHYS_PAGES) > 0)
        bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
#endif
#ifdef RLIMIT_AS
    struct rlimit own;                          /* ulimit -v */
    if (getrlimit(RLIMIT_AS, &own) == 0 && own.rlim_cur != RLIM_INFINITY)
        bytes = fmin(bytes, (double)own.rlim_cur);
#endif
    return fmin(bytes, cgroup_limit("memory", cgroup_memory));
}

int memory_check(double bytes, Err *err)
{
    double limit = memory_limit_bytes();
    if (bytes <= limit) return 0;
    return fail(err, EXIT_RUNTIME, "this needs %.0f MB of memory, and the machine, container or "
                "ulimit allows %.0f MB; try a smaller model, context or batch", bytes / 1e6,
                limit / 1e6);
}

void machine_name(char name[MACHINE_LINE])
{
    snprintf(name, MACHINE_LINE, "unknown");
#ifdef __APPLE__
    size_t size = MACHINE_LINE;
    sysctlbyname("machdep.cpu.brand_string", name, &size, NULL, 0);
#endif
    char line[MACHINE_LINE];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *value = strncmp(line, "model name", 10) == 0 ? strstr(line, ": ") : NULL;
        if (value == NULL) continue;
        value[strcspn(value, "\n")] = '\0';
        snprintf(name, MACHINE_LINE, "%s", value + 2);
        break;
    }
    if (f != NULL) fclose(f);
}

/* Linux's own list comes first: sysconf is wrong on some virtual machines. */
size_t cache_bytes(void)
{
    enum { CACHE_FALLBACK = 8 << 20, CACHE_LEVELS = 5 };
    double largest = 0;
    for (int i = 0; i < CACHE_LEVELS; i++) {
        char path[80], line[MACHINE_LINE], unit = 'B';
        double size = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (!machine_read_line(path, line) || sscanf(line, "%lf%c", &size, &unit) < 1) continue;
        largest = fmax(largest, size * (unit == 'K' ? 1024.0 : unit == 'M' ? 1048576.0 : 1.0));
    }
#ifdef _SC_LEVEL3_CACHE_SIZE
    if (largest <= 0) largest = (double)sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
#ifdef __APPLE__
    if (largest <= 0)
        largest = fmax(machine_sysctl("hw.l3cachesize"), machine_sysctl("hw.l2cachesize"));
#endif
    return largest > 0 ? (size_t)largest : (size_t)CACHE_FALLBACK;
}
