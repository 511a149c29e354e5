/* secret_memory.c - see secret_memory.h. */
#include "storage/secret_memory.h"

#include "proto/base.h"

#include <sys/mman.h>

void *secret_memory_get(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED);
	/* What cannot be had here is said once, at the start: broker/memory_protection.h. */
	(void)mlock(at, len);
	(void)madvise(at, len, MADV_DONTDUMP);
	(void)madvise(at, len, MADV_WIPEONFORK);
	return at;
}

void secret_memory_give(void *at, size_t len)
{
	if (at == NULL)
		return;
	explicit_bzero(at, len);
	must(munmap(at, len) == 0);
}
