/*
 * wrapping.h - the key that keys.slots is wrapped under, from a file of the operator's: key_file,
 * or a credential that systemd decrypted for us (systemd.exec(5), LoadCredentialEncrypted=).
 *
 * All bytes of the file count, 32 to 4,096 of them, a line end too; the key is HKDF-SHA-256 of
 * them, info = "metrino/1|wrap|keys|0".
 *
 * Ownership: the caller wipes the key.
 * Failure: names the file, what is wrong with it and what would be right; never its bytes.
 * Thread: any.
 */
#ifndef STORAGE_KEYS_WRAPPING_H
#define STORAGE_KEYS_WRAPPING_H

#include "storage/seal.h"

/* The credential's name; systemd puts it into $CREDENTIALS_DIRECTORY. */
#define WRAPPING_CREDENTIAL "metrino-keys"

/* Reads the file.  It must belong to root or to us, and be nobody else's to read. */
bool wrapping_read(const char *path, uint8_t key[SEAL_KEY_LEN], struct failure *failure);

/*
 * The same of our credential in `directory` ($CREDENTIALS_DIRECTORY; NULL: none), whose access
 * systemd has seen to.  *found is false where there is none; that is no failure.
 */
bool wrapping_read_credential(const char *directory, bool *found, uint8_t key[SEAL_KEY_LEN],
			      struct failure *failure);

#endif
