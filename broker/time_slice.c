/*
 * time_slice.c - see time_slice.h.  Alone with its system call: the headers of Linux and of the C
 * library both define struct sched_param.
 */
#include "broker/time_slice.h"
#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS 500000u /* the kernel's own is some milliseconds; it takes 0.1 to 100 ms */

void time_slice_shorten(void)
{
	struct sched_attr attr = {
	    .size = sizeof attr,
	    .sched_policy = SCHED_NORMAL,
	    .sched_runtime = SLICE_NS,
	};
	errno = 0;
	attr.sched_nice = getpriority(PRIO_PROCESS, 0); /* of this thread, on Linux */
	if (errno == 0)
		syscall(SYS_sched_setattr, 0, &attr, 0);
}
