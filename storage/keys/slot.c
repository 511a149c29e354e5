/* slot.c - see slot.h and key_class.h. */
#include "storage/keys/slot.h"

#include "storage/bytes.h"
#include "storage/crc32c.h"

static const uint8_t magic[] = {'m', 'e', 't', 'r', 'k', 'e', 'y', '1'};

/* Where things stand: slot.h. */
#define AT_NUMBER     8u
#define AT_FORM	      10u
#define AT_CLASS      11u
#define AT_EPOCH      16u
#define AT_GENERATION 24u
#define AT_KEY	      32u
#define AT_CRC	      104u

_Static_assert(AT_KEY + SEAL_KEY_LEN + SEAL_OVERHEAD == AT_CRC, "a wrapped key fills its field");

/* ---- classes */

static const struct {
	const char *word;
	enum key_class_kind kind;
} classes[KEY_CLASSES] = {
#define KEY_CLASS(number, NAME, word, kind) [number] = {word, KEY_KIND_##kind},
#include "storage/keys/key_class.def"
#undef KEY_CLASS
};

static bool is_class(unsigned class)
{
	return class < KEY_CLASSES && classes[class].kind != KEY_KIND_NONE;
}

const char *key_class_word(enum key_class class)
{
	must(is_class(class));
	return classes[class].word;
}

enum key_class_kind key_class_kind(enum key_class class)
{
	return is_class(class) ? classes[class].kind : KEY_KIND_NONE;
}

uint64_t key_epoch_start_s(enum key_class class, uint64_t epoch)
{
	static const uint32_t units_s[KEY_CLASSES] = {
	    [KEY_ENVELOPE] = 3600, [KEY_AUTH_DAY] = 86400, [KEY_AGGREGATE_DAY] = 86400};

	must(class < KEY_CLASSES && units_s[class] > 0);
	return epoch * (class == KEY_AUTH_DAY && epoch >= KEY_EPOCH_MINUTES ? 60 : units_s[class]);
}

/* ---- writing */

static void write_header(unsigned number, const struct slot *slot, uint8_t block[SLOT_SIZE])
{
	uint8_t *at = block + sizeof(magic);

	must(number < SLOT_COUNT);
	memcpy(block, magic, sizeof(magic));
	at = bytes_put(at, number, 2);
	at = bytes_put(at, slot->form, 1);
	at = bytes_put(at, slot->class, 1);
	at = bytes_put(at, 0, 4);
	at = bytes_put(at, slot->epoch, 8);
	bytes_put(at, slot->generation, 8);
}

static void write_check(uint8_t block[SLOT_SIZE])
{
	bytes_put(block + AT_CRC, crc32c(0, block, AT_CRC), 4);
}

void slot_write_free(unsigned number, uint8_t block[SLOT_SIZE])
{
	seal_random(block, SLOT_SIZE);
	write_header(number, &(struct slot){.form = SLOT_FREE}, block);
	write_check(block);
}

void slot_write_key(unsigned number, const struct slot *slot, const uint8_t key[SEAL_KEY_LEN],
		    const uint8_t *wrapping, uint8_t block[SLOT_SIZE])
{
	must(slot->form == (wrapping ? SLOT_WRAPPED : SLOT_CLEAR) && is_class(slot->class));
	seal_random(block, SLOT_SIZE);
	write_header(number, slot, block);
	if (wrapping)
		seal_bytes(wrapping, slice_of(block, AT_KEY), slice_of(key, SEAL_KEY_LEN),
			   block + AT_KEY);
	else
		memcpy(block + AT_KEY, key, SEAL_KEY_LEN);
	write_check(block);
}

/* ---- reading */

static bool is_ours(unsigned number, const uint8_t block[SLOT_SIZE])
{
	const unsigned form = block[AT_FORM];
	const unsigned class = block[AT_CLASS];

	return bytes_get(block + AT_NUMBER, 2) == number && form <= SLOT_WRAPPED &&
	       (form == SLOT_FREE ? class == KEY_NONE : is_class(class));
}

struct slot slot_read(unsigned number, const uint8_t block[SLOT_SIZE])
{
	if (memcmp(block, magic, sizeof(magic)) != 0 ||
	    bytes_get(block + AT_CRC, 4) != crc32c(0, block, AT_CRC))
		return (struct slot){.form = SLOT_DAMAGED};
	if (!is_ours(number, block))
		return (struct slot){.form = SLOT_FOREIGN};
	return (struct slot){.form = (enum slot_form)block[AT_FORM],
			     .class = (enum key_class)block[AT_CLASS],
			     .epoch = bytes_get(block + AT_EPOCH, 8),
			     .generation = bytes_get(block + AT_GENERATION, 8)};
}

bool slot_read_key(const struct slot *slot, const uint8_t block[SLOT_SIZE], const uint8_t *wrapping,
		   uint8_t key[SEAL_KEY_LEN])
{
	must(slot->form == SLOT_CLEAR || slot->form == SLOT_WRAPPED);
	if (slot->form == SLOT_WRAPPED)
		return wrapping && seal_open(wrapping, slice_of(block, AT_KEY),
					     slice_of(block + AT_KEY, AT_CRC - AT_KEY), key);
	memcpy(key, block + AT_KEY, SEAL_KEY_LEN);
	return true;
}
