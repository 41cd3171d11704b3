/* base/banned.h - functions nobody may call here (git's idea: a style rule that is a compile error).
 * Included by the build for every file of ours (-include), after the system headers it names. */
#ifndef MUSTER_BANNED_H
#define MUSTER_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol gmtime localtime asctime ctime

#endif
