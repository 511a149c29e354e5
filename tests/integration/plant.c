/*
 * plant.c - preloaded into a broker: when it tells systemd that it reloads, it does what somebody
 * would who has got hold of it, as the environment says (PLANT).  For tests of the sandbox.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef ssize_t send_to(int, const void *, size_t, int, const struct sockaddr *, socklen_t);

static void act(const char *plant)
{
	if (strcmp(plant, "program") == 0)
		execl("/bin/sh", "sh", "-c", "true", (char *)NULL);
	else if (strcmp(plant, "socket") == 0)
		socket(AF_INET, SOCK_STREAM, 0);
	else if (strncmp(plant, "file:", 5) == 0)
		dprintf(STDERR_FILENO, "planted: %d\n", open(plant + 5, O_RDONLY | O_CLOEXEC));
}

/* In place of the C library's. */
ssize_t sendto(int fd, const void *bytes, size_t len, int flags, const struct sockaddr *to,
	       socklen_t to_len)
{
	send_to *next;
	const char *plant = getenv("PLANT");

	*(void **)&next = dlsym(RTLD_NEXT, "sendto");
	if (plant && len > 9 && memcmp(bytes, "RELOADING", 9) == 0)
		act(plant);
	return next(fd, bytes, len, flags, to, to_len);
}
