/*
 * The PROXY protocol's header: never read beyond what came, the same verdict however it
 * is cut, and never another one once it is whole.  A name is of who was verified, over TLS.
 *
 * The input: a byte that says which version, and what a load balancer sends.
 */
#include "broker/net/networks.h"
#include "broker/net/proxy_header.h"
#include "tests/fuzz/fuzz.h"

static enum proxy_step read_exactly(struct slice bytes, unsigned version,
				    struct proxy_header *header)
{
	struct slice copy = exact_copy(bytes);
	enum proxy_step step = proxy_header_read(copy, version, header);
	struct slice name = header->common_name;

	if (step == PROXY_DONE) {
		claim(!header->verified || header->over_tls);
		claim(name.len == 0 || (header->verified && version == 2));
		claim(name.len == 0 ||
		      (name.at > copy.at && name.at + name.len <= copy.at + header->len));
	}
	exact_free(copy);
	return step;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {slice_of(data, size)};
	unsigned version = 1 + (take_u8(&input) & 1);
	struct slice bytes = take_bytes(&input, PROXY_HEADER_MAX);
	struct proxy_header whole;
	struct proxy_header part;
	enum proxy_step verdict = read_exactly(bytes, version, &whole);

	if (verdict == PROXY_DONE) {
		claim(whole.len > 0 && whole.len <= bytes.len);
		claim(!whole.has_peer || whole.peer.ss_family == AF_INET ||
		      whole.peer.ss_family == AF_INET6);
	}
	if (verdict == PROXY_MORE) /* a reader's buffer never fills up */
		claim(bytes.len < (version == 1 ? PROXY_V1_MAX : PROXY_HEADER_MAX));
	/* Nothing that came later changes what was seen: a prefix says the same, or `more`. */
	for (size_t len = 0; len < bytes.len; len++) {
		enum proxy_step step = read_exactly(slice_of(bytes.at, len), version, &part);

		claim(step == PROXY_MORE || step == verdict);
		claim(step != PROXY_DONE || part.len == whole.len);
		claim(step != PROXY_DONE || (part.verified == whole.verified &&
					     part.common_name.len == whole.common_name.len));
		claim(verdict != PROXY_DONE || len < whole.len || step == PROXY_DONE);
	}
	return 0;
}
