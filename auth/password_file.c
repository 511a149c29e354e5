/* password_file.c - see password_file.h. */
#include "auth/password_file.h"
#include <stdio.h>
#include <stdlib.h>

/* Control characters would break lines and terminals. */
bool password_user_valid(struct slice user)
{
	for (size_t i = 0; i < user.len; i++)
		if (user.at[i] == ':' || user.at[i] < 32 || user.at[i] == 127)
			return false;
	return user.len > 0 && user.len <= UINT16_MAX;
}

/* Takes the next line, without its end, off *text; *whole tells if it had one. */
static bool next_line(struct slice *text, struct slice *line, bool *whole)
{
	if (text->len == 0)
		return false;
	const uint8_t *end = memchr(text->at, '\n', text->len);
	*whole = end != NULL;
	*line = slice_of(text->at, end ? (size_t)(end - text->at) : text->len);
	*text = slice_after(*text, line->len + (end != NULL));
	if (line->len > 0 && line->at[line->len - 1] == '\r')
		line->len--;
	return true;
}

static bool says_nothing(struct slice line)
{
	return line.len == 0 || line.at[0] == '#';
}

/* ---- parsing ---- */

struct parsing {
	struct password_file *file;
	const char *path;
	unsigned line;
	size_t room;
	struct password_cost cost;
	struct problems *problems;
};

static void wrong(const struct parsing *in, const char *what)
{
	problems_add(in->problems, "%.200s:%u: %s", in->path, in->line, what);
}

static void check_memory(const struct parsing *in, const struct password_hash *hash)
{
	if (hash->cost.memory_kib > in->cost.memory_kib)
		problems_add(in->problems,
			     "%.200s:%u: the password needs %u KiB to check, and argon2_memory is "
			     "%u; right would be to raise that",
			     in->path, in->line, hash->cost.memory_kib, in->cost.memory_kib);
}

static struct password_entry *add_entry(struct parsing *in)
{
	struct password_file *file = in->file;
	if (file->count == in->room) {
		in->room = in->room ? in->room * 2 : 16;
		file->entries = realloc(file->entries, in->room * sizeof *file->entries);
		must(file->entries);
	}
	return &file->entries[file->count++];
}

/* The entry of a line that is wrong takes part in what is looked at of all: users that are there
 * twice. */
static void parse_line(struct parsing *in, struct slice line)
{
	const uint8_t *colon = memchr(line.at, ':', line.len);
	struct slice user = slice_of(line.at, colon ? (size_t)(colon - line.at) : 0);
	const char *why = NULL;
	if (colon == NULL) {
		wrong(in, "has no colon; right would be USER:PASSWORD, the password hashed");
		return;
	}
	if (!password_user_valid(user)) {
		wrong(in, "has no user name before the colon, or one with control characters or of "
			  "more than 65535 bytes");
		return;
	}
	struct password_entry *entry = add_entry(in);
	*entry = (struct password_entry){.user = user, .line = in->line};
	if (!password_read(slice_after(line, user.len + 1), &entry->hash, &why)) {
		problems_add(in->problems, "%.200s:%u: the password %s", in->path, in->line, why);
		return;
	}
	password_work_include(&in->file->work, &entry->hash);
	check_memory(in, &entry->hash);
}

static int compare_names(struct slice a, struct slice b)
{
	size_t shorter = a.len < b.len ? a.len : b.len;
	int order = memcmp(a.at, b.at, shorter);
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
	const struct password_entry *first = a, *second = b;
	int order = compare_names(first->user, second->user);
	return order ? order : (first->line > second->line) - (first->line < second->line);
}

static void check_unique(const struct parsing *in)
{
	const struct password_file *file = in->file;
	for (size_t i = 1; i < file->count; i++)
		if (slice_equal(file->entries[i - 1].user, file->entries[i].user))
			problems_add(in->problems,
				     "%.200s:%u: the user stands in line %u already; right would "
				     "be one line for each user",
				     in->path, file->entries[i].line, file->entries[i - 1].line);
}

static bool parse(struct parsing *in, struct slice text)
{
	const size_t before = in->problems->count;
	struct slice line;
	bool whole = true;
	while (next_line(&text, &line, &whole)) {
		in->line++;
		if (!whole)
			wrong(in, "has no end of line: the file looks cut off; if it is whole, add "
				  "one");
		else if (!says_nothing(line))
			parse_line(in, line);
	}
	if (in->file->count == 0 && in->problems->count == before)
		problems_add(in->problems,
			     "%.200s: holds no user; `metrino passwd FILE USER` adds one",
			     in->path);
	if (in->file->count > 0)
		qsort(in->file->entries, in->file->count, sizeof *in->file->entries, by_name);
	check_unique(in);
	return in->problems->count == before;
}

