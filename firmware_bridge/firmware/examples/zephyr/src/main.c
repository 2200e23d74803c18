/* Any inertial unit that Zephyr has a driver for, at 100 Hz, over a UART or USB CDC.
 *
 * The board's devicetree names them: chosen solosense,uart and an alias imu0 (see app.overlay). The
 * sensor API speaks m/s^2 and rad/s, so that records are floats and every scale is 1.
 */
#include <zephyr/device.h>
#include <zephyr/drivers/sensor.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>
#include <zephyr/random/random.h>

#include <string.h>

#include "solosense_wire.h"

#define DT_US 10000u
#define ROWS 5u
#define RECORD 24u

static const struct device *const uart = DEVICE_DT_GET(DT_CHOSEN(solosense_uart));
static const struct device *const imu = DEVICE_DT_GET(DT_ALIAS(imu0));
static const char id[] = "zephyr-1";
static uint32_t seed, boot;

static uint32_t now_us(void)
{
    return (uint32_t)k_ticks_to_us_floor64((uint64_t)k_uptime_ticks());
}

static void put(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uart_poll_out(uart, bytes[i]);
    }
}

static void say(uint8_t type, uint16_t number, uint32_t at_us, const uint8_t *payload, size_t size)
{
    static uint8_t out[SSW_MOST_ENCODED];
    struct ssw_frame frame = {type, 0, number, at_us, payload, size};
    put(out, ssw_encode(&frame, type == SSW_SAMPLES ? seed : 0u, out, sizeof(out)));
}

static void greet(void)
{
    static const char *const names[] = {"acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z"};
    uint8_t payload[160];
    size_t size = ssw_hello(payload, sizeof(payload), id, boot, "zephyr");
    say(SSW_HELLO, 0, now_us(), payload, size);
    size = ssw_schema(payload, sizeof(payload), "imu", SSW_SAMPLED, DT_US);
    for (size_t i = 0; i < 6u; i++) {
        const char *unit = i < 3u ? "m/s^2" : "rad/s";
        size = ssw_channel(payload, size, sizeof(payload), names[i], unit, SSW_F32, 1.0f);
    }
    seed = ssw_crc32(0u, payload, size);
    say(SSW_SCHEMA, 0, now_us(), payload, size);
}

static void hear(struct ssw_decoder *decoder)
{
    uint8_t out[64];
    unsigned char byte;
    struct ssw_frame frame;
    while (uart_poll_in(uart, &byte) == 0) {
        if (!ssw_take(decoder, byte, &frame)) {
            continue;
        }
        if (frame.type == SSW_ASK) {
            greet();
        } else if (frame.type == SSW_SYNC) {
            uint32_t heard_us = now_us();
            put(out, ssw_sync_answer(&frame, heard_us, now_us(), out, sizeof(out)));
        }
    }
}

static bool read_sensor(uint8_t *record)
{
    struct sensor_value values[6];
    if (sensor_sample_fetch(imu) != 0 ||
        sensor_channel_get(imu, SENSOR_CHAN_ACCEL_XYZ, values) != 0 ||
        sensor_channel_get(imu, SENSOR_CHAN_GYRO_XYZ, values + 3) != 0) {
        return false;
    }
    for (size_t i = 0; i < 6u; i++) {
        float value = (float)sensor_value_to_double(&values[i]);
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        ssw_put_u32(record + 4u * i, bits);
    }
    return true;
}

int main(void)
{
    static uint8_t held[128];
    static uint8_t rows[ROWS * RECORD];
    struct ssw_decoder decoder;
    uint16_t seq = 0;
    size_t filled = 0;
    if (!device_is_ready(uart) || !device_is_ready(imu)) {
        return 0;
    }
    boot = sys_rand32_get();
    ssw_decoder_init(&decoder, held, sizeof(held));
    greet();
    uint32_t first_us = now_us();
    uint32_t next_us = first_us;
    for (;;) {
        hear(&decoder);
        if ((int32_t)(now_us() - next_us) < 0) {
            k_usleep(200);
            continue;
        }
        if (filled == 0u) {
            first_us = next_us;
        }
        filled = read_sensor(rows + filled * RECORD) ? filled + 1u : 0u;
        next_us += DT_US;
        if (filled == ROWS) {
            say(SSW_SAMPLES, seq++, first_us, rows, sizeof(rows));
            filled = 0;
        }
    }
}
