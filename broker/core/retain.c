/* retain.c - see retain.h: the home's side. */
#include "broker/core/core.h"
#include "broker/core/crash.h"
#include "proto/topic.h"

struct retained {
	struct message *message; /* owned */
	uint64_t owner;		 /* whose it is: auth_owner() */
	uint32_t node;
	uint32_t slot;
	struct timer timer; /* message expiry */
};

/* Where a walk stands on one level. */
struct scan_frame {
	struct trie_place place;
	uint32_t child; /* the next one to look at, 0 for none */
	uint32_t depth; /* levels of the filter used up */
};

struct scan_level {
	uint64_t hash;
	enum { LEVEL_LITERAL, LEVEL_PLUS, LEVEL_HASH } kind;
};

struct scan {
	struct scan *next;
	party_id party;
	uint64_t ticket;
	uint64_t session; /* who asked, for the answer to find it */
	uint32_t frame_count;
	uint32_t frame_room;
	struct scan_frame *frames;
	uint32_t level_count;
	struct scan_level levels[];
};

#define LIMBO_MAX      65536u /* nodes held back that no walk stands on */
#define STEPS_A_TURN   20000u /* nodes looked at for one request */
#define BYTES_A_TURN   (256u * 1024)
#define RETAINED_EXTRA 128u /* charged for each, above its message */

void retained_init(struct retained_store *store, const uint8_t key[HASH_KEY_SIZE])
{
	*store = (struct retained_store){0};
	trie_init(&store->trie, key, true);
	slab_init(&store->entries, sizeof(struct retained *));
}

party_id retained_home(const struct shard *shard, struct slice topic)
{
	if (shard->parties == 1)
		return 0;
	return (party_id)(hash_keyed(shard->hash_key, topic) % shard->parties);
}

static struct retained *retained_at(const struct shard *shard, uint32_t slot)
{
	return *(struct retained **)slab_at(&shard->retained.entries, slot);
}

static struct retained *find(const struct shard *shard, uint32_t realm, struct slice topic)
{
	uint32_t node = trie_find(&shard->retained.trie, realm, topic);
	uint32_t slot = node ? trie_node(&shard->retained.trie, node)->value : 0;
	return slot ? retained_at(shard, slot) : NULL;
}

/* Others are the broker's own: nobody else may publish them. */
static bool is_ordinary(struct slice topic)
{
	return topic.at[0] != '$';
}

/* ---- counting, here and in all shards together ---- */

/* The limits are for what clients have kept. */
static void count_against_limits(struct shard *shard, const struct message *message, int sign)
{
	struct budget *all = shard->purse.budget;
	int64_t bytes = (int64_t)message_size(message);
	if (!is_ordinary(message_topic(message)))
		return;
	atomic_fetch_add_explicit(&all->retained, sign, memory_order_relaxed);
	atomic_fetch_add_explicit(&all->retained_bytes, sign * bytes, memory_order_relaxed);
}

static void count(struct shard *shard, const struct message *message, int sign)
{
	count_against_limits(shard, message, sign);
	if (sign > 0) {
		COUNT(shard, RETAINED);
		COUNT_N(shard, RETAINED_BYTES, message->payload_len);
	} else {
		UNCOUNT(shard, RETAINED);
		UNCOUNT_N(shard, RETAINED_BYTES, message->payload_len);
	}
}

/* Known only where the message would be. */
static bool is_full(const struct shard *shard, const struct publication *p)
{
	const struct budget *all = shard->purse.budget;
	const struct core_settings *settings = shard->settings;
	const struct retained *old = find(shard, p->realm, p->topic);
	uint64_t bytes = (uint64_t)atomic_load_explicit(&all->retained_bytes, memory_order_relaxed);
	uint64_t number = (uint64_t)atomic_load_explicit(&all->retained, memory_order_relaxed);
	if (old) {
		bytes -= message_size(old->message);
		number--;
	}
	return is_ordinary(p->topic) && (number >= settings->max_retained_messages ||
					 bytes + message_cost(p) > settings->max_retained_bytes);
}

/* Each level costs a node, and a step of every walk, of which max_retained_* know nothing: a topic
 * of 64 kB would have 65,536. */
static bool is_too_deep(struct slice topic)
{
	return topic_levels(topic) > TRIE_LEVELS_MAX;
}

bool retained_refuses(const struct shard *shard, const struct publication *p)
{
	if (p->payload.len == 0)
		return false;
	return is_too_deep(p->topic) ||
	       (retained_home(shard, p->topic) == shard->party && is_full(shard, p));
}

/* ---- setting and clearing ---- */

