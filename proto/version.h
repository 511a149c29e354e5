/* version.h - the version of this source tree, named in one place. */
#ifndef PROTO_VERSION_H
#define PROTO_VERSION_H

#define METRINO_VERSION "0.1.0"

#endif
