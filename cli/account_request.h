/*
 * account_request.h - `metrino account`: its arguments, and what is asked of the broker.
 *
 * Passwords, addresses and codes are read from standard input (secret.h), never from the command
 * line.
 *
 * Ownership: account_request_read() gives, account_request_finish() takes, with what is secret
 * wiped.
 * Failure: a sentence for the person who asked.
 */
#ifndef CLI_ACCOUNT_REQUEST_H
#define CLI_ACCOUNT_REQUEST_H

#include "auth/text_file.h"
#include <jansson.h>
#include <stdio.h>

struct account_request;

struct account_action {
	const char *group; /* "key", or NULL */
	const char *name;
	const char *command;	/* of the control socket */
	const char *words[4];	/* members that are arguments, in their order; NULL ends them */
	const char *secrets[4]; /* members that come from standard input, likewise */
	unsigned options;	/* enum account_option, or'd */
	/* Prints one line of the answer; NULL: there is nothing to be said. */
	void (*print)(const struct account_request *request, const json_t *line);
};

enum account_option {
	ACCOUNT_OPTION_RIGHTS = 1,  /* --read, --write, --readwrite, --deny FILTER */
	ACCOUNT_OPTION_KEY = 2,	    /* --publish-only, --subscribe-only, --expires */
	ACCOUNT_OPTION_CREATE = 4,  /* --no-address, --no-password */
	ACCOUNT_OPTION_RECOVER = 8, /* --code */
};

struct account_request {
	const struct account_action *action;
	const char *words[3];
	size_t word_count;
	json_t *rights;	  /* NULL: none */
	long long ends_s; /* seconds since 1970; 0: never */
	bool no_address, no_password, code;
	const char *data, *socket;
	bool json, help;
	struct text secrets[3];
};

bool account_request_read(struct account_request *request, int argc, char **argv,
			  struct failure *failure);

/* What the action needs of standard input. */
bool account_request_ask(struct account_request *request, struct failure *failure);

/* The line for the control socket; NULL: something is not UTF-8. */
json_t *account_request_json(const struct account_request *request);

void account_request_finish(struct account_request *request);

/* account.c: ended by one without a name. */
extern const struct account_action account_actions[];

/* account_mail.c: hands a mail with the code to the mailer, or does what takes as long. */
bool account_mail_send(const char *mailer, struct slice address, const char *code,
		       struct failure *failure);

#endif