/* Why a node stays that has neither value nor children. */
#define PIN_LIMBO 1u /* it is in limbo, once */
#define PIN_WALK  2u /* a walk stands on it; while limbo is thinned */

static void into_limbo(struct retained_store *store, uint32_t node)
{
	struct trie_node *at = trie_node(&store->trie, node);
	if (at->pins & PIN_LIMBO)
		return;
	at->pins |= PIN_LIMBO;
	store->limbo = shard_grow(store->limbo, &store->limbo_room, store->limbo_count + 1,
				  sizeof *store->limbo);
	store->limbo[store->limbo_count++] = node;
}

/* All but those that walks stand on. */
static void prune_limbo(struct retained_store *store)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < store->limbo_count; i++) {
		uint32_t node = store->limbo[i];
		if (trie_node(&store->trie, node)->pins & PIN_WALK) {
			store->limbo[kept++] = node;
			continue;
		}
		trie_node(&store->trie, node)->pins = 0;
		trie_prune(&store->trie, node);
	}
	store->limbo_count = kept;
}

static void end_limbo(struct retained_store *store)
{
	prune_limbo(store);
	memory_free(store->limbo);
	store->limbo = NULL;
	store->limbo_count = store->limbo_room = store->limbo_kept = 0;
}

static void stand_on(struct retained_store *store, uint32_t node)
{
	if (node != 0)
		trie_node(&store->trie, node)->pins |= PIN_WALK;
}

static void step_off(struct retained_store *store, uint32_t node)
{
	struct trie_node *at = trie_node(&store->trie, node);
	if (node == 0 || (at->pins & PIN_WALK) == 0)
		return;
	at->pins &= PIN_LIMBO;
	if (at->value == 0 && at->children == 0) /* only the walk has kept it */
		into_limbo(store, node);
}

static void each_place(struct retained_store *store,
		       void (*call)(struct retained_store *store, uint32_t node))
{
	for (const struct scan *scan = store->scans; scan; scan = scan->next)
		for (uint32_t i = 0; i < scan->frame_count; i++) {
			call(store, scan->frames[i].place.node);
			call(store, scan->frames[i].child);
		}
}

/* As often as this costs little for each node that came since, so that walks go on however much is
 * cleared. */
static void thin_limbo(struct retained_store *store)
{
	each_place(store, stand_on);
	prune_limbo(store);
	each_place(store, step_off);
	store->limbo_kept = store->limbo_count;
}

static void free_scan(struct shard *shard, struct scan *scan)
{
	struct scan **link = &shard->retained.scans;
	while (*link != scan)
		link = &(*link)->next;
	*link = scan->next;
	memory_free(scan->frames);
	memory_free(scan);
	if (shard->retained.scans == NULL)
		end_limbo(&shard->retained);
}

static void scan_found(struct shard *shard, const struct scan *scan, struct message **messages,
		       uint32_t n, bool last)
{
	struct mail *mail = mail_create(MAIL_RETAIN_FOUND, shard->party, scan->party, SLICE_NONE);
	mail->ticket = scan->ticket;
	mail->member.session = scan->session;
	mail->last = last;
	mail->none = shard->retained.ordinary == 0;
	mail->messages = messages;
	mail->count = n;
	shard_post(shard, mail);
}

static void release_node(struct shard *shard, uint32_t node)
{
	struct retained_store *store = &shard->retained;
	trie_node(&store->trie, node)->value = 0;
	if (store->scans == NULL) {
		trie_prune(&store->trie, node);
		return;
	}
	into_limbo(store, node);
	if (store->limbo_count > LIMBO_MAX + 2 * store->limbo_kept)
		thin_limbo(store);
}

static void drop(struct shard *shard, struct retained *entry)
{
	count(shard, entry->message, -1);
	shard->retained.ordinary -= is_ordinary(message_topic(entry->message));
	timer_cancel(&shard->timers, &entry->timer);
	message_release(entry->message, &shard->purse);
	purse_give(&shard->purse, RETAINED_EXTRA);
	slab_remove(&shard->retained.entries, entry->slot);
	memory_free(entry);
}

static void clear(struct shard *shard, struct retained *entry)
{
	uint32_t node = entry->node;
	drop(shard, entry);
	release_node(shard, node);
}

static struct retained *make(struct shard *shard, const struct publication *p)
{
	struct retained_store *store = &shard->retained;
	struct retained *entry = memory_get_zeroed(sizeof *entry);
	purse_force(&shard->purse, RETAINED_EXTRA);
	entry->timer.kind = TIMER_RETAINED;
	entry->node = trie_add(&store->trie, p->realm, p->topic);
	entry->slot = slab_add(&store->entries);
	*(struct retained **)slab_at(&store->entries, entry->slot) = entry;
	trie_node(&store->trie, entry->node)->value = entry->slot;
	store->ordinary += is_ordinary(p->topic);
	return entry;
}

