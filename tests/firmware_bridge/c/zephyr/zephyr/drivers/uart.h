#pragma once
#include <zephyr/device.h>
void uart_poll_out(const struct device *dev, unsigned char out);
int uart_poll_in(const struct device *dev, unsigned char *in);
