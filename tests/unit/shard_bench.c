/* shard_bench.c - see shard_bench.h. */
#include <stdio.h>

#include "proto/frame.h"
#include "proto/topic.h"
#include "storage/mem_store.h"
#include "storage/route/rows.h"
#include "tests/unit/shard_bench.h"

#define MEBIBYTE (1024u * 1024)

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	struct bench *bench = (struct bench *)auth;

	if (request->method.len > 0) {
		answer->reason = MQTT_BAD_AUTHENTICATION_METHOD;
		return AUTH_REFUSE;
	}
	bench->asked_serial = request->serial;
	answer->reason = bench->refusal;
	if (bench->verdict == AUTH_ALLOW)
		answer->grant = bench->grant;
	return bench->verdict;
}

static bool may(const struct auth_grant *grant, struct slice client_id, enum auth_right right,
		struct slice topic)
{
	const struct bench_grant *rules = (const struct bench_grant *)grant;

	(void)client_id;
	rules->bench->questions++;
	return topic_matches(right == AUTH_READ ? rules->read : rules->write, topic);
}

static bool renew(struct auth *auth, struct auth_grant **grant)
{
	const struct bench *bench = (const struct bench *)auth;

	if (bench->next_grant)
		*grant = bench->next_grant;
	return bench->next_grant != NULL;
}

static void release(struct auth *auth, struct auth_grant *grant)
{
	struct bench *bench = (struct bench *)auth;

	(void)grant;
	bench->released++;
}

/* ---- rows of deliveries ---- */

static bool name_of(struct pseudonyms *pseudonyms, uint64_t owner, struct slice client_id,
		    uint32_t epoch, struct route_name *name)
{
	struct bench_names *names = (struct bench_names *)pseudonyms;

	(void)owner;
	(void)epoch;
	names->asked++;
	*name = (struct route_name){0};
	memcpy(name->at, client_id.at,
	       client_id.len < ROUTE_NAME_SIZE ? client_id.len : ROUTE_NAME_SIZE);
	return !names->unrecorded || !slice_equal(client_id, slice_text(names->unrecorded));
}

static void copy_name(const struct route_block *block, uint16_t place, char out[BENCH_ROW_NAME])
{
	memset(out, 0, BENCH_ROW_NAME);
	if (place > 0)
		memcpy(out, block->names[place - 1].at, ROUTE_NAME_SIZE);
}

/* Takes the block. */
static void gather_block(struct bench *bench, struct route_block *block)
{
	struct route_walk walk = route_walk_of(block);

	ck_assert(route_rows_good(block));
	bench->rows =
	    realloc(bench->rows, (bench->row_count + block->row_count) * sizeof *bench->rows);
	while (route_walk_next(&walk)) {
		struct bench_row *row = &bench->rows[bench->row_count++];

		*row = (struct bench_row){.qos = walk.row.qos,
					  .outcome = walk.row.outcome,
					  .after_ms = walk.row.after_ms,
					  .epoch = block->epoch};
		copy_name(block, walk.row.source, row->from);
		copy_name(block, walk.row.destination, row->to);
	}
	bench->row_bytes += block->rows_len;
	free(block);
}

void bench_gather_rows(struct bench *bench)
{
	for (unsigned i = 0; i < bench->count; i++)
		bench_event(bench, i, &(struct event){.type = EVENT_ROUTES});
}

unsigned bench_rows(const struct bench *bench, const char *from, const char *to, uint8_t qos,
		    enum route_outcome outcome)
{
	unsigned n = 0;

	for (size_t i = 0; i < bench->row_count; i++) {
		const struct bench_row *row = &bench->rows[i];

		n += row->qos == qos && row->outcome == outcome &&
		     (!from || strncmp(row->from, from, ROUTE_NAME_SIZE) == 0) &&
		     (!to || strncmp(row->to, to, ROUTE_NAME_SIZE) == 0);
	}
	return n;
}

