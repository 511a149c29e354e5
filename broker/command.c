/* command.c - see command.h. */
#include "broker/command.h"
#include "broker/census.h"
#include "broker/net/transport.h"
#include "broker/tally_round.h"
#include <stdlib.h>

static struct slice copy(uint8_t *to, struct slice from)
{
	if (from.len > 0)
		memcpy(to, from.at, from.len);
	return slice_of(to, from.len);
}

struct command *command_create(enum command_type type, struct slice text, struct slice payload)
{
	struct command *command = malloc(sizeof(*command) + text.len + payload.len);

	must(command);
	uint8_t *behind = (uint8_t *)(command + 1);

	*command = (struct command){.type = type};
	command->text = copy(behind, text);
	command->payload = copy(behind + text.len, payload);
	return command;
}

void command_destroy(struct command *command)
{
	if (command->census)
		census_done(command->census);
	if (command->round)
		tally_round_release(command->round);
	transport_release(command->transport);
	free(command);
}
