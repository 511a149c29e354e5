/*
 * config_parse.c - the table of keys, and files turned into lines, lines into
 * keys and values.  Grammar: mosquitto.conf(5): `key value`, # in column 1
 * begins a comment, the value is the rest of the line.
 */
#include "broker/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "proto/utf8.h"

#define LINE_MAX_BYTES 8192
#define FILE_MAX_BYTES (1024 * 1024)
#define NAME_MAX_BYTES 64

#define IN(house, field)                                                                           \
	.offset = offsetof(struct house, field), .size = sizeof(((struct house *)NULL)->field)
#define NOWHERE	       .size = 0
#define SECTION(title) {.section = (title)},
#define KEY(title, scope_, type_, in, fallback_, min_, max_, meaning_, said_)                      \
	{.name = (title),                                                                          \
	 .scope = (scope_),                                                                        \
	 .status = STATUS_WORKS,                                                                   \
	 .type = (type_),                                                                          \
	 in,                                                                                       \
	 .fallback = (fallback_),                                                                  \
	 .min = (min_),                                                                            \
	 .max = (max_),                                                                            \
	 .meaning = (meaning_),                                                                    \
	 .said = (said_)},
#define GLOBAL(name, type, field, ...) KEY(name, SCOPE_GLOBAL, type, IN(config, field), __VA_ARGS__)
#define SHARED(name, type, field, ...)                                                             \
	KEY(name, SCOPE_SHARED, type, IN(config_listener, field), __VA_ARGS__)
#define EACH(name, type, field, ...)                                                               \
	KEY(name, SCOPE_LISTENER, type, IN(config_listener, field), __VA_ARGS__)
#define HANDLED(name, scope, type, fallback, ...)                                                  \
	KEY(name, scope, type, NOWHERE, fallback, 0, 0, __VA_ARGS__)
#define OFF(title, status_, harmless_, sentence)                                                   \
	{.name = (title), .status = (status_), .harmless = (harmless_), .meaning = (sentence)},
#define NO_EFFECT(name, sentence)	  OFF(name, STATUS_NO_EFFECT, NULL, sentence)
#define REFUSED(name, harmless, sentence) OFF(name, STATUS_REFUSED, harmless, sentence)
#define NOT_YET(name, harmless, what)	  OFF(name, STATUS_NOT_YET, harmless, what)

const struct config_key config_keys[] = {
#include "broker/config.def"
};

const size_t config_line_count = sizeof(config_keys) / sizeof(config_keys[0]);

_Static_assert(sizeof(config_keys) / sizeof(config_keys[0]) <= CONFIG_LINES_MAX,
	       "CONFIG_LINES_MAX holds every line of config.def");

static bool name_matches(const char *pattern, const char *name)
{
	const size_t len = strlen(pattern);
	if (pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

const struct config_key *config_find_key(const char *name)
{
	for (size_t i = 0; i < config_line_count; i++) {
		if (config_keys[i].name && name_matches(config_keys[i].name, name))
			return &config_keys[i];
	}
	return NULL;
}

/* Levenshtein's distance of a name to a key, at most NAME_MAX_BYTES long each; case is no matter.
 */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_BYTES + 1];
	const size_t width = strlen(b);
	for (size_t j = 0; j <= width; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= width; j++) {
			const size_t replaced =
			    diagonal + (tolower((unsigned char)a[i - 1]) != b[j - 1]);
			diagonal = row[j];
			const size_t shorter = row[j] < row[j - 1] ? row[j] : row[j - 1];
			row[j] = replaced < shorter + 1 ? replaced : shorter + 1;
		}
	}
	return row[width];
}

const char *config_nearest_key(const char *name)
{
	const size_t len = strlen(name);
	/* Further away than a third of its letters it is another word. */
	size_t nearest = len / 3 < 2 ? 3 : len / 3 + 1;
	const char *found = NULL;
	if (len > NAME_MAX_BYTES)
		return NULL;
	for (size_t i = 0; i < config_line_count; i++) {
		if (!config_keys[i].name || strchr(config_keys[i].name, '*'))
			continue;
		const size_t away = distance(name, config_keys[i].name);
		if (away < nearest) {
			nearest = away;
			found = config_keys[i].name;
		}
	}
	return found;
}

