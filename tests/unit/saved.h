/* saved.h: what a snapshot is saved as, in memory.
 *
 *     char *bytes = saved_bytes(&snapshot, &size, &err);          NULL: it failed
 *     free(bytes);
 */
#ifndef SAVED_H
#define SAVED_H

#include "../../base.h"
#include "../../formats/checkpoint.h"

static inline char *saved_bytes(const Snapshot *s, size_t *size, Err *err)
{
    Saver *saver = NULL;
    FILE *f = tmpfile();
    char *bytes = NULL;
    if (f == NULL) fail(err, EXIT_RUNTIME, "no temporary file: %s", strerror(errno));
    if (f != NULL && saver_open(&saver, s, err) == 0
        && checkpoint_write(saver, s, fileno(f), err) == 0) {
        *size = (size_t)lseek(fileno(f), 0, SEEK_CUR);
        bytes = malloc(*size);
        rewind(f);
        if (bytes == NULL || fread(bytes, 1, *size, f) != *size) {
            fail(err, EXIT_RUNTIME, "what was saved cannot be read back");
            free(bytes);
            bytes = NULL;
        }
    }
    saver_close(saver);
    if (f != NULL) fclose(f);
    return bytes;
}

#endif
