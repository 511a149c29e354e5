/*
 * identity.h - who the transport has proved a peer to be: by a certificate, a
 * pre-shared key, or the kernel's word.  Kinds are kept apart, so that the name in a
 * certificate is never that of an account.
 *
 * Ownership: whoever made the connection's stream has the struct and its name; both
 * stay as they are until the connection is closed.
 * Thread: any.
 */
#ifndef PROTO_IDENTITY_H
#define PROTO_IDENTITY_H

#include "proto/base.h"

enum identity_kind {
	IDENTITY_CERTIFICATE, /* a name from a certificate that was verified */
	IDENTITY_PSK,	      /* the identity whose pre-shared key the peer has */
	IDENTITY_UID,	      /* a user of this machine, in decimal digits */
};

struct identity {
	enum identity_kind kind;
	struct slice name; /* UTF-8 as MQTT strings have to be, 1 to 65,535 bytes */
};

#endif
