/* subject.h - parts of `metrino subject` that stand in files of their own. */
#ifndef CLI_SUBJECT_H
#define CLI_SUBJECT_H

/* `metrino subject check-receipt`, which is argv[0]; gives the exit status. */
int subject_check_receipt(int argc, char **argv);

#endif
