/*
 * note.h - checkpoints as signed notes, the keys that sign them, and proofs as text.
 *
 *	verifier key   NAME+IDIDIDID+BASE64(0x01 || public key)
 *	checkpoint     ORIGIN \n SIZE \n BASE64(root) \n
 *	               \n
 *	               — NAME BASE64(id || signature) \n      one or more; one is by the key
 *
 * The origin is the name of the key.  The id is the beginning of SHA-256(NAME, 0x0A, 0x01,
 * public key).  Lines of the body below the root and signatures of others are allowed.
 *
 * Ownership: the caller's memory.
 * Failure: texts that are not what they should be, with what would be right.
 * Thread: any.
 * Follows: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof, and for
 * consistency the request of c2sp.org/tlog-witness.
 */
#ifndef STORAGE_AUDIT_NOTE_H
#define STORAGE_AUDIT_NOTE_H

#include "storage/audit/merkle.h"

#define NOTE_NAME_SIZE	     64u
#define NOTE_VKEY_SIZE	     128u
#define NOTE_CHECKPOINT_SIZE 512u   /* of one that we write */
#define NOTE_CHECKPOINT_MAX  65536u /* of one that we read: others may have signed, too */

struct note_verifier {
	char name[NOTE_NAME_SIZE];
	uint8_t id[4];
	uint8_t public[AUDIT_PUBLIC_LEN];
};

struct checkpoint {
	uint64_t size;
	struct audit_hash root;
};

/* The name is made of the key: "metrino/" and 16 hexadecimal digits. */
struct note_verifier note_verifier_of(const uint8_t public[AUDIT_PUBLIC_LEN]);

void note_vkey_write(const struct note_verifier *verifier, char text[NOTE_VKEY_SIZE]);
/* White space at the end is ignored. */
bool note_vkey_read(struct slice text, struct note_verifier *verifier, struct failure *failure);

/* Gives the length. */
size_t checkpoint_write(const struct checkpoint *checkpoint, const struct note_verifier *verifier,
			const struct audit_signing_key *key, char text[NOTE_CHECKPOINT_SIZE]);

/* Checks the form, that the origin is the verifier's, and its signature. */
bool checkpoint_read(struct slice text, const struct note_verifier *verifier,
		     struct checkpoint *checkpoint, struct failure *failure);

/* Its size, whoever signed it. */
bool checkpoint_size(struct slice text, uint64_t *size);

/* ---- other texts that the key signs: their first line is no origin */

/* Writes an empty line and the signature behind a text that ends with a newline; gives the length.
 */
size_t note_sign(char *text, size_t len, size_t size, const struct note_verifier *verifier,
		 const struct audit_signing_key *key);

/* Parts body and signature lines at the first empty line; the signature must be there and fit. */
bool note_open(struct slice text, const struct note_verifier *verifier, struct slice *body,
	       struct failure *failure);

/* ---- proofs as text */

enum proof_kind { PROOF_INCLUSION, PROOF_CONSISTENCY };

struct proof_text {
	enum proof_kind kind;
	uint64_t number; /* the index of the entry; or the size of the older tree */
	bool has_extra;
	uint8_t extra[AUDIT_BASE64_MAX]; /* inclusion: the entry itself */
	size_t extra_len;
	struct merkle_proof proof;
	struct slice checkpoint; /* borrows from the text */
};

/* The longest text before the checkpoint. */
#define PROOF_HEAD_SIZE 6144u

/* Writes what stands before the checkpoint, with the empty line; gives its length. */
size_t proof_write_head(const struct proof_text *proof, char text[PROOF_HEAD_SIZE]);

/* True when it begins like a proof, whatever else is wrong with it. */
bool proof_looks_like(struct slice text);
bool proof_read(struct slice text, struct proof_text *proof, struct failure *failure);

#endif
