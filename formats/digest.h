/* digest.h: what tells whether bytes are the ones they were: a checksum, and a digest.
 *
 *     uint32_t crc = crc32c(0, head, head_size);
 *     crc = crc32c(crc, tail, tail_size);                the checksum of head and tail together
 *     char digest[65];
 *     sha256_hex(text, size, digest);
 */
#ifndef DIGEST_H
#define DIGEST_H

#include "../base.h"

/* CRC-32C (Castagnoli, reflected polynomial 82F63B78) of the bytes that gave `crc`, followed by
 * these; 0 for none before. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

/* SHA-256 (FIPS 180-4) of size bytes as 64 lower-case hexadecimal digits and a NUL. */
void sha256_hex(const void *bytes, size_t size, char out[65]);

#endif
