/*
 * test_config.c - every key of config.def with a value that is right and one
 * that is wrong; the defaults.  Whole files: test_config_files.c.
 */
#include <sys/socket.h>
#include <syslog.h>

#include "broker/log.h"
#include "tests/unit/config_files.h"

/* Where a value must arrive, and what it must be there. */
#define IN_CONFIG(field)                                                                           \
	false, offsetof(struct config, field), sizeof(((struct config *)NULL)->field)
#define IN_LISTENER(field)                                                                         \
	true, offsetof(struct config_listener, field),                                             \
	    sizeof(((struct config_listener *)NULL)->field)
#define SETTINGS(field) IN_LISTENER(settings.field)
#define TLS(field)	IN_LISTENER(transport.tls.field)
#define WS(field)	IN_LISTENER(transport.ws.field)
#define PROXY(field)	IN_LISTENER(transport.proxy.field)
#define OWN		"certfile /c\nkeyfile /k"

static const struct key_case {
	const char *key, *right, *wrong;
	bool in_listener;
	size_t offset, size;
	uint64_t number;  /* what arrives, unless: */
	const char *text; /* what arrives in a text or a slice */
} key_cases[] = {
    {"listener", "1999 192.0.2.1", "65536", IN_LISTENER(port), 1999, NULL},
    {"listener", "1999 192.0.2.1", "1883 a b", IN_LISTENER(address), 0, "192.0.2.1"},
    {"bind_interface", "eth0", "a-name-that-is-too-long", IN_LISTENER(bind_interface), 0, "eth0"},
    {"socket_domain", "ipv6", "ipv5", IN_LISTENER(socket_domain), AF_INET6, NULL},
    {"protocol", "mqtt", "http", WS(on), 0, NULL},
    {"protocol", "websockets", "http_api", WS(on), 1, NULL},
    {"websockets_origin", "https://a.example\nprotocol websockets", "two words", WS(origins), 0,
     "https://a.example"},
    {"websockets_origin", "a\nwebsockets_origin b\nprotocol websockets", "", WS(origins), 0, "a b"},
    {"websockets_headers_size", "300", "255", WS(headers_size), 300, NULL},
    {"packet_buffer_size", "65536", "65537", WS(headers_size), 65536, NULL},
    {"max_connections", "77", "0", IN_LISTENER(max_connections), 77, NULL},
    {"max_connections", "unlimited", "-2", IN_LISTENER(max_connections), UINT32_MAX, NULL},
    {"max_connections", "-1", "12x", IN_LISTENER(max_connections), UINT32_MAX, NULL},
    {"max_qos", "1", "3", SETTINGS(max_qos), 1, NULL},
    {"maximum_qos", "0", "-1", SETTINGS(max_qos), 0, NULL},
    {"max_topic_alias", "0", "65536", SETTINGS(max_topic_alias), 0, NULL},
    {"max_topic_alias_broker", "65535", "unlimited", SETTINGS(max_topic_alias_broker), 65535, NULL},
    {"accept_protocol_versions", "3, 5", "6", SETTINGS(accept_3_1_1), 0, NULL},
    {"accept_protocol_versions", "4", ",", SETTINGS(accept_3_1_1), 1, NULL},
    {"listener_allow_anonymous", "true", "yes", SETTINGS(allow_anonymous), 1, NULL},
    {"listener_auto_id_prefix", "mine-", "", SETTINGS(auto_id_prefix), 0, "mine-"},
    {"use_username_as_clientid", "true", "2", SETTINGS(use_user_name_as_client_id), 1, NULL},
    {"listener", "0 /run/m.sock", "0", IN_LISTENER(path), 0, "/run/m.sock"},
    {"listener", "0 run/m.sock", "0 ::1", IN_LISTENER(port), 0, NULL},
    {"unix_uid_identity", "false", "true", IN_LISTENER(transport.uid_identity), 0, NULL},
    {"enable_proxy_protocol", "2\nproxy_protocol_from ::1", "3", PROXY(version), 2, NULL},
    {"enable_proxy_protocol", "false", "yes", PROXY(version), 0, NULL},
    {"unix_uid_identity", "false", "true\nenable_proxy_protocol 1", PROXY(version), 0, NULL},
    {"require_certificate", "true\nenable_proxy_protocol 2", "true\nenable_proxy_protocol 1",
     PROXY(require_certificate), 1, NULL},
    {"require_certificate", "true\nenable_proxy_protocol 2\ncafile /a\n" OWN, "",
     PROXY(require_certificate), 0, NULL},
    {"use_identity_as_username", "true\nrequire_certificate true\nenable_proxy_protocol 2",
     "true\nenable_proxy_protocol 2", PROXY(common_name), 1, NULL},
    {"use_identity_as_username",
     "true\nrequire_certificate true\nenable_proxy_protocol 2\ncafile /a\n" OWN, "",
     PROXY(common_name), 0, NULL},
    {"use_subject_as_username", "false", "true\nrequire_certificate true\nenable_proxy_protocol 2",
     PROXY(common_name), 0, NULL},
    {"proxy_protocol_from", "::1\nproxy_protocol_from 10.0.0.0/8\nenable_proxy_protocol 1",
     "10.0.0.0/33", PROXY(from), 0, "::1 10.0.0.0/8"},
    {"proxy_protocol_v2_require_tls",
     "true\nenable_proxy_protocol 2\nproxy_protocol_from 192.0.2.1", "yes", PROXY(require_tls), 1,
     NULL},
    {"certfile", "/c c\nkeyfile /k", "", TLS(certfile), 0, "/c c"},
    {"keyfile", "/k\ncertfile /c\nkeyfile /l\ncertfile /d", "", TLS(keyfile), 0, "/k\n/l"},
    {"keyfile", "/k k\ncertfile /c", "", TLS(keyfile), 0, "/k k"},
    {"cafile", "/a\n" OWN, "", TLS(cafile), 0, "/a"},
    {"capath", "/a\n" OWN, "", TLS(capath), 0, "/a"},
    {"crlfile", "/r\n" OWN, "", TLS(crlfile), 0, "/r"},
    {"require_certificate", "true\ncafile /a\n" OWN, "yes", TLS(require_certificate), 1, NULL},
    {"use_identity_as_username", "true\nrequire_certificate true\ncapath /a\n" OWN, "yes",
     TLS(name), TLS_NAME_COMMON, NULL},
    {"use_identity_as_username", "true\npsk_hint h\npsk_file /p", "2", TLS(identity_of_psk), 1,
     NULL},
    {"use_subject_as_username", "true\nrequire_certificate true\ncafile /a\n" OWN, "yes", TLS(name),
     TLS_NAME_SUBJECT, NULL},
    {"tls_version", "tlsv1.2", "tlsv1.3", IN_LISTENER(port), 1883, NULL},
    {"ciphers", "X:Y\n" OWN, "", TLS(ciphers), 0, "X:Y"},
    {"psk_file", "/p\npsk_hint h", "", TLS(psk_file), 0, "/p"},
    {"psk_hint", "h\npsk_file /p", "", IN_LISTENER(psk_hint), 0, "h"},
    {"port", "1884", "0", IN_LISTENER(port), 1884, NULL},
    {"bind_address", "192.0.2.7", "a b", IN_LISTENER(address), 0, "192.0.2.7"},
    {"set_tcp_nodelay", "FALSE", "off", IN_CONFIG(set_tcp_nodelay), 0, NULL},
    {"allow_anonymous", "1", "maybe", SETTINGS(allow_anonymous), 1, NULL},
    {"allow_zero_length_clientid", "false", "no", SETTINGS(allow_zero_length_client_id), 0, NULL},
    {"auto_id_prefix", "two words", "", SETTINGS(auto_id_prefix), 0, "two words"},
    {"clientid_prefixes", "sensor-", "", SETTINGS(client_id_prefixes), 0, "sensor-"},
    {"max_keepalive", "60", "0", SETTINGS(max_keep_alive_s), 60, NULL},
    {"max_keepalive", "unlimited", "65536", SETTINGS(max_keep_alive_s), 0, NULL},
    {"server_reference", "other.example:1883", "", SETTINGS(server_reference), 0,
     "other.example:1883"},
    {"global_max_clients", "5", "0", IN_CONFIG(core.sessions_max), 5, NULL},
    {"global_max_connections", "6", "4294967295", IN_CONFIG(global_max_connections), 6, NULL},
    {"connect_timeout", "3", "0", IN_CONFIG(core.connect_timeout_ms), 3000, NULL},
    {"response_information", "replies/", "", IN_CONFIG(core.response_information), 0, "replies/"},
    {"password_file", "/p", "", IN_CONFIG(password_file), 0, "/p"},
    {"acl_file", "/a", "", IN_CONFIG(acl_file), 0, "/a"},
    {"allow_cleartext_password", "true", "yes", IN_CONFIG(allow_cleartext_password), 1, NULL},
    {"auth_threads", "3", "65", IN_CONFIG(auth_threads), 3, NULL},
    {"argon2_memory", "19456", "31", IN_CONFIG(argon2_memory_kib), 19456, NULL},
    {"recovery_mailer", "/usr/sbin/sendmail -t", "", IN_CONFIG(recovery_mailer), 0,
     "/usr/sbin/sendmail -t"},
    {"argon2_time", "2", "0", IN_CONFIG(argon2_passes), 2, NULL},
    {"rate_connect", "5", "0", IN_CONFIG(rate_connect), 5, NULL},
    {"rate_reconnect", "5", "0", IN_CONFIG(core.rate_reconnect), 5, NULL},
    {"max_half_open", "5", "0", IN_CONFIG(max_half_open), 5, NULL},
    {"auth_fail_ban", "20 2h", "20", IN_CONFIG(auth_fail_ban.ms), 7200000, NULL},
    {"auth_fail_ban", "20 60s", "0 60s", IN_CONFIG(auth_fail_ban.after), 20, NULL},
    {"auth_fail_ban", "never", "20 25h", IN_CONFIG(auth_fail_ban.after), UINT32_MAX, NULL},
    {"reconnect_ban", "20 2h", "20", IN_CONFIG(reconnect_ban.ms), 7200000, NULL},
    {"reconnect_ban", "never", "1000001 2h", IN_CONFIG(reconnect_ban.after), UINT32_MAX, NULL},
    {"max_inflight_messages", "20", "0", IN_CONFIG(core.max_inflight_messages), 20, NULL},
    {"max_inflight_bytes", "4096", "0", IN_CONFIG(core.max_inflight_bytes), 4096, NULL},
    {"receive_maximum", "9", "65536", IN_CONFIG(core.receive_maximum), 9, NULL},
    {"max_queued_messages", "8", "0", IN_CONFIG(core.max_queued_messages), 8, NULL},
    {"max_queued_bytes", "unlimited", "0", IN_CONFIG(core.max_queued_bytes), UINT64_MAX, NULL},
    {"queue_policy", "drop_old", "drop", IN_CONFIG(core.queue_policy), QUEUE_DROP_OLD, NULL},
    {"queue_qos0_messages", "true", "x", IN_CONFIG(core.queue_qos0_messages), 1, NULL},
    {"max_packet_size", "20", "19", IN_CONFIG(core.max_packet_size), 20, NULL},
    {"max_packet_size", "268435460", "268435461", IN_CONFIG(core.max_packet_size), 268435460, NULL},
    {"rate_publish_messages", "50", "0", IN_CONFIG(core.rate_publish_messages), 50, NULL},
    {"rate_publish_messages", "unlimited", "1000001", IN_CONFIG(core.rate_publish_messages),
     UINT32_MAX, NULL},
    {"rate_publish_bytes", "1000", "0", IN_CONFIG(core.rate_publish_bytes), 1000, NULL},
    {"rate_address_messages", "60", "0", IN_CONFIG(core.rate_address_messages), 60, NULL},
    {"rate_address_bytes", "unlimited", "0", IN_CONFIG(core.rate_address_bytes), UINT32_MAX, NULL},
    {"message_size_limit", "1000", "0", IN_CONFIG(core.message_size_limit), 1000, NULL},
    {"persistent_client_expiration", "2h", "2", IN_CONFIG(core.session_expiry_max_s), 7200, NULL},
    {"persistent_client_expiration", "2w", "0d", IN_CONFIG(core.session_expiry_max_s), 1209600,
     NULL},
    {"persistent_client_expiration", "2y", "d", IN_CONFIG(core.session_expiry_max_s), 2592000,
     NULL},
    {"token_lifetime", "90min", "31d", IN_CONFIG(core.token_lifetime_s), 5400, NULL},
    {"token_lifetime", "60s", "59s", IN_CONFIG(core.token_lifetime_s), 60, NULL},
    {"session_expiry_max", "45s", "31d", IN_CONFIG(core.session_expiry_max_s), 45, NULL},
    {"session_expiry_max", "2min", "2mi", IN_CONFIG(core.session_expiry_max_s), 120, NULL},
    {"privacy_contact", "dpo@example.org", "", IN_CONFIG(privacy_contact), 0, "dpo@example.org"},
    {"aggregate_expiry", "1min", "91d", IN_CONFIG(aggregate_expiry_s), 60, NULL},
    {"auth_expiry", "30d", "31d", IN_CONFIG(auth_expiry_s), 2592000, NULL},
    {"auth_expiry", "60s", "59s", IN_CONFIG(auth_expiry_s), 60, NULL},
    {"auth_max_bytes", "65536", "65535", IN_CONFIG(auth_max_bytes), 65536, NULL},
    {"transfer", "US a contract", "US", IN_CONFIG(residency.transfers[0].basis), 0, "a contract"},
    {"session_expiry_max", "1m", "1y", IN_CONFIG(core.session_expiry_max_s), 2592000, NULL},
    {"retain_available", "false", "3", IN_CONFIG(core.retain_available), 0, NULL},
    {"max_retained_messages", "4", "0", IN_CONFIG(core.max_retained_messages), 4, NULL},
    {"max_retained_bytes", "99999999999", "0", IN_CONFIG(core.max_retained_bytes), 99999999999,
     NULL},
    {"ack_when", "accepted", "yes", IN_CONFIG(core.ack_when_delivered), 0, NULL},
    {"ack_hold_max", "2", "0", IN_CONFIG(core.ack_hold_max_ms), 2000, NULL},
    {"restart_grace", "5", "0", IN_CONFIG(core.restart_grace_ms), 5000, NULL},
    {"workers", "256", "257", IN_CONFIG(workers), 256, NULL},
    {"route_expiry", "24h", "25h", IN_CONFIG(route_expiry_s), 86400, NULL},
    {"route_expiry", "1min", "9s", IN_CONFIG(route_expiry_s), 60, NULL},
    {"route_max_bytes", "0", "17179869185", IN_CONFIG(route_max_bytes), 0, NULL},
    {"memory_limit", "16777216", "16777215", IN_CONFIG(core.memory_limit), 16777216, NULL},
    {"memory_limit", "unlimited", "99999999999999999999", IN_CONFIG(core.memory_limit), UINT64_MAX,
     NULL},
    {"persistence", "false", "none", IN_CONFIG(persistence), 0, NULL},
    {"audit_log", "false", "none", IN_CONFIG(audit_log), 0, NULL},
    {"persistence_location", "/a b/c", "", IN_CONFIG(persistence_location), 0, "/a b/c"},
    {"durability", "process", "disk", IN_CONFIG(durability), DURABILITY_PROCESS, NULL},
    {"memory_protection", "required", "yes", IN_CONFIG(memory_protection),
     MEMORY_PROTECTION_REQUIRED, NULL},
    {"keys_location", "/k", "", IN_CONFIG(keys_location), 0, "/k"},
    {"key_file", "/k/f", "", IN_CONFIG(key_file), 0, "/k/f"},
    {"erase_level_required", "clear", "purge", IN_CONFIG(erase_level_required), ERASE_CLEAR, NULL},
    {"sys_interval", "0", "86401", IN_CONFIG(sys_interval_s), 0, NULL},
    {"user", "nobody", "", IN_CONFIG(user), 0, "nobody"},
    {"pid_file", "/run/m.pid", "", IN_CONFIG(pid_file), 0, "/run/m.pid"},
    {"include_dir", "/proc/sys/net", "/nowhere/at/all", IN_CONFIG(persistence), 1, NULL},
    {"admin_listener", "8080", "0", IN_CONFIG(admin_port), 8080, NULL},
    {"admin_listener", "8080", "8080 192.0.2.1", IN_CONFIG(admin_address), 0, "127.0.0.1"},
    {"admin_token_file", "/t", "", IN_CONFIG(admin_token_file), 0, "/t"},
    {"log_dest", "file /l o g", "file", IN_CONFIG(log_file), 0, "/l o g"},
    {"log_listener", "8081 192.0.2.1", "0", IN_CONFIG(log_address), 0, "192.0.2.1"},
    {"region", "DE", "de", IN_CONFIG(region), 'D' | 'E' << 8, NULL},
    {"policy_version", "7", "0", IN_CONFIG(policy_version), 7, NULL},
    {"log_dest", "syslog", "topic", IN_CONFIG(log_syslog), 1, NULL},
    {"log_dest", "stdout", "/var/log/x", IN_CONFIG(log_stderr), 0, NULL},
    {"log_type", "error debug", "errors", IN_CONFIG(log_types),
     LOG_TYPE(LOG_LEVEL_ERROR) | LOG_TYPE(LOG_LEVEL_DEBUG), NULL},
    {"log_type", "all", "info", IN_CONFIG(log_types), LOG_TYPES_ALL, NULL},
    {"log_facility", "3", "8", IN_CONFIG(log_facility), LOG_LOCAL3, NULL},
    {"log_format", "json", "xml", IN_CONFIG(log_format), LOG_FORMAT_JSON, NULL},
    {"log_timestamp", "false", "x", IN_CONFIG(log_timestamp), 0, NULL},
    {"log_timestamp_format", "%H:%M", "", IN_CONFIG(log_timestamp_format), 0, "%H:%M"},
    {"connection_messages", "true", "x", IN_CONFIG(core.connection_messages), 1, NULL},
    {"ip_logging", "truncate", "some", IN_CONFIG(ip_logging), IP_LOGGING_TRUNCATE, NULL},
};

