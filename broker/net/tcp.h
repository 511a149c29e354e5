/*
 * tcp.h - plain TCP as a stream, and what is set on its sockets. [MQTT-4.2-1] [MQTT3-7.1.1-1]
 * [MQTT3-7.0.0-2]
 *
 * Thread: as stream.h.
 */
#ifndef BROKER_NET_TCP_H
#define BROKER_NET_TCP_H

#include "broker/net/stream.h"

extern const struct stream_class tcp_stream;

/* Takes a connected, non-blocking socket. */
struct stream tcp_stream_of(int fd);

/* The same, of a Unix socket. */
struct stream tcp_stream_of_unix(int fd);

/* The same, whose peer is known to be of this user. */
struct stream tcp_stream_of_user(int fd, uid_t uid);

/* The same, of either kind, whose peer a load balancer knows by a certificate with this name. */
struct stream tcp_stream_of_certificate(int fd, struct slice name);

#endif
