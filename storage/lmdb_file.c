/* lmdb_file.c - see lmdb_file.h. */
#include "storage/lmdb_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* As they lie in the file; size_t is LMDB's page number and size. */
struct tree {
	uint32_t page_len; /* in the tree of free pages only */
	uint16_t flags;
	uint16_t depth;
	size_t branch_pages;
	size_t leaf_pages;
	size_t overflow_pages;
	size_t entries;
	size_t root;
};

struct meta {
	uint32_t magic;
	uint32_t version;
	size_t address;
	size_t map_len;
	struct tree free;
	struct tree main;
	size_t last_page;
	size_t transaction;
};

struct page {
	size_t number;
	uint16_t unused;
	uint16_t flags;
	uint16_t lower; /* end of the node offsets; in overflow pages lower and upper */
	uint16_t upper; /* are one number of pages */
};

struct node {
	uint16_t size[2]; /* low half and high half, as the byte order has it */
	uint16_t flags;	  /* in a branch the third part of the page number */
	uint16_t key_len;
};

#define PAGE_HEAD_LEN	sizeof(struct page)
#define META_MAGIC	0xbeefc0deu
#define META_VERSION	1u
#define NO_PAGE		SIZE_MAX
#define DEPTH_MAX	32u
#define LEVELS_MAX	(2 * DEPTH_MAX) /* a named tree hangs in a leaf of the main one */
#define TREE_DUPLICATES 0x04u

enum page_flag { PAGE_BRANCH = 0x01, PAGE_LEAF = 0x02, PAGE_OVERFLOW = 0x04, PAGE_META = 0x08 };
enum node_flag { NODE_OVERFLOW = 0x01, NODE_TREE = 0x02 };

struct check {
	int fd;
	const char *path;
	struct failure *failure;
	size_t page_len;
	size_t page_count;
	uint8_t *seen;	/* a bit for each page */
	uint8_t *free;	/* likewise, of those that are listed as free */
	uint8_t *pages; /* one buffer for each level */
	bool in_free;	/* walking the tree of free pages */
};

/* The walk through one tree: pages above its leaves, and the order of its keys. */
struct walk {
	bool ordered; /* keys in the order of their bytes; others are not compared */
	size_t entries;
	uint8_t *last; /* what the next key must come after, or equal if `inclusive` */
	size_t last_len;
	bool inclusive;
};

static bool check_tree(struct check *check, const struct tree *tree, unsigned level);

static bool damaged(struct check *check, size_t page, const char *what)
{
	return failure_set(check->failure, "%s is damaged: page %zu %s; " LMDB_FILE_ADVICE,
			   check->path, page, what);
}

