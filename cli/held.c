/* held.c - see held.h. */
#include "cli/held.h"
#include "cli/buffer.h"

#include <stdlib.h>

static struct held **find(struct held **list, uint16_t packet_id)
{
	while (*list != NULL && (*list)->packet_id != packet_id)
		list = &(*list)->next;
	return list;
}

void held_add(struct held **list, uint16_t packet_id, uint8_t flags, struct slice topic,
	      struct slice body)
{
	struct held **at = find(list, packet_id);

	if (*at != NULL)
		return;
	*at = need_memory(sizeof(**at) + topic.len + body.len);
	**at = (struct held){NULL, packet_id, flags, topic.len, body.len};
	memcpy((*at)->bytes, topic.at, topic.len);
	memcpy((*at)->bytes + topic.len, body.at, body.len);
}

struct held *held_take(struct held **list, uint16_t packet_id)
{
	struct held **at = find(list, packet_id);
	struct held *h = *at;

	if (h != NULL)
		*at = h->next;
	return h;
}

void held_finish(struct held **list)
{
	while (*list != NULL) {
		struct held *next = (*list)->next;

		free(*list);
		*list = next;
	}
}
