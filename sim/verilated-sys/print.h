/* SPDX-License-Identifier: Apache-2.0 */
/* Included before everything else: texts of the Verilated design go to hg_print() instead of standard output. */
#pragma once
#ifdef __cplusplus
__attribute__((format(printf, 1, 2))) void hg_print(const char *format, ...);
#define VL_PRINTF hg_print
#endif
