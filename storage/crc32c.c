/* crc32c.c - see crc32c.h. */
#include "storage/crc32c.h"

/* Half a byte at a time. */
static uint32_t crc32c_anywhere(uint32_t crc, const uint8_t *at, size_t len)
{
	static const uint32_t table[16] = {
	    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	    0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= at[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

/* The processor's own. */
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *at,
							       size_t len)
{
	uint64_t sum = ~crc;

	for (; len >= sizeof(uint64_t); at += sizeof(uint64_t), len -= sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		sum = _mm_crc32_u64(sum, word);
	}
	for (; len > 0; at++, len--)
		sum = _mm_crc32_u8((uint32_t)sum, *at);
	return ~(uint32_t)sum;
}

uint32_t crc32c(uint32_t crc, const uint8_t *at, size_t len)
{
	return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, at, len)
						: crc32c_anywhere(crc, at, len);
}
#else
uint32_t crc32c(uint32_t crc, const uint8_t *at, size_t len)
{
	return crc32c_anywhere(crc, at, len);
}
#endif
