/*
 * tls_name.c - the name of a certificate's subject as mosquitto gives it to its
 * access lists: the first Common Name, or the whole of it as RFC 2253 writes it, the
 * last part first: "CN=device 7,O=Example,C=GB".
 *
 * A name that could be read in two ways is no name: parts of types that have no short
 * name, strings in encodings other than ASCII and UTF-8, a NUL, control characters.
 * [bad-inputs 70]
 */
#include "broker/net/tls_internal.h"
#include "proto/utf8.h"
#include <stdlib.h>

#define NAME_MAX_BYTES 1024u
#define PARTS_MAX      32u

struct text {
	size_t len;
	uint8_t at[NAME_MAX_BYTES];
};

struct slice tls_name_copy(struct slice name)
{
	if (name.len == 0 || name.len > UINT16_MAX || !utf8_string_accepted(name))
		return SLICE_NONE;
	uint8_t *copy = malloc(name.len);

	must(copy);
	memcpy(copy, name.at, name.len);
	return slice_of(copy, name.len);
}

/* The encodings in which bytes are characters as we know them. */
static bool is_text(const mbedtls_x509_buf *value)
{
	return value->tag == MBEDTLS_ASN1_UTF8_STRING ||
	       value->tag == MBEDTLS_ASN1_PRINTABLE_STRING || value->tag == MBEDTLS_ASN1_IA5_STRING;
}

static struct slice common_name(const mbedtls_x509_name *part)
{
	for (; part; part = part->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) == 0)
			return is_text(&part->val)
				   ? tls_name_copy(slice_of(part->val.p, part->val.len))
				   : SLICE_NONE;
	return SLICE_NONE;
}

static bool put(struct text *text, const char *bytes, size_t len)
{
	if (len > sizeof(text->at) - text->len)
		return false;
	memcpy(text->at + text->len, bytes, len);
	text->len += len;
	return true;
}

static bool put_hexadecimal(struct text *text, uint8_t byte)
{
	static const char digits[] = "0123456789ABCDEF";
	const char escaped[3] = {'\\', digits[byte >> 4], digits[byte & 15]};

	return put(text, escaped, sizeof(escaped));
}

/* RFC 2253 section 2.4; what is not ASCII is escaped too, as OpenSSL does. */
static bool put_value(struct text *text, const mbedtls_x509_buf *value)
{
	for (size_t i = 0; i < value->len; i++) {
		uint8_t byte = value->p[i];
		bool first = i == 0;
		bool last = i + 1 == value->len;
		char escaped[2] = {'\\', (char)byte};

		if (byte < 0x20 || byte > 0x7e) {
			if (!put_hexadecimal(text, byte))
				return false;
		} else if (strchr(",+\"\\<>;", byte) || (byte == '#' && first) ||
			   (byte == ' ' && (first || last))) {
			if (!put(text, escaped, 2))
				return false;
		} else if (!put(text, escaped + 1, 1)) {
			return false;
		}
	}
	return true;
}

static bool put_part(struct text *text, const mbedtls_x509_name *part)
{
	const char *type = NULL;
	struct slice value = slice_of(part->val.p, part->val.len);

	if (mbedtls_oid_get_attr_short_name(&part->oid, &type) != 0 || !is_text(&part->val) ||
	    !utf8_string_accepted(value))
		return false;
	return (text->len == 0 || put(text, ",", 1)) && put(text, type, strlen(type)) &&
	       put(text, "=", 1) && put_value(text, &part->val);
}

static struct slice subject(const mbedtls_x509_name *part)
{
	const mbedtls_x509_name *parts[PARTS_MAX];
	struct text text = {0};
	size_t count = 0;

	for (; part; part = part->next) {
		if (count == PARTS_MAX)
			return SLICE_NONE;
		parts[count++] = part;
	}
	while (count > 0)
		if (!put_part(&text, parts[--count]))
			return SLICE_NONE;
	return tls_name_copy(slice_of(text.at, text.len));
}

struct slice tls_name_of(const mbedtls_x509_crt *certificate, enum tls_name what)
{
	return what == TLS_NAME_COMMON ? common_name(&certificate->subject)
				       : subject(&certificate->subject);
}