static bool read_at(struct check *check, uint8_t *into, size_t len, size_t offset)
{
	while (len > 0) {
		ssize_t n = pread(check->fd, into, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure_set(check->failure, "%s: cannot be read: %s", check->path,
					   strerror(errno));
		if (n == 0)
			return failure_set(check->failure,
					   "%s is cut short at byte %zu; " LMDB_FILE_ADVICE,
					   check->path, offset);
		into += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return true;
}

/* Notes that `count` pages from `page` on are reached, each for the first time. */
static bool claim(struct check *check, size_t page, size_t count)
{
	if (page < 2 || page >= check->page_count || count > check->page_count - page)
		return damaged(check, page, "is referred to, but not in the file");
	for (size_t i = page; i < page + count; i++) {
		uint8_t bit = (uint8_t)(1u << (i & 7));

		if ((check->seen[i / 8] & bit) != 0)
			return damaged(check, i, "is used twice");
		check->seen[i / 8] |= bit;
	}
	return true;
}

static size_t node_size(const struct node *node)
{
	const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

	return (size_t)node->size[little ? 0 : 1] | (size_t)node->size[little ? 1 : 0] << 16;
}

static size_t node_child(const struct node *node)
{
	size_t child = node_size(node);

	if (sizeof(size_t) > 4)
		child |= (size_t)((uint64_t)node->flags << 32);
	return child;
}

/* The list of free pages of one transaction: a count and as many page numbers. */
static bool check_free_list(struct check *check, size_t page, const uint8_t *list, size_t len)
{
	size_t count;
	size_t number;
	size_t before = SIZE_MAX;

	if (len < sizeof(count))
		return damaged(check, page, "holds a list of free pages that is cut short");
	memcpy(&count, list, sizeof(count));
	if (count > len / sizeof(number) - 1)
		return damaged(check, page, "holds a list of free pages that is cut short");
	for (size_t i = 1; i <= count; i++) {
		memcpy(&number, list + i * sizeof(number), sizeof(number));
		if (number >= before)
			return damaged(check, page, "holds a list of free pages out of order");
		before = number;
		if (!claim(check, number, 1))
			return false;
		check->free[number / 8] |= (uint8_t)(1u << (number & 7));
	}
	return true;
}

/* A value with pages of its own; they may be more than it needs, when it was longer before. */
static bool check_overflow(struct check *check, size_t first, size_t len)
{
	const size_t needed = (PAGE_HEAD_LEN - 1 + len) / check->page_len + 1;
	struct page head;
	uint32_t pages;
	uint8_t *list;
	bool ok;

	if (first >= check->page_count)
		return damaged(check, first, "is referred to, but not in the file");
	if (!read_at(check, (uint8_t *)&head, sizeof(head), first * check->page_len))
		return false;
	memcpy(&pages, &head.lower, sizeof(pages));
	if (head.number != first || head.flags != PAGE_OVERFLOW || pages < needed)
		return damaged(check, first, "is not the start of a long value, as it should be");
	if (!claim(check, first, pages))
		return false;
	if (!check->in_free)
		return true;
	list = malloc(len);
	must(list != NULL);
	ok = read_at(check, list, len, first * check->page_len + PAGE_HEAD_LEN) &&
	     check_free_list(check, first, list, len);
	free(list);
	return ok;
}

/* `room` is what the page holds from `at`, where the data of a leaf's node begins. */
static bool check_data(struct check *check, size_t page, const struct node *node, const uint8_t *at,
		       size_t room, unsigned level)
{
	const size_t len = node_size(node);
	struct tree tree;
	size_t first;

	if (node->flags != 0 && node->flags != NODE_OVERFLOW && node->flags != NODE_TREE)
		return damaged(check, page, "holds a node of an unknown kind");
	if ((node->flags & NODE_OVERFLOW) != 0) {
		if (room < sizeof(first))
			return damaged(check, page, "holds a node that leaves the page");
		memcpy(&first, at, sizeof(first));
		return check_overflow(check, first, len);
	}
	if (len > room)
		return damaged(check, page, "holds a node that leaves the page");
	if (check->in_free)
		return check_free_list(check, page, at, len);
	if ((node->flags & NODE_TREE) == 0)
		return true;
	if (len != sizeof(tree))
		return damaged(check, page, "names a table in the wrong way");
	memcpy(&tree, at, sizeof(tree));
	return check_tree(check, &tree, level + 1);
}

static uint8_t *page_at(struct check *check, unsigned level)
{
	return check->pages + level * check->page_len;
}

/*
 * Keys rise through the leaves, and what a branch says of a child is true: all before
 * it is smaller, all in it is not.  Otherwise a row would be there and not be found.
 */
static bool check_key(struct check *check, struct walk *walk, size_t page, const uint8_t *key,
		      size_t len, bool branch)
{
	uint8_t number[sizeof(size_t)];
	int order;

	if (check->in_free && len != sizeof(number))
		return damaged(check, page, "holds a key of the wrong length");
	if (check->in_free && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
		for (size_t i = 0; i < len; i++)
			number[i] = key[len - 1 - i];
		key = number;
	}
	order = memcmp(key, walk->last, len < walk->last_len ? len : walk->last_len);
	if (order == 0)
		order = (len > walk->last_len) - (len < walk->last_len);
	if (order < 0 || (order == 0 && !walk->inclusive))
		return damaged(check, page, "holds keys out of order");
	memcpy(walk->last, key, len);
	walk->last_len = len;
	walk->inclusive = branch;
	return true;
}

static bool check_page(struct check *check, struct walk *walk, size_t number, unsigned depth,
		       unsigned level);

static bool check_node(struct check *check, struct walk *walk, size_t number, size_t index,
		       unsigned depth, unsigned level)
{
	const bool branch = depth > 1;
	const uint8_t *page = page_at(check, level);
	uint16_t offset;
	struct node node;
	size_t data;

	memcpy(&offset, page + PAGE_HEAD_LEN + index * sizeof(offset), sizeof(offset));
	if (offset < PAGE_HEAD_LEN || offset + sizeof(node) > check->page_len)
		return damaged(check, number, "holds a node that leaves the page");
	memcpy(&node, page + offset, sizeof(node));
	data = offset + sizeof(node) + node.key_len;
	if (data > check->page_len)
		return damaged(check, number, "holds a node that leaves the page");
	/* The first key of a branch stands for "whatever comes before" and is not used. */
	if (walk->ordered && (!branch || index > 0) &&
	    !check_key(check, walk, number, page + offset + sizeof(node), node.key_len, branch))
		return false;
	if (branch)
		return check_page(check, walk, node_child(&node), depth - 1, level + 1);
	walk->entries++;
	return check_data(check, number, &node, page + data, check->page_len - data, level);
}

/* A page `depth` levels above the floor, and all below it. */
static bool check_page(struct check *check, struct walk *walk, size_t number, unsigned depth,
		       unsigned level)
{
	struct page head;
	size_t count;

	if (!claim(check, number, 1) ||
	    !read_at(check, page_at(check, level), check->page_len, number * check->page_len))
		return false;
	memcpy(&head, page_at(check, level), sizeof(head));
	if (head.number != number || head.flags != (depth > 1 ? PAGE_BRANCH : PAGE_LEAF) ||
	    head.lower < PAGE_HEAD_LEN || head.lower > head.upper || head.upper > check->page_len)
		return damaged(check, number, "has a wrong head");
	count = (head.lower - PAGE_HEAD_LEN) / sizeof(uint16_t);
	if (count == 0)
		return damaged(check, number, "is empty");
	for (size_t i = 0; i < count; i++) {
		if (!check_node(check, walk, number, i, depth, level))
			return false;
	}
	return true;
}

static bool check_tree(struct check *check, const struct tree *tree, unsigned level)
{
	struct walk walk = {.ordered = check->in_free || tree->flags == 0, .inclusive = true};
	bool ok;

	if ((tree->flags & TREE_DUPLICATES) != 0)
		return true; /* another program's: lmdb_store.c refuses it by name */
	if (tree->root == NO_PAGE && tree->depth == 0 && tree->entries == 0)
		return true;
	if (tree->depth == 0 || tree->depth > DEPTH_MAX || level + tree->depth > LEVELS_MAX)
		return failure_set(check->failure,
				   "%s is damaged: a table of depth %u; " LMDB_FILE_ADVICE,
				   check->path, tree->depth);
	walk.last = malloc(check->page_len);
	must(walk.last != NULL);
	ok = check_page(check, &walk, tree->root, tree->depth, level);
	free(walk.last);
	if (ok && walk.entries != tree->entries)
		return failure_set(
		    check->failure,
		    "%s is damaged: a table has %zu rows, but should have %zu; " LMDB_FILE_ADVICE,
		    check->path, walk.entries, tree->entries);
	return ok;
}

static bool read_meta(struct check *check, size_t number, struct meta *meta)
{
	struct page head;
	uint8_t bytes[sizeof(head) + sizeof(*meta)];

	if (!read_at(check, bytes, sizeof(bytes), number * check->page_len))
		return false;
	memcpy(&head, bytes, sizeof(head));
	memcpy(meta, bytes + sizeof(head), sizeof(*meta));
	if ((head.flags & PAGE_META) == 0 || meta->magic != META_MAGIC)
		return failure_set(
		    check->failure,
		    "%s is not an LMDB file, or damaged in its page %zu; " LMDB_FILE_ADVICE,
		    check->path, number);
	if (meta->version != META_VERSION)
		return failure_set(check->failure,
				   "%s is an LMDB file of data version %u, this program reads "
				   "version %u",
				   check->path, meta->version, META_VERSION);
	return true;
}

/* Finds the meta page that counts, as LMDB does: the one with the later transaction. */
static bool newest_meta(struct check *check, struct meta *meta)
{
	struct meta other;

	if (!read_meta(check, 0, meta))
		return false;
	check->page_len = meta->free.page_len;
	if (check->page_len < 512 || check->page_len > 65536 ||
	    (check->page_len & (check->page_len - 1)) != 0)
		return damaged(check, 0, "gives no possible page size");
	if (!read_meta(check, 1, &other))
		return false;
	if (other.free.page_len != check->page_len)
		return damaged(check, 1, "gives another page size than page 0");
	/* Commits go to the two in turn, even numbers to the first; a new file has 0 in both. */
	if (meta->transaction % 2 != 0 || (meta->transaction + 1 != other.transaction &&
					   other.transaction + 1 != meta->transaction &&
					   (meta->transaction != 0 || other.transaction != 0)))
		return damaged(check, 0, "and page 1 do not follow each other");
	if (other.transaction > meta->transaction)
		*meta = other;
	return true;
}

static bool check_trees(struct check *check, const struct meta *meta)
{
	bool ok;

	check->seen = calloc(check->page_count / 8 + 1, 1);
	check->free = calloc(check->page_count / 8 + 1, 1);
	check->pages = malloc(LEVELS_MAX * check->page_len);
	must(check->seen != NULL && check->free != NULL && check->pages != NULL);
	ok = check_tree(check, &meta->main, 0);
	check->in_free = true;
	return ok && check_tree(check, &meta->free, 0);
}

static void finish_check(struct check *check)
{
	free(check->seen);
	free(check->free);
	free(check->pages);
}

/* Checks all of it, and leaves `check` as it is then, to be finished. */
static bool check_all(struct check *check, size_t file_len)
{
	struct meta meta;

	if (!newest_meta(check, &meta))
		return false;
	if (meta.last_page >= file_len / check->page_len)
		return failure_set(check->failure,
				   "%s is cut short: it has %zu bytes, but should have at least "
				   "%zu pages of %zu; " LMDB_FILE_ADVICE,
				   check->path, file_len, meta.last_page, check->page_len);
	check->page_count = meta.last_page + 1;
	return check_trees(check, &meta);
}

bool lmdb_file_check(int fd, const char *path, struct failure *failure)
{
	struct check check = {.fd = fd, .path = path, .failure = failure};
	struct stat st;
	bool ok;

	if (fstat(fd, &st) != 0)
		return failure_set(failure, "%s: %s", path, strerror(errno));
	if (st.st_size == 0)
		return true;
	ok = check_all(&check, (size_t)st.st_size);
	finish_check(&check);
	return ok;
}

/* ---- what is not in use ---- */

static bool wipe(struct check *check, size_t offset, size_t len)
{
	static const uint8_t zeros[65536];

	while (len > 0) {
		const size_t part = len < sizeof(zeros) ? len : sizeof(zeros);
		const ssize_t n = pwrite(check->fd, zeros, part, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return failure_set(check->failure,
					   "%s: a free page cannot be overwritten: %s", check->path,
					   strerror(errno));
		offset += (size_t)n;
		len -= (size_t)n;
	}
	return true;
}

/* What was written behind the last page, if anything was: the file is sparse there. */
static bool wipe_rest(struct check *check, size_t file_len)
{
	off_t at = (off_t)(check->page_count * check->page_len);

	while ((at = lseek(check->fd, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(check->fd, at, SEEK_HOLE);

		if (end < 0)
			end = (off_t)file_len;
		if (!wipe(check, (size_t)at, (size_t)(end - at)))
			return false;
		at = end;
	}
	if (errno == ENXIO)
		return true;
	return failure_set(check->failure, "%s: cannot be searched: %s", check->path,
			   strerror(errno));
}

bool lmdb_file_wipe_free(int fd, const char *path, struct failure *failure)
{
	struct check check = {.fd = fd, .path = path, .failure = failure};
	struct stat st;
	bool ok;

	if (fstat(fd, &st) != 0)
		return failure_set(failure, "%s: %s", path, strerror(errno));
	ok = check_all(&check, (size_t)st.st_size);
	for (size_t i = 0; i < check.page_count && ok; i++)
		if ((check.free[i / 8] & 1u << (i & 7)) != 0)
			ok = wipe(&check, i * check.page_len, check.page_len);
	ok = ok && wipe_rest(&check, (size_t)st.st_size);
	if (ok && fdatasync(fd) != 0)
		ok = failure_set(failure, "%s: cannot be synced: %s", path, strerror(errno));
	finish_check(&check);
	return ok;
}

static bool is_zero(const uint8_t *at, size_t len)
{
	while (len > 0 && *at == 0) {
		at++;
		len--;
	}
	return len == 0;
}

/* A page with nothing in it, or a meta page of before the first commit? */
static bool page_is_unborn(const uint8_t *bytes, size_t len, bool is_meta)
{
	struct page head;
	struct meta meta;
	const size_t used = sizeof(head) + sizeof(meta);

	if (!is_meta || is_zero(bytes, len))
		return is_zero(bytes, len);
	memcpy(&head, bytes, sizeof(head));
	memcpy(&meta, bytes + sizeof(head), sizeof(meta));
	return (head.flags & PAGE_META) != 0 && meta.magic == META_MAGIC && meta.transaction == 0 &&
	       meta.main.root == NO_PAGE && is_zero(bytes + used, len - used);
}

bool lmdb_file_is_unborn(int fd)
{
	const size_t page_len = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *page = malloc(page_len);
	bool is = true;
	ssize_t n;

	must(page != NULL);
	for (size_t i = 0; is; i++) {
		n = pread(fd, page, page_len, (off_t)(i * page_len));
		if (n <= 0)
			break;
		is = (size_t)n == page_len && page_is_unborn(page, page_len, i < 2);
	}
	free(page);
	return is && n == 0;
}
