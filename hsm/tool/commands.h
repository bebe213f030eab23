/* commands: what holdfast-hsm does, one function a command. Each tells what it
 * did (output.h), or fails with tool_fail. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tool/tool.h"

HF_STATUS cmd_token_init(struct tool *tool);
HF_STATUS cmd_token_list(struct tool *tool);
HF_STATUS cmd_token_show(struct tool *tool);
HF_STATUS cmd_token_test(struct tool *tool);
HF_STATUS cmd_token_enroll(struct tool *tool);
HF_STATUS cmd_token_activate(struct tool *tool);
HF_STATUS cmd_key_generate(struct tool *tool);
HF_STATUS cmd_key_list(struct tool *tool);
HF_STATUS cmd_key_public(struct tool *tool);
HF_STATUS cmd_cert_list(struct tool *tool);
HF_STATUS cmd_key_show(struct tool *tool);
HF_STATUS cmd_service_init(struct tool *tool);
HF_STATUS cmd_service_forget_mirror(struct tool *tool);
HF_STATUS cmd_ak_init(struct tool *tool);
HF_STATUS cmd_tls_init(struct tool *tool);
HF_STATUS cmd_ak_verify_absent(struct tool *tool);
HF_STATUS cmd_custodian_new(struct tool *tool);
HF_STATUS cmd_token_erase(struct tool *tool);
HF_STATUS cmd_token_change_pin(struct tool *tool);
HF_STATUS cmd_key_roll(struct tool *tool);
HF_STATUS cmd_key_destroy(struct tool *tool);
HF_STATUS cmd_key_rename(struct tool *tool);
HF_STATUS cmd_ceremony_start(struct tool *tool);
HF_STATUS cmd_ceremony_resume(struct tool *tool);
HF_STATUS cmd_ceremony_undo(struct tool *tool);
HF_STATUS cmd_ceremony_status(struct tool *tool);
HF_STATUS cmd_ceremony_verify(struct tool *tool);
HF_STATUS cmd_key_import_prepare(struct tool *tool);
HF_STATUS cmd_key_import_wrap(struct tool *tool);
HF_STATUS cmd_key_import(struct tool *tool);
HF_STATUS cmd_token_doctor(struct tool *tool);
HF_STATUS cmd_token_backup(struct tool *tool);
HF_STATUS cmd_token_check_restored(struct tool *tool);
