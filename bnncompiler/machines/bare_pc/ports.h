/* What programs on the emulated PC (boot.S) do by ports: read and write disks, which are files, and
 * end the machine.
 *
 * A disk is a stream of bytes; how many there are is in its first sector. So is how many sectors come
 * between the two: on the first disk they are the program (boot.S). */
#ifndef BNN_PORTS_H
#define BNN_PORTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BNN_SECTOR 512u

/* One of the four disks that two ATA channels have, and the sector of it at hand. */
typedef struct bnn_disk {
    uint16_t port; /* the first one of its channel */
    uint8_t drive; /* 0 or 1 on it */
    uint32_t next; /* sector */
    uint64_t left; /* bytes to read, or bytes written */
    size_t at;     /* in the sector */
    union {
        uint8_t bytes[BNN_SECTOR];
        uint64_t head[2]; /* of the first one: bytes of the stream, sectors in front of it */
    } sector;
} bnn_disk;

#define BNN_DISK(number) {(number) < 2 ? 0x1F0 : 0x170, (number) % 2, 0, 0, BNN_SECTOR, {{0}}}

enum { BNN_READ = 0x20, BNN_WRITE = 0x30 };              /* ATA commands */
enum { BNN_ERROR = 1, BNN_HAS_DATA = 8, BNN_BUSY = 128 }; /* bits of their status */

static inline void bnn_out(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t bnn_in(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Ends the machine: Bochs reads this word from the port. */
static inline void bnn_shut_down(void)
{
    const char *word = "Shutdown";

    while (*word != '\0')
        bnn_out(0x8900, (uint8_t)*word++);
    for (;;)
        __asm__ volatile("hlt");
}

/* Reads or writes sector `number`; returns 0 where the disk has none of it. */
static int bnn_transfer(bnn_disk *disk, uint8_t command, uint32_t number)
{
    const uint16_t port = disk->port;
    void *data = disk->sector.bytes;
    size_t words = BNN_SECTOR / 4u;
    uint8_t status;

    bnn_out((uint16_t)(port + 6), (uint8_t)(0xE0u | (unsigned)disk->drive << 4 | number >> 24));
    bnn_out((uint16_t)(port + 2), 1);
    bnn_out((uint16_t)(port + 3), (uint8_t)number);
    bnn_out((uint16_t)(port + 4), (uint8_t)(number >> 8));
    bnn_out((uint16_t)(port + 5), (uint8_t)(number >> 16));
    bnn_out((uint16_t)(port + 7), command);
    do {
        status = bnn_in((uint16_t)(port + 7));
        if (!(status & BNN_BUSY) && (status & BNN_ERROR))
            return 0;
    } while ((status & BNN_BUSY) || !(status & BNN_HAS_DATA));
    if (command == BNN_READ)
        __asm__ volatile("rep insl" : "+D"(data), "+c"(words) : "d"(port) : "memory");
    else
        __asm__ volatile("rep outsl" : "+S"(data), "+c"(words) : "d"(port) : "memory");
    return 1;
}

/* Begins to read. */
static inline int bnn_disk_open(bnn_disk *disk)
{
    const int read = bnn_transfer(disk, BNN_READ, 0);

    disk->left = disk->sector.head[0];
    disk->next = 1 + (uint32_t)disk->sector.head[1];
    return read;
}

/* The next bytes of the stream; 0 where there are not as many. */
static inline int bnn_disk_read(bnn_disk *disk, void *to, size_t bytes)
{
    uint8_t *at = to;

    if (disk->left < bytes)
        return 0;
    disk->left -= bytes;
    while (bytes > 0) {
        size_t part;
        if (disk->at == BNN_SECTOR) {
            if (!bnn_transfer(disk, BNN_READ, disk->next++))
                return 0;
            disk->at = 0;
        }
        part = BNN_SECTOR - disk->at < bytes ? BNN_SECTOR - disk->at : bytes;
        memcpy(at, disk->sector.bytes + disk->at, part);
        disk->at += part;
        at += part;
        bytes -= part;
    }
    return 1;
}

/* Writes bytes behind those that were written; 0 where the disk is full. */
static inline int bnn_disk_write(bnn_disk *disk, const void *from, size_t bytes)
{
    const uint8_t *at = from;

    if (disk->next == 0) {
        disk->next = 1;
        disk->at = 0;
    }
    disk->left += bytes;
    while (bytes > 0) {
        const size_t part = BNN_SECTOR - disk->at < bytes ? BNN_SECTOR - disk->at : bytes;
        memcpy(disk->sector.bytes + disk->at, at, part);
        disk->at += part;
        at += part;
        bytes -= part;
        if (disk->at == BNN_SECTOR) {
            if (!bnn_transfer(disk, BNN_WRITE, disk->next++))
                return 0;
            disk->at = 0;
        }
    }
    return 1;
}

/* Ends writing. */
static inline int bnn_disk_close(bnn_disk *disk)
{
    if (disk->next > 0 && disk->at > 0 && !bnn_transfer(disk, BNN_WRITE, disk->next))
        return 0;
    disk->sector.head[0] = disk->left;
    disk->sector.head[1] = 0;
    return bnn_transfer(disk, BNN_WRITE, 0);
}

#endif
