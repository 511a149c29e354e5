/* purse.h - a purse for tests, and publications out of text. */
#ifndef TESTS_UNIT_PURSE_H
#define TESTS_UNIT_PURSE_H

#include <check.h>

#include "broker/core/message.h"

static struct budget purse_budget;
static struct purse purse;

static inline void purse_open(uint64_t limit)
{
	budget_init(&purse_budget, limit);
	purse_init(&purse, &purse_budget);
}

/* Nothing may be left charged. */
static inline void purse_check_empty(void)
{
	ck_assert_int_eq(purse.charged, 0);
	purse_finish(&purse);
	ck_assert_int_eq(purse_budget.used, 0);
	ck_assert(budget_finish(&purse_budget));
}

static inline struct message *message_of(const char *topic, const char *payload)
{
	struct publication publication = {
	    .expires_ms = EXPIRES_NEVER,
	    .topic = slice_text(topic),
	    .payload = slice_text(payload),
	};

	return message_create(&purse, &publication);
}

#endif
