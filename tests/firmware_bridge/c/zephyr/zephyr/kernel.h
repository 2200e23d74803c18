#pragma once
#include <stdint.h>
uint64_t k_ticks_to_us_floor64(uint64_t ticks);
int64_t k_uptime_ticks(void);
int32_t k_usleep(int32_t us);
