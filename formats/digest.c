/* digest.c: owns CRC-32C and SHA-256, in plain integers and without state between calls. */
#include "../base.h"
#include "digest.h"

/* ---------------------------------------------------------------- CRC-32C */

static const uint32_t crc_polynomial = 0x82f63b78u;

/* table[k][b]: the remainder of byte b followed by k zero bytes. */
static void crc_tables(uint32_t table[8][256])
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t r = b;
        for (int i = 0; i < 8; i++) r = r >> 1 ^ (crc_polynomial & (0u - (r & 1)));
        table[0][b] = r;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
    enum { WORTH_TABLES = 512 };        /* building them costs as much as 512 bytes bit by bit */
    const unsigned char *p = bytes;
    crc = ~crc;
    if (size >= WORTH_TABLES) {
        uint32_t table[8][256];
        crc_tables(table);
        for (; size >= 8; size -= 8, p += 8)    /* the remainder is linear: a table for each byte */
            crc = table[7][p[0] ^ (crc & 255)] ^ table[6][p[1] ^ (crc >> 8 & 255)]
                ^ table[5][p[2] ^ (crc >> 16 & 255)] ^ table[4][p[3] ^ crc >> 24]
                ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; size > 0; size--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc_polynomial & (0u - (crc & 1)));
    }
    return ~crc;
}

/* ---------------------------------------------------------------- SHA-256 */

enum { SHA_BLOCK = 64, SHA_WORDS = 8, SHA_ROUNDS = 64, SHA_LENGTH = 8 };

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha_constants[SHA_ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* Folds one block of 64 bytes into the state; names as in FIPS 180-4, section 6.2.2. */
static void sha_block(uint32_t state[SHA_WORDS], const unsigned char *block)
{
    uint32_t w[SHA_ROUNDS];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16
             | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < SHA_ROUNDS; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < SHA_ROUNDS; i++) {
        uint32_t choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
        uint32_t sigma0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t sigma1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t t1 = h + sigma1 + choice + sha_constants[i] + w[i], t2 = sigma0 + majority;
        h = g; g = f; f = e; e = d + t1;
        d = c; c = b; b = a; a = t1 + t2;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

void sha256_hex(const void *bytes, size_t size, char out[65])
{
    /* The first 32 bits of the fractional parts of the square roots of the first 8 primes. */
    uint32_t state[SHA_WORDS] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    const unsigned char *p = bytes;
    size_t rest = size;
    for (; rest >= SHA_BLOCK; rest -= SHA_BLOCK, p += SHA_BLOCK) sha_block(state, p);

    /* The end: what is left, a one bit, zeros, the length in bits; one block, or two where it is
     * tight. */
    unsigned char end[2 * SHA_BLOCK] = { 0 };
    size_t end_size = rest + 1 + SHA_LENGTH <= SHA_BLOCK ? SHA_BLOCK : 2 * SHA_BLOCK;
    if (rest > 0) memcpy(end, p, rest);
    end[rest] = 0x80;
    uint64_t bits = (uint64_t)size * 8;
    for (size_t i = 0; i < SHA_LENGTH; i++)
        end[end_size - 1 - i] = (unsigned char)(bits >> (8 * i));
    for (size_t at = 0; at < end_size; at += SHA_BLOCK) sha_block(state, end + at);

    for (int i = 0; i < SHA_WORDS; i++) snprintf(out + 8 * i, 9, "%08lx", (unsigned long)state[i]);
}
