/* delivery_log.c - see delivery_log.h. */
#include "broker/core/core.h"
#include "broker/core/rights.h"
#include "proto/wire.h"

void delivery_log_init(struct delivery_log *log, struct pseudonyms *pseudonyms)
{
	log->pseudonyms = pseudonyms;
	log->timer.kind = TIMER_ROUTES;
	slab_init(&log->names, sizeof(struct session_name));
}

void delivery_log_finish(struct delivery_log *log)
{
	memory_wipe_free(log->block, sizeof *log->block);
	slab_finish(&log->names);
}

/* ---- blocks ---- */

static struct route_block *begin_block(struct shard *shard)
{
	struct delivery_log *log = &shard->log;
	struct route_block *block = memory_get(sizeof *block);
	block->next = NULL;
	block->epoch = log->epoch;
	block->since_s = shard->now.wall_s;
	block->row_count = 0;
	block->name_count = 0;
	block->rows_len = 0;
	purse_force(&shard->purse, sizeof *block);
	log->block = block;
	log->serial += log->serial == UINT32_MAX ? 2 : 1;
	log->last_ms = shard->now.ms;
	log->last_head = ROUTE_ROW_RUN; /* no row's: the first one begins no run */
	log->last_source = 0;
	memset(log->slots, 0, sizeof log->slots);
	timer_arm(&shard->timers, &log->timer,
		  shard->now.ms + (log->epoch_s < DELIVERY_LOG_MS / 1000 ? log->epoch_s * 1000
									 : DELIVERY_LOG_MS));
	return block;
}

static uint8_t *put(uint8_t *at, uint32_t value)
{
	if (value < 128) {
		*at = (uint8_t)value;
		return at + 1;
	}
	struct writer w = writer_of(at, VARINT_LEN_MAX);
	write_varint(&w, value);
	return w.at;
}

static void end_run(struct delivery_log *log)
{
	struct route_block *block = log->block;
	uint8_t *at = block->rows + block->rows_len;
	if (log->run == 0)
		return;
	*at++ = ROUTE_ROW_RUN;
	at = put(at, log->run * 2 + (log->step ? ROUTE_RUN_NEXT : 0));
	block->rows_len = (uint16_t)(at - block->rows);
	log->run = 0;
}

void delivery_log_flush(struct shard *shard)
{
	struct delivery_log *log = &shard->log;
	if (log->block == NULL)
		return;
	end_run(log);
	timer_cancel(&shard->timers, &log->timer);
	purse_give(&shard->purse, sizeof *log->block);
	shard_effect(shard, EFFECT_ROUTES, 0)->block = log->block;
	log->block = NULL;
}

void delivery_log_clock(struct shard *shard)
{
	struct delivery_log *log = &shard->log;
	uint32_t epoch_s = shard->settings->route_epoch_s;
	uint64_t begun_s = (uint64_t)log->epoch * epoch_s;
	if (log->pseudonyms == NULL ||
	    (log->epoch_s == epoch_s && shard->now.wall_s - begun_s < epoch_s))
		return;
	delivery_log_flush(shard);
	log->publisher.session = 0;
	log->epoch_s = epoch_s;
	log->epoch = (uint32_t)(shard->now.wall_s / epoch_s);
}

/* One that takes another row: two names, and a time that is not too far from the last one. */
static struct route_block *block_with_room(struct shard *shard)
{
	const struct delivery_log *log = &shard->log;
	const struct route_block *block = log->block;
	if (block &&
	    (block->rows_len + ROUTE_RUN_LEN_MAX + ROUTE_ROW_LEN_MAX > ROUTE_ROWS_LEN ||
	     block->name_count + 2u > ROUTE_NAMES_MAX || shard->now.ms - log->last_ms > VARINT_MAX))
		delivery_log_flush(shard);
	return log->block ? log->block : begin_block(shard);
}

/* ---- names ---- */

static struct session_name *name_of(struct shard *shard, struct session *session)
{
	struct delivery_log *log = &shard->log;
	if (session->name == 0) {
		session->name = slab_add(&log->names);
		purse_force(&shard->purse, sizeof(struct session_name));
	}
	struct session_name *name = slab_at(&log->names, session->name);
	if (name->epoch != log->epoch) {
		*name = (struct session_name){.epoch = log->epoch,
					      .client = session_hash(shard, session)};
		name->recorded =
		    log->pseudonyms->of(log->pseudonyms, rights_owner(shard, session),
					session_client_id(session), log->epoch, &name->name);
	}
	return name;
}

void delivery_log_forget(struct shard *shard, struct session *session)
{
	if (session->name == 0)
		return;
	shard->log.publisher.session = 0;
	slab_remove(&shard->log.names, session->name);
	purse_give(&shard->purse, sizeof(struct session_name));
	session->name = 0;
}

