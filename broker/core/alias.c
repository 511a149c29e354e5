/* alias.c - see alias.h. */
#include "broker/core/alias.h"
#include "broker/core/memory.h"

static size_t table_size(uint16_t maximum)
{
	return sizeof(struct alias_table) + maximum * sizeof(struct alias_topic);
}

struct alias_table *alias_create(struct purse *purse, uint16_t maximum)
{
	purse_force(purse, table_size(maximum));
	struct alias_table *table = memory_get_zeroed(table_size(maximum));
	table->maximum = maximum;
	return table;
}

static void drop(struct alias_topic *entry, struct purse *purse)
{
	purse_give(purse, entry->topic_len);
	memory_wipe_free(entry->topic, entry->topic_len);
	*entry = (struct alias_topic){0};
}

void alias_destroy(struct alias_table *table, struct purse *purse)
{
	if (table == NULL)
		return;
	for (uint16_t i = 0; i < table->maximum; i++)
		drop(&table->topics[i], purse);
	purse_give(purse, table_size(table->maximum));
	memory_free(table);
}

bool alias_set(struct alias_table *table, struct purse *purse, uint16_t alias, struct slice topic)
{
	must(alias >= 1 && alias <= table->maximum);
	struct alias_topic *entry = &table->topics[alias - 1];
	if (!purse_take(purse, topic.len))
		return false;
	drop(entry, purse);
	entry->topic = memory_get(topic.len);
	entry->topic_len = (uint16_t)topic.len;
	memcpy(entry->topic, topic.at, topic.len);
	return true;
}

struct slice alias_topic(const struct alias_table *table, uint16_t alias)
{
	if (table == NULL || alias < 1 || alias > table->maximum)
		return SLICE_NONE;
	return slice_of(table->topics[alias - 1].topic, table->topics[alias - 1].topic_len);
}

uint16_t alias_of(struct alias_table *table, struct purse *purse, uint64_t hash, struct slice topic,
		  bool *fresh)
{
	*fresh = false;
	for (uint16_t n = 1; n <= table->used; n++)
		if (table->topics[n - 1].hash == hash && slice_equal(alias_topic(table, n), topic))
			return n;
	if (table->used == table->maximum ||
	    !alias_set(table, purse, (uint16_t)(table->used + 1), topic))
		return 0;
	table->topics[table->used].hash = hash;
	*fresh = true;
	return ++table->used;
}
