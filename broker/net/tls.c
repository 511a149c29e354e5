/*
 * tls.c - connections over TLS: tls.h.  Sources: RFC 5246 (TLS 1.2), 5077 (tickets),
 * 4279 (pre-shared keys), 7301 (ALPN), 5280 (certificates).
 */
#include "broker/net/tls_internal.h"
#include "broker/net/transport.h"
#include "broker/net/wipe.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Sealed bytes are read behind so much room, and opened into what is before them: a
 * record's content is shorter than its envelope, but for one record whose beginning the
 * library has kept from the last time.
 */
#define RECORD_ROOM 17408u
#define RECORD_MAX  16384u

_Static_assert(STREAM_READ_MIN >= 2 * RECORD_ROOM, "there is room for sealed and open bytes");

/*
 * The messages of a whole handshake have some 64 kB at most, the library takes no larger ones. What
 * comes beside them, warnings in any number, it passes over in silence.
 */
#define OPENING_MAX 131072u

/* ---- the library's side */

/* Gives what was read from the socket. */
static int give_sealed(void *self, unsigned char *out, size_t room)
{
	struct tls_link *link = self;
	size_t n = link->input.len < room ? link->input.len : room;

	if (n == 0)
		return MBEDTLS_ERR_SSL_WANT_READ;
	memcpy(out, link->input.at, n);
	link->input = slice_after(link->input, n);
	return (int)n;
}