/* What is counted as dropped has a row each, and nothing else has one. */
static void check_rows(struct bench *bench)
{
	static const struct {
		enum route_outcome outcome;
		enum happened_name counter;
		bool others; /* it counts more than deliveries */
	} pairs[] = {
	    {ROUTE_QUEUE_FULL, HAPPENED_DROPPED_QUEUE_FULL, false},
	    {ROUTE_SLOW_READER, HAPPENED_DROPPED_SLOW, false},
	    {ROUTE_EXPIRED, HAPPENED_DROPPED_EXPIRED, false},
	    {ROUTE_TOO_LARGE, HAPPENED_DROPPED_TOO_LARGE, false},
	    {ROUTE_MEMORY, HAPPENED_DROPPED_MEMORY, true},
	    {ROUTE_AWAY, HAPPENED_DROPPED_AWAY, false},
	    {ROUTE_DENIED, HAPPENED_DROPPED_DENIED, true},
	    {ROUTE_SESSION_ENDED, HAPPENED_DROPPED_SESSION_END, false},
	    {ROUTE_LOST, HAPPENED_LOST_IN_CRASH, false},
	    {ROUTE_UNKNOWN, HAPPENED_UNKNOWN_AFTER_CRASH, false},
	};

	bench_gather_rows(bench);
	for (size_t i = 0; i < COUNT_OF(pairs) && !bench->pseudonyms.unrecorded; i++) {
		uint64_t rows = 0;
		uint64_t happened = bench_counted(bench, pairs[i].counter);

		for (size_t r = bench->rows_checked; r < bench->row_count; r++)
			rows += bench->rows[r].outcome == pairs[i].outcome;
		ck_assert_msg(pairs[i].others ? rows <= happened : rows == happened,
			      "outcome %u: %u rows, %u counted", pairs[i].outcome, (unsigned)rows,
			      (unsigned)happened);
	}
	bench->rows_checked = bench->row_count;
}

void bench_init(struct bench *bench, unsigned shards)
{
	*bench = (struct bench){
	    .auth = {.check = check, .may = may, .renew = renew, .release = release},
	    .verdict = AUTH_ALLOW,
	    .count = shards,
	    .now = {.ms = 1000000, .wall_s = 1700000000},
	    .settings =
		{
		    .connect_timeout_ms = 10000,
		    .connect_bytes_max = 4096,
		    .session_expiry_max_s = UINT32_MAX,
		    .sessions_max = 1000,
		    .max_inflight_messages = 512,
		    .max_inflight_bytes = MEBIBYTE,
		    .max_queued_messages = 100,
		    .max_queued_bytes = MEBIBYTE,
		    .queue_policy = QUEUE_DROP_NEW,
		    .receive_maximum = 20,
		    .retain_available = true,
		    .max_retained_messages = 1000,
		    .max_retained_bytes = MEBIBYTE,
		    .rate_publish_messages = UINT32_MAX,
		    .rate_publish_bytes = UINT32_MAX,
		    .rate_address_messages = UINT32_MAX,
		    .rate_address_bytes = UINT32_MAX,
		    .rate_reconnect = UINT32_MAX,
		    .message_size_limit = MEBIBYTE,
		    .max_packet_size = MEBIBYTE,
		    .max_subscriptions = 1000,
		    .memory_limit = 64 * MEBIBYTE,
		    .route_epoch_s = 3600,
		},
	    .pseudonyms = {.pseudonyms = {.of = name_of}},
	    .listener =
		{
		    .accept_3_1 = true,
		    .accept_3_1_1 = true,
		    .accept_5_0 = true,
		    .max_qos = 2,
		    .max_topic_alias = 10,
		    .max_topic_alias_broker = 10,
		    .allow_anonymous = true,
		    .allow_zero_length_client_id = true,
		},
	};
}

static void restore_session(void *self, uint64_t row, const struct store_session *session)
{
	struct bench *bench = self;
	struct event event = {.type = EVENT_RESTORE_SESSION, .row = row, .session = session};

	shard_handle(bench->shards[shard_home(bench->shards[0], session->client_id)], bench->now,
		     &event);
}

