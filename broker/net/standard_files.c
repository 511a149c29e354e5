/* standard_files.c - see standard_files.h. */
#include "broker/net/standard_files.h"
#include "proto/base.h"
#include <fcntl.h>
#include <unistd.h>

void standard_files_hold(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0) /* the lowest that is free is the one that is missing */
			must(open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) == fd);
}
