/* leave.c - see leave.h. */
#include "cli/leave.h"
#include "cli/clock.h"
#include "proto/base.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* timeout(1) sends its signal twice: only who asks again after this insists. */
#define INSIST_MS 1000

static volatile sig_atomic_t asked;
static int64_t asked_ms; /* the handler's */
static int wake_fd = -1;

static void handle(void (*handler)(int))
{
	struct sigaction action = {.sa_handler =
				       handler}; /* interrupts a write that nobody takes */

	sigaddset(&action.sa_mask, SIGINT);
	sigaddset(&action.sa_mask, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void on_signal(int number)
{
	const int error = errno;
	const int64_t now_ms = clock_now_ms();

	if (!asked) {
		asked_ms = now_ms;
	} else if (now_ms - asked_ms >= INSIST_MS) {
		leave_at_once();
		raise(number);
	}
	asked = 1;
	(void)eventfd_write(wake_fd, 1);
	errno = error;
}

void leave_at_once(void)
{
	handle(SIG_DFL);
}

void leave_listen(void)
{
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(wake_fd >= 0);
	handle(on_signal);
}

bool leave_asked(void)
{
	return asked != 0;
}

int leave_fd(void)
{
	return wake_fd;
}