#define KEY_CASES (int)(sizeof(key_cases) / sizeof(key_cases[0]))

static uint64_t number_at(const uint8_t *at, size_t size)
{
	uint64_t number = 0;
	memcpy(&number, at,
	       size); /* on a machine that puts the low byte first, as all of ours do */
	return number;
}

static void assert_arrived(const struct key_case *row, const struct config *config)
{
	const uint8_t *house =
	    row->in_listener ? (const uint8_t *)&config->listeners[0] : (const uint8_t *)config;
	const uint8_t *field = house + row->offset;
	if (!row->text) {
		ck_assert_msg(number_at(field, row->size) == row->number, "%s %s became %llu",
			      row->key, row->right,
			      (unsigned long long)number_at(field, row->size));
	} else if (row->size == sizeof(struct slice)) {
		struct slice slice;
		memcpy(&slice, field, sizeof(slice));
		ck_assert(slice_equal(slice, slice_text(row->text)));
	} else {
		const char *text;
		memcpy(&text, field, sizeof(text));
		ck_assert_str_eq(text, row->text);
	}
}

START_TEST(test_key_takes_right_value)
{
	const struct key_case *row = &key_cases[_i];
	char line[256];
	snprintf(line, sizeof(line), "%s %s\n", row->key, row->right);
	struct config *config = read_right(line);
	assert_arrived(row, config);
	config_destroy(config);
}
END_TEST

