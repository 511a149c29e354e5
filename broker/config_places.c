/* config_places.c - values that are a port and an address: config_values.c has their lines. */
#include "broker/config_internal.h"

#include <string.h>

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

bool config_set_listener(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field)
{
	(void)field;
	uint16_t port = 0;
	char *address = NULL;
	/* A listener that is wrong still begins a block, so that what follows belongs to it. */
	struct config_draft *draft = config_add_draft(reader);
	if (!read_port_and_address(value, &port, &address))
		return config_wrong(reader, key, value);
	if (port == 0 && (!address || address[0] != '/'))
		return config_problem(reader, key->name,
				      "port 0 means a Unix socket; right would be its path, from "
				      "/ on, or a port from 1 to 65535");
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
