/* checkpoint.h: the only code that knows the checkpoint's format.
 *
 * A checkpoint is a valid safetensors file: 8 bytes header length (little-endian), a JSON header
 * padded with spaces so that the data start at a multiple of 64, then the tensors without gaps.
 * Weights have Hugging Face's names and layout. __metadata__ holds, all as strings:
 *     format: "pt"   folio.version: "1"   folio.config (JSON)
 *     folio.tokenizer: codepoints|bytes|numbers
 *     folio.vocab (hexadecimal values in id order, `-` for the separator; of numbers mean,
 *     deviation, and the fixed deviation of conditionals or 0)
 *     step   sha256 (of the text)   folio.crc32c (JSON: tensor name -> CRC32C)
 *     folio.header_crc32c (of the header with this field zeroed)
 * `optim.*`, `train.*` (U64/F64 scalars and vectors) and `history.*` are tensors too; with a memory
 * beside the network `memory.ids` (its text: U8, U16 or U32, as the vocabulary needs) and
 * `memory.exponents` (F64).
 *
 *     Checkpoint c;
 *     if (checkpoint_load(&c, "ckpt.bin", &err)) ...;                (checks everything)
 *     ... c.family, c.config, c.tokenizer, c.step ...
 *     checkpoint_copy(&c, "", tensors, n, params, &err);
 *     checkpoint_close(&c);
 */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "../base.h"
#include "../networks/exponents.h"
#include "../networks/family.h"
#include "../tokenizer.h"

enum { CHECKPOINT_VERSION = 1, SETTING_TEXT = FIELD_TEXT, SETTINGS_MAX = 64 };

/* What a run can reach, and a sound file can hold. */
enum {
    RETURNS_MAX = 5,        /* returns, each at half the rate, before a run gives up */
    SKIPS_MAX = 3           /* updates left out in a row before a run has diverged */
};
#define STEPS_MAX 1e12      /* of --steps; the options are tables of double */

/* One entry of folio.config: an option's name without its dashes, and its value as text (a
 * number with 17 significant digits, or a word). The family and its fields (networks/family.h)
 * come first. */
typedef struct {
    char name[SETTING_TEXT];
    char value[SETTING_TEXT];
    bool is_number;         /* written without quotes */
} Setting;

/* What was measured at each evaluation of a run. */
typedef struct {
    size_t count;
    uint64_t *step;
    double *train_loss;     /* of that step's batch, before its update; at 0 the val loss */
    double *val_loss;
} History;

/* The scalars that a resumed run needs, saved as tensors train.<name> of shape [1]. */
typedef struct {
    uint64_t attempt;       /* returns to a save, at half the rate each; in every random key */
    uint64_t skipped;       /* updates left out in a row, because their gradient was not finite */
    uint64_t best_step;     /* step that NAME.bin holds; 0: none yet */
    double best_loss;
    double train_loss;      /* of the last step made */
    double grad_norm;       /* likewise: its line of the log may still have to be written */
} TrainState;

/* An n-gram memory beside the network (networks/memory.h). */
typedef struct {
    int order;                          /* the setting MEMORY_SETTING; 0: there is none */
    size_t count;
    const int32_t *ids;                 /* (count) the text that it counts */
    Exponents exponents;
} SavedMemory;

#define MEMORY_SETTING "memory"

/* What a save needs. In NAME.bin: moments NULL, train NULL; moments NULL too where a family learns
 * without gradients. */
typedef struct {
    const Family *family;
    const void *config;
    const Tokenizer *tokenizer;
    const Setting *settings;            /* one that has the name of a field is left out */
    int setting_count;
    uint64_t step;
    const char *sha256;
    const Tensor *tensors;
    int tensor_count;
    const real *params;
    /* Saved as optim.m.<name> and optim.v.<name>, in the weight's layout. */
    const real *moment1, *moment2;
    /* With an average in `params`: the weights, saved as train.raw.<name>; else NULL. */
    const real *raw;
    const TrainState *train;
    const History *history;
    const SavedMemory *memory;          /* NULL: none; the order is among the settings */
} Snapshot;

