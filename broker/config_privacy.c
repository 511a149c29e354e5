/*
 * config_privacy.c - types of values that say how long something is kept, and where it may
 * go.  What is kept may be kept shorter, never longer.
 */
#include "broker/config_internal.h"

#include <stdio.h>
#include <string.h>

bool config_set_lifetime(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field)
{
	uint64_t seconds = 0;
	if (!config_read_period(value, &seconds) || seconds < key->min)
		return config_wrong(reader, key, value);
	if (seconds > key->max)
		return config_problem(reader, key->name,
				      "'%.60s' is longer than it may be kept; right would be %s or "
				      "less",
				      value, key->fallback);
	*(uint32_t *)field = (uint32_t)seconds;
	return true;
}

/* REGION BASIS; cuts `value` in two. */
bool config_set_transfer(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field)
{
	struct residency *residency = &reader->config->residency;
	char *basis = value + strcspn(value, " \t");
	(void)field;
	if (*basis)
		*basis++ = '\0';
	basis += strspn(basis, " \t");
	if (!residency_region_valid(value))
		return config_wrong(reader, key, value);
	if (!*basis)
		return config_problem(reader, key->name,
				      "'%.60s' has no legal basis; right would be %s and, behind "
				      "it, why that is allowed",
				      value, value);
	for (size_t i = 0; i < residency->transfer_count; i++)
		if (strcmp(residency->transfers[i].region, value) == 0)
			return config_problem(reader, key->name,
					      "%s stands in two lines; right would be one", value);
	if (residency->transfer_count == RESIDENCY_TRANSFER_MAX)
		return config_problem(reader, key->name, "too many; right would be at most %u",
				      RESIDENCY_TRANSFER_MAX);
	residency->transfers[residency->transfer_count++] = (struct residency_transfer){
	    config_keep(reader->config, value), config_keep(reader->config, basis)};
	return true;
}
