/* The Gram matrix of some vectors of floats: products and sums are made in double, block by block. */
#include "rows.h"

#define WIDE 8      /* doubles side by side */
#define BLOCK 256   /* entries of each vector that are looked at together */
#define TILE 4      /* products of so many vectors with as many others are summed at once */

typedef double doubles __attribute__((vector_size(8 * WIDE), aligned(8), may_alias));

static inline doubles pair(const double *from) { return *(const doubles *)from; }

/* Adds the products of TILE vectors from i on with TILE from j on; `sums` (count, count, WIDE). */
static void tile_of(int64_t count, int64_t i, int64_t j, const double *block, double *sums) {
    doubles s[TILE][TILE];
    for (int a = 0; a < TILE; a++)
        for (int b = 0; b < TILE; b++) s[a][b] = pair(sums + ((i + a) * count + j + b) * WIDE);
    for (int64_t n = 0; n < BLOCK; n += WIDE)
        for (int a = 0; a < TILE; a++) {
            doubles left = pair(block + (i + a) * BLOCK + n);
            for (int b = 0; b < TILE; b++) s[a][b] += left * pair(block + (j + b) * BLOCK + n);
        }
    for (int a = 0; a < TILE; a++)
        for (int b = 0; b < TILE; b++) *(doubles *)(sums + ((i + a) * count + j + b) * WIDE) = s[a][b];
}

/* gram (count, count) of the vectors; count is a multiple of TILE, vectors that are none are zeros. `room` is
   count BLOCK + count count WIDE doubles. */
void gram(int64_t count, int64_t length, const float *const *vectors, double *gram, double *room) {
    double *sums = room + count * BLOCK;
    memset(room, 0, sizeof(double) * (count * BLOCK + count * count * WIDE));
    for (int64_t start = 0; start < length; start += BLOCK) {
        int64_t some = length - start < BLOCK ? length - start : BLOCK;
        for (int64_t t = 0; t < count; t++) {
            if (!vectors[t]) continue;
            double *into = room + t * BLOCK;
            for (int64_t n = 0; n < some; n++) into[n] = vectors[t][start + n];
            for (int64_t n = some; n < BLOCK; n++) into[n] = 0;
        }
        for (int64_t i = 0; i < count; i += TILE)
            for (int64_t j = 0; j <= i; j += TILE) tile_of(count, i, j, room, sums);
    }
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j <= i; j++) {
            double total = 0;
            for (int w = 0; w < WIDE; w++) total += sums[(i * count + j) * WIDE + w];
            gram[i * count + j] = gram[j * count + i] = total;
        }
}
