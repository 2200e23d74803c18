/* A board without a sensor: a Cortex-M3 (Arm MPS2, AN385) that says a slow swing at 100 Hz.
 *
 * It runs as it is in QEMU: qemu-system-arm -M mps2-an385 -nographic -kernel firmware.elf -serial pty
 * Nothing here is interrupt driven; the clock is the timer's, read in the main loop.
 */
#include "solosense_wire.h"

#define REG(address) (*(volatile uint32_t *)(address))
#define UART_DATA REG(0x40004000u)
#define UART_STATE REG(0x40004004u) /* bit 0: no room to send; bit 1: a byte has come */
#define UART_CTRL REG(0x40004008u)
#define UART_BAUDDIV REG(0x40004010u)
#define TIMER_CTRL REG(0x40000000u)
#define TIMER_VALUE REG(0x40000004u) /* counts down */
#define TIMER_RELOAD REG(0x40000008u)
#define CYCLES_PER_US 25u

enum { IMU, BUTTON, ROWS = 10, DT_US = 10000, RECORD = 6 };
static const char ID[] = "emulated-1";

static uint16_t seq[2];
static uint32_t seed;
static uint64_t cycles;
static uint32_t before;

static uint32_t now_us(void)
{
    uint32_t value = TIMER_VALUE;
    cycles += before - value; /* modulo 2^32, as the timer */
    before = value;
    return (uint32_t)(cycles / CYCLES_PER_US);
}

static void put(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        while ((UART_STATE & 1u) != 0u) {
        }
        UART_DATA = bytes[i];
    }
}

static void say(uint8_t type, uint8_t stream, uint16_t number, uint32_t at_us, const uint8_t *payload,
                size_t size)
{
    static uint8_t out[SSW_MOST_ENCODED];
    struct ssw_frame frame = {type, stream, number, at_us, payload, size};
    put(out, ssw_encode(&frame, type == SSW_SAMPLES ? seed : 0u, out, sizeof out));
}

static void greet(void)
{
    uint8_t payload[128];
    size_t size = ssw_hello(payload, sizeof payload, ID, 1u, "example");
    say(SSW_HELLO, 0, 0, now_us(), payload, size);
    size = ssw_schema(payload, sizeof payload, "imu", SSW_SAMPLED, DT_US);
    size = ssw_channel(payload, size, sizeof payload, "acc_x", "g", SSW_I16, 0.000122f);
    size = ssw_channel(payload, size, sizeof payload, "acc_y", "g", SSW_I16, 0.000122f);
    size = ssw_channel(payload, size, sizeof payload, "acc_z", "g", SSW_I16, 0.000122f);
    seed = ssw_crc32(0u, payload, size);
    say(SSW_SCHEMA, IMU, 0, now_us(), payload, size);
    size = ssw_schema(payload, sizeof payload, "button", SSW_HAPPENS, 0u);
    say(SSW_SCHEMA, BUTTON, 0, now_us(), payload, size);
}

static void hear(struct ssw_decoder *decoder)
{
    uint8_t out[64];
    struct ssw_frame frame;
    while ((UART_STATE & 2u) != 0u) {
        if (!ssw_take(decoder, (uint8_t)UART_DATA, &frame)) {
            continue;
        }
        if (frame.type == SSW_ASK) {
            greet();
        } else if (frame.type == SSW_SYNC) {
            uint32_t heard_us = now_us();
            put(out, ssw_sync_answer(&frame, heard_us, now_us(), out, sizeof out));
        } else if (frame.type == SSW_COMMAND && frame.size >= 2u) {
            uint8_t done[3] = {frame.payload[0], frame.payload[1], 0u};
            say(SSW_ACK, 0, 0, now_us(), done, sizeof done);
            say(SSW_EVENT, BUTTON, seq[BUTTON]++, now_us(), frame.payload + 2, frame.size - 2u);
        }
    }
}

int main(void)
{
    static uint8_t held[SSW_MOST_ENCODED];
    static uint8_t rows[ROWS * RECORD];
    struct ssw_decoder decoder;
    ssw_decoder_init(&decoder, held, sizeof held);
    UART_BAUDDIV = 25000000u / 921600u;
    UART_CTRL = 3u;
    TIMER_RELOAD = 0xffffffffu;
    TIMER_VALUE = 0xffffffffu;
    TIMER_CTRL = 1u;
    before = 0xffffffffu;
    greet();
    uint32_t first_us = now_us();
    uint32_t step = 0u;
    for (;;) {
        hear(&decoder);
        if (now_us() - first_us < (uint32_t)ROWS * DT_US) {
            continue;
        }
        for (uint32_t row = 0u; row < ROWS; row++, step++) {
            uint16_t swing = (uint16_t)(step % 200u < 100u ? step % 100u : 100u - step % 100u);
            ssw_put_u16(rows + row * RECORD, (uint16_t)(swing * 20u));
            ssw_put_u16(rows + row * RECORD + 2u, 0u);
            ssw_put_u16(rows + row * RECORD + 4u, 8197u); /* 1 g */
        }
        say(SSW_SAMPLES, IMU, seq[IMU]++, first_us, rows, sizeof rows);
        first_us += (uint32_t)ROWS * DT_US;
    }
}
