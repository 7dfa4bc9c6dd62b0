/* Reads a 28x28 image of a digit (binary PGM) and says which digit it is.
 *
 * This is all that a program needs to run a compiled network: include its header, give it memory, call it. On a
 * microcontroller the image comes from a sensor and the arena is a static array, as here.
 */
#include <stdint.h>
#include <stdio.h>

#include "mnist_mlp.h"

static uint64_t arena[(MNIST_MLP_ARENA_SIZE + 7) / 8]; /* as aligned as any network asks for */

static int read_image(const char *path, uint8_t image[MNIST_MLP_INPUT_SIZE])
{
    FILE *file = fopen(path, "rb");
    int width = 0, height = 0, ok = 0;

    if (file != NULL) {
        ok = fscanf(file, "P5 %d %d 255", &width, &height) == 2 && fgetc(file) != EOF
            && width * height == MNIST_MLP_INPUT_SIZE
            && fread(image, 1, MNIST_MLP_INPUT_SIZE, file) == MNIST_MLP_INPUT_SIZE;
        fclose(file);
    }
    return ok;
}

int main(int argc, char **argv)
{
    uint8_t image[MNIST_MLP_INPUT_SIZE];
    int32_t logits[MNIST_MLP_OUTPUT_SIZE];
    int i;

    if (argc != 2 || !read_image(argv[1], image)) {
        fprintf(stderr, "usage: %s IMAGE.pgm (28x28, 8 bits)\n", argv[0]);
        return 2;
    }
    if (mnist_mlp_selftest(arena) != 0) {
        fprintf(stderr, "the network does not compute what it was compiled to compute\n");
        return 1;
    }
    mnist_mlp_run(image, logits, arena);
    for (i = 0; i < MNIST_MLP_OUTPUT_SIZE; ++i)
        printf("%d: %ld\n", i, (long)logits[i]);
    printf("this is a %d\n", mnist_mlp_classify(image, arena));
    return 0;
}