/* The bench does not know whose it is: each shard passes over what is not its own. */
static void restore_subscription(void *self, uint64_t row,
				 const struct store_subscription *subscription)
{
	struct bench *bench = self;
	struct event event = {
	    .type = EVENT_RESTORE_SUBSCRIPTION, .row = row, .subscription = subscription};

	for (unsigned i = 0; i < bench->count; i++)
		shard_handle(bench->shards[i], bench->now, &event);
}

static void restore_step(void *self, const struct store_step *step)
{
	struct bench *bench = self;
	struct event event = {.type = EVENT_RESTORE_STEP, .step = step};

	for (unsigned i = 0; i < bench->count; i++)
		shard_handle(bench->shards[i], bench->now, &event);
}

static void start_shards(struct bench *bench)
{
	struct shard_setup setup = {
	    .parties = (uint16_t)bench->count,
	    .durable = bench->durable,
	    .known_s = bench->known_s,
	    .hash_key = "the key of all",
	    .settings = &bench->settings,
	    .auth = &bench->auth,
	    .pseudonyms = &bench->pseudonyms.pseudonyms,
	    .budget = &bench->budget,
	    .address_rates = bench->address_rates,
	};
	struct store_visitor visitor = {bench, restore_session, restore_subscription, restore_step};
	struct failure failure;

	budget_init(&bench->budget, bench->settings.memory_limit);
	setup.seed[1] = (uint8_t)bench->starts++;
	for (unsigned i = 0; i < bench->count; i++) {
		setup.party = (party_id)i;
		setup.seed[0] = (uint8_t)(i + 1);
		bench->shards[i] = shard_create(&setup, bench->now);
	}
	ck_assert(store_load(bench->store, &visitor, &failure));
	bench_settle(bench);
}

void bench_start(struct bench *bench)
{
	bench->mail_end = &bench->mail;
	bench->stored_end = &bench->stored;
	bench->store = mem_store_create();
	start_shards(bench);
}

void bench_begin(struct bench *bench, unsigned shards)
{
	bench_init(bench, shards);
	bench_start(bench);
}

static void drop_mail(struct bench *bench)
{
	struct purse purse;

	purse_init(&purse, &bench->budget);
	while (bench->mail) {
		struct mail *mail = bench->mail;

		bench->mail = mail->next;
		mail_destroy(mail, &purse);
	}
	purse_finish(&purse);
	bench->mail_end = &bench->mail;
}

static void end_shards(struct bench *bench)
{
	check_rows(bench);
	drop_mail(bench);
	while (bench->stored) {
		struct store_batch *batch = bench->stored;

		bench->stored = batch->next;
		free(batch);
	}
	bench->stored_end = &bench->stored;
	for (unsigned i = 0; i < bench->count; i++)
		shard_destroy(bench->shards[i]);
	for (unsigned i = 0; i < BENCH_PEERS; i++) {
		free(bench->peers[i].in);
		bench->peers[i] = (struct peer){0};
	}
	ck_assert_int_eq(bench->budget.used, 0);
	ck_assert_int_eq(bench->budget.sessions, 0);
	ck_assert_int_eq(bench->budget.retained, 0);
	ck_assert_int_eq(bench->budget.retained_bytes, 0);
	ck_assert(budget_finish(&bench->budget));
}

void bench_restart(struct bench *bench)
{
	end_shards(bench);
	start_shards(bench);
}

void bench_finish(struct bench *bench)
{
	end_shards(bench);
	store_close(bench->store);
	free(bench->rows);
	bench->rows = NULL;
	bench->row_count = bench->rows_checked = 0;
}

uint64_t bench_counted(const struct bench *bench, enum happened_name name)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < bench->count; i++)
		sum += happened_get(shard_happened(bench->shards[i]), name);
	return sum;
}

