/*
 * secret_json.c - see secret_json.h.  Requests on the control socket hold passwords, addresses and
 * codes, answers the secrets of keys; jansson copies them while it reads, more than once.
 */
#include "broker/secret_json.h"
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void free_wiped(void *at)
{
	if (at)
		explicit_bzero(at, malloc_usable_size(at));
	free(at);
}

void secret_json_begin(void)
{
	json_set_alloc_funcs(malloc, free_wiped);
}