static void arm_expiry(struct shard *shard, struct retained *entry)
{
	uint64_t due = entry->message->expires_ms;
	timer_cancel(&shard->timers, &entry->timer);
	if (due != EXPIRES_NEVER)
		timer_arm(&shard->timers, &entry->timer, due);
}

/* What is to be kept; NULL: nothing. */
static struct message *message_to_keep(struct shard *shard, struct publication *p)
{
	if (p->payload.len == 0)
		return NULL;
	if (retained_refuses(shard, p)) {
		COUNT(shard, DROPPED_RETAIN_LIMIT);
		return NULL;
	}
	return publication_message(shard, p);
}

void retained_set(struct shard *shard, struct publication *p, uint64_t owner)
{
	struct retained *entry = find(shard, p->realm, p->topic);
	struct message *message = message_to_keep(shard, p);
	if (message == NULL) {
		if (entry)
			clear(shard, entry);
		return;
	}
	if (entry) {
		count(shard, entry->message, -1);
		message_release(entry->message, &shard->purse);
	} else {
		entry = make(shard, p);
	}
	entry->message = message_share(message);
	entry->owner = owner;
	count(shard, message, 1);
	arm_expiry(shard, entry);
	CRASH_AT(retained_kept);
}

void retained_timer(struct shard *shard, struct timer *timer)
{
	struct retained *entry =
	    (struct retained *)((char *)timer - offsetof(struct retained, timer));
	clear(shard, entry);
}

void retained_expel(struct shard *shard, uint64_t owner)
{
	const struct trie *trie = &shard->retained.trie;
	struct retained **found = NULL; /* first all of them: clearing changes what is walked */
	uint32_t count = 0, room = 0;
	for (uint32_t at = 0, node; (node = index_each(&trie->edges, &at)) != 0;) {
		uint32_t slot = trie_node(trie, node)->value;
		if (slot == 0 || retained_at(shard, slot)->owner != owner)
			continue;
		found = shard_grow(found, &room, count + 1, sizeof *found);
		found[count++] = retained_at(shard, slot);
	}
	for (uint32_t i = 0; i < count; i++)
		clear(shard, found[i]);
	memory_free(found);
}

/* ---- walking ---- */

static void push(struct scan *scan, const struct trie *trie, struct trie_place place,
		 uint32_t depth)
{
	scan->frames = shard_grow(scan->frames, &scan->frame_room, scan->frame_count + 1,
				  sizeof *scan->frames);
	uint32_t child = 0;
	if (depth < scan->level_count) {
		const struct scan_level *level = &scan->levels[depth];
		child = level->kind == LEVEL_LITERAL ? trie_child(trie, place, level->hash).node
						     : trie_family(trie, place.node)->first_child;
	}
	scan->frames[scan->frame_count++] = (struct scan_frame){place, child, depth};
}

/* Is the node itself matched by the filter, `depth` levels of which are used up? */
static bool matched(const struct scan *scan, uint32_t depth)
{
	return depth == scan->level_count ||
	       (depth + 1 == scan->level_count && scan->levels[depth].kind == LEVEL_HASH);
}

/* The next child to go down to from the top frame, or 0. */
static uint32_t next_child(const struct scan *scan, const struct trie *trie)
{
	struct scan_frame *top = &scan->frames[scan->frame_count - 1];
	while (top->child != 0) {
		uint32_t child = top->child;
		bool literal = scan->levels[top->depth].kind == LEVEL_LITERAL;
		top->child = literal ? 0 : trie_family(trie, child)->next_sibling;
		/* [MQTT-4.7.2-1]; the first frame is the realm's root */
		if (literal || scan->frame_count > 1 || !trie_node(trie, child)->dollar)
			return child;
	}
	return 0;
}

/* Moves on by one node; *slot is its retained message, 0 for none.  False at the end. */
static bool scan_step(struct scan *scan, const struct trie *trie, uint32_t *slot)
{
	*slot = 0;
	if (scan->frame_count == 0)
		return false;
	uint32_t child = next_child(scan, trie);
	if (child == 0) {
		scan->frame_count--;
		return true;
	}
	struct scan_frame top = scan->frames[scan->frame_count - 1];
	uint32_t depth = top.depth;
	if (scan->levels[depth].kind != LEVEL_HASH)
		depth++;
	push(scan, trie, trie_step(trie, top.place, child), depth);
	if (matched(scan, depth))
		*slot = trie_node(trie, child)->value;
	return true;
}

