// An MPU-6050 at 100 Hz over USB or a UART, for an AVR board or an ESP32.
//
// Copy solosense_wire.h, solosense_wire.c and solosense_imu.h into this folder. On an AVR the serial
// line carries 115200 baud; set the same in bridge.toml.
#include <Arduino.h>
#include <Wire.h>

#include "solosense_imu.h"
#include "solosense_wire.h"

static const uint8_t MPU6050 = 0x68;
static const char ID[] = "wrist-1";  // a-z, 0-9, _ and -: another one for every board
static const uint32_t DT_US = 10000;
static const uint8_t ROWS = 5, RECORD = 12;

static uint8_t held[96];  // the longest frame a host sends
static uint8_t out[SSW_ENCODED(112)];
static ssw_decoder decoder;
static uint32_t seed, boot, first_us, next_us;
static uint16_t seq;
static uint8_t rows[ROWS * RECORD], filled;

static void say(uint8_t type, uint16_t number, uint32_t at_us, const uint8_t *payload, size_t size)
{
    ssw_frame frame = {type, 0, number, at_us, payload, size};
    Serial.write(out, ssw_encode(&frame, type == SSW_SAMPLES ? seed : 0, out, sizeof out));
}

static void greet()
{
    uint8_t payload[112];
    size_t size = ssw_hello(payload, sizeof payload, ID, boot, "mpu6050");
    say(SSW_HELLO, 0, micros(), payload, size);
    size = ssw_schema(payload, sizeof payload, "imu", SSW_SAMPLED, DT_US);
    static const char *const acc[] = {"acc_x", "acc_y", "acc_z"};
    static const char *const gyr[] = {"gyr_x", "gyr_y", "gyr_z"};
    for (uint8_t i = 0; i < 3; i++) {
        size = ssw_channel(payload, size, sizeof payload, acc[i], "g", SSW_I16, SSW_MPU6050_4G);
    }
    for (uint8_t i = 0; i < 3; i++) {
        size = ssw_channel(
            payload, size, sizeof payload, gyr[i], "deg/s", SSW_I16, SSW_MPU6050_1000DPS);
    }
    seed = ssw_crc32(0, payload, size);
    say(SSW_SCHEMA, 0, micros(), payload, size);
}

static void write_register(uint8_t reg, uint8_t value)
{
    Wire.beginTransmission(MPU6050);
    Wire.write(reg);
    Wire.write(value);
    Wire.endTransmission();
}

// Six numbers, the high byte first; between acceleration and rotation stands the temperature.
static bool read_sensor(uint8_t *record)
{
    Wire.beginTransmission(MPU6050);
    Wire.write(0x3b);
    if (Wire.endTransmission(false) != 0 || Wire.requestFrom(MPU6050, (uint8_t)14) != 14) {
        return false;
    }
    for (uint8_t i = 0; i < 7; i++) {
        uint8_t high = (uint8_t)Wire.read();
        uint8_t low = (uint8_t)Wire.read();
        if (i != 3) {
            ssw_put_u16(record, (uint16_t)((uint16_t)high << 8 | low));
            record += 2;
        }
    }
    return true;
}

static void hear()
{
    ssw_frame frame;
    while (Serial.available() > 0) {
        if (!ssw_take(&decoder, (uint8_t)Serial.read(), &frame)) {
            continue;
        }
        if (frame.type == SSW_ASK) {
            greet();
        } else if (frame.type == SSW_SYNC) {
            uint32_t heard_us = micros();
            Serial.write(out, ssw_sync_answer(&frame, heard_us, micros(), out, sizeof out));
        } else if (frame.type == SSW_COMMAND && frame.size >= 2) {
            uint8_t done[3] = {frame.payload[0], frame.payload[1], 1};  // 1: we know no commands
            say(SSW_ACK, 0, micros(), done, sizeof done);
        }
    }
}

void setup()
{
    Serial.begin(115200);
    Wire.begin();
    Wire.setClock(400000);
    write_register(0x6b, 0x01);  // awake, on the gyroscope's clock
    write_register(0x1c, 0x08);  // 4 g
    write_register(0x1b, 0x10);  // 1000 deg/s
    write_register(0x1a, 0x03);  // filtered below 44 Hz
    ssw_decoder_init(&decoder, held, sizeof held);
    boot = (uint32_t)analogRead(A0) << 16 ^ micros();  // noise: another number at every start
    greet();
    next_us = micros();
}

void loop()
{
    hear();
    if ((int32_t)(micros() - next_us) < 0) {
        return;
    }
    if (filled == 0) {
        first_us = next_us;
    }
    if (read_sensor(rows + filled * RECORD)) {
        filled++;
    } else {
        filled = 0;  // a gap: what was read goes no further than its time is known
        next_us = micros();
    }
    next_us += DT_US;
    if (filled == ROWS) {
        say(SSW_SAMPLES, seq++, first_us, rows, sizeof rows);
        filled = 0;
    }
}