void config_apply_defaults(struct config_reader *reader, void *house, bool global)
{
	for (size_t i = 0; i < config_line_count; i++) {
		const struct config_key *key = &config_keys[i];
		if (!key->fallback || key->fallback[0] == '<' ||
		    (key->scope == SCOPE_GLOBAL) != global)
			continue;
		char value[128];
		snprintf(value, sizeof(value), "%s", key->fallback);
		void *field = key->size ? (uint8_t *)house + key->offset : NULL;
		must(config_type_of(key)->set(reader, key, value, field));
	}
}

/*
 * Below a listener line a key of all listeners looks as if it were that one's: with another value
 * than before it would open, or close, listeners that nobody thought of.
 */
static bool set_for_all(struct config_reader *reader, const struct config_key *key, char *value,
			const struct config_place *before)
{
	bool *field = (bool *)((uint8_t *)&reader->shared + key->offset);
	const bool was = *field;
	char own[NAME_MAX_BYTES];
	if (!config_type_of(key)->set(reader, key, value, field))
		return false;
	if (!before->file || reader->draft_count == 1 || *field == was)
		return true;
	snprintf(own, sizeof(own), "listener_%s", key->name);
	const bool has_own = config_find_key(own) != NULL;
	return config_problem(reader, key->name,
			      "holds for all listeners, and was %s at %s:%u; right would be one of "
			      "the two%s%s%s",
			      was ? "true" : "false", before->file, before->line,
			      has_own ? ", or " : "", has_own ? own : "",
			      has_own ? " below the listener that it is for" : "");
}

static bool set_value(struct config_reader *reader, const struct config_key *key, char *value)
{
	struct config_draft *draft = &reader->drafts[reader->draft_count - 1];
	struct config_place *set = &reader->set[key - config_keys];
	void *house = reader->config;
	if (key->scope == SCOPE_SHARED)
		house = &reader->shared;
	if (key->scope == SCOPE_LISTENER) {
		house = &draft->value;
		set = &draft->set[key - config_keys];
	}
	const struct config_type *type = config_type_of(key);
	if (type->once && set->file)
		return config_problem(reader, key->name,
				      "was already written at %s:%u; right would be one of the two",
				      set->file, set->line);
	const bool for_all = key->scope == SCOPE_SHARED && key->type == TYPE_BOOL;
	if (for_all
		? !set_for_all(reader, key, value, set)
		: !type->set(reader, key, value, key->size ? (uint8_t *)house + key->offset : NULL))
		return false;
	if (key->said && !set->file)
		config_notice(reader, reader->at, "%s", key->said);
	*set = reader->at;
	return true;
}

static bool set_key(struct config_reader *reader, const char *name, char *value)
{
	const struct config_key *key = config_find_key(name);
	if (!key) {
		const char *near = config_nearest_key(name);
		return config_problem(reader, name, "is not a key of metrino.conf%s%s%s",
				      near ? "; right would perhaps be '" : "; see metrino.conf(5)",
				      near ? near : "", near ? "'" : "");
	}
	if (key->status == STATUS_WORKS && !*value) {
		char form[256];
		return config_problem(reader, name, "has no value; right would be %s",
				      config_form(key, form, sizeof(form)));
	}
	if (key->status == STATUS_WORKS)
		return set_value(reader, key, value);
	if (key->harmless && strcmp(value, key->harmless) == 0)
		return true;
	if (key->status == STATUS_REFUSED)
		return config_problem(reader, name, "is refused: %s", key->meaning);
	if (key->status == STATUS_NOT_YET)
		return config_problem(reader, name,
				      "%s: not in this version; right would be to leave the line "
				      "out, if the broker is safe without it",
				      key->meaning);
	config_notice(reader, reader->at, "%s has no effect: %s", name, key->meaning);
	return true;
}