/* As many keys as certificates: an order that is not said cannot be guessed. */
START_TEST(test_certificates_and_keys_in_pairs)
{
	read_wrong("listener 1\n" OWN "\nkeyfile /l\n",
		   "main.conf:4: keyfile: is not there for each");
	read_wrong("listener 1\n" OWN "\ncertfile /d\n", "keyfile: is not there for each certfile");
}
END_TEST

START_TEST(test_key_refuses_wrong_value)
{
	const struct key_case *row = &key_cases[_i];
	char line[256], says[64];
	snprintf(line, sizeof(line), "\n%s %s\n", row->key, row->wrong);
	snprintf(says, sizeof(says), "main.conf:2: %s: ", row->key);
	read_wrong(line, says);
	read_wrong(line, "right would be");
}
END_TEST

/* What is wrong is named as it was written. */
START_TEST(test_address_with_more_behind_it)
{
	read_wrong("listener 1 a b\n", "listener: '1 a b' is not possible");
	read_wrong("listener 1 # for all\n",
		   "(a comment needs a line of its own); right would be PORT");
	read_wrong("admin_listener 1 a b\n", "admin_listener: '1 a b' is not possible");
}
END_TEST

START_TEST(test_shortest_period_is_said)
{
	read_wrong("token_lifetime 59s\n", "up to 30d, 60s at least");
	read_wrong("auth_expiry 59s\n",
		   "right would be a number with s, min, h, d or w, 60s at least");
}
END_TEST

