/*
 * identity.h - who somebody has been found to be: by the transport, which takes the word of a
 * certificate, a pre-shared key or the kernel; or by a password.  Kinds are kept apart: the name in
 * a certificate is never that of an account, whatever it says.
 *
 * Ownership: whoever made the connection's stream has the struct and its name; both
 * stay as they are until the connection is closed.
 * Thread: any.
 */
#ifndef PROTO_IDENTITY_H
#define PROTO_IDENTITY_H

#include "proto/base.h"

enum identity_kind {
	IDENTITY_NOBODY,      /* no name, or one that nobody proved */
	IDENTITY_ACCOUNT,     /* acct: an account, by its password or one of its device keys */
	IDENTITY_FILE,	      /* file: a user of password_file */
	IDENTITY_CERTIFICATE, /* cert: a name from a certificate that was verified, here or by a
				 balancer */
	IDENTITY_PSK,	      /* psk: the identity whose pre-shared key the peer has */
	IDENTITY_UID,	      /* uid: a user of this machine, in decimal digits */
	IDENTITY_KINDS
};

struct identity {
	enum identity_kind kind;
	struct slice name; /* UTF-8 as MQTT strings have to be, 1 to 65,535 bytes */
};

#endif
