/* config_places.c - values that are a port and an address: config_values.c has their lines. */
#include "broker/config_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* PORT [ADDRESS]; cuts `value` in two, unless it is wrong.  The address is NULL when there is none.
 */
static bool read_port_and_address(char *value, uint16_t *port, char **address)
{
	uint64_t number = 0;
	char *end = value + strcspn(value, " \t");
	char *rest = end + strspn(end, " \t");
	const char blank = *end;
	*address = *rest ? rest : NULL;
	*end = '\0';
	if (config_read_number(value, &number) && number <= UINT16_MAX && !strpbrk(rest, " \t")) {
		*port = (uint16_t)number;
		return true;
	}
	*end = blank;
	return false;
}

/* As a file's name it would be a mistake. */
static bool is_address(const char *text)
{
	struct in_addr v4;
	struct in6_addr v6;
	return strcmp(text, "localhost") == 0 || inet_pton(AF_INET, text, &v4) == 1 ||
	       inet_pton(AF_INET6, text, &v6) == 1;
}

bool config_set_listener(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field)
{
	(void)field;
	uint16_t port = 0;
	char *address = NULL;
	const bool full = reader->draft_count == CONFIG_LISTENERS_MAX + 1;
	/* A listener that is wrong still begins a block, so that what follows belongs to it. */
	struct config_draft *draft = config_add_draft(reader);
	if (full)
		return config_problem(reader, key->name,
				      "is one of more than %u; right would be fewer listeners",
				      (unsigned)CONFIG_LISTENERS_MAX);
	if (!read_port_and_address(value, &port, &address))
		return config_wrong(reader, key, value);
	if (port == 0 && (!address || is_address(address)))
		return config_problem(reader, key->name,
				      "port 0 means a Unix socket; right would be its path, or a "
				      "port from 1 to 65535");
	if (port == 0) {
		draft->value.path = config_keep(reader->config, address);
		return true;
	}
	draft->value.port = port;
	draft->value.address = address ? config_keep(reader->config, address) : NULL;
	return true;
}

bool config_set_port(struct config_reader *reader, const struct config_key *key, char *value,
		     void *field)
{
	(void)field;
	uint64_t number = 0;
	if (!config_read_number(value, &number) || number < 1 || number > UINT16_MAX)
		return config_wrong(reader, key, value);
	reader->port = (uint16_t)number;
	return true;
}

bool config_set_bind_address(struct config_reader *reader, const struct config_key *key,
			     char *value, void *field)
{
	(void)field;
	if (strpbrk(value, " \t"))
		return config_wrong(reader, key, value);
	reader->bind_address = config_keep(reader->config, value);
	return true;
}

/* PORT [ADDRESS] of what is served over HTTP: this machine only, if none is given. */
static bool set_http(struct config_reader *reader, const struct config_key *key, char *value,
		     uint16_t *to_port, const char **to_address)
{
	uint16_t port = 0;
	char *address = NULL;
	if (!read_port_and_address(value, &port, &address) || port == 0)
		return config_wrong(reader, key, value);
	*to_port = port;
	*to_address = address ? config_keep(reader->config, address) : "127.0.0.1";
	return true;
}

bool config_set_admin_listener(struct config_reader *reader, const struct config_key *key,
			       char *value, void *field)
{
	(void)field;
	return set_http(reader, key, value, &reader->config->admin_port,
			&reader->config->admin_address);
}

bool config_set_log_listener(struct config_reader *reader, const struct config_key *key,
			     char *value, void *field)
{
	(void)field;
	return set_http(reader, key, value, &reader->config->log_port,
			&reader->config->log_address);
}

/* ---- do two of them meet? */

/* The addresses that a listener opens; the unspecified one is all of its family. */
struct reach {
	bool v4, v6;
	struct in_addr at_v4;
	struct in6_addr at_v6;
};

static struct reach reach_of(const struct config_listener *listener)
{
	const char *address = listener->address;
	struct reach reach = {true, true, {htonl(INADDR_ANY)}, in6addr_any};
	if (address && strcmp(address, "localhost") == 0) {
		reach.at_v4.s_addr = htonl(INADDR_LOOPBACK);
		reach.v6 = false; /* not on every machine */
	} else if (address) {
		reach.v4 = inet_aton(address, &reach.at_v4) != 0;
		reach.v6 = inet_pton(AF_INET6, address, &reach.at_v6) == 1;
	}
	reach.v4 = reach.v4 && listener->socket_domain != AF_INET6;
	reach.v6 = reach.v6 && listener->socket_domain != AF_INET;
	return reach;
}

static bool reaches_meet(const struct reach *a, const struct reach *b)
{
	const in_addr_t any = htonl(INADDR_ANY), v4 = a->at_v4.s_addr;
	const bool meet_v4 = v4 == b->at_v4.s_addr || v4 == any || b->at_v4.s_addr == any;
	const bool meet_v6 = IN6_ARE_ADDR_EQUAL(&a->at_v6, &b->at_v6) ||
			     IN6_IS_ADDR_UNSPECIFIED(&a->at_v6) ||
			     IN6_IS_ADDR_UNSPECIFIED(&b->at_v6);
	return (a->v4 && b->v4 && meet_v4) || (a->v6 && b->v6 && meet_v6);
}

bool config_places_meet(const struct config_listener *a, const struct config_listener *b)
{
	if (a->path || b->path)
		return a->path && b->path && strcmp(a->path, b->path) == 0;
	/* Without an interface it is every one. */
	if (a->port != b->port || (a->bind_interface && b->bind_interface &&
				   strcmp(a->bind_interface, b->bind_interface) != 0))
		return false;
	const bool same_name = a->address && b->address && strcmp(a->address, b->address) == 0 &&
			       (a->socket_domain == b->socket_domain ||
				a->socket_domain == AF_UNSPEC || b->socket_domain == AF_UNSPEC);
	const struct reach of_a = reach_of(a), of_b = reach_of(b);
	return same_name || reaches_meet(&of_a, &of_b);
}
