/* SPDX-License-Identifier: Apache-2.0
 * The process that holds a pod's namespaces: waits, and buries orphans. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int sign) { (void)sign; _exit(0); }
static void bury(int sign) { (void)sign; while (waitpid(-1, 0, WNOHANG) > 0) {} }

int main(void)
{
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    signal(SIGCHLD, bury);
    for (;;)
        pause();
}
