/* version.h -- the version of artery, of server and tools together. */
#ifndef ARTERY_COMMON_VERSION_H
#define ARTERY_COMMON_VERSION_H

#define ARTERY_VERSION "0.1"

#endif
