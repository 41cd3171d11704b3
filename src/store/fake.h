/* store/fake.h - SQLite with a script: commits that fail or wait when a test says so. Tests only; one script
 * for the process. */
#ifndef MUSTER_STORE_FAKE_H
#define MUSTER_STORE_FAKE_H

#include "store/driver.h"

extern const struct driver driver_fake;

/* After @after more commits that pass, the next @n fail with @error (-errno), undone as a real failure would
 * be. */
void fake_fail_commits(int after, int n, int error);
/* While on, commits wait before they happen. Turning it off lets them go. */
void fake_hold(bool on);
/* Waits until a commit is held. */
void fake_wait_held(void);
/* Forgets the script. */
void fake_reset(void);
int fake_n_failed(void);

#endif
