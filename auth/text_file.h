/*
 * text_file.h - a text file that is read whole, and changed so that whoever reads it
 * meanwhile sees either the old text or the new one: the new one is written beside it,
 * synced, and takes its name, with the same owner and mode.
 *
 * Two that change it at the same time are kept apart by a lock (flock); an editor that
 * knows of no lock is not.
 *
 * Ownership: texts are the caller's, to be given to text_file_free(), which wipes them.
 * Failure: a sentence that begins with the path; also where the file was found to have changed
 * its size while it was read.
 * Thread: any.
 */
#ifndef AUTH_TEXT_FILE_H
#define AUTH_TEXT_FILE_H

#include "proto/base.h"

/* Larger files are refused: they are something else. */
#define TEXT_FILE_MAX (64u << 20)

struct text {
	char *at; /* ended by a zero, that does not count */
	size_t len;
};

bool text_file_read(const char *path, struct text *text, struct failure *failure);

/* Wipes and frees. */
void text_file_free(struct text *text);

/* Makes the new text of the old one; false leaves the file as it is. */
typedef bool text_edit(void *self, struct slice old, struct text *changed);

/* False when it could not be read or written; true also when `edit` changed nothing. */
bool text_file_change(const char *path, text_edit *edit, void *self, struct failure *failure);

/* Likewise, but false while another one changes it, for however long that may be. */
bool text_file_change_now(const char *path, text_edit *edit, void *self, struct failure *failure);

/* A new file of mode 0600, in the place of one that may be there. */
bool text_file_create(const char *path, struct slice text, struct failure *failure);

#endif
