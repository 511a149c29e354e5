/* subscription.c - see subscription.h. */
#include "broker/core/subscription.h"
#include "broker/core/memory.h"

#define ROW_PAGE 256u

void subscriptions_init(struct subscriptions *table, const uint8_t key[HASH_KEY_SIZE])
{
	*table = (struct subscriptions){0};
	trie_init(&table->trie, key, false);
	slab_init(&table->entries, sizeof(struct subscription));
}

static void free_rows(struct subscriptions *table)
{
	for (uint32_t i = 0; i < table->row_pages; i++)
		memory_free(table->rows[i]);
	memory_free(table->rows);
	table->rows = NULL;
	table->row_pages = 0;
}

void subscriptions_finish(struct subscriptions *table)
{
	trie_finish(&table->trie);
	slab_finish(&table->entries);
	index_finish(&table->by_owner);
	free_rows(table);
}

/* ---- rows ---- */

static uint64_t *row_of(const struct subscriptions *table, uint32_t n)
{
	uint32_t page = n / ROW_PAGE;
	if (page >= table->row_pages || table->rows[page] == NULL)
		return NULL;
	return &table->rows[page][n % ROW_PAGE];
}

uint64_t subscription_row(const struct subscriptions *table, uint32_t n)
{
	const uint64_t *row = row_of(table, n);
	return row ? *row : 0;
}

static void make_row_page(struct subscriptions *table, uint32_t page)
{
	if (page >= table->row_pages) {
		uint32_t pages = page < 8 ? 8 : page * 2;
		table->rows = memory_resize(table->rows, pages * sizeof *table->rows);
		memset(table->rows + table->row_pages, 0,
		       (pages - table->row_pages) * sizeof *table->rows);
		table->row_pages = pages;
	}
	if (table->rows[page] == NULL)
		table->rows[page] = memory_get_zeroed(ROW_PAGE * sizeof **table->rows);
}

void subscription_set_row(struct subscriptions *table, uint32_t n, uint64_t row)
{
	if (row != 0)
		make_row_page(table, n / ROW_PAGE);
	uint64_t *at = row_of(table, n);
	if (at)
		*at = row;
}

/* ---- subscriptions ---- */

static uint64_t hash_of(uint32_t node, uint32_t owner)
{
	return hash_mix((uint64_t)node << 32 | owner);
}

uint32_t subscription_find(const struct subscriptions *table, uint32_t realm, struct slice filter,
			   uint32_t owner)
{
	struct index_probe probe;
	uint32_t node = trie_find(&table->trie, realm, filter);
	uint32_t n = node ? index_first(&table->by_owner, hash_of(node, owner), &probe) : 0;
	while (n != 0) {
		const struct subscription *s = subscription_at(table, n);
		if (s->node == node && s->owner == owner)
			return n;
		n = index_next(&table->by_owner, &probe);
	}
	return 0;
}

uint32_t subscription_add(struct subscriptions *table, uint32_t realm, struct slice filter,
			  bool group, uint32_t owner, uint32_t *head, bool *first)
{
	uint32_t node = trie_add(&table->trie, realm, filter);
	uint32_t n = slab_add(&table->entries);
	struct subscription *s = subscription_at(table, n);
	struct trie_node *at = trie_node(&table->trie, node);
	*first = at->value == 0;
	s->node = node;
	must(owner <= INT32_MAX);
	s->owner = owner & INT32_MAX;
	s->group = group;
	s->next = at->value;
	if (s->next)
		subscription_at(table, s->next)->previous = n;
	at->value = n;
	if (!group)
		index_add(&table->by_owner, hash_of(node, owner), n);
	if (head) {
		s->session_next = *head;
		if (*head)
			subscription_at(table, *head)->session_previous = n;
		*head = n;
	}
	return n;
}

static void unlink_from_node(struct subscriptions *table, const struct subscription *s)
{
	if (s->previous)
		subscription_at(table, s->previous)->next = s->next;
	else
		trie_node(&table->trie, s->node)->value = s->next;
	if (s->next)
		subscription_at(table, s->next)->previous = s->previous;
}

static void unlink_from_session(struct subscriptions *table, const struct subscription *s,
				uint32_t *head)
{
	if (s->session_previous)
		subscription_at(table, s->session_previous)->session_next = s->session_next;
	else
		*head = s->session_next;
	if (s->session_next)
		subscription_at(table, s->session_next)->session_previous = s->session_previous;
}

void subscription_remove(struct subscriptions *table, uint32_t n, uint32_t *head, bool *last)
{
	const struct subscription *s = subscription_at(table, n);
	uint32_t node = s->node;
	unlink_from_node(table, s);
	if (!s->group)
		index_remove(&table->by_owner, hash_of(node, s->owner), n);
	if (head)
		unlink_from_session(table, s, head);
	subscription_set_row(table, n, 0);
	slab_remove(&table->entries, n);
	if (table->entries.count == 0)
		free_rows(table);
	*last = trie_node(&table->trie, node)->value == 0;
	if (*last)
		trie_prune(&table->trie, node);
}
