#include "cli/jsonout.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* An object's brackets stand on lines of their own when pretty, even an empty one's. */
void jsonout_open(struct jsonout_writer *w)
{
	buffer_add_text(w->out, w->pretty ? "{\n" : "{");
	w->depth++;
	w->begun = false;
}

void jsonout_close(struct jsonout_writer *w)
{
	w->depth--;
	if (w->pretty) {
		if (w->begun)
			buffer_add_byte(w->out, '\n', 1);
		buffer_add_byte(w->out, '\t', w->depth);
	}
	buffer_add_byte(w->out, '}', 1);
	w->begun = true;
}

void jsonout_name(struct jsonout_writer *w, struct slice name)
{
	if (w->begun)
		buffer_add_text(w->out, w->pretty ? ",\n" : ",");
	if (w->pretty)
		buffer_add_byte(w->out, '\t', w->depth);
	jsonout_string(w, name);
	buffer_add_text(w->out, w->pretty ? ":\t" : ":");
	w->begun = true;
}

void jsonout_string(struct jsonout_writer *w, struct slice text)
{
	static const char short_form[32] = {
	    ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

	buffer_add_byte(w->out, '"', 1);
	for (size_t i = 0; i < text.len; i++) {
		const uint8_t c = text.at[i];

		if (c == '"' || c == '\\')
			buffer_add_format(w->out, "\\%c", c);
		else if (c >= 32)
			buffer_add_byte(w->out, (char)c, 1);
		else if (short_form[c] != '\0')
			buffer_add_format(w->out, "\\%c", short_form[c]);
		else
			buffer_add_format(w->out, "\\u%04x", c);
	}
	buffer_add_byte(w->out, '"', 1);
}

void jsonout_integer(struct jsonout_writer *w, long long value)
{
	buffer_add_format(w->out, "%lld", value);
}

void jsonout_null_value(struct jsonout_writer *w)
{
	buffer_add_text(w->out, "null");
}

void jsonout_integers(struct jsonout_writer *w, const uint32_t *values, size_t count)
{
	buffer_add_byte(w->out, '[', 1);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buffer_add_text(w->out, w->pretty ? ", " : ",");
		jsonout_integer(w, values[i]);
	}
	buffer_add_byte(w->out, ']', 1);
}

/* 15 digits where they say the number, 17 where they do not: 0.1 and not 0.10000000000000001. */
static void write_real(struct jsonout_writer *w, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%1.15g", value);
	if (fabs(strtod(text, NULL) - value) > fabs(value) * DBL_EPSILON)
		snprintf(text, sizeof(text), "%1.17g", value);
	buffer_add_text(w->out, text);
}

static void write_value(struct jsonout_writer *w, json_t *value);

static void write_object(struct jsonout_writer *w, json_t *object)
{
	const char *name;
	size_t name_len;
	json_t *value;

	jsonout_open(w);
	json_object_keylen_foreach(object, name, name_len, value)
	{
		jsonout_name(w, slice_of(name, name_len));
		write_value(w, value);
	}
	jsonout_close(w);
}

static void write_array(struct jsonout_writer *w, json_t *array)
{
	size_t i;
	json_t *value;

	buffer_add_byte(w->out, '[', 1);
	w->depth++;
	json_array_foreach (array, i, value) {
		if (i > 0)
			buffer_add_text(w->out, w->pretty ? ", " : ",");
		write_value(w, value);
	}
	w->depth--;
	w->begun = true;
	buffer_add_byte(w->out, ']', 1);
}

static void write_value(struct jsonout_writer *w, json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		write_object(w, value);
		break;
	case JSON_ARRAY:
		write_array(w, value);
		break;
	case JSON_STRING:
		jsonout_string(w, slice_of(json_string_value(value), json_string_length(value)));
		break;
	case JSON_INTEGER:
		jsonout_integer(w, json_integer_value(value));
		break;
	case JSON_REAL:
		write_real(w, json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buffer_add_text(w->out, json_is_true(value) ? "true" : "false");
		break;
	case JSON_NULL:
		jsonout_null_value(w);
		break;
	}
}

bool jsonout_text(struct jsonout_writer *w, struct slice text)
{
	const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
	json_t *value = json_loadb((const char *)text.at, text.len, flags, NULL);

	/* Integers beyond 64 bits are no reason to refuse a payload. */
	if (value == NULL)
		value = json_loadb((const char *)text.at, text.len, flags | JSON_DECODE_INT_AS_REAL,
				   NULL);
	if (value == NULL)
		return false;
	write_value(w, value);
	json_decref(value);
	return true;
}
