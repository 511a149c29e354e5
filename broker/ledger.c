/* ledger.c - see ledger.h. */
#include "broker/ledger.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t ledger_rounded(uint64_t count)
{
	uint64_t power = 1;

	if (count == 0)
		return 0;
	while (power <= count / 2)
		power *= 2;
	return power;
}

/* ---- JSON */

static json_t *number(uint64_t value)
{
	return value == LEDGER_UNKNOWN ? json_null() : json_integer((json_int_t)value);
}

static json_t *text(const char *words)
{
	return words && words[0] ? json_string(words) : json_null();
}

static json_t *row_json(const struct ledger_row *row)
{
	return json_pack(
	    "{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "class", row->class, "holds",
	    row->holds, "where", row->where, "until", row->until, "rows_at_least",
	    number(row->rows == LEDGER_UNKNOWN ? row->rows : ledger_rounded(row->rows)), "bytes",
	    number(row->bytes), "oldest", number(row->oldest_s), "limit_seconds",
	    number(row->limit_s), "next_destruction", number(row->next_s), "last_job",
	    number(row->job_s), "late", (int)row->late);
}

static json_t *log_json(const struct ledger *ledger)
{
	if (!ledger->has_log)
		return json_null();
	return json_pack("{s:s, s:I, s:s, s:b}", "origin", ledger->origin, "size",
			 (json_int_t)ledger->log_size, "root", ledger->log_root, "writable",
			 (int)ledger->log_writable);
}

char *ledger_json(const struct ledger *ledger, size_t *len)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < ledger->row_count; i++)
		json_array_append_new(rows, row_json(&ledger->rows[i]));
	json_t *json = json_pack(
	    "{s:s, s:I, s:s, s:o, s:o, s:i, s:{s:b, s:o}, s:{s:s, s:o}, s:s, s:o, s:o, s:o}",
	    "version", ledger->version, "time", (json_int_t)ledger->now_s, "region", ledger->region,
	    "privacy_contact", text(ledger->contact), "policy_version",
	    ledger->policy_version ? json_integer(ledger->policy_version) : json_null(),
	    "payload_bytes_on_disk", 0, "memory", "protected", (int)ledger->memory_protected,
	    "reason", text(ledger->memory), "erase", "level", ledger->erase_level, "reason",
	    text(ledger->erase), "at_rest", ledger->at_rest ? "wrapped" : "erasure only",
	    "store_bytes", number(ledger->store_bytes), "audit_log", log_json(ledger), "classes",
	    rows);

	must(json);
	char *out = json_dumps(json, JSON_INDENT(1));

	must(out);
	json_decref(json);
	*len = strlen(out);
	return out;
}

/* ---- the page */

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>Privacy ledger</title>\n<style>\n"
    ":root{color-scheme:light dark}\n"
    "body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\n"
    "h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:0}\n"
    "dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}\n"
    "section{border:1px solid #8886;border-radius:.5rem;padding:.7rem 1rem;margin:.6rem 0}\n"
    "section h2{margin:0 0 .4rem}.note{opacity:.7;margin:.2rem 0 .5rem}\n"
    ".late{border:2px solid #c00;background:#c001}.late h2::after{content:\" \\2014 late\";"
    "color:#c00}\n.bad{color:#c00;font-weight:600}\n"
    "@media(max-width:32rem){dl{grid-template-columns:1fr;gap:0}dt{margin-top:.4rem}}\n"
    "</style>\n</head>\n<body>\n";

/* Texts come from the configuration, too. */
static void escape(FILE *out, const char *words)
{
	for (; *words; words++) {
		const char *as = *words == '<'	 ? "&lt;"
				 : *words == '>' ? "&gt;"
				 : *words == '&' ? "&amp;"
				 : *words == '"' ? "&quot;"
						 : NULL;

		if (as)
			fputs(as, out);
		else
			fputc(*words, out);
	}
}

static void item(FILE *out, const char *name, const char *words, bool bad)
{
	fprintf(out, "<dt>%s</dt><dd%s>", name, bad ? " class=\"bad\"" : "");
	escape(out, words);
	fputs("</dd>\n", out);
}

static void item_time(FILE *out, const char *name, uint64_t at_s)
{
	char words[64];
	const time_t time_s = (time_t)at_s;
	struct tm utc;

	if (at_s == LEDGER_UNKNOWN || !gmtime_r(&time_s, &utc))
		return;
	strftime(words, sizeof(words), "%Y-%m-%d %H:%M UTC", &utc);
	item(out, name, words, false);
}