static bool has_control_character(const char *line)
{
	for (; *line; line++) {
		if (((unsigned char)*line < 0x20 && *line != '\t') || *line == 0x7f)
			return true;
	}
	return false;
}

/* `len` is what was read; a shorter text has a NUL in it. */
static bool read_line(struct config_reader *reader, char *line, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) && line[len - 1])
		line[--len] = '\0';
	if (strlen(line) != len)
		return config_problem(reader, NULL,
				      "a NUL byte; right would be a file of text lines");
	if (len == 0 || line[0] == '#')
		return true;
	if (!utf8_string_valid(slice_text(line)))
		return config_problem(reader, NULL,
				      "not UTF-8; right would be to save it as UTF-8");
	if (has_control_character(line))
		return config_problem(reader, NULL,
				      "a control character; right would be a file of text lines");
	char *name = line + strspn(line, " \t");
	char *value = name + strcspn(name, " \t");
	if (*value)
		*value++ = '\0';
	return set_key(reader, name, value + strspn(value, " \t"));
}

/*
 * Reads up to the line's end; what does not fit is skipped, and so is everything
 * beyond FILE_MAX_BYTES.  Returns how many bytes were read; 0: nothing is left.
 */
static size_t next_line(FILE *file, char *line, size_t *len)
{
	size_t taken = 0;
	*len = 0;
	for (int byte = getc(file); byte != EOF; byte = getc(file)) {
		taken++;
		if (byte == '\n' || taken > FILE_MAX_BYTES)
			break;
		if (*len < LINE_MAX_BYTES)
			line[(*len)++] = (char)byte;
	}
	line[*len] = '\0';
	return taken;
}

static bool read_lines(struct config_reader *reader, FILE *file)
{
	char line[LINE_MAX_BYTES + 1] = "";
	size_t len = 0, total = 0, taken = 0;
	bool right = true;
	while ((taken = next_line(file, line, &len)) > 0) {
		reader->at.line++;
		total += taken;
		if (total > FILE_MAX_BYTES)
			return config_problem(reader, NULL,
					      "the file is larger than 1 MiB; right would be a "
					      "configuration file");
		if (taken > LINE_MAX_BYTES) {
			right = config_problem(reader, NULL,
					       "the line is longer than %d bytes; right would be a "
					       "shorter one",
					       LINE_MAX_BYTES - 1);
			continue;
		}
		/* The mark that some editors put before UTF-8. */
		const bool mark = reader->at.line == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0;
		right = read_line(reader, line + (mark ? 3 : 0), len - (mark ? 3 : 0)) && right;
	}
	if (ferror(file))
		return config_problem(reader, NULL, "cannot be read: %s; right would be a file",
				      strerror(errno));
	return right;
}

bool config_read_file(struct config_reader *reader, const char *path)
{
	reader->at = (struct config_place){config_keep(reader->config, path), 0};
	struct stat status;
	/* Nobody named it: a FIFO among them would hold a HUP for ever. */
	if (reader->included && stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return config_problem(reader, NULL,
				      "is no file; right would be only files whose names end with "
				      ".conf in that directory");
	FILE *file = fopen(path, "re");
	if (!file || fstat(fileno(file), &status) != 0) {
		const bool right =
		    config_problem(reader, NULL,
				   "cannot be opened: %s; right would be a file that "
				   "this user may read",
				   strerror(errno));
		if (file)
			fclose(file);
		return right;
	}
	bool right = true;
	if (!reader->included) {
		reader->main_device = status.st_dev;
		reader->main_inode = status.st_ino;
		right = read_lines(reader, file);
	} else if (status.st_dev == reader->main_device && status.st_ino == reader->main_inode) {
		right = config_problem(reader, NULL,
				       "the main file includes itself; right would be another "
				       "directory for include_dir");
	} else {
		right = read_lines(reader, file);
	}
	fclose(file);
	return right;
}
