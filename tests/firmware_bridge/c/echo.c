/* Reads frames from a serial line and writes each back as it encodes it itself: 0 ends it. */
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "solosense_wire.h"

int main(int count, char **words)
{
    uint8_t held[SSW_MOST_ENCODED], out[SSW_MOST_ENCODED + 8], in[4096];
    struct ssw_decoder decoder;
    struct ssw_frame frame;
    struct termios line;
    int port = count == 2 ? open(words[1], O_RDWR | O_NOCTTY) : -1;
    if (port < 0 || tcgetattr(port, &line) != 0) {
        return 1;
    }
    cfmakeraw(&line);
    (void)tcsetattr(port, TCSANOW, &line);
    ssw_decoder_init(&decoder, held, sizeof held);
    for (;;) {
        ssize_t got = read(port, in, sizeof in);
        if (got <= 0) {
            return 2;
        }
        for (ssize_t i = 0; i < got; i++) {
            if (!ssw_take(&decoder, in[i], &frame)) {
                continue;
            }
            if (frame.type == 0) {
                return 0;
            }
            size_t size = ssw_encode(&frame, 0, out, sizeof out);
            for (size_t sent = 0; sent < size;) {
                ssize_t put = write(port, out + sent, size - sent);
                if (put <= 0) {
                    return 3;
                }
                sent += (size_t)put;
            }
        }
    }
}
