/*
 * passwd.c - `metrino passwd`: password files, with the flags of mosquitto_passwd.
 * New passwords are Argon2id; those of others stay as they are (auth/password_file.h).
 */
#include "cli/command.h"
#include "auth/password_file.h"
#include "cli/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "Manages password files, with the flags of mosquitto_passwd.\n\n"
    "Usage: metrino passwd [-c | -D] FILE USER\n"
    "       metrino passwd [-c] -b FILE USER PASSWORD\n"
    "       metrino passwd -U FILE\n\n"
    "  -c               make a new file; one that is there is overwritten\n"
    "  -D               take the user out\n"
    "  -b               take the password from the command line, where others can see it\n"
    "  -U               hash the plain passwords of a file; hashed ones stay\n"
    "  -H argon2id      the kind of hash: new ones are always of this kind\n"
    "  --memory KIB     what one check needs (argon2_memory of the broker; default 65536)\n"
    "  --time PASSES    how often it goes through it (argon2_time; default 3)\n\n"
    "Without -b the password is asked for, or is the first line of standard input.\n"
    "The broker reads the file at its start and at HUP.\n";

#define PASSWORD_MAX 65535u

struct request {
	bool create, delete, batch, update, help;
	struct password_cost cost;
	const char *words[3]; /* FILE USER PASSWORD */
	size_t count;
};

/* ---- arguments ---- */

static bool read_cost(const char *word, uint32_t min, uint32_t max, uint32_t *number,
		      struct failure *failure)
{
	char *end = NULL;
	unsigned long value = strtoul(word, &end, 10);

	if (*word < '0' || *word > '9' || *end != '\0' || value < min || value > max)
		return failure_set(failure, "'%.40s' is not possible; right would be %u to %u.",
				   word, min, max);
	*number = (uint32_t)value;
	return true;
}

static bool take_hash(const char *word, struct failure *failure)
{
	return strcmp(word, "argon2id") == 0 ||
	       failure_set(failure,
			   "'%.40s' is not made any more; right would be -H argon2id, or no -H.",
			   word);
}

/* An option with a value behind it. */
static bool take_value(struct request *r, const char *word, const char *value,
		       struct failure *failure)
{
	if (value == NULL)
		return failure_set(failure, "%s needs a value.", word);
	if (strcmp(word, "-H") == 0)
		return take_hash(value, failure);
	if (strcmp(word, "--memory") == 0)
		return read_cost(value, 8 * PASSWORD_LANES, 4194304, &r->cost.memory_kib, failure);
	return read_cost(value, 1, PASSWORD_PASSES_MAX, &r->cost.passes, failure);
}

static bool has_value(const char *word)
{
	return strcmp(word, "-H") == 0 || strcmp(word, "--memory") == 0 ||
	       strcmp(word, "--time") == 0;
}

static bool *switch_of(struct request *r, const char *word)
{
	return strcmp(word, "-c") == 0					? &r->create
	       : strcmp(word, "-D") == 0				? &r->delete
	       : strcmp(word, "-b") == 0				? &r->batch
	       : strcmp(word, "-U") == 0				? &r->update
	       : strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0 ? &r->help
									: NULL;
}

static bool check_words(const struct request *r, struct failure *failure)
{
	const size_t needed = r->update ? 1 : r->batch && !r->delete ? 3 : 2;
	const bool clash =
	    (r->create && r->delete) || (r->update && (r->create || r->delete || r->batch));

	if (clash)
		return failure_set(failure, "-c, -D and -U exclude each other.");
	if (r->count != needed)
		return failure_set(failure, "right would be FILE%s%s.", needed > 1 ? " USER" : "",
				   needed > 2 ? " PASSWORD" : "");
	if (needed > 1 && !password_user_valid(slice_text(r->words[1])))
		return failure_set(failure, "a user name is not empty and has no colon and no "
					    "control characters.");
	return true;
}

/* What stands behind the first word that is no option is none, so that a password may be "-c". */
static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	*r = (struct request){.cost = {PASSWORD_MEMORY_KIB, PASSWORD_PASSES, PASSWORD_LANES}};
	for (int i = 0; i < argc; i++) {
		bool *on = r->count == 0 ? switch_of(r, argv[i]) : NULL;

		if (on)
			*on = true;
		else if (r->count == 0 && has_value(argv[i])) {
			const char *option = argv[i++];

			if (!take_value(r, option, i < argc ? argv[i] : NULL, failure))
				return false;
		} else if (r->count == 0 && argv[i][0] == '-') {
			return failure_set(failure, "unknown option '%.40s'.", argv[i]);
		} else if (r->count == 3) {
			return failure_set(failure, "'%.40s' is too many.", argv[i]);
		} else {
			r->words[r->count++] = argv[i];
		}
	}
	return r->help || check_words(r, failure);
}

