/* Solosense wire, level 1: frames between a microcontroller and the bridge.
 *
 * A frame is   type u8 | stream u8 | seq u16 | time u32 | payload | crc u32   little-endian, COBS
 * encoded, a zero byte behind it. `time` is the device's clock in microseconds, which wraps; `seq`
 * counts the frames of a stream. The CRC-32 (IEEE 802.3) of SAMPLES begins where that of the
 * stream's SCHEMA payload ended, so that readings of another layout are never taken for ours.
 *
 * C99, no allocation, no library but <string.h>. All state is the caller's. Nothing here is safe
 * against an interrupt that calls it with the same state; use one state a context.
 */
#ifndef SOLOSENSE_WIRE_H
#define SOLOSENSE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SSW_PROTOCOL 1u
#define SSW_HEADER 8u /* bytes in front of the payload */
#define SSW_CRC 4u
#define SSW_MOST_ENCODED 1024u /* bytes of a frame on the wire, its zero included */
#define SSW_MOST_PAYLOAD (SSW_MOST_ENCODED - 6u - SSW_HEADER - SSW_CRC) /* COBS adds at most 5, the end 1 */

/* Bytes on the wire of a payload of n bytes, at most. */
#define SSW_ENCODED(n) ((n) + SSW_HEADER + SSW_CRC + ((n) + SSW_HEADER + SSW_CRC) / 254u + 2u)

enum ssw_type {
    SSW_HELLO = 0x01,   /* device: who I am; at boot and when asked */
    SSW_SCHEMA = 0x02,  /* device: what a stream's records hold */
    SSW_SAMPLES = 0x03, /* device: records of a stream, `time` that of the first */
    SSW_EVENT = 0x04,   /* device: something happened; payload UTF-8 text, may be empty */
    SSW_LOG = 0x05,     /* device: a line for people, UTF-8 */
    SSW_SYNC = 0x06,    /* host: what time is it? device: the answer */
    SSW_COMMAND = 0x07, /* host: do this; payload id u16, UTF-8 text */
    SSW_ACK = 0x08,     /* device: a command was done; payload id u16, status u8 */
    SSW_ASK = 0x09      /* host: say HELLO and all SCHEMAs */
};

enum ssw_channel_type { SSW_I8, SSW_U8, SSW_I16, SSW_U16, SSW_I32, SSW_U32, SSW_F32 };
enum ssw_stream_kind { SSW_SAMPLED, SSW_LEVEL, SSW_HAPPENS };

struct ssw_frame {
    uint8_t type;
    uint8_t stream;
    uint16_t seq;
    uint32_t time_us;
    const uint8_t *payload;
    size_t size; /* of the payload */
};

/* --- out --- */

uint32_t ssw_crc32(uint32_t before, const uint8_t *data, size_t size); /* 0 to begin with */

/* Write a frame as it goes over the wire; return its bytes, 0 if `room` is too small or the payload
 * too large. `seed`: for SAMPLES what ssw_crc32 says of the stream's SCHEMA payload, else 0. */
size_t ssw_encode(const struct ssw_frame *frame, uint32_t seed, uint8_t *out, size_t room);

/* Little-endian, whatever the processor is: for the records of SAMPLES. */
void ssw_put_u16(uint8_t *to, uint16_t value);
void ssw_put_u32(uint8_t *to, uint32_t value);

/* HELLO: `id` of a-z, 0-9, _ and -, up to 32; `boot` another number after every start. */
size_t ssw_hello(uint8_t *payload, size_t room, const char *id, uint32_t boot, const char *firmware);

/* SCHEMA: a stream's name, kind and rate, then its channels one by one; 0 where room is too small.
 *
 *     size_t n = ssw_schema(payload, sizeof payload, "imu", SSW_SAMPLED, 10000);
 *     n = ssw_channel(payload, n, sizeof payload, "acc_x", "m/s^2", SSW_I16, 0.00119641f);
 */
size_t ssw_schema(
    uint8_t *payload, size_t room, const char *name, enum ssw_stream_kind kind, uint32_t dt_us);
size_t ssw_channel(
    uint8_t *payload, size_t used, size_t room, const char *name, const char *unit,
    enum ssw_channel_type type, float scale);

/* --- in --- */

struct ssw_decoder {
    uint8_t *frame; /* the caller's, as many bytes as the longest frame may have decoded */
    size_t room;
    size_t used;
    uint8_t left;   /* bytes until the next code byte */
    bool zero_due;  /* does a zero stand in place of the next code byte? */
    bool broken;    /* wait for the next zero */
    uint32_t dropped; /* frames that were too long, torn or of a wrong CRC */
};

void ssw_decoder_init(struct ssw_decoder *decoder, uint8_t *buffer, size_t room);

/* Take a byte; true when it ends a frame that is whole. `frame` points into the decoder's buffer
 * and holds until the next byte. Only types whose CRC has no seed are read: what a host sends. */
bool ssw_take(struct ssw_decoder *decoder, uint8_t byte, struct ssw_frame *frame);

/* Write the answer to a SYNC of the host; 0 if it is none. `received_us` is the device's clock when
 * the request's last byte came, `now_us` when the answer goes. */
size_t ssw_sync_answer(
    const struct ssw_frame *request, uint32_t received_us, uint32_t now_us, uint8_t *out,
    size_t room);

#ifdef __cplusplus
}
#endif
#endif
