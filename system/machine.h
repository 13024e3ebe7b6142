/* machine.h: what this machine, or the container around the program, has to offer.
 *
 * Owns: the number of threads to use and how they wait, the memory limit, the size of the
 * last-level cache. Whatever cannot be read counts as no limit.
 *
 *     int threads = options.threads > 0 ? (int)options.threads : default_threads();
 *     if (memory_check(needed, err)) return -1;
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "../base.h"

enum { MACHINE_LINE = 512 };

/* Cores, not counting the second thread of each; 0 if unknown. */
int physical_cores(void);
/* The smallest of the affinity mask, the container's CPU quota and the physical cores, capped by
 * OMP_NUM_THREADS; 1 in a program without OpenMP. */
int default_threads(void);

/* Threads of libgomp wait for each other by spinning for milliseconds. Beside other programs that
 * takes the processor from the very thread they wait for, and a step takes many times as long; so
 * they are to sleep after some microseconds. libgomp reads that from the environment before main:
 * the program is started once more, in the same process. Call it before anything is opened. Does
 * nothing where the environment says how to wait, where OpenMP is another, or the system has no
 * /proc. */
void threads_wait_briefly(char **argv);

/* Bytes that this program may use at most: the least of what the machine has and of what the
 * container and the process (ulimit -v) may take. */
double memory_limit_bytes(void);
/* Fails with EXIT_RUNTIME where a program would need more than that, before the system ends it. */
int memory_check(double bytes, Err *err);

/* The size of the last-level cache in bytes; 8 MB if unknown. */
size_t cache_bytes(void);

/* The processor's name, for logs and benchmarks; "unknown" if the system does not say. */
void machine_name(char name[MACHINE_LINE]);

/* The number in folder/name; `none` if there is no such file or it holds a word ("max") instead. */
double machine_read_number(const char *folder, const char *name, double none);

/* CPUs, and bytes of memory, that one folder of the control groups allows, or HUGE_VAL. */
double cgroup_cpus(const char *folder);
double cgroup_memory(const char *folder);
/* The least limit from base/path up to base itself. */
double cgroup_walk(const char *base, const char *path, double (*limit)(const char *folder));

#endif
