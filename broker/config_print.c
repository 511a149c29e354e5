/*
 * config_print.c - what people read about a configuration: the example file,
 * the manual page, the report of --test-config.  All from the table.
 */
#include "proto/version.h"
#include "broker/config_internal.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/options.h"

#define TEXT_WIDTH 78

/* Words of a sentence in lines that begin with "# ". */
static void add_comment(struct config_text *text, const char *sentence)
{
	size_t column = 0;
	while (*sentence) {
		const size_t len = strcspn(sentence, " ");
		if (column == 0 || column + 1 + len > TEXT_WIDTH) {
			config_text_add(text, "%s#", column == 0 ? "" : "\n");
			column = 1;
		}
		config_text_add(text, " %.*s", (int)len, sentence);
		column += len + 1;
		sentence += len + (sentence[len] == ' ');
	}
	config_text_add(text, "\n");
}

static void add_example_key(struct config_text *text, const struct config_key *key)
{
	char sentence[1024], form[256];
	if (key->status == STATUS_WORKS) {
		add_comment(text, key->meaning);
		snprintf(sentence, sizeof(sentence), "(%s)", config_form(key, form, sizeof(form)));
		add_comment(text, sentence);
		config_text_add(text, "#%s %s\n\n", key->name, key->fallback);
		return;
	}
	snprintf(sentence, sizeof(sentence), "%s: %s", key->name, key->meaning);
	add_comment(text, sentence);
}

static void write_all(int fd, const struct config_text *text)
{
	for (size_t done = 0; done < text->len;) {
		const ssize_t written = write(fd, text->at + done, text->len - done);
		if (written <= 0)
			return;
		done += (size_t)written;
	}
}

void config_write_example(int fd)
{
	struct config_text text = {NULL, 0, 0};
	config_text_add(
	    &text,
	    "# metrino.conf - every key of metrinod, with its default.\n"
	    "#\n"
	    "# A line is a key and its value; # in the first column begins a comment. Where a\n"
	    "# default stands in <angle brackets> it is found at start.\n"
	    "#\n"
	    "# The two lines that serve every device in the network, with no password: anyone\n"
	    "# who reaches the port may then read and write every message.\n"
	    "#\n"
	    "#     listener 1883\n"
	    "#     allow_anonymous true\n");
	for (size_t i = 0; i < config_line_count; i++) {
		const struct config_key *key = &config_keys[i];
		if (key->section)
			config_text_add(&text, "\n# ---- %s ----\n\n", key->section);
		else
			add_example_key(&text, key);
	}
	write_all(fd, &text);
	free(text.at);
}

/* Text for troff: its own characters escaped. */
static void add_roff(struct config_text *text, const char *words)
{
	for (const char *at = words; *at; at++) {
		if (*at == '\\')
			config_text_add(text, "\\e");
		else if (*at == '-')
			config_text_add(text, "\\-");
		else if ((*at == '.' || *at == '\'') && at == words)
			config_text_add(text, "\\&%c", *at);
		else
			config_text_add(text, "%c", *at);
	}
}

static void add_manual_key(struct config_text *text, const struct config_key *key)
{
	char form[256];
	config_text_add(text, ".TP\n.B ");
	add_roff(text, key->name);
	config_text_add(text, "\n");
	add_roff(text, key->meaning);
	config_text_add(text, "\n");
	if (key->status != STATUS_WORKS)
		return;
	if (key->said) {
		config_text_add(text, ".br\nUnlike mosquitto: ");
		add_roff(text, key->said);
		config_text_add(text, ".\n");
	}
	config_text_add(text, ".br\nValue: ");
	add_roff(text, config_form(key, form, sizeof(form)));
	config_text_add(text, ". Default: ");
	add_roff(text, key->fallback);
	config_text_add(text, ".%s\n", key->scope == SCOPE_LISTENER ? " For each listener." : "");
}