static void item_age(FILE *out, const char *name, uint64_t age_s)
{
	static const struct {
		uint64_t unit_s;
		const char *many;
	} units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}, {1, "seconds"}};
	char words[64];
	size_t i = 0;

	if (age_s == LEDGER_UNKNOWN)
		return;
	while (i < 3 && age_s < 2 * units[i].unit_s)
		i++;
	snprintf(words, sizeof(words), "%" PRIu64 " %s", age_s / units[i].unit_s, units[i].many);
	item(out, name, words, false);
}

static void item_bytes(FILE *out, const char *name, uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	char words[64];
	size_t unit = 0;

	if (bytes == LEDGER_UNKNOWN)
		return;
	while (bytes >= 10240 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(words, sizeof(words), "%" PRIu64 " %s", bytes, units[unit]);
	item(out, name, words, false);
}

static void item_rows(FILE *out, uint64_t rows)
{
	char words[64] = "none";

	if (rows == LEDGER_UNKNOWN)
		return;
	if (rows == 1)
		snprintf(words, sizeof(words), "1");
	else if (rows > 0)
		snprintf(words, sizeof(words), "%" PRIu64 " or more, fewer than %" PRIu64,
			 ledger_rounded(rows), 2 * ledger_rounded(rows));
	item(out, "rows", words, false);
}

static void put_row(FILE *out, const struct ledger *ledger, const struct ledger_row *row)
{
	const uint64_t age_s = row->oldest_s == LEDGER_UNKNOWN ? LEDGER_UNKNOWN
			       : row->oldest_s > ledger->now_s ? 0
							       : ledger->now_s - row->oldest_s;

	fprintf(out, "<section%s>\n<h2>%s</h2>\n<p class=\"note\">%s</p>\n<dl>\n",
		row->late ? " class=\"late\"" : "", row->class, row->holds);
	item(out, "where", row->where, false);
	item(out, "gone", row->until, false);
	item_rows(out, row->rows);
	item_bytes(out, "size", row->bytes);
	item_age(out, "oldest", age_s);
	item_age(out, "limit", row->limit_s);
	item_time(out, "next destruction", row->next_s);
	item_time(out, "last job", row->job_s);
	fputs("</dl>\n</section>\n", out);
}

static void put_broker(FILE *out, const struct ledger *ledger)
{
	char policy[32] = "none is named";

	if (ledger->policy_version > 0)
		snprintf(policy, sizeof(policy), "version %u", (unsigned)ledger->policy_version);
	fputs("<h2>Broker</h2>\n<dl>\n", out);
	item(out, "version", ledger->version, false);
	item_time(out, "as of", ledger->now_s);
	item(out, "region", ledger->region, false);
	item(out, "contact", ledger->contact ? ledger->contact : "none is named", !ledger->contact);
	item(out, "policy", policy, false);
	item(out, "payload on disk", "0 bytes", false);
	item(out, "memory",
	     ledger->memory_protected ? "out of reach of swap and core dumps" : ledger->memory,
	     !ledger->memory_protected);
	item(out, "erasure", ledger->erase[0] ? ledger->erase : ledger->erase_level,
	     ledger->erase[0] != '\0');
	item(out, "at rest",
	     ledger->at_rest ? "keys are wrapped under another key"
			     : "erasure only: whoever copies the data directory can read what it "
			       "holds now",
	     false);
	item_bytes(out, "records on disk", ledger->store_bytes);
	fputs("</dl>\n", out);
}

static void put_log(FILE *out, const struct ledger *ledger)
{
	char size[32];

	fputs("<h2>Audit log</h2>\n<dl>\n", out);
	if (ledger->has_log) {
		snprintf(size, sizeof(size), "%" PRIu64, ledger->log_size);
		item(out, "origin", ledger->origin, false);
		item(out, "entries", size, false);
		item(out, "root", ledger->log_root, false);
		item(out, "can be written", ledger->log_writable ? "yes" : "no",
		     !ledger->log_writable);
	} else {
		item(out, "log", "switched off", true);
	}
	fputs("</dl>\n", out);
}

char *ledger_page(const struct ledger *ledger, size_t *len)
{
	char *at = NULL;
	FILE *out = open_memstream(&at, len);

	must(out);
	fputs(head, out);
	fputs(
	    "<h1>Privacy ledger</h1>\n<p class=\"note\">What this broker keeps, for how long, and "
	    "what becomes of it. The same for programs: <a href=\"/ledger.json\">ledger.json</a>"
	    "</p>\n",
	    out);
	put_broker(out, ledger);
	put_log(out, ledger);
	fputs("<h2>What is kept</h2>\n", out);
	for (size_t i = 0; i < ledger->row_count; i++)
		put_row(out, ledger, &ledger->rows[i]);
	fputs("</body>\n</html>\n", out);
	must(fclose(out) == 0);
	return at;
}
