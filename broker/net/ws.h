/*
 * ws.h - WebSocket as a stream, over another one: TCP or TLS.  The opening handshake
 * is ours (ws_opening.h), the frames are libwslay's, which no other file knows.
 *
 * MQTT sees the payload of binary frames as one stream of bytes, however it is cut
 * into frames and fragments [MQTT-6.0.0-2] [MQTT3-6.0.0-2]; any other data frame ends
 * the connection [MQTT-6.0.0-1] [MQTT3-6.0.0-1].  Payload is passed on as it comes:
 * nothing is allocated by a length that a peer has announced.
 *
 * Who breaks the rules is told with a close frame (1002, 1003, 1009) or with an HTTP
 * status, and gets the time to read it.
 *
 * Cost: some 9 kB of heap for each connection; no payload stays in it.
 * Thread: as stream.h.
 */
#ifndef BROKER_NET_WS_H
#define BROKER_NET_WS_H

#include "broker/net/stream.h"
#include "broker/net/ws_opening.h"

struct transport;

/* Takes the stream beneath; keeps the transport, whose settings these are. */
struct stream ws_stream_over(struct stream inner, const struct ws_settings *settings,
			     struct transport *transport);

#endif