/* ---- the password ---- */

static bool get_password(const struct request *r, struct text *password, struct failure *failure)
{
	*password = (struct text){0};
	if (r->words[2]) {
		password->at = strdup(r->words[2]);
		must(password->at);
		password->len = strlen(password->at);
	} else if (!secret_read("password", SECRET_TWICE, password, failure)) {
		return false;
	}
	if (password->len == 0 || password->len > PASSWORD_MAX)
		return failure_set(failure, "a password has 1 to 65535 bytes.");
	return true;
}

/* ---- the file ---- */

struct change {
	const struct request *request;
	struct password_arena arena;
	struct slice password;
	bool found;	/* the user was there */
	unsigned count; /* passwords that were hashed */
};

static void hash(struct change *in, struct slice password, char text[PASSWORD_TEXT_MAX])
{
	struct password_hash made;

	password_make(&in->arena, in->request->cost, password, &made);
	password_write(&made, text);
}

static bool set_user(void *self, struct slice old, struct text *changed)
{
	struct change *in = self;
	const struct slice user = slice_text(in->request->words[1]);
	char text[PASSWORD_TEXT_MAX];

	in->found = password_text_of(old, user).len > 0;
	hash(in, in->password, text);
	*changed = password_text_with(old, user, text);
	return true;
}

static bool delete_user(void *self, struct slice old, struct text *changed)
{
	struct change *in = self;
	const struct slice user = slice_text(in->request->words[1]);

	in->found = password_text_of(old, user).len > 0;
	if (in->found)
		*changed = password_text_with(old, user, NULL);
	return in->found;
}

/* The next user whose password is plain, from *at on. */
static bool find_plain(struct slice text, size_t *at, struct slice *user, struct slice *password)
{
	struct password_hash stored;
	const char *wrong;

	while (*at < text.len) {
		struct slice rest = slice_after(text, *at);
		const uint8_t *end = memchr(rest.at, '\n', rest.len);
		struct slice line = slice_of(rest.at, end ? (size_t)(end - rest.at) : rest.len);
		const uint8_t *colon = memchr(line.at, ':', line.len);

		*at += line.len + 1;
		if (line.len == 0 || line.at[0] == '#' || colon == NULL)
			continue;
		*user = slice_of(line.at, (size_t)(colon - line.at));
		*password = password_text_of(text, *user);
		if (password->len > 0 && password->at[0] != '$' &&
		    !password_read(*password, &stored, &wrong))
			return true;
	}
	return false;
}

static bool hash_plain(void *self, struct slice old, struct text *changed)
{
	struct change *in = self;
	struct slice text = old, user, password;
	char hashed[PASSWORD_TEXT_MAX];
	size_t at = 0;

	/* Each line that is changed is another text, in which the lines before are hashed. */
	while (find_plain(text, &at, &user, &password)) {
		hash(in, password, hashed);
		struct text next = password_text_with(text, user, hashed);

		at += next.len - text.len;
		text_file_free(changed);
		*changed = next;
		text = slice_of(next.at, next.len);
		in->count++;
	}
	return in->count > 0;
}

static bool change(const struct request *r, struct change *in, struct failure *failure)
{
	const char *path = r->words[0];
	struct text made = {0};

	if (r->delete)
		return text_file_change(path, delete_user, in, failure);
	if (r->update)
		return text_file_change(path, hash_plain, in, failure);
	if (!r->create)
		return text_file_change(path, set_user, in, failure);
	set_user(in, SLICE_NONE, &made);
	const bool done = text_file_create(path, slice_of(made.at, made.len), failure);

	text_file_free(&made);
	return done;
}

static bool run(const struct request *r, struct failure *failure)
{
	struct change in = {.request = r};
	struct text password = {0};
	bool good = r->delete || r->update || get_password(r, &password, failure);

	in.password = slice_of(password.at, password.len);
	good = good && password_arena_init(&in.arena, r->cost.memory_kib, failure) &&
	       change(r, &in, failure);
	if (good && r->delete &&!in.found)
		good = failure_set(failure, "%.300s has no such user.", r->words[0]);
	if (good && r->update)
		printf("%u passwords hashed\n", in.count);
	password_arena_finish(&in.arena);
	text_file_free(&password);
	return good;
}

int command_passwd(int argc, char **argv)
{
	struct request request;
	struct failure failure;

	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused("passwd", &failure);
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (run(&request, &failure))
		return 0;
	fprintf(stderr, "Error: %s\n", failure.text);
	return 1;
}
