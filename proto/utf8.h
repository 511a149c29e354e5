/*
 * utf8.h - strict UTF-8 as RFC 3629 has it: no overlong forms, no surrogates,
 * nothing above U+10FFFF. [MQTT-1.5.4-1]  Pure, no heap.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include "proto/base.h"

/* Well-formed UTF-8; U+0000 allowed (payloads with format indicator 1). */
bool utf8_valid(struct slice text);

/* Well-formed and without U+0000: what every MQTT string has to be. [MQTT-1.5.4-2] */
bool utf8_string_valid(struct slice text);

/*
 * The same without what a string should not hold and a receiver may refuse: control
 * characters and non-characters (MQTT 5.0 section 1.5.4, 3.1.1 section 1.5.3).  All
 * strings in packets are held to this, so that none of them reaches a subscriber.
 */
bool utf8_string_accepted(struct slice text);

#endif