static const char manual_head[] =
    ".\\\" Made by metrinod --config-manual from broker/config.def: edit that table.\n"
    ".TH METRINO.CONF 5 \"\" \"Metrino " METRINO_VERSION "\" \"Metrino\"\n"
    ".SH NAME\n"
    "metrino.conf \\- the configuration file of metrinod\n"
    ".SH DESCRIPTION\n"
    "The grammar is that of mosquitto: one key and its value per line, # in the first column\n"
    "begins a comment, a value may hold spaces.\n"
    "A\n.B listener\nline opens a block: the keys of a listener belong to the one above them;\n"
    "above the first one they belong to the default listener.\n"
    "The text is UTF\\-8; line ends may be those of Windows.\n"
    "A number that is written twice has its last value; a text that is written twice is a "
    "mistake,\n"
    "and so is a key of all listeners, such as allow_anonymous, that is true below one listener "
    "and false elsewhere.\n"
    "0 never means unlimited: the word\n.B unlimited\nis written.\n"
    "A path that does not begin with / is sought in the folder in which the broker was started, "
    "also by\n.BR \"metrinod \\-d\" .\n"
    ".PP\n"
    "All problems of a file are listed at once, each with file, line, key and what would be "
    "right;\n"
    ".B metrinod \\-\\-test\\-config\n"
    "does that and nothing else.\n"
    "A key that this version does not have is a problem, so that a file never opens a listener "
    "that is\n"
    "less protected than it says.\n"
    ".SH EXAMPLE\n"
    "Serve every device in the network, with no password. Anyone who reaches the port may read "
    "and\n"
    "write every message:\n"
    ".PP\n.nf\nlistener 1883\nallow_anonymous true\n.fi\n";

void config_write_manual(int fd)
{
	struct config_text text = {NULL, 0, 0};
	config_text_add(&text, "%s", manual_head);
	for (size_t i = 0; i < config_line_count; i++) {
		if (config_keys[i].section)
			config_text_add(&text, ".SH \"%s\"\n", config_keys[i].section);
		else
			add_manual_key(&text, &config_keys[i]);
	}
	config_text_add(&text, ".SH \"SEE ALSO\"\n.BR metrinod (8)\n");
	write_all(fd, &text);
	free(text.at);
}

static const char *shown_domain(int domain)
{
	return domain == AF_INET ? ", IPv4 only" : domain == AF_INET6 ? ", IPv6 only" : "";
}

/* Without accounts, then with them; of each without and with password_file. */
static const char *const shown_users[2][2] = {
    {"nobody may connect", "users of password_file may connect"},
    {"accounts may connect", "accounts and users of password_file may connect"},
};

static const char *shown_guests(const struct config *config, const struct config_listener *listener)
{
	if (config_listener_proves(listener))
		return "clients prove who they are";
	if (!listener->settings.allow_anonymous)
		return shown_users[config->persistence][config->password_file != NULL];
	return listener->transport.tls.require_certificate ? "anyone with a certificate may connect"
							   : "anyone who reaches it may connect";
}

static void describe_listener(const struct config *config, const struct config_listener *listener,
			      FILE *out)
{
	if (listener->path) {
		fprintf(out, "listener %u: the Unix socket %s; %s\n",
			(unsigned)listener->settings.number + 1, listener->path,
			shown_guests(config, listener));
		return;
	}
	fprintf(out, "listener %u: port %u on %s%s%s%s%s%s; %s\n",
		(unsigned)listener->settings.number + 1, (unsigned)listener->port,
		listener->address ? listener->address : "every address",
		listener->bind_interface ? " of " : "",
		listener->bind_interface ? listener->bind_interface : "",
		shown_domain(listener->address ? AF_UNSPEC : listener->socket_domain),
		listener->transport.tls.certfile || listener->psk_hint ? ", TLS" : "",
		listener->transport.ws.on ? ", WebSocket" : "", shown_guests(config, listener));
}

void config_describe(const struct config *config, FILE *out)
{
	for (size_t i = 0; i < config->notice_count; i++)
		fprintf(out, "note: %s\n", config->notices[i]);
	for (size_t i = 0; i < config->listener_count; i++)
		describe_listener(config, &config->listeners[i], out);
	if (config->admin_address)
		fprintf(out, "admin listener: port %u on %s\n", (unsigned)config->admin_port,
			config->admin_address);
	if (config->log_address)
		fprintf(out, "log listener: port %u on %s\n", (unsigned)config->log_port,
			config->log_address);
	fprintf(out, "data: %s\n", config->persistence ? config->persistence_location : "none");
	fprintf(out, "workers: %u\n", (unsigned)config->workers);
	if (config->core.memory_limit == UINT64_MAX)
		fprintf(out, "memory limit: unlimited\n");
	else
		fprintf(out, "memory limit: %llu bytes\n",
			(unsigned long long)config->core.memory_limit);
}