/* A tensor inside a loaded file. */
typedef struct {
    const char *name;       /* NUL-terminated */
    const char *dtype;      /* "F32", "F64", "U64", "U8" */
    int rank;
    uint64_t shape[4];
    const char *data;       /* size bytes, perhaps unaligned */
    size_t size;
    uint32_t crc;           /* what folio.crc32c states */
    bool has_crc;
} StoredTensor;

typedef struct {
    char *bytes;            /* the whole file */
    size_t size;
    StoredTensor *stored;   /* in the order of their names */
    int stored_count;
    const Family *family;
    Space config;           /* checked by family_check */
    int context;            /* of it */
    Tokenizer tokenizer;
    Setting settings[SETTINGS_MAX];     /* all of folio.config, family and fields included */
    int setting_count;
    uint64_t step;
    char sha256[65];
    bool has_train;         /* train.* is there, and optim.* if it learns by gradients */
    bool has_raw;           /* train.raw.* too: the weights without a prefix are an average */
    TrainState train;
    History history;
    SavedMemory memory;
    int32_t *memory_ids;    /* storage of its ids */
    int extra;              /* tensors that Folio does not know: ignored, worth a note */
    char *names;            /* storage of strings */
} Checkpoint;

/* The memory that saves need, so that no save asks for any: a few hundred KB, more for very many
 * tensors. */
typedef struct Saver Saver;

/* Bytes that it is, about. */
size_t saver_bytes(const Tensor *tensors, int n);
/* Takes it, for snapshots like this one (the same model and settings; steps and numbers may be
 * others). EXIT_RUNTIME: memory; *saver is NULL then. */
int saver_open(Saver **saver, const Snapshot *s, Err *err);
void saver_close(Saver *saver);

/* Writes the bytes of a checkpoint to an open file. Same snapshot, same bytes. EXIT_RUNTIME: it
 * cannot be written. */
int checkpoint_write(Saver *saver, const Snapshot *s, int fd, Err *err);

/* Saves the snapshot as `path` by way of `temp`, as file_replace of system/files.h does. */
int checkpoint_save(Saver *saver, const Snapshot *s, const char *path, const char *temp, Err *err);

/* Takes over `bytes` (frees them on failure and in checkpoint_close) and checks all of it:
 * structure, every checksum, every name, type and shape against the tensor table of its family,
 * finite values, a state that a run can reach. Pure: no file. `name` is for messages. Fails with
 * EXIT_CHECKPOINT and says what is wrong, or what the file looks like instead; with EXIT_RUNTIME
 * where memory is short. On failure *c is empty. */
int checkpoint_parse(Checkpoint *c, char *bytes, size_t size, const char *name, Err *err);
int checkpoint_load(Checkpoint *c, const char *path, Err *err);
/* Whether a file begins as a checkpoint: with the length of a header that fits, and a brace. */
bool checkpoint_begins(const char *path);
void checkpoint_close(Checkpoint *c);

/* `./inspect --verify`: as checkpoint_load, but goes on after a damaged tensor and calls report
 * for each. Returns the number of damaged tensors, or -1 with err where the header itself is not
 * sound. */
typedef void DamageReport(void *ctx, const char *tensor, const char *what);
int checkpoint_verify(const char *path, DamageReport *report, void *ctx, Err *err);

/* Copies the tensors <prefix><name> into a flat array, each at its Tensor's offset and back in the
 * model's layout. prefix: "" for weights, "optim.m.", "optim.v.". */
int checkpoint_copy(const Checkpoint *c, const char *prefix, const Tensor *tensors, int n,
                    real *out, Err *err);

/* The value of a setting, or NULL. */
const char *checkpoint_setting(const Checkpoint *c, const char *name);

#endif
