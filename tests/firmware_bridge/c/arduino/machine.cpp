// The machine under a sketch: a terminal for a serial line, a clock, a sensor on a bus.
#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "Arduino.h"
#include "Wire.h"

Stream Serial;
TwoWire Wire;
void setup();
void loop();

static int line_fd;
static const uint8_t STILL[14] = {0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0x21, 0, 0, 0xff, 0xdf};
static uint8_t registers[128], at, left;

uint32_t micros()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}
int analogRead(int) { return 517; }

void Stream::begin(unsigned long) {}
int Stream::available()
{
    pollfd one = {line_fd, POLLIN, 0};
    return poll(&one, 1, 0) > 0 && (one.revents & POLLIN) != 0;
}
int Stream::read()
{
    uint8_t byte = 0;
    return ::read(line_fd, &byte, 1) == 1 ? byte : -1;
}
size_t Stream::write(const uint8_t *bytes, size_t size)
{
    return ::write(line_fd, bytes, size) == (ssize_t)size ? size : 0;
}

void TwoWire::begin() {}
void TwoWire::setClock(uint32_t) {}
void TwoWire::beginTransmission(uint8_t) { at = 0xff; }
size_t TwoWire::write(uint8_t byte)
{
    if (at == 0xff) {
        at = byte;
    } else {
        registers[at & 127] = byte;
    }
    return 1;
}
uint8_t TwoWire::endTransmission(bool) { return 0; }
uint8_t TwoWire::requestFrom(uint8_t, uint8_t count)
{
    // asleep, or of another range than the sketch says: nothing comes
    bool as_said = registers[0x6b] == 0x01 && registers[0x1c] == 0x08 && registers[0x1b] == 0x10;
    left = as_said && at == 0x3b && count == 14 ? 14 : 0;
    return left;
}
int TwoWire::read() { return left > 0 ? STILL[14 - left--] : -1; }

int main(int count, char **words)
{
    termios raw;
    line_fd = count == 2 ? open(words[1], O_RDWR | O_NOCTTY) : -1;
    if (line_fd < 0 || tcgetattr(line_fd, &raw) != 0) {
        return 1;
    }
    cfmakeraw(&raw);
    tcsetattr(line_fd, TCSANOW, &raw);
    for (setup();;) {
        loop();
        usleep(200);
    }
}
