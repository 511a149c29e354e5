/*
 * options_internal.h - a flag as a line of a table, for the files that hold such
 * tables: options.c has those of pub and sub, bench_options.c those of bench alone.
 */
#ifndef CLI_OPTIONS_INTERNAL_H
#define CLI_OPTIONS_INTERNAL_H

#include "cli/options.h"

struct flag;
typedef bool take_option(struct options *o, const struct flag *flag, const char *value,
			 struct failure *failure);

/* One line a flag: both names, who has it, what its value is called, where it goes. */
struct flag {
	const char *letter; /* "-p", or NULL */
	const char *name;   /* "--port", or NULL */
	unsigned programs;
	const char *value; /* what its value is called; NULL: it has none */
	take_option *take;
	size_t field; /* for the general ones of options_take_* */
	uint64_t minimum, maximum;
	const char *help;
};

#define OPTION_AT(field) offsetof(struct options, field)

extern const struct flag bench_flags[];
extern const size_t bench_flag_count;

/* Take the value into the field; a number lies within minimum and maximum. */
take_option options_take_true, options_take_text, options_take_u8, options_take_u16,
    options_take_u32;

/* options_url.c */
take_option options_take_url;

#endif
