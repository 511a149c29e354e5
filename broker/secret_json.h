/* secret_json.h - what is read and written as JSON may be secret: no freed memory holds it. */
#ifndef BROKER_SECRET_JSON_H
#define BROKER_SECRET_JSON_H

/* For the whole process, before the first JSON and the first thread. */
void secret_json_begin(void);

#endif
