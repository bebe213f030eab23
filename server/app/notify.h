/* notify: tells the service manager how far we are (sd_notify(3)). */
#pragma once

/* notify_manager: sends state ("READY=1", "STOPPING=1", ...) to $NOTIFY_SOCKET,
 * if that is set. A manager that cannot be reached is not our trouble. */
void notify_manager(const char *state);
