/* Layers of E perceptrons side by side, and mixtures of their outputs: (batch, E, width), rows as they are.

   Widths are multiples of 16. Threads share out experts or rows, so that their number changes no bit. */
#include "rows.h"

#ifdef __AVX512F__
#define TILE 8 /* rows of a product that are made together: their sums stay in registers */
#else
#define TILE 4
#endif
#define CHUNK 128 /* rows of a batch that stay in the cache */
#define INLINE static inline __attribute__((always_inline))

typedef struct {
    int64_t batch, experts, inputs, outputs, threads;
    float *room; /* (experts, inputs (outputs + CHUNK + 1) + CHUNK outputs) */
} layer;

typedef struct {
    const float *from;
    int64_t down, right; /* steps to the next row and to the next entry */
} matrix;

/* `rows` times `parts` * LANES entries of into = start + a b. */
INLINE void tile(int rows, int parts, int64_t inner, matrix a, matrix b, matrix start, float *into, int64_t down,
                 int is_rectified) {
    floats s[TILE][2];
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < parts; p++) s[i][p] = at(start.from + i * start.down + p * LANES);
    for (int64_t l = 0; l < inner; l++, b.from += b.down, a.from += a.right)
        for (int i = 0; i < rows; i++)
            for (int p = 0; p < parts; p++) s[i][p] += a.from[i * a.down] * at(b.from + p * LANES);
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < parts; p++) put(is_rectified ? max_0(s[i][p]) : s[i][p], into + i * down + p * LANES);
}

/* into (m, n) = start + a (m, inner) b (inner, n), and a ReLU if asked for. */
static void product(int64_t m, int64_t n, int64_t inner, matrix a, matrix b, matrix start, float *into, int64_t down,
                    int is_rectified) {
    for (int64_t j = 0, parts; j < n; j += parts * LANES) {
        parts = n - j >= 2 * LANES ? 2 : 1;
        for (int64_t i = 0, rows; i < m; i += rows) {
            rows = m - i >= TILE ? TILE : 1;
            matrix left = {a.from + i * a.down, a.down, a.right}, right = {b.from + j, b.down, 1};
            matrix first = {start.from + i * start.down + j, start.down, 1};
            float *to = into + i * down + j;
            if (rows > 1 && parts > 1) tile(TILE, 2, inner, left, right, first, to, down, is_rectified);
            else if (rows > 1) tile(TILE, 1, inner, left, right, first, to, down, is_rectified);
            else if (parts > 1) tile(1, 2, inner, left, right, first, to, down, is_rectified);
            else tile(1, 1, inner, left, right, first, to, down, is_rectified);
        }
    }
}

/* y (batch, E, outputs) = max(0, x W + bias), x (batch, E, inputs), W (E, inputs, outputs). */
void experts_forward(const layer *l, const float *x, const float *weight, const float *bias, float *y) {
    int64_t in = l->inputs, out = l->outputs, down = l->experts;
#pragma omp parallel for schedule(static) num_threads(l->threads)
    for (int64_t n = 0; n < (l->batch + CHUNK - 1) / CHUNK * l->experts; n++) {
        int64_t e = n % l->experts, b = n / l->experts * CHUNK;
        int64_t rows = l->batch - b < CHUNK ? l->batch - b : CHUNK, place = b * l->experts + e;
        matrix inputs = {x + place * in, down * in, 1}, weights = {weight + e * in * out, out, 1};
        product(rows, out, in, inputs, weights, (matrix){bias + e * out, 0, 1}, y + place * out, down * out, 1);
    }
}

/* Of one expert and `rows` rows from b on: dy below the ReLU of y -> dz, its sums added to dbias; x -> kept. */
static void gathered(const layer *l, int64_t e, int64_t b, int64_t rows, const float *x, const float *y,
                     const float *dy, float *dz, float *dbias, float *kept) {
    int64_t in = l->inputs, out = l->outputs;
    for (int64_t r = 0; r < rows; r++) {
        int64_t place = (b + r) * l->experts + e;
        for (int64_t o = 0; o < out; o += LANES) {
            floats gradient = below(at(dy + place * out + o), at(y + place * out + o));
            put(gradient, dz + r * out + o);
            put(at(dbias + o) + gradient, dbias + o);
        }
        memcpy(kept + r * in, x + place * in, sizeof(float) * in);
    }
}

/* From dy, with the outputs y: the gradients of x, of the weights and of the biases. */
void experts_backward(const layer *l, const float *x, const float *weight, const float *y, const float *dy, float *dx,
                      float *dweight, float *dbias) {
    int64_t in = l->inputs, out = l->outputs;
    memset(dweight, 0, sizeof(float) * l->experts * in * out);
    memset(dbias, 0, sizeof(float) * l->experts * out);
#pragma omp parallel for schedule(static) num_threads(l->threads)
    for (int64_t e = 0; e < l->experts; e++) {
        float *turned = l->room + e * (in * (out + CHUNK + 1) + CHUNK * out);
        float *dz = turned + in * out, *kept = dz + CHUNK * out, *zeros = kept + CHUNK * in;
        float *dw = dweight + e * in * out;
        memset(zeros, 0, sizeof(float) * in);
        for (int64_t i = 0; i < in; i++)
            for (int64_t o = 0; o < out; o++) turned[o * in + i] = weight[(e * in + i) * out + o];
        for (int64_t b = 0; b < l->batch; b += CHUNK) {
            int64_t rows = l->batch - b < CHUNK ? l->batch - b : CHUNK;
            gathered(l, e, b, rows, x, y, dy, dz, dbias + e * out, kept);
            matrix gradient = {dz, out, 1};
            product(rows, in, out, gradient, (matrix){turned, in, 1}, (matrix){zeros, 0, 1},
                    dx + (b * l->experts + e) * in, l->experts * in, 0);
            product(in, out, rows, (matrix){kept, 1, in}, gradient, (matrix){dw, out, 1}, dw, out, 0);
        }
    }
}

/* y (batch, width) = the sum over experts of gate (batch, E) times x (batch, E, width). */
void mix_forward(const layer *l, const float *gate, const float *x, float *y) {
    int64_t width = l->outputs;
#pragma omp parallel for schedule(static) num_threads(l->threads)
    for (int64_t b = 0; b < l->batch; b++)
        for (int64_t o = 0; o < width; o += LANES) {
            floats s = {0};
            for (int64_t n = b * l->experts; n < (b + 1) * l->experts; n++) s += gate[n] * at(x + n * width + o);
            put(s, y + b * width + o);
        }
}

/* From dy the gradients of the gate and of x. */
void mix_backward(const layer *l, const float *gate, const float *x, const float *dy, float *dgate, float *dx) {
    int64_t width = l->outputs;
#pragma omp parallel for schedule(static) num_threads(l->threads)
    for (int64_t b = 0; b < l->batch; b++)
        for (int64_t n = b * l->experts; n < (b + 1) * l->experts; n++) {
            floats s = {0};
            for (int64_t o = 0; o < width; o += LANES) {
                floats gradient = at(dy + b * width + o);
                s += gradient * at(x + n * width + o);
                put(gate[n] * gradient, dx + n * width + o);
            }
            dgate[n] = sum_of(s);
        }
}