static struct scan *scan_create(struct shard *shard, const struct mail *mail)
{
	size_t levels = topic_levels(mail->text);
	struct scan *scan = memory_get_zeroed(sizeof *scan + levels * sizeof scan->levels[0]);
	scan->party = mail->from;
	scan->ticket = mail->ticket;
	scan->session = mail->member.session;
	struct topic_cursor cursor = topic_cursor_of(mail->text);
	struct slice level;
	while (topic_next_level(&cursor, &level)) {
		struct scan_level *at = &scan->levels[scan->level_count++];
		at->hash = hash_keyed(shard->hash_key, level);
		at->kind = slice_equal(level, SLICE_LITERAL("+"))   ? LEVEL_PLUS
			   : slice_equal(level, SLICE_LITERAL("#")) ? LEVEL_HASH
								    : LEVEL_LITERAL;
	}
	struct trie_place root = trie_root(&shard->retained.trie, mail->realm);
	if (root.node != 0)
		push(scan, &shard->retained.trie, root, 0);
	scan->next = shard->retained.scans;
	shard->retained.scans = scan;
	return scan;
}

/* It comes to the front: those that wait for somebody who is away are in nobody's way. */
static struct scan *find_scan(struct shard *shard, const struct mail *mail)
{
	struct scan **first = &shard->retained.scans, **link = first;
	while (*link && ((*link)->party != mail->from || (*link)->ticket != mail->ticket))
		link = &(*link)->next;
	struct scan *scan = *link;
	if (scan == NULL)
		return NULL;
	*link = scan->next;
	scan->next = *first;
	*first = scan;
	return scan;
}

/* MAIL_RETAIN_SCAN: the next few messages; the text comes with the first request only. */
static void scan_go_on(struct shard *shard, const struct mail *mail)
{
	bool begins = mail->text.len > 0;
	struct scan *scan = begins ? scan_create(shard, mail) : find_scan(shard, mail);
	must(scan != NULL);
	struct message *found[MAIL_MESSAGES_MAX];
	uint32_t n = 0, steps = 0, slot;
	size_t bytes = 0;
	bool more = true;
	while (n < MAIL_MESSAGES_MAX && bytes < BYTES_A_TURN && steps++ < STEPS_A_TURN &&
	       (more = scan_step(scan, &shard->retained.trie, &slot))) {
		struct message *m = slot ? retained_at(shard, slot)->message : NULL;
		if (m == NULL || m->expires_ms <= shard->now.ms)
			continue;
		bytes += message_size(m);
		found[n++] = message_share(m);
	}
	struct message **messages = NULL;
	if (n > 0) {
		messages = memory_get(n * sizeof *messages);
		memcpy(messages, found, n * sizeof *messages);
	}
	scan_found(shard, scan, messages, n, !more);
	if (!more)
		free_scan(shard, scan);
}

void retained_scan_mail(struct shard *shard, struct mail *mail)
{
	if (mail->type == MAIL_RETAIN_SCAN) {
		scan_go_on(shard, mail);
	} else if (mail->type == MAIL_RETAIN_STOP) {
		struct scan *scan = find_scan(shard, mail);
		if (scan)
			free_scan(shard, scan);
	} else {
		struct publication clearing = {.realm = mail->realm, .topic = mail->text};
		struct publication publication =
		    mail->message ? message_publication(mail->message) : clearing;
		retained_set(shard, &publication, mail->ticket);
	}
}

void retained_each(const struct shard *shard, void *self,
		   void (*call)(void *self, struct message *message, uint64_t owner))
{
	const struct trie *trie = &shard->retained.trie;
	for (uint32_t at = 0, node; (node = index_each(&trie->edges, &at)) != 0;) {
		uint32_t slot = trie_node(trie, node)->value;
		if (slot != 0)
			call(self, retained_at(shard, slot)->message,
			     retained_at(shard, slot)->owner);
	}
}

void retained_finish(struct shard *shard)
{
	struct retained_store *store = &shard->retained;
	while (store->scans)
		free_scan(shard, store->scans);
	const struct index *edges = &store->trie.edges;
	for (uint32_t at = 0, node; (node = index_each(edges, &at)) != 0;) {
		uint32_t slot = trie_node(&store->trie, node)->value;
		if (slot != 0)
			drop(shard, retained_at(shard, slot));
	}
	trie_finish(&store->trie);
	slab_finish(&store->entries);
}
