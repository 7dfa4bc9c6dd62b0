/* As much of the Arduino core as a generated sketch uses: Serial, on standard input and output where there are any. */
#ifndef ARDUINO_SHIM_H
#define ARDUINO_SHIM_H

#include <stddef.h>
#include <stdint.h>

#define F(text) text

#ifdef __AVR__
struct SerialPort {
    void begin(long) {}
    operator bool() const { return true; }
    int available() const { return 1; }
    int read() const { return 0; }
    void print(int) {}
    void print(long) {}
    void print(char) {}
    void print(const char *) {}
    void println(int) {}
    void println() {}
};
static SerialPort Serial;
#else
#include <stdio.h>
#include <stdlib.h>
struct SerialPort {
    void begin(long) {}
    operator bool() const { return true; }
    int available() const { return 1; }
    int read() const
    {
        const int c = getchar();
        if (c == EOF)
            exit(0);
        return c;
    }
    void print(int number) { printf("%d", number); }
    void print(long number) { printf("%ld", number); }
    void print(char c) { putchar(c); }
    void print(const char *text) { fputs(text, stdout); }
    void println(int number) { printf("%d\n", number); }
    void println() { putchar('\n'); }
};
static SerialPort Serial;
#endif

void setup();
void loop();

#endif
