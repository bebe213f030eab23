#include "server/service/operation_steps.h"

#include "server/service/availability_roll.h"
#include "server/service/dep_refresh.h"
#include "server/service/dep_rewrap.h"
#include "server/service/geo_sweep.h"
#include "server/service/managed_roll.h"
#include "server/service/purges.h"
#include "server/service/tenant_assignments.h"

operation_step_fn *operation_step_of(enum operation_kind kind)
{
    switch (kind) {
    case OPERATION_REWRAP:
        return dep_rewrap_step;
    case OPERATION_REFRESH:
    case OPERATION_REPLACE:
        return dep_refresh_step;
    case OPERATION_ASSIGN_TENANT:
        return tenant_assign_step;
    case OPERATION_OFFBOARD_TENANT:
        return tenant_offboard_step;
    case OPERATION_ROLL_AVAILABILITY_KEY:
        return ak_roll_step;
    case OPERATION_ROLL_SERVICE_MANAGED:
        return managed_roll_step;
    case OPERATION_PURGE:
    case OPERATION_DELETE_TENANT:
        return purge_step;
    case OPERATION_REGISTER_GEO:
    case OPERATION_ROLL_GEO:
    case OPERATION_RESTORE_GEO:
        return geo_sweep_step;
    }
    return NULL;
}
