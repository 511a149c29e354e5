/* tally.c - see tally.h. */
#include "broker/core/tally.h"
#include "broker/core/memory.h"

#define ROOM_FIRST 8u

/* In `total`: the account objects. */
#define LEFT_OUT UINT16_MAX

/* Its place, or the free one where it belongs.  Accounts are hashes already. */
static struct tally_entry *find(const struct tally *tally, uint64_t account)
{
	uint32_t i = (uint32_t)account & (tally->room - 1);

	while (tally->entries[i].account != 0 && tally->entries[i].account != account)
		i = (i + 1) & (tally->room - 1);
	return &tally->entries[i];
}

static void release(struct tally_entry *entries, uint32_t room)
{
	if (entries)
		explicit_bzero(entries, room * sizeof *entries);
	memory_free(entries);
}

static void grow(struct tally *tally)
{
	struct tally old = *tally;
	tally->room = old.room ? old.room * 2 : ROOM_FIRST;
	tally->entries = memory_get_zeroed(tally->room * sizeof *tally->entries);
	for (uint32_t i = 0; i < old.room; i++)
		if (old.entries[i].account != 0)
			*find(tally, old.entries[i].account) = old.entries[i];
	release(old.entries, old.room);
}

/* NULL when there is no place any more. */
static struct tally_entry *find_or_add(struct tally *tally, uint64_t account)
{
	must(account != 0);
	if (tally->count >= tally->room / 2)
		grow(tally);
	struct tally_entry *entry = find(tally, account);
	if (entry->account == account)
		return entry;
	if (tally->count == TALLY_ACCOUNTS_MAX) {
		tally->full = true;
		return NULL;
	}
	tally->count++;
	entry->account = account;
	return entry;
}

/* Of what is too much the lower QoS goes. */
void tally_charge(struct tally *tally, uint64_t account, const struct tally_counts *counts)
{
	struct tally_entry *entry = find_or_add(tally, account);
	if (entry == NULL || entry->counts.total == LEFT_OUT)
		return;
	for (size_t qos = 3; qos-- > 0;) {
		uint16_t left = (uint16_t)(TALLY_CHARGE_MAX - entry->counts.total);
		uint16_t more = counts->of_qos[qos] < left ? counts->of_qos[qos] : left;
		entry->counts.of_qos[qos] = (uint16_t)(entry->counts.of_qos[qos] + more);
		entry->counts.total = (uint16_t)(entry->counts.total + more);
	}
}

void tally_leave_out(struct tally *tally, uint64_t account)
{
	struct tally_entry *entry = find_or_add(tally, account);
	if (entry)
		entry->counts = (struct tally_counts){.total = LEFT_OUT};
}

void tally_merge(struct tally *tally, struct tally *from)
{
	for (uint32_t i = 0; i < from->room; i++) {
		const struct tally_entry *entry = &from->entries[i];
		if (entry->account != 0 && entry->counts.total == LEFT_OUT)
			tally_leave_out(tally, entry->account);
		else if (entry->account != 0)
			tally_charge(tally, entry->account, &entry->counts);
	}
	tally->full |= from->full;
	tally_finish(from);
}

struct tally_sums tally_sum(const struct tally *tally)
{
	struct tally_sums sums = {0};
	for (uint32_t i = 0; i < tally->room; i++) {
		const struct tally_entry *entry = &tally->entries[i];
		if (entry->account == 0 || entry->counts.total == LEFT_OUT)
			continue;
		for (size_t qos = 0; qos < 3; qos++)
			sums.of_qos[qos] += entry->counts.of_qos[qos];
		sums.accounts++;
	}
	return sums;
}

void tally_finish(struct tally *tally)
{
	release(tally->entries, tally->room);
	*tally = (struct tally){0};
}
