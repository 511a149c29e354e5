/*
 * notify.c - datagrams to NOTIFY_SOCKET and what LISTEN_FDS and WATCHDOG_USEC say
 * (sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)).
 */
#include "broker/notify.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void send_state(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	const size_t len = strlen(path);
	memcpy(address.sun_path, path, len);
	/* @ stands for the zero byte of an abstract name. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	const size_t size = offsetof(struct sockaddr_un, sun_path) + len;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
		     (socklen_t)size);
	close(fd);
}

void notify_ready(void)
{
	send_state("READY=1");
}

void notify_reloading(void)
{
	char state[80];
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 (unsigned long long)time.tv_sec * 1000000 +
		     (unsigned long long)time.tv_nsec / 1000);
	send_state(state);
}

void notify_stopping(void)
{
	send_state("STOPPING=1");
}

void notify_status(const char *format, ...)
{
	char state[256] = "STATUS=";
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(state + 7, sizeof(state) - 7, format, arguments);
	va_end(arguments);
	send_state(state);
}

void notify_watchdog(void)
{
	send_state("WATCHDOG=1");
}

/* True when the variable is absent or names this process. */
static bool is_for_us(const char *variable)
{
	const char *pid = getenv(variable);
	return !pid || strtol(pid, NULL, 10) == (long)getpid();
}

uint32_t notify_watchdog_period_ms(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	if (!text || !is_for_us("WATCHDOG_PID"))
		return 0;
	const unsigned long long half_ms = strtoull(text, NULL, 10) / 2000;
	return half_ms < UINT32_MAX ? (uint32_t)half_ms : UINT32_MAX;
}

int notify_inherited_sockets(void)
{
	const char *text = getenv("LISTEN_FDS");
	if (!text || !getenv("LISTEN_PID") || !is_for_us("LISTEN_PID"))
		return 0;
	const long given = strtol(text, NULL, 10);
	int count = 0;
	while (count < given && fcntl(NOTIFY_FIRST_SOCKET + count, F_SETFD, FD_CLOEXEC) == 0)
		count++;
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	return count;
}
