/*
 * ws_opening.h - the opening handshake of a WebSocket, RFC 6455 section 4: one HTTP
 * request comes, one answer goes; and the other way round for the `metrino` command.  MQTT's part
 * is in 5.0 section 6: the subprotocol `mqtt`, or `mqttv3.1` for what is older; the path is /mqtt
 * or /.
 *
 * A request that is cut short, too long, or not HTTP is judged as soon as that can be
 * seen; nothing of it is trusted to be text before it was looked at.
 * Pure: bytes in, bytes out; no heap.
 */
#ifndef BROKER_NET_WS_OPENING_H
#define BROKER_NET_WS_OPENING_H

#include "proto/base.h"

/* As the configuration has it; borrowed. */
struct ws_settings {
	bool on;
	const char *origins;   /* words that an Origin has to be one of; NULL: any */
	uint32_t headers_size; /* the longest request that is taken */
};

enum ws_opening_step {
	WS_OPENING_MORE, /* the request is not whole yet */
	WS_OPENING_DONE, /* the answer is yes */
	WS_OPENING_REFUSED,
};

#define WS_ANSWER_MAX 512u

struct ws_opening {
	size_t used; /* bytes of the request; what follows them are frames */
	unsigned status;
	size_t answer_len;
	char answer[WS_ANSWER_MAX];
};

/* Judges all that came so far. */
enum ws_opening_step ws_opening_read(struct slice bytes, const struct ws_settings *settings,
				     struct ws_opening *opening);

/* The answer to a peer who took too long. */
void ws_opening_time_out(struct ws_opening *opening);

/* ---- of a client */

#define WS_NONCE_LEN 16u

/* Writes the request; `host` as in a URL, with the port.  Its length, or 0 when there is no room.
 */
size_t ws_opening_ask(const uint8_t nonce[WS_NONCE_LEN], const char *host, const char *path,
		      char *request, size_t room);

/*
 * Judges all that came so far of the answer to a request with this nonce; *used gets its bytes when
 * the step is WS_OPENING_DONE.  WS_OPENING_REFUSED: the failure says why.
 */
enum ws_opening_step ws_opening_answered(struct slice bytes, const uint8_t nonce[WS_NONCE_LEN],
					 size_t *used, struct failure *failure);

#endif
