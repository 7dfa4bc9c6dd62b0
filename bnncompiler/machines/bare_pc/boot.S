/* The ROM of an emulated PC: from reset to 64-bit code with AVX-512, and on to the program, which is
 * on the first disk (ports.h) and goes to 4 MB in memory (link.ld).
 *
 * Addresses are physical ones, up to 1 GB, but for the first 2 MB: they are not there, so that null
 * pointers are faults. The stack begins below the program and ends there, so that running over its
 * end is a fault, too. There is no table of interrupts: a fault ends the machine. */
    .set PROGRAM, 0x400000
    .set FROM, 0xffffc000       /* where the ROM lies: it is the last 16 KB of 4 GB */

/* Entries of page tables: 1 there, 2 writable, 0x20 used and 0x40 changed, which the processor
 * would write here otherwise, 0x80 a page and not the next table. */
    .set TABLE, 0x23
    .set PAGE, 0xe3

    .text
level4:
    .quad level3 + TABLE
    .fill 511, 8, 0
level3:
    .quad level2 + TABLE
    .quad 0, 0
    .quad 0xc0000000 + PAGE     /* the last GB of four, with this ROM */
    .fill 508, 8, 0
level2:
    .quad 0
    .set page, 1
    .rept 511
    .quad page << 21 | PAGE
    .set page, page + 1
    .endr

segments:
    .quad 0
    .quad 0x00af9b000000ffff    /* number 8: 64-bit code */
segments_end:
    .word segments_end - segments - 1
    .long segments

    .code16
begin:
    lgdtl %cs:segments_end - level4 + (FROM & 0xffff)
    mov $0x40620, %eax          /* CR4: PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    mov %eax, %cr4
    mov $level4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx       /* EFER: LME */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov $0x80000033, %eax       /* CR0: PG, NE, ET, MP, PE */
    mov %eax, %cr0
    ljmpl $8, $long_mode

    .code64
long_mode:
    xor %ecx, %ecx              /* XCR0: x87, SSE, AVX, and the three parts of AVX-512 */
    xor %edx, %edx
    mov $0xe7, %eax
    xsetbv
    mov $PROGRAM, %esp
    mov $PROGRAM, %edi
    xor %ebx, %ebx
    call read_sector
    mov PROGRAM + 8, %ebp       /* how many sectors the program has */
    mov $PROGRAM, %edi
next:
    inc %ebx
    call read_sector
    cmp %ebp, %ebx
    jb next
    mov $PROGRAM, %eax
    call *%rax

read_sector:                    /* number ebx, by the ports of the first ATA channel, to rdi */
    mov $0x1f2, %edx            /* one sector */
    mov $1, %al
    out %al, %dx
    inc %edx                    /* 24 bits of its number */
    mov %bl, %al
    out %al, %dx
    inc %edx
    mov %bh, %al
    out %al, %dx
    inc %edx
    mov %ebx, %eax
    shr $16, %eax
    out %al, %dx
    inc %edx                    /* the first disk */
    mov $0xe0, %al
    out %al, %dx
    inc %edx                    /* read, and wait for data */
    mov $0x20, %al
    out %al, %dx
wait:
    in %dx, %al
    test $8, %al
    jz wait
    mov $0x1f0, %edx
    mov $128, %ecx
    rep insl
    ret

    .org 0x3ff0                 /* what a processor begins with, as 16-bit code */
    .code16
    jmp begin
    .org 0x4000