const char *bench_name(struct bench *bench, unsigned home, const char *prefix)
{
	char *name = bench->names[bench->name_count++];

	ck_assert_uint_le(bench->name_count, BENCH_NAMES);
	for (unsigned i = 0;; i++) {
		snprintf(name, sizeof bench->names[0], "%s%u", prefix, i);
		if (shard_home(bench->shards[0], slice_text(name)) == home)
			return name;
	}
}

/* ---- effects ---- */

/* One write of up to `room` bytes; how many there were. */
static size_t write_some(struct bench *bench, struct peer *peer, size_t room)
{
	struct shard *shard = bench->shards[peer->shard];
	struct slice slices[4];
	size_t count = shard_output(shard, peer->link, slices, 4);
	size_t total = 0;

	for (size_t i = 0; i < count; i++) {
		size_t n = slices[i].len < room - total ? slices[i].len : room - total;

		peer->in = realloc(peer->in, peer->in_len + n + 1);
		ck_assert_ptr_nonnull(peer->in);
		memcpy(peer->in + peer->in_len, slices[i].at, n);
		peer->in_len += n;
		total += n;
	}
	if (count > 0)
		shard_written(shard, bench->now, peer->link, total);
	return total;
}

void bench_write_out(struct bench *bench, struct peer *peer)
{
	while (!peer->full && write_some(bench, peer, SIZE_MAX) > 0) {
	}
}

void peer_reads(struct peer *peer, size_t n)
{
	size_t took;

	while (n > 0 && (took = write_some(peer->bench, peer, n)) > 0)
		n -= took;
	bench_settle(peer->bench);
}

static void on_move(struct bench *bench, const struct effect *effect)
{
	struct peer *peer = &bench->peers[effect->link];
	struct event open = {
	    .type = EVENT_LINK_OPEN,
	    .link = peer->link,
	    .listener = &bench->listener,
	    .opened_ms = effect->opened_ms,
	};
	struct event bytes = {.type = EVENT_LINK_BYTES, .link = peer->link, .bytes = effect->bytes};

	peer->shard = effect->party;
	shard_handle(bench->shards[peer->shard], bench->now, &open);
	shard_handle(bench->shards[peer->shard], bench->now, &bytes);
	shard_free_bytes(bench->shards[peer->shard], effect->bytes);
}

static void on_close(struct bench *bench, struct peer *peer)
{
	struct event closed = {.type = EVENT_LINK_CLOSED, .link = peer->link};

	bench_write_out(bench, peer);
	peer->open = false;
	shard_handle(bench->shards[peer->shard], bench->now, &closed);
}

static void append_mail(struct bench *bench, struct mail *mail)
{
	bench->mails[mail->type]++;
	mail->next = NULL;
	*bench->mail_end = mail;
	bench->mail_end = &mail->next;
}

static void append_batch(struct bench *bench, struct store_batch *batch)
{
	batch->next = NULL;
	*bench->stored_end = batch;
	bench->stored_end = &batch->next;
}

static void carry_out(struct bench *bench, const struct effect *effect)
{
	struct peer *peer = &bench->peers[effect->link];

	switch (effect->type) {
	case EFFECT_OUTPUT:
		if (peer->open)
			bench_write_out(bench, peer);
		break;
	case EFFECT_CLOSE:
		on_close(bench, peer);
		break;
	case EFFECT_MOVE:
		on_move(bench, effect);
		break;
	case EFFECT_READ:
		peer->reading = effect->on;
		break;
	case EFFECT_MAIL:
		append_mail(bench, effect->mail);
		break;
	case EFFECT_STORE:
		append_batch(bench, effect->batch);
		break;
	case EFFECT_TELL: /* the log's */
		break;
	case EFFECT_REQUEST:
		ck_assert_ptr_null(bench->request);
		bench->request = effect->request;
		break;
	case EFFECT_ROUTES:
		gather_block(bench, effect->block);
		break;
	}
}

