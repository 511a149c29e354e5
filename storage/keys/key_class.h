/* key_class.h - the classes of keys, from key_class.def. */
#ifndef STORAGE_KEYS_KEY_CLASS_H
#define STORAGE_KEYS_KEY_CLASS_H

#include "proto/base.h"

enum key_class {
	KEY_NONE,
#define KEY_CLASS(number, NAME, word, kind) KEY_##NAME = (number),
#include "storage/keys/key_class.def"
#undef KEY_CLASS
	KEY_CLASSES
};

enum key_class_kind {
	KEY_KIND_NONE,
	KEY_KIND_INSTALLATION,
	KEY_KIND_EPOCHS,
};

/* The word of a class, for texts and for seal_derive(). */
const char *key_class_word(enum key_class class);
enum key_class_kind key_class_kind(enum key_class class);

/* Where logins are kept so short that a key is of less than a day, its epoch is a minute: a day of
 * that number is in the year 4707. */
#define KEY_EPOCH_MINUTES 1000000u

/* When an epoch of ENVELOPE, AUTH_DAY or AGGREGATE_DAY begins, in seconds since 1970. */
uint64_t key_epoch_start_s(enum key_class class, uint64_t epoch);

#endif
