/* From reset to main: what a vendor's start-up file does. */
#include <stdint.h>

extern uint32_t data_load, data_begin, data_end, bss_begin, bss_end;
extern void stack_top(void); /* no function: the linker's word for where the stack begins */
int main(void);
void reset(void);

static void stop(void)
{
    for (;;) {
    }
}

void reset(void)
{
    uint32_t *from = &data_load;
    for (uint32_t *to = &data_begin; to < &data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = &bss_begin; to < &bss_end; to++) {
        *to = 0u;
    }
    (void)main();
    stop();
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    stack_top, reset, stop, stop, stop, stop, stop};