struct publisher delivery_log_publisher(struct shard *shard, struct session *session)
{
	struct delivery_log *log = &shard->log;
	/* Whoever publishes does so several times in a row. */
	if (log->publisher.session == session->number)
		return log->publisher;
	struct publisher publisher = {.party = shard->party, .session = session->number};
	if (log->pseudonyms) {
		const struct session_name *name = name_of(shard, session);
		publisher.unrecorded = !name->recorded;
		publisher.name = name->name;
		publisher.client = name->client;
	} else {
		publisher.client = session_hash(shard, session);
	}
	return log->publisher = publisher;
}

static bool same(const struct route_name *a, const struct route_name *b)
{
	return memcmp(a->at, b->at, sizeof a->at) == 0;
}

/* Its place in the block.  Pseudonyms are as good as random: they need no other hash. */
static uint16_t place_of(struct delivery_log *log, const struct route_name *name)
{
	struct route_block *block = log->block;
	uint32_t at;
	memcpy(&at, name->at, sizeof at);
	for (;; at++) {
		uint16_t *slot = &log->slots[at % DELIVERY_LOG_SLOTS];
		if (*slot != 0 && same(&block->names[*slot - 1], name))
			return *slot;
		if (*slot != 0)
			continue;
		block->names[block->name_count++] = *name;
		return *slot = block->name_count;
	}
}

static uint16_t place_of_source(struct delivery_log *log, const struct publisher *from)
{
	if (from->session == 0)
		return 0;
	if (log->last_source == 0 || !same(&log->last_source_name, &from->name)) {
		log->last_source_name = from->name;
		return place_of(log, &from->name);
	}
	return log->last_source;
}

static uint16_t place_of_session(struct delivery_log *log, struct session_name *name)
{
	if (name->block != log->serial) {
		name->place = place_of(log, &name->name);
		name->block = log->serial;
	}
	return name->place;
}

/* ---- rows ---- */

/* Is the row, at the time of the last one and of the same source, the next of a run? */
static bool runs_on(struct delivery_log *log, uint8_t head, uint16_t destination)
{
	uint16_t step = (uint16_t)(destination - log->last_destination);
	if (head != log->last_head || step > 1 || (log->run > 0 && step != log->step) ||
	    log->run == ROUTE_RUN_MAX)
		return false;
	log->step = step;
	log->run++;
	return true;
}

static void write_row(struct delivery_log *log, uint8_t head, uint32_t passed_ms, uint16_t source,
		      uint16_t destination)
{
	struct route_block *block = log->block;
	end_run(log);
	uint8_t *first = block->rows + block->rows_len;
	uint8_t *at = first + 1;
	*first = head;
	if (passed_ms != 0) {
		*first |= ROUTE_ROW_TIME;
		at = put(at, passed_ms);
	}
	if (source != log->last_source) {
		*first |= ROUTE_ROW_SOURCE;
		at = put(at, source);
	}
	at = put(at, destination);
	block->rows_len = (uint16_t)(at - block->rows);
	log->last_head = head;
	log->last_source = source;
}

void delivery_row(struct shard *shard, struct session *to, const struct publisher *from,
		  uint8_t qos, enum route_outcome outcome)
{
	struct delivery_log *log = &shard->log;
	if (log->pseudonyms == NULL || from->unrecorded)
		return;
	struct session_name *name = to ? name_of(shard, to) : NULL;
	if (name && !name->recorded)
		return;
	struct route_block *block = block_with_room(shard);
	uint16_t source = place_of_source(log, from);
	uint16_t destination = name ? place_of_session(log, name) : 0;
	uint32_t passed_ms = (uint32_t)(shard->now.ms - log->last_ms);
	uint8_t head = (uint8_t)((unsigned)outcome | (unsigned)qos << ROUTE_ROW_QOS_SHIFT);
	if (passed_ms != 0 || source != log->last_source || !runs_on(log, head, destination))
		write_row(log, head, passed_ms, source, destination);
	log->last_ms = shard->now.ms;
	log->last_destination = destination;
	block->row_count++;
}

void delivery_dropped(struct shard *shard, struct session *to, const struct publisher *from,
		      uint8_t qos, enum route_outcome outcome)
{
	static const enum happened_name counters[ROUTE_OUTCOMES] = {
	    [ROUTE_QUEUE_FULL] = HAPPENED_DROPPED_QUEUE_FULL,
	    [ROUTE_SLOW_READER] = HAPPENED_DROPPED_SLOW,
	    [ROUTE_EXPIRED] = HAPPENED_DROPPED_EXPIRED,
	    [ROUTE_TOO_LARGE] = HAPPENED_DROPPED_TOO_LARGE,
	    [ROUTE_MEMORY] = HAPPENED_DROPPED_MEMORY,
	    [ROUTE_AWAY] = HAPPENED_DROPPED_AWAY,
	    [ROUTE_SESSION_ENDED] = HAPPENED_DROPPED_SESSION_END,
	};
	must(counters[outcome] != 0);
	happened_add(&shard->happened, counters[outcome], 1);
	delivery_row(shard, to, from, qos, outcome);
}
