/* memo.c - see memo.h. */
#include "broker/core/memo.h"
#include "broker/core/memory.h"

void memo_init(struct memo *memo)
{
	*memo = (struct memo){.version = 1};
}

void memo_finish(struct memo *memo)
{
	memory_free(memo->entries);
	memo->entries = NULL;
}

void memo_forget(struct memo *memo)
{
	if (++memo->version != 0)
		return;
	memo_finish(memo); /* once in four thousand million changes: old entries would look new */
	memo->version = 1;
}

void memo_keep(struct memo *memo, uint64_t name, const uint32_t *nodes, uint32_t count)
{
	if (count > MEMO_NODES_MAX)
		return;
	if (memo->entries == NULL)
		memo->entries = memory_get_zeroed(MEMO_ENTRIES * sizeof *memo->entries);
	struct memo_entry *entry = &memo->entries[name % MEMO_ENTRIES];
	entry->name = name;
	entry->version = memo->version;
	entry->count = count;
	if (count > 0)
		memcpy(entry->nodes, nodes, count * sizeof *nodes);
}
