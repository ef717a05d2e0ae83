/* SPDX-License-Identifier: Apache-2.0 */
/* Where the callbacks of the runtime (shim.cpp) put what went wrong in the model that this thread is working on. */
#pragma once
#include <string>

/** Failure of that model, set before each call into it. */
extern thread_local std::string *current_failure;
/** What it has printed in this step. */
extern thread_local std::string printed;