START_TEST(test_every_working_key_has_a_case)
{
	for (size_t i = 0; i < config_line_count; i++) {
		const struct config_key *key = &config_keys[i];
		bool found = key->section || key->status != STATUS_WORKS;
		for (int j = 0; j < KEY_CASES && !found; j++)
			found = strcmp(key_cases[j].key, key->name) == 0;
		ck_assert_msg(found, "no case for %s", key->name);
	}
}
END_TEST

START_TEST(test_keys_that_do_not_work_say_so)
{
	for (size_t i = 0; i < config_line_count; i++) {
		const struct config_key *key = &config_keys[i];
		char line[128], says[64];
		if (key->section || key->status == STATUS_WORKS)
			continue;
		snprintf(line, sizeof(line), "%s true\n", key->name);
		if (key->status == STATUS_NO_EFFECT) {
			struct config *config = read_right(line);
			ck_assert(has_notice(config, "has no effect"));
			config_destroy(config);
			continue;
		}
		snprintf(says, sizeof(says), "main.conf:1: %s", key->name);
		read_wrong(line, says);
		read_wrong(line,
			   key->status == STATUS_REFUSED ? "is refused: " : "not in this version");
		if (key->harmless) {
			snprintf(line, sizeof(line), "%s %s\n", key->name, key->harmless);
			config_destroy(read_right(line));
		}
	}
}
END_TEST

