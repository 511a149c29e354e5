/*
 * Password files and access lists.  The first byte says which: a file is taken, or refused with a
 * sentence that begins with its name and holds nothing of the text.  What is taken: every user is
 * found, a stored password is written as it was read, and a changed text has one line changed.
 * A list that is taken answers without a grant that no line of it gives.
 */
#include <stdio.h>

#include "auth/acl.h"
#include "auth/password_file.h"
#include "proto/topic.h"
#include "tests/fuzz/fuzz.h"

#define NAME "FILE"

static const struct password_cost cost = {1u << 20, 1, 4};

static void check_refusal(struct problems *problems)
{
	claim(problems->count > 0 && problems->text != NULL);
	for (const char *line = problems->text; *line; line = strchr(line, '\n') + 1)
		claim(strncmp(line, NAME ":", sizeof(NAME)) == 0 ||
		      strcmp(line, "and more\n") == 0);
	problems_free(problems);
}

static void check_entry(const struct password_file *file, struct slice text, size_t i)
{
	const struct password_entry *entry = &file->entries[i];
	struct password_hash again;
	const char *wrong;
	char written[PASSWORD_TEXT_MAX];
	struct text changed;

	claim(password_file_find(file, entry->user) == entry);
	claim(password_user_valid(entry->user));
	claim(file->work.rounds >= entry->hash.rounds);
	password_write(&entry->hash, written);
	claim(slice_equal(slice_text(written), password_text_of(text, entry->user)));
	claim(password_read(slice_text(written), &again, &wrong));
	claim(memcmp(&again, &entry->hash, sizeof(again)) == 0);
	changed = password_text_with(text, entry->user, NULL);
	claim(password_text_of(slice_of(changed.at, changed.len), entry->user).len == 0);
	text_file_free(&changed);
	changed = password_text_with(text, entry->user, written);
	claim(slice_equal(password_text_of(slice_of(changed.at, changed.len), entry->user),
			  slice_text(written)));
	text_file_free(&changed);
}

static void passwords(struct slice text)
{
	struct problems problems = {0};
	struct password_file *file = password_file_parse(text, NAME, cost, &problems);

	if (file == NULL) {
		check_refusal(&problems);
		return;
	}
	claim(problems.count == 0);
	claim(file->count > 0);
	claim(password_file_find(file, SLICE_NONE) == NULL);
	for (size_t i = 0; i < file->count && i < 8; i++)
		check_entry(file, text, i);
	password_file_destroy(file);
}

static bool answer(const struct acl *acl, const struct slice *user, struct slice topic,
		   enum auth_right right)
{
	return acl_allows(acl, &(struct acl_question){.own = acl_rules_of(acl, user),
						      .user = user,
						      .client_id = SLICE_LITERAL("id"),
						      .right = right,
						      .topic = topic});
}

/* Does the text say the word somewhere? */
static bool says(struct slice text, const char *word)
{
	return text.len > 0 && memmem(text.at, text.len, word, strlen(word)) != NULL;
}

static void rules(struct slice text)
{
	static const char *const topics[] = {"a", "a/b", "$SYS/x", "id", "u", "id/u/c"};
	struct problems problems = {0};
	struct acl *acl = acl_parse(text, NAME, &problems);
	struct slice user = SLICE_LITERAL("u");

	if (acl == NULL) {
		check_refusal(&problems);
		return;
	}
	claim(problems.count == 0);
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
		struct slice topic = slice_text(topics[i]);

		for (int right = AUTH_READ; right <= AUTH_WRITE; right++) {
			bool nobody = answer(acl, NULL, topic, (enum auth_right)right);
			bool somebody = answer(acl, &user, topic, (enum auth_right)right);

			claim(!nobody || says(text, "topic") || says(text, "pattern"));
			claim(!somebody || says(text, "user") || says(text, "pattern"));
			claim(nobody == answer(acl, NULL, topic, (enum auth_right)right));
		}
	}
	acl_destroy(acl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 20000)
		return 0;
	struct slice text = slice_of(data + 1, size - 1);

	if (data[0] & 1)
		passwords(text);
	else
		rules(text);
	return 0;
}
