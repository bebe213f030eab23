#include "server/domain/workload_catalogue.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

/* Shorter words for the table. */
#define KEY      WORKLOAD_COVERED
#define BOXES    WORKLOAD_BY_MAILBOX
#define OUT      WORKLOAD_NOT_COVERED
#define NEW      EXISTING_DATA_NEW_ONLY
#define ALL      EXISTING_DATA_EXISTING_AND_NEW
#define NONE     EXISTING_DATA_NONE
#define SELF     ACTIVATION_AUTOMATIC
#define SWITCH   ACTIVATION_EXPLICIT
#define M365     ROLE_WORKLOAD_M365
#define EXCHANGE ROLE_WORKLOAD_EXCHANGE
#define SPO      ROLE_WORKLOAD_SHAREPOINT
#define GEO      DEP_TYPE_SHAREPOINT_GEO
#define NOBODY   ((enum dep_type)0)

/* Numbers 1 to 15 are hierarchies (enum workload). in its order; what
 * the sources leave open is NEW: older data is then never touched.
 *
 * Skype for Business shares Exchange's hierarchy and identity. Disks
 * of Cloud PCs are encrypted as they are, PC by PC. */
/* clang-format off */
static const struct workload_row rows[] = {
    {16, "exchange-mailboxes",    "Exchange mailboxes without a mailbox DEP",          BOXES, ALL,  SELF,   0,     EXCHANGE, NOBODY},
    {17, "exchange-signals",      "User and signal information for Exchange",          KEY,   ALL,  SELF,   0,     EXCHANGE, NOBODY},
    {18, "skype-for-business",    "Skype for Business",                                KEY,   ALL,  SELF,   0,     EXCHANGE, NOBODY},
    {19, "teams-chat",            "Teams chat messages: 1:1, group, meeting, channel", KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {20, "teams-media",           "Teams media: images, code snippets, video and "
                                  "audio messages, wiki images",                       KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {21, "teams-recordings",      "Teams call and meeting recordings in Teams storage", KEY,  NEW,  SELF,   0,     M365,     NOBODY},
    {22, "teams-notifications",   "Teams chat notifications",                          KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {23, "teams-suggestions",     "Teams chat suggestions by Cortana",                 KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {24, "teams-status",          "Teams status messages",                             KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {25, "exact-data-match",      "Exact-data-match schemas, rule packages, salts",    KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {26, "sensitivity-labels",    "Sensitivity-label configuration",                   KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {27, "copilot-interactions",  "Copilot interactions",                              KEY,   NEW,  SELF,   0,     M365,     NOBODY},
    {28, "cloud-pcs",             "Windows 365 Cloud PCs: disks, snapshots, images",   KEY,   ALL,  SWITCH, 20000, M365,     NOBODY},
    {29, "frontline-cloud-pcs",   "Windows 365 Frontline Cloud PCs",                   KEY,   ALL,  SWITCH, 20000, M365,     NOBODY},
    {30, "sharepoint",            "SharePoint",                                        OUT,   NONE, SELF,   0,     SPO,      GEO   },
    {31, "onedrive",              "OneDrive",                                          OUT,   NONE, SELF,   0,     SPO,      GEO   },
    {32, "teams-files",           "Teams files and recordings in SharePoint or OneDrive", OUT, NONE, SELF,  0,     SPO,      GEO   },
    {33, "yammer",                "Yammer",                                            OUT,   NONE, SELF,   0,     M365,     NOBODY},
    {34, "planner",               "Planner",                                           OUT,   NONE, SELF,   0,     M365,     NOBODY},
    {35, "teams-live-events",     "Teams live events",                                 OUT,   NONE, SELF,   0,     M365,     NOBODY},
    {36, "teams-live-events-qna", "Questions and answers of Teams live events",        OUT,   NONE, SELF,   0,     M365,     NOBODY},
};
/* clang-format on */

const struct workload_row *workload_at(size_t index)
{
    return index < HF_COUNT(rows) ? &rows[index] : NULL;
}

const struct workload_row *workload_by_word(const char *word)
{
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        if (bytes_equal(bytes_of_text(rows[i].word), bytes_of_text(word))) {
            return &rows[i];
        }
    }
    return NULL;
}

bool workload_is_under(const struct workload_row *row, bool switched_on)
{
    return row->coverage != WORKLOAD_NOT_COVERED &&
           (row->activation == ACTIVATION_AUTOMATIC || switched_on);
}

bool workload_renews(const struct workload_row *row)
{
    return row->existing == EXISTING_DATA_NEW_ONLY;
}

HF_STATUS workload_check_items(const struct workload_row *row, uint64_t items)
{
    return items <= row->batch_max ? HF_OK : HF_E_INVALID;
}

const char *existing_data_text(enum existing_data_policy policy)
{
    switch (policy) {
    case EXISTING_DATA_NONE:
        return "NONE";
    case EXISTING_DATA_NEW_ONLY:
        return "NEW_ONLY";
    case EXISTING_DATA_EXISTING_AND_NEW:
        return "EXISTING_AND_NEW";
    }
    return "?";
}