START_TEST(test_keys_stand_once)
{
	for (size_t i = 0; i < config_line_count; i++) {
		if (config_keys[i].name)
			ck_assert_ptr_eq(config_find_key(config_keys[i].name), &config_keys[i]);
	}
}
END_TEST

/* Every key of mosquitto 2.1.2: a file of its user is told what happens to each, never to guess. */
static const char keys_of_mosquitto[] =
    "accept_protocol_versions acl_file address addresses allow_anonymous "
    "allow_duplicate_messages allow_zero_length_clientid auth_opt_a auth_plugin "
    "auth_plugin_deny_special_chars auto_id_prefix autosave_interval autosave_on_changes "
    "bind_address bind_interface bridge_alpn bridge_attempt_unsubscribe "
    "bridge_bind_address bridge_cafile bridge_capath bridge_certfile bridge_ciphers "
    "bridge_ciphers_tls1.3 bridge_identity bridge_insecure bridge_keyfile "
    "bridge_max_packet_size bridge_max_topic_alias bridge_outgoing_retain "
    "bridge_protocol_version bridge_psk bridge_receive_maximum bridge_reload_type "
    "bridge_require_ocsp bridge_session_expiry_interval bridge_tcp_keepalive "
    "bridge_tcp_user_timeout bridge_tls_use_os_certs bridge_tls_version cafile capath "
    "certfile check_retain_source ciphers ciphers_tls1.3 cleansession clientid "
    "clientid_prefixes connection connection_messages crlfile dhparamfile "
    "disable_client_cert_date_checks enable_control_api enable_proxy_protocol "
    "global_max_clients global_max_connections global_plugin http_dir idle_timeout "
    "include_dir keepalive_interval keyfile listener listener_allow_anonymous "
    "listener_auto_id_prefix local_cleansession local_clientid local_password "
    "local_username log_dest log_facility log_timestamp log_timestamp_format log_type "
    "max_connections max_inflight_bytes max_inflight_messages max_keepalive "
    "max_packet_size max_qos max_queued_bytes max_queued_messages max_topic_alias "
    "max_topic_alias_broker maximum_qos memory_limit message_size_limit mount_point "
    "notification_topic notifications notifications_local_only packet_buffer_size "
    "password password_file per_listener_settings persistence persistence_file "
    "persistence_location persistent_client_expiration pid_file plugin plugin_load "
    "plugin_opt_a plugin_use port protocol proxy_protocol_v2_require_tls psk_file "
    "psk_hint queue_qos0_messages remote_clientid remote_password remote_username "
    "require_certificate restart_timeout retain_available retain_expiry_interval "
    "retained_persistence retry_interval round_robin set_tcp_nodelay socket_domain "
    "start_type sys_interval threshold tls_engine tls_engine_kpass_sha1 tls_keyform "
    "tls_version topic try_private upgrade_outgoing_qos use_identity_as_username "
    "use_subject_as_username use_username_as_clientid user username "
    "websockets_headers_size websockets_log_level websockets_origin";

