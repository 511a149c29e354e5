/* residency.c - see residency.h. */
#include "broker/residency.h"

static bool is_capital(char letter)
{
	return letter >= 'A' && letter <= 'Z';
}

bool residency_region_valid(const char *region)
{
	return is_capital(region[0]) && is_capital(region[1]) && region[2] == '\0';
}

const char *residency_basis(const struct residency *residency, const char *account_region,
			    const char *to_region)
{
	if (strcmp(account_region, to_region) == 0)
		return "";
	for (size_t i = 0; i < residency->transfer_count; i++)
		if (strcmp(residency->transfers[i].region, to_region) == 0)
			return residency->transfers[i].basis;
	return NULL;
}