struct password_file *password_file_parse(struct slice text, const char *path,
					  struct password_cost cost, struct problems *problems)
{
	struct password_file *file = calloc(1, sizeof *file);
	must(file);
	file->names = malloc(text.len + 1);
	must(file->names);
	if (text.len > 0)
		memcpy(file->names, text.at, text.len);
	file->work = password_work_of(cost);
	struct parsing in = {.file = file, .path = path, .cost = cost, .problems = problems};
	if (parse(&in, slice_of(file->names, text.len)))
		return file;
	password_file_destroy(file);
	return NULL;
}

struct password_file *password_file_load(const char *path, struct password_cost cost,
					 struct problems *problems)
{
	struct failure failure;
	struct text text;
	if (!text_file_read(path, &text, &failure)) {
		problems_add(problems, "%s", failure.text);
		return NULL;
	}
	struct password_file *file =
	    password_file_parse(slice_of(text.at, text.len), path, cost, problems);
	text_file_free(&text);
	return file;
}

void password_file_destroy(struct password_file *file)
{
	if (!file)
		return;
	for (size_t i = 0; i < file->count; i++)
		free(file->entries[i].in_file);
	free(file->entries);
	free(file->names);
	free(file);
}

static struct password_entry *find(const struct password_file *file, struct slice user)
{
	size_t low = 0, high = file->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_names(user, file->entries[middle].user);
		if (order == 0)
			return &file->entries[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct password_entry *password_file_find(const struct password_file *file, struct slice user)
{
	return user.len > 0 ? find(file, user) : NULL;
}

bool password_file_renew(struct password_file *file, struct slice user,
			 const struct password_hash *old, const struct password_hash *hash)
{
	struct password_entry *entry = find(file, user);
	if (entry == NULL || memcmp(&entry->hash, old, sizeof *old) != 0)
		return false;
	if (entry->in_file == NULL) {
		entry->in_file = malloc(sizeof *entry->in_file);
		must(entry->in_file);
		*entry->in_file = entry->hash;
	}
	entry->hash = *hash;
	return true;
}

void password_file_written(struct password_file *file, struct slice user,
			   const struct password_hash *hash)
{
	struct password_entry *entry = find(file, user);
	if (entry == NULL || memcmp(&entry->hash, hash, sizeof *hash) != 0)
		return;
	free(entry->in_file);
	entry->in_file = NULL;
}

/* ---- the text ---- */

/* The user's line with its end; of length 0, at the end of the text, when there is none. */
static struct slice find_line(struct slice text, struct slice user)
{
	struct slice rest = text, line;
	bool whole;
	for (const uint8_t *at = rest.at; next_line(&rest, &line, &whole); at = rest.at)
		if (!says_nothing(line) && line.len > user.len && line.at[user.len] == ':' &&
		    memcmp(line.at, user.at, user.len) == 0)
			return slice_of(at, (size_t)(rest.at - at));
	return slice_of(text.at + text.len, 0);
}

struct slice password_text_of(struct slice text, struct slice user)
{
	struct slice line = find_line(text, user), bare;
	bool whole;
	if (!next_line(&line, &bare, &whole))
		return SLICE_NONE;
	return slice_after(bare, user.len + 1);
}

static void add(struct text *text, struct slice more)
{
	if (more.len > 0)
		memcpy(text->at + text->len, more.at, more.len);
	text->len += more.len;
}

struct text password_text_with(struct slice text, struct slice user, const char *password)
{
	struct slice line = find_line(text, user);
	struct slice before = slice_of(text.at, (size_t)(line.at - text.at));
	struct text changed = {.at = malloc(text.len + user.len + PASSWORD_TEXT_MAX + 4)};
	must(changed.at);
	add(&changed, before);
	if (password) {
		/* What is appended begins a line of its own. */
		if (before.len > 0 && before.at[before.len - 1] != '\n')
			add(&changed, SLICE_LITERAL("\n"));
		add(&changed, user);
		add(&changed, SLICE_LITERAL(":"));
		add(&changed, slice_text(password));
		add(&changed, SLICE_LITERAL("\n"));
	}
	add(&changed, slice_after(text, before.len + line.len));
	changed.at[changed.len] = '\0';
	return changed;
}
