/*
 * fuzz_slot.c - a slot of keys.slots from the disk: whatever stands in it, it is free, a key,
 * damage or foreign; and what was taken for a slot is one that we could have written.
 *
 * Input: u8 number of the slot, u8 what to make right (bit 0: the check value), the block's first
 * bytes.
 */
#include "storage/keys/slot.h"

#include "storage/bytes.h"
#include "storage/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t wrapping[SEAL_KEY_LEN] = "a wrapping key";
	uint8_t block[SLOT_SIZE] = {0};
	uint8_t again[SLOT_SIZE];
	uint8_t key[SEAL_KEY_LEN];

	if (size < 2)
		return 0;
	const size_t len = size - 2 < SLOT_SIZE ? size - 2 : SLOT_SIZE;

	memcpy(block, data + 2, len);
	if (data[1] & 1)
		bytes_put(block + 104, crc32c(0, block, 104), 4);
	const struct slot slot = slot_read(data[0], block);

	if (slot.form == SLOT_CLEAR) {
		must(key_class_kind(slot.class) != KEY_KIND_NONE);
		must(slot_read_key(&slot, block, NULL, key));
		slot_write_key(data[0], &slot, key, NULL, again);
		must(memcmp(block + 16, again + 16, 16 + SEAL_KEY_LEN) == 0);
	} else if (slot.form == SLOT_WRAPPED) {
		must(!slot_read_key(&slot, block, wrapping, key));
		must(!slot_read_key(&slot, block, NULL, key));
	}
	return 0;
}
