#include "solosense_wire.h"

#include <string.h>

/* CRC-32, reflected polynomial 0xEDB88320, four bits at a time: 64 bytes of table. */
uint32_t ssw_crc32(uint32_t before, const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u,
        0x4db26158u, 0x5005713cu, 0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
        0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    uint32_t crc = ~before;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = table[crc & 15u] ^ (crc >> 4);
        crc = table[crc & 15u] ^ (crc >> 4);
    }
    return ~crc;
}

void ssw_put_u16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)(value & 0xffu);
    to[1] = (uint8_t)(value >> 8);
}

void ssw_put_u32(uint8_t *to, uint32_t value)
{
    ssw_put_u16(to, (uint16_t)(value & 0xffffu));
    ssw_put_u16(to + 2, (uint16_t)(value >> 16));
}

static uint16_t get_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] | ((uint16_t)from[1] << 8));
}

static uint32_t get_u32(const uint8_t *from)
{
    return get_u16(from) | ((uint32_t)get_u16(from + 2) << 16);
}

/* COBS as it is written: runs of up to 254 bytes that are not zero, each behind its length + 1. */
struct run {
    uint8_t *code; /* where the length of the run goes */
    uint8_t *next;
};

static void put_byte(struct run *run, uint8_t byte)
{
    if (*run->code == 0xffu) { /* full; no zero stands behind it */
        run->code = run->next++;
        *run->code = 1u;
    }
    if (byte != 0u) {
        *run->next++ = byte;
        ++*run->code;
    } else {
        run->code = run->next++;
        *run->code = 1u;
    }
}

static void put_bytes(struct run *run, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        put_byte(run, bytes[i]);
    }
}

size_t ssw_encode(const struct ssw_frame *frame, uint32_t seed, uint8_t *out, size_t room)
{
    uint8_t head[SSW_HEADER];
    uint8_t tail[SSW_CRC];
    if (frame->size > SSW_MOST_PAYLOAD || room < SSW_ENCODED(frame->size)) {
        return 0;
    }
    head[0] = frame->type;
    head[1] = frame->stream;
    ssw_put_u16(head + 2, frame->seq);
    ssw_put_u32(head + 4, frame->time_us);
    uint32_t crc = ssw_crc32(seed, head, sizeof head);
    ssw_put_u32(tail, ssw_crc32(crc, frame->payload, frame->size));
    struct run run = {out, out + 1};
    *run.code = 1u;
    put_bytes(&run, head, sizeof head);
    put_bytes(&run, frame->payload, frame->size);
    put_bytes(&run, tail, sizeof tail);
    *run.next++ = 0u;
    return (size_t)(run.next - out);
}

/* Text behind its length in a byte; 0 where it has no room. */
static size_t put_text(uint8_t *payload, size_t used, size_t room, const char *text)
{
    size_t length = strlen(text);
    if (used == 0u || length > 255u || room - used < length + 1u) {
        return 0;
    }
    payload[used] = (uint8_t)length;
    memcpy(payload + used + 1u, text, length);
    return used + 1u + length;
}

size_t ssw_hello(uint8_t *payload, size_t room, const char *id, uint32_t boot, const char *firmware)
{
    if (room < 5u) {
        return 0;
    }
    payload[0] = SSW_PROTOCOL;
    ssw_put_u32(payload + 1, boot);
    return put_text(payload, put_text(payload, 5u, room, id), room, firmware);
}

size_t ssw_schema(
    uint8_t *payload, size_t room, const char *name, enum ssw_stream_kind kind, uint32_t dt_us)
{
    if (room < 6u) {
        return 0;
    }
    payload[0] = (uint8_t)kind;
    payload[1] = 0u; /* channels so far */
    ssw_put_u32(payload + 2, dt_us);
    return put_text(payload, 6u, room, name);
}

size_t ssw_channel(
    uint8_t *payload, size_t used, size_t room, const char *name, const char *unit,
    enum ssw_channel_type type, float scale)
{
    uint32_t bits;
    if (used == 0u || room - used < 5u || payload[1] == 255u) {
        return 0;
    }
    memcpy(&bits, &scale, sizeof bits);
    payload[used] = (uint8_t)type;
    ssw_put_u32(payload + used + 1u, bits);
    used = put_text(payload, put_text(payload, used + 5u, room, name), room, unit);
    payload[1] = (uint8_t)(payload[1] + (used != 0u));
    return used;
}

void ssw_decoder_init(struct ssw_decoder *decoder, uint8_t *buffer, size_t room)
{
    memset(decoder, 0, sizeof *decoder);
    decoder->frame = buffer;
    decoder->room = room;
}

static void begin(struct ssw_decoder *decoder)
{
    decoder->used = 0u;
    decoder->left = 0u;
    decoder->zero_due = false;
    decoder->broken = false;
}

static void keep(struct ssw_decoder *decoder, uint8_t byte)
{
    if (decoder->used == decoder->room) {
        decoder->broken = true;
        return;
    }
    decoder->frame[decoder->used++] = byte;
}

/* Is what stands in the buffer, between two zeros, a frame? */
static bool whole(const struct ssw_decoder *decoder)
{
    size_t body = decoder->used - SSW_CRC;
    return !decoder->broken && decoder->left == 0u && decoder->used >= SSW_HEADER + SSW_CRC &&
           ssw_crc32(0u, decoder->frame, body) == get_u32(decoder->frame + body);
}

bool ssw_take(struct ssw_decoder *decoder, uint8_t byte, struct ssw_frame *frame)
{
    if (byte != 0u) {
        if (decoder->broken) {
            return false;
        }
        if (decoder->left != 0u) {
            decoder->left--;
            keep(decoder, byte);
            return false;
        }
        if (decoder->zero_due) {
            keep(decoder, 0u);
        }
        decoder->left = (uint8_t)(byte - 1u);
        decoder->zero_due = byte != 0xffu;
        return false;
    }
    bool empty = decoder->used == 0u && !decoder->broken && decoder->left == 0u;
    bool found = whole(decoder);
    if (found) {
        const uint8_t *head = decoder->frame;
        frame->type = head[0];
        frame->stream = head[1];
        frame->seq = get_u16(head + 2);
        frame->time_us = get_u32(head + 4);
        frame->payload = head + SSW_HEADER;
        frame->size = decoder->used - SSW_HEADER - SSW_CRC;
    } else if (!empty) {
        decoder->dropped++;
    }
    begin(decoder);
    return found;
}

size_t ssw_sync_answer(
    const struct ssw_frame *request, uint32_t received_us, uint32_t now_us, uint8_t *out,
    size_t room)
{
    uint8_t payload[12];
    if (request->type != SSW_SYNC || request->size != 8u) {
        return 0;
    }
    memcpy(payload, request->payload, 8u); /* the host's own time, as it came */
    ssw_put_u32(payload + 8, received_us);
    struct ssw_frame answer = {SSW_SYNC, 0u, request->seq, now_us, payload, sizeof payload};
    return ssw_encode(&answer, 0u, out, room);
}