/* One turn's effects.  Answers leave after all other mail of the turn (mail.h). */
static bool turn(struct bench *bench, struct shard *shard)
{
	size_t count;
	const struct effect *effects = shard_effects(shard, &count);
	struct effect *copy = calloc(count + 1, sizeof *copy);

	ck_assert_ptr_nonnull(copy);
	if (count > 0)
		memcpy(copy, effects, count * sizeof *copy);
	shard_effects_done(shard);
	for (int answers = 0; answers < 2; answers++)
		for (size_t i = 0; i < count; i++)
			if ((copy[i].mail && copy[i].mail->type == MAIL_ANSWERS) == answers)
				carry_out(bench, &copy[i]);
	free(copy);
	return count > 0;
}

static bool deliver_mail(struct bench *bench)
{
	struct mail *mail = bench->mail;
	struct event event = {.type = EVENT_MAIL, .mail = mail};

	if (mail == NULL || bench->hold_mail)
		return false;
	bench->mail = mail->next;
	if (bench->mail == NULL)
		bench->mail_end = &bench->mail;
	shard_handle(bench->shards[mail->to], bench->now, &event);
	return true;
}

bool bench_answer(struct bench *bench, bool held)
{
	struct store_batch *batch = bench->stored;
	struct event event = {.type = EVENT_STORED, .batch = batch};

	if (batch == NULL || held)
		return false;
	bench->stored = batch->next;
	if (bench->stored == NULL)
		bench->stored_end = &bench->stored;
	if (bench->refuse_batches > 0) {
		bench->refuse_batches--;
		mem_store_refuse(bench->store, 1, "the test says no");
	}
	bench->batches++;
	batch->committed = store_commit(bench->store, &batch, 1, &batch->failure);
	shard_handle(bench->shards[batch->party], bench->now, &event);
	return true;
}

/* What a shard has to do at once, without a timer: its own mail, sockets that emptied. */
static bool overdue(struct bench *bench, struct shard *shard)
{
	struct event event = {.type = EVENT_TIMERS};

	if (shard_next_timer(shard) > bench->now.ms)
		return false;
	shard_handle(shard, bench->now, &event);
	return true;
}

void bench_settle(struct bench *bench)
{
	for (bool busy = true; busy;) {
		busy = false;
		for (unsigned i = 0; i < bench->count; i++) {
			busy |= turn(bench, bench->shards[i]);
			busy |= overdue(bench, bench->shards[i]);
		}
		busy |= deliver_mail(bench);
		busy |= bench_answer(bench, bench->hold_store);
	}
}

void bench_store_one(struct bench *bench)
{
	ck_assert(bench->hold_store && bench_answer(bench, false));
	bench_settle(bench);
}

void bench_store_all(struct bench *bench)
{
	bench->hold_store = false;
	bench_settle(bench);
	bench->hold_store = true;
}

void bench_store_untold(struct bench *bench)
{
	struct failure failure;

	while (bench->stored) {
		struct store_batch *batch = bench->stored;

		bench->stored = batch->next;
		ck_assert(store_commit(bench->store, &batch, 1, &failure));
		free(batch);
	}
	bench->stored_end = &bench->stored;
}

void bench_event(struct bench *bench, unsigned shard, const struct event *event)
{
	shard_handle(bench->shards[shard], bench->now, event);
	bench_settle(bench);
}

static void set_clock(struct bench *bench, uint64_t ms)
{
	bench->now.wall_s += ms / 1000 - bench->now.ms / 1000;
	bench->now.ms = ms;
}

void bench_pass_ms(struct bench *bench, uint64_t ms)
{
	uint64_t end = bench->now.ms + ms;

	for (;;) {
		uint64_t next = end;

		for (unsigned i = 0; i < bench->count; i++) {
			uint64_t due = shard_next_timer(bench->shards[i]);

			if (due < next)
				next = due < bench->now.ms ? bench->now.ms : due;
		}
		set_clock(bench, next);
		bench_settle(bench);
		if (next >= end)
			return;
	}
}
