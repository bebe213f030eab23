/* geo_sweep: brings the keys of a geo's sites under its newest TIK: the step of
 * a registration, a roll and a restore. When all are done the geo is
 * REGISTERED, and a recovery is over (S2, S4, S9). */
#pragma once

#include "server/service/operations.h"

/* The step of OPERATION_REGISTER_GEO, ROLL_GEO and RESTORE_GEO; object: the
 * geo. One that a later restore overtook gives up. */
operation_step_fn geo_sweep_step;
