/*
 * http_target.h - which page a request asks for: its request target without what stands before the
 * path.  RFC 9112 section 3.2.
 *
 * Origin-form is a path.  Absolute-form, as clients send it to a proxy, and as each server has to
 * take it, names the authority as well: that is not looked at, as Host is not.
 *
 * Ownership: slices borrow.  Thread: any.
 */
#ifndef BROKER_NET_HTTP_TARGET_H
#define BROKER_NET_HTTP_TARGET_H

#include "proto/base.h"

/* The target without its query; what is no absolute-form is given back as it is. */
struct slice http_target_path(struct slice target);

#endif
