/* worker_command.c - what a worker is told to do: command.h. */
#include "broker/census.h"
#include "broker/tally_round.h"
#include "broker/worker_internal.h"

#include <stdlib.h>

static void handle(struct worker *worker, const struct event *event)
{
	shard_handle(worker->shard, worker->loop.now, event);
}

static void do_publish(struct worker *worker, const struct command *command)
{
	handle(worker, &(struct event){.type = EVENT_PUBLISH,
				       .text = command->text,
				       .bytes = command->payload,
				       .retain = true});
}

static void do_settings(struct worker *worker, const struct command *command)
{
	handle(worker, &(struct event){.type = EVENT_SETTINGS, .settings = command->settings});
}

static void do_rights(struct worker *worker, const struct command *command)
{
	bool expels = command->type == COMMAND_EXPEL;

	handle(worker, &(struct event){.type = expels ? EVENT_EXPEL : EVENT_RIGHTS,
				       .owner = command->owner});
}

static void do_recheck(struct worker *worker, const struct command *command)
{
	(void)command;
	loop_recheck(&worker->loop);
}

static void count_in_any(void *self, const struct client_info *client)
{
	census_add(self, client);
}

/* Those of one owner are told with where the store has their subscriptions. */
struct counting {
	const struct shard *shard;
	const struct command *command;
};

static void count_in_with_rows(void *self, const struct client_info *client)
{
	const struct counting *counting = self;
	struct client_info whole = *client;
	uint64_t *rows = calloc(client->subscriptions + (size_t)1, sizeof(*rows));

	must(rows);
	whole.row_count = shard_subscription_rows(counting->shard, client, rows);
	whole.rows = rows;
	census_add(counting->command->census, &whole);
	free(rows);
}

static void do_census(struct worker *worker, const struct command *command)
{
	struct counting counting = {worker->shard, command};

	if (command->owner == 0)
		shard_each_client(worker->shard, command->census, count_in_any);
	else
		shard_each_client_of(worker->shard, command->owner, &counting, count_in_with_rows);
}

static void do_find(struct worker *worker, const struct command *command)
{
	shard_find_client(worker->shard, command->text, command->census, count_in_any);
}

static void do_routes(struct worker *worker, const struct command *command)
{
	struct command *mine = (void *)(uintptr_t)command;

	worker_answer_asked(worker); /* of one who asked before, and waits no more */
	worker->asked = mine->census;
	mine->census = NULL;
	handle(worker, &(struct event){.type = EVENT_ROUTES});
}

static void do_tally(struct worker *worker, const struct command *command)
{
	struct tally day = shard_take_tally(worker->shard);

	tally_round_add(command->round, &day);
}

static void count_in_if_meant(void *self, const struct client_info *client)
{
	const struct command *command = self;

	if (client->connected && slice_equal(client->client_id, command->text))
		census_add(command->census, client);
}

static void do_kick(struct worker *worker, const struct command *command)
{
	shard_each_client(worker->shard, (void *)(uintptr_t)command, count_in_if_meant);
	handle(worker, &(struct event){.type = EVENT_KICK, .text = command->text});
}

static void do_stop(struct worker *worker, const struct command *command)
{
	(void)command;
	loop_close_doors(&worker->loop);
	worker->stopping = true;
	worker->stop_until_ms = worker->loop.now.ms + WORKER_STOP_MS;
	handle(worker, &(struct event){.type = EVENT_STOP});
}

typedef void command_doer(struct worker *worker, const struct command *command);

static command_doer *const doers[COMMAND_TYPES] = {
    [COMMAND_PUBLISH] = do_publish, [COMMAND_SETTINGS] = do_settings,
    [COMMAND_RIGHTS] = do_rights,   [COMMAND_CENSUS] = do_census,
    [COMMAND_KICK] = do_kick,	    [COMMAND_RECHECK] = do_recheck,
    [COMMAND_STOP] = do_stop,	    [COMMAND_EXPEL] = do_rights,
    [COMMAND_TALLY] = do_tally,	    [COMMAND_ROUTES] = do_routes,
    [COMMAND_FIND] = do_find,
};

void worker_obey(struct worker *worker, const struct command *command)
{
	doers[command->type](worker, command);
}
