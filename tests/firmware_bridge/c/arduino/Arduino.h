/* As much of Arduino as the sketches use, on this machine: Serial is a terminal. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

#define A0 14

uint32_t micros();
int analogRead(int pin);

class Stream {
  public:
    void begin(unsigned long baud);
    int available();
    int read();
    size_t write(const uint8_t *bytes, size_t size);
};

extern Stream Serial;

#endif