static ssize_t send_some(struct tls_link *link, struct slice bytes)
{
	ssize_t n = send(link->fd, bytes.at, bytes.len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		link->dead = true;
	return n > 0 ? n : 0;
}

/* Takes all: what the socket does not want now waits in the backlog. */
static int take_sealed(void *self, const unsigned char *bytes, size_t len)
{
	struct tls_link *link = self;
	size_t sent = 0;

	if (link->backlog.len == 0 && !link->dead)
		sent = (size_t)send_some(link, slice_of(bytes, len));
	link->dead = link->dead || link->backlog.len > BACKLOG_MAX;
	if (link->dead)
		return MBEDTLS_ERR_NET_CONN_RESET;
	backlog_add(&link->backlog, link->shelf, slice_of(bytes + sent, len - sent));
	return (int)len;
}

static bool set_key(struct tls_link *link, const struct psk *psk)
{
	struct slice identity = tls_name_copy(psk->identity);

	free((void *)(uintptr_t)link->psk.at);
	link->psk = identity;
	return mbedtls_ssl_set_hs_psk(&link->ssl, psk->key, psk->key_len) == 0;
}

/* Nobody of that name: a key that nobody has, so that both mistakes have the same end. */
static bool set_random_key(struct tls_link *link)
{
	uint8_t key[PSK_KEY_MAX];

	return tls_draw(NULL, key, sizeof(key)) == 0 &&
	       mbedtls_ssl_set_hs_psk(&link->ssl, key, sizeof(key)) == 0;
}

int tls_give_key(void *self, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t len)
{
	const struct tls_server *server = self;
	struct tls_link *link = (struct tls_link *)ssl;
	const struct psk *psk = psk_find(server->psk, slice_of(identity, len));

	return (psk ? set_key(link, psk) : set_random_key(link)) ? 0
								 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* ---- the handshake */

/* What was verified is as old as the ticket in a resumed session: its time may be over since. */
static bool is_over(const mbedtls_x509_crt *peer, const struct tls_server *server)
{
	const mbedtls_x509_crl *list = server->has_revoked ? &server->revoked : NULL;

	for (; list; list = list->next)
		if (tls_is_of_issuer(list, peer) && mbedtls_x509_time_is_past(&list->next_update))
			return true;
	return mbedtls_x509_time_is_past(&peer->valid_to);
}

static bool take_certificate_name(struct tls_link *link, const mbedtls_x509_crt *peer)
{
	if (!peer || mbedtls_ssl_get_verify_result(&link->ssl) != 0)
		return false;
	link->identity.kind = IDENTITY_CERTIFICATE;
	link->identity.name = tls_name_of(peer, link->server->name);
	return link->identity.name.len > 0;
}

/* False for a peer that may not come in although the handshake came to its end. */
static bool take_identity(struct tls_link *link)
{
	const struct tls_server *server = link->server;
	const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&link->ssl);

	if (link->psk.len > 0) {
		if (!server->identity_of_psk)
			return true;
		link->identity.kind = IDENTITY_PSK;
		link->identity.name = tls_name_copy(link->psk);
		return link->identity.name.len > 0;
	}
	if (peer && is_over(peer, server))
		return false;
	return server->name == TLS_NAME_NONE || take_certificate_name(link, peer);
}

static ssize_t end_conversation(struct tls_link *link)
{
	link->over = true;
	link->input = SLICE_NONE;
	return link->dead ? STREAM_GONE : STREAM_DONE;
}

/* The peer is told why, where the library has not done so itself. */
static ssize_t turn_away(struct tls_link *link, unsigned char alert)
{
	mbedtls_ssl_send_alert_message(&link->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
	return end_conversation(link);
}

/* 0 when the handshake is over; else what read() gives. */
static ssize_t shake_hands(struct stream *stream, struct tls_link *link)
{
	const size_t len = link->input.len;
	int error = mbedtls_ssl_handshake(&link->ssl);

	if (error == MBEDTLS_ERR_SSL_WANT_READ) {
		link->opening_bytes += len;
		return link->opening_bytes <= OPENING_MAX ? STREAM_AGAIN : end_conversation(link);
	}
	if (error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE) /* RFC 5246 section 7.4.6 */
		return turn_away(link, MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
	if (error != 0)
		return end_conversation(link);
	if (!take_identity(link))
		return turn_away(link, MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
	stream->opening = false;
	return 0;
}

/* ---- the stream */

static ssize_t receive(int fd, uint8_t *at, size_t room)
{
	ssize_t n = recv(fd, at, room, 0);

	if (n >= 0)
		return n > 0 ? n : STREAM_END;
	return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_GONE;
}

/* The peer said goodbye, or what is no record; the `got` bytes before that were right. */
static ssize_t end_records(struct stream *stream, struct tls_link *link, int error, size_t got)
{
	bool goodbye = error == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || error == 0;
	ssize_t end = end_conversation(link);

	stream->done = got > 0 || goodbye;
	if (got > 0)
		return (ssize_t)got;
	return goodbye ? STREAM_END : end;
}

/* What the sealed bytes hold; all of them are taken. */
static ssize_t open_records(struct stream *stream, struct tls_link *link, uint8_t *at)
{
	size_t got = 0;

	for (;;) {
		int n = mbedtls_ssl_read(&link->ssl, at + got, RECORD_MAX);

		if (n > 0)
			got += (size_t)n;
		else if (n == MBEDTLS_ERR_SSL_WANT_READ)
			return got > 0 ? (ssize_t)got : STREAM_AGAIN;
		else
			return end_records(stream, link, n, got);
	}
}

static ssize_t tls_read(struct stream *stream, uint8_t *at, size_t room)
{
	struct tls_link *link = stream->state;

	must(room >= STREAM_READ_MIN);
	ssize_t n = receive(link->fd, at + RECORD_ROOM, room - RECORD_ROOM);

	if (n <= 0)
		return n;
	if (link->over)
		return STREAM_AGAIN;
	link->input = slice_of(at + RECORD_ROOM, (size_t)n);
	if (stream->opening)
		n = shake_hands(stream, link);
	if (!stream->opening && !link->over)
		n = open_records(stream, link, at);
	stream->backlog = link->backlog.len > 0;
	return n;
}

/* The socket failed: what waits for it goes, and the peer's last words are still to be read. */
static ssize_t fall_mute(struct stream *stream, struct tls_link *link)
{
	backlog_finish(&link->backlog, link->shelf);
	stream->backlog = false;
	stream->mute = true;
	return STREAM_GONE;
}

static ssize_t flush(struct stream *stream, struct tls_link *link)
{
	while (link->backlog.len > 0) {
		size_t n = (size_t)send_some(link, backlog_bytes(&link->backlog));

		if (n == 0)
			break;
		backlog_drop(&link->backlog, link->shelf, n);
	}
	stream->backlog = link->backlog.len > 0;
	if (link->dead)
		return fall_mute(stream, link);
	return stream->backlog ? STREAM_AGAIN : 0;
}

/* Small slices share a record; the first one goes alone, uncopied, when it fills one. */
static struct slice gather(const struct slice *slices, size_t count, size_t skip, uint8_t *room)
{
	size_t len = 0;

	if (slices[0].len - skip >= RECORD_MAX || count == 1)
		return slice_after(slices[0], skip);
	for (size_t i = 0; i < count && len < RECORD_MAX; i++) {
		struct slice from = slice_after(slices[i], i == 0 ? skip : 0);
		size_t n = from.len < RECORD_MAX - len ? from.len : RECORD_MAX - len;

		memcpy(room + len, from.at, n);
		len += n;
	}
	return slice_of(room, len);
}

/* As many records as the socket takes; `room` is for what has to be gathered. */
static ssize_t write_records(struct stream *stream, const struct slice *slices, size_t count,
			     uint8_t *room)
{
	struct tls_link *link = stream->state;
	size_t taken = 0;
	size_t skip = 0; /* bytes of the first slice that are written */

	while (count > 0 && !stream->backlog) {
		struct slice bytes = gather(slices, count, skip, room);
		int n = bytes.len > 0 ? mbedtls_ssl_write(&link->ssl, bytes.at, bytes.len) : 0;

		if (n < 0)
			return link->dead ? fall_mute(stream, link) : STREAM_GONE;
		taken += (size_t)n;
		skip += (size_t)n;
		for (; count > 0 && skip >= slices[0].len; slices++, count--)
			skip -= slices[0].len;
		stream->backlog = link->backlog.len > 0;
	}
	return (ssize_t)taken;
}

static size_t sum_of(const struct slice *slices, size_t count)
{
	size_t len = 0;

	for (size_t i = 0; i < count; i++)
		len += slices[i].len;
	return len;
}

static ssize_t tls_write(struct stream *stream, const struct slice *slices, size_t count)
{
	struct tls_link *link = stream->state;
	uint8_t room[RECORD_MAX];
	ssize_t flushed = flush(stream, link);

	if (flushed != 0)
		return flushed;
	size_t len = sum_of(slices, count);
	ssize_t n = write_records(stream, slices, count, room);

	wipe(slice_of(room, len < RECORD_MAX ? len : RECORD_MAX));
	return n;
}

static void tls_finish(struct stream *stream)
{
	struct tls_link *link = stream->state;

	if (!link->over && !stream->opening)
		mbedtls_ssl_close_notify(&link->ssl);
	flush(stream, link);
	backlog_finish(&link->backlog, link->shelf);
	stream->backlog = false;
	link->over = true;
	shutdown(link->fd, SHUT_WR);
}

static void tls_close(struct stream *stream)
{
	struct tls_link *link = stream->state;

	close(stream->fd);
	stream->fd = -1;
	stream->state = NULL;
	mbedtls_ssl_free(&link->ssl);
	tls_server_release(link->server);
	backlog_finish(&link->backlog, link->shelf);
	free((void *)(uintptr_t)link->psk.at);
	free((void *)(uintptr_t)link->identity.name.at);
	free(link);
}

static const struct identity *tls_identity(const struct stream *stream)
{
	const struct tls_link *link = stream->state;

	return link->identity.name.len > 0 ? &link->identity : NULL;
}

/* ---- after a reload */

static bool key_is_same(const struct tls_link *link, const struct tls_server *now)
{
	const struct psk *before = psk_find(link->server->psk, link->psk);
	const struct psk *after = now->psk ? psk_find(now->psk, link->psk) : NULL;

	return before && after &&
	       slice_equal(slice_of(before->key, before->key_len),
			   slice_of(after->key, after->key_len));
}

static bool is_revoked(const mbedtls_x509_crt *chain, const struct tls_server *now)
{
	for (const mbedtls_x509_crt *at = chain; at; at = at->next)
		if (tls_is_revoked(now, at))
			return true;
	return false;
}

/* A verification costs as much as a handshake: only when there are other authorities. */
static bool is_trusted(const struct tls_link *link, const mbedtls_x509_crt *chain,
		       const struct tls_server *now)
{
	mbedtls_x509_crt *certificate = (mbedtls_x509_crt *)(uintptr_t)chain;
	mbedtls_x509_crt *authorities = (mbedtls_x509_crt *)(uintptr_t)&now->authorities;
	uint32_t flags = 0;

	if (memcmp(link->server->trust, now->trust, sizeof(now->trust)) == 0)
		return true;
	return now->has_authorities && mbedtls_x509_crt_verify(certificate, authorities, NULL, NULL,
							       &flags, NULL, NULL) == 0;
}

static bool tls_welcome(const struct stream *stream, const struct transport *transport)
{
	const struct tls_link *link = stream->state;
	const struct tls_server *now = transport_tls(transport);

	if (!now || link->server == now || link->over)
		return true;
	if (stream->opening)
		return false; /* it would come in by what was in force before; it can try again */
	if (link->psk.len > 0)
		return key_is_same(link, now);
	const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&link->ssl);

	return !peer || (!mbedtls_x509_time_is_past(&peer->valid_to) && !is_revoked(peer, now) &&
			 is_trusted(link, peer, now));
}

static void tls_adopt(struct stream *stream, struct shelf *shelf)
{
	struct tls_link *link = stream->state;

	link->shelf = shelf;
}

static const struct stream_class tls_stream = {
    .adopt = tls_adopt,
    .read = tls_read,
    .write = tls_write,
    .finish = tls_finish,
    .close = tls_close,
    .identity = tls_identity,
    .welcome = tls_welcome,
};

struct stream tls_stream_of(struct tls_server *server, int fd)
{
	struct tls_link *link = calloc(1, sizeof(*link));

	must(link);
	atomic_fetch_add_explicit(&server->references, 1, memory_order_relaxed);
	link->server = server;
	link->fd = fd;
	mbedtls_ssl_init(&link->ssl);
	/* Its buffers: 33 kB that there may not be. */
	must(mbedtls_ssl_setup(&link->ssl, &server->config) == 0);
	mbedtls_ssl_set_bio(&link->ssl, link, take_sealed, give_sealed, NULL);
	return (struct stream){
	    .class = &tls_stream, .state = link, .fd = fd, .opening = true, .confidential = true};
}