START_TEST(test_keys_of_mosquitto_are_known)
{
	char names[sizeof(keys_of_mosquitto)];
	char *rest = NULL;
	int count = 0;
	memcpy(names, keys_of_mosquitto, sizeof(names));
	for (const char *name = strtok_r(names, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest)) {
		ck_assert_msg(config_find_key(name) != NULL, "%s", name);
		count++;
	}
	ck_assert_int_eq(count, 141);
}
END_TEST

/* Every default is written twice: in the table's text and, read back, here. */
START_TEST(test_defaults)
{
	struct config *config = read_right("");
	ck_assert_uint_eq(config->core.connect_timeout_ms, 10000);
	ck_assert_uint_eq(config->core.connect_bytes_max, 262144);
	ck_assert_uint_eq(config->core.session_expiry_max_s, 30 * 86400);
	ck_assert_uint_eq(config->core.sessions_max, UINT32_MAX);
	ck_assert_uint_eq(config->core.max_inflight_messages, 512);
	ck_assert_uint_eq(config->core.max_queued_messages, 10000);
	ck_assert_uint_eq(config->core.max_queued_bytes, 16 << 20);
	ck_assert_uint_eq(config->core.receive_maximum, 1024);
	ck_assert_uint_eq(config->core.max_packet_size, 16 << 20);
	ck_assert_uint_eq(config->core.max_subscriptions, 1000000);
	ck_assert_uint_ge(config->core.memory_limit, 1 << 20);
	ck_assert(config->core.retain_available && config->persistence);
	ck_assert_str_eq(config->persistence_location, "/state/one");
	ck_assert_uint_eq(config->log_types, LOG_TYPES_NORMAL);
	ck_assert(config->log_stderr && !config->log_stdout && !config->log_syslog);
	const struct listener_settings *settings = &config->listeners[0].settings;
	ck_assert(settings->allow_anonymous && settings->allow_zero_length_client_id);
	ck_assert(settings->accept_3_1 && settings->accept_3_1_1 && settings->accept_5_0);
	ck_assert(settings->max_qos == 2 && settings->max_keep_alive_s == 65535);
	ck_assert(slice_equal(settings->auto_id_prefix, SLICE_LITERAL("auto-")));
	config_destroy(config);
}
END_TEST

Suite *config_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *keys = tcase_create("keys");
	tcase_add_checked_fixture(keys, make_directory, remove_directory);
	tcase_add_loop_test(keys, test_key_takes_right_value, 0, KEY_CASES);
	tcase_add_loop_test(keys, test_key_refuses_wrong_value, 0, KEY_CASES);
	tcase_add_test(keys, test_shortest_period_is_said);
	tcase_add_test(keys, test_certificates_and_keys_in_pairs);
	tcase_add_test(keys, test_address_with_more_behind_it);
	tcase_add_test(keys, test_every_working_key_has_a_case);
	tcase_add_test(keys, test_keys_that_do_not_work_say_so);
	tcase_add_test(keys, test_keys_stand_once);
	tcase_add_test(keys, test_keys_of_mosquitto_are_known);
	tcase_add_test(keys, test_defaults);
	suite_add_tcase(suite, keys);
	return suite;
}
