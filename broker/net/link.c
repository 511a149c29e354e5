/* link.c - see link.h. */
#include "broker/net/link.h"
#include <stdlib.h>

void link_table_init(struct link_table *table)
{
	*table = (struct link_table){.free = LINK_NONE};
}

void link_table_finish(struct link_table *table)
{
	must(table->used == 0);
	for (uint32_t i = 0; i < table->page_count; i++)
		free(table->pages[i]);
	free(table->pages);
	link_table_init(table);
}

/* The lowest numbers of a new page are given out first. */
static void add_page(struct link_table *table)
{
	uint32_t first = link_table_end(table);
	struct link **pages =
	    realloc(table->pages, (table->page_count + 1) * sizeof(struct link *));
	struct link *page = calloc(LINK_PAGE, sizeof(struct link));

	must(pages && page);
	for (uint32_t i = LINK_PAGE; i-- > 0;) {
		page[i].next_free = table->free;
		table->free = first + i;
	}
	table->pages = pages;
	table->pages[table->page_count++] = page;
}

struct link *link_table_take(struct link_table *table, uint32_t *number)
{
	if (table->free == LINK_NONE)
		add_page(table);
	struct link *link = link_table_at(table, table->free);

	*number = table->free;
	table->free = link->next_free;
	table->used++;
	*link = (struct link){.serial = link->serial, .state = LINK_OPEN};
	return link;
}

void link_table_free(struct link_table *table, uint32_t number)
{
	struct link *link = link_table_at(table, number);

	must(link->state != LINK_FREE);
	link->state = LINK_FREE;
	link->serial++;
	link->next_free = table->free;
	table->free = number;
	table->used--;
}
