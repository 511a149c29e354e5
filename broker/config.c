/*
 * config.c - a configuration's life: made from files or from nothing, freed.
 */
#include "broker/config_internal.h"

#include <stdarg.h>
#include <stdlib.h>

/* More are not listed: such a file is something else. */
#define PROBLEMS_MAX 1000

struct config_memory {
	struct config_memory *next;
	char text[];
};

/* A configuration is a few kilobytes: without them the process could do nothing at all. */
void *config_allocate(size_t size)
{
	void *memory = calloc(1, size);
	must(memory != NULL);
	return memory;
}

char *config_keep(struct config *config, const char *text)
{
	const size_t size = strlen(text) + 1;
	struct config_memory *memory = config_allocate(sizeof(*memory) + size);
	memcpy(memory->text, text, size);
	memory->next = config->memory;
	config->memory = memory;
	return memory->text;
}

static void add_arguments(struct config_text *text, const char *format, va_list arguments)
{
	va_list again;
	va_copy(again, arguments);
	const int len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	must(len >= 0);
	const size_t needed = text->len + (size_t)len + 1;
	if (needed > text->size) {
		text->size = needed * 2;
		text->at = realloc(text->at, text->size);
		must(text->at != NULL);
	}
	vsnprintf(text->at + text->len, text->size - text->len, format, arguments);
	text->len += (size_t)len;
}

void config_text_add(struct config_text *text, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add_arguments(text, format, arguments);
	va_end(arguments);
}

bool config_problem(struct config_reader *reader, const char *key, const char *format, ...)
{
	if (++reader->problem_count > PROBLEMS_MAX)
		return false;
	if (reader->at.line > 0)
		config_text_add(&reader->problems, "%s:%u: ", reader->at.file, reader->at.line);
	else
		config_text_add(&reader->problems, "%s: ", reader->at.file);
	if (key)
		config_text_add(&reader->problems, "%.64s: ", key);
	va_list arguments;
	va_start(arguments, format);
	add_arguments(&reader->problems, format, arguments);
	va_end(arguments);
	config_text_add(&reader->problems, "\n");
	if (reader->problem_count == PROBLEMS_MAX)
		config_text_add(&reader->problems, "%s: and more\n", reader->at.file);
	return false;
}

void config_notice(struct config_reader *reader, struct config_place at, const char *format, ...)
{
	struct config *config = reader->config;
	struct config_text text = {NULL, 0, 0};
	if (at.file && at.line > 0)
		config_text_add(&text, "%s:%u: ", at.file, at.line);
	else if (at.file)
		config_text_add(&text, "%s: ", at.file);
	va_list arguments;
	va_start(arguments, format);
	add_arguments(&text, format, arguments);
	va_end(arguments);
	const size_t size = (config->notice_count + 1) * sizeof(*config->notices);
	config->notices = realloc(config->notices, size);
	must(config->notices != NULL);
	config->notices[config->notice_count++] = text.at;
}

struct config_draft *config_add_draft(struct config_reader *reader)
{
	const size_t count = reader->draft_count + 1;
	if (count > CONFIG_LISTENERS_MAX + 2) {
		struct config_draft *last = &reader->drafts[reader->draft_count - 1];
		memset(last->set, 0, sizeof(last->set));
		return last;
	}
	reader->drafts = realloc(reader->drafts, count * sizeof(*reader->drafts));
	must(reader->drafts != NULL);
	struct config_draft *draft = &reader->drafts[reader->draft_count++];
	memset(draft, 0, sizeof(*draft));
	draft->at = reader->at;
	config_apply_defaults(reader, &draft->value, false);
	return draft;
}

/* What config.def can not say because it is found at start, or because it is fixed. */
static void set_computed_defaults(struct config *config)
{
	config->workers = config_processor_count();
	config->auth_threads = (config->workers + 1) / 2;
	config->core.memory_limit = config_memory_limit();
	/* Client id, user name and password of full length, and some room for a will. */
	config->core.connect_bytes_max = 262144;
	config->core.max_subscriptions = 1000000;
}

static void reader_init(struct config_reader *reader, const char *file)
{
	memset(reader, 0, sizeof(*reader));
	reader->config = config_allocate(sizeof(*reader->config));
	reader->config->file = file ? config_keep(reader->config, file) : NULL;
	reader->client_expiration_s = UINT32_MAX;
	config_apply_defaults(reader, reader->config, true);
	config_apply_defaults(reader, &reader->shared, false);
	config_add_draft(reader);
	set_computed_defaults(reader->config);
}

static void reader_finish(struct config_reader *reader)
{
	free(reader->drafts);
	free(reader->problems.at);
}

struct config *config_create_default(const struct config_ports *ports, struct failure *failure)
{
	struct config_reader reader;
	reader_init(&reader, NULL);
	struct config *config = reader.config;
	config->embedded_default = true;
	reader.shared.settings.allow_anonymous = true;
	const char *opened = config_open_loopback(&reader, ports);
	config_settle_core(config);
	config->persistence_location = config_state_directory(config);
	config_notice(&reader, (struct config_place){NULL, 0},
		      "no configuration file: %s on loopback only, anonymous clients, data in "
		      "%s; to serve other devices give a file with -c",
		      opened,
		      config->persistence_location ? config->persistence_location : "no place");
	reader_finish(&reader);
	if (!config->persistence_location) {
		config_destroy(config);
		failure_set(failure, "no place for data is known; set HOME, or name one with "
				     "persistence_location in a configuration file");
		return NULL;
	}
	return config;
}

struct config *config_read(const char *file, const struct config_ports *ports, char **problems)
{
	struct config_reader reader;
	reader_init(&reader, file);
	struct config *config = reader.config;
	if (config_read_file(&reader, file) || reader.at.line > 0)
		config_finish(&reader, ports);
	*problems = NULL;
	if (reader.problem_count > 0) {
		*problems = reader.problems.at;
		reader.problems.at = NULL;
		config_destroy(config);
		config = NULL;
	}
	reader_finish(&reader);
	return config;
}

void config_destroy(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->notice_count; i++)
		free(config->notices[i]);
	free(config->notices);
	free(config->listeners);
	while (config->memory) {
		struct config_memory *next = config->memory->next;
		free(config->memory);
		config->memory = next;
	}
	free(config);
}
