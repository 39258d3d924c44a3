/* Rows of floats, SOME at a time: four registers of AVX-512, or more of a smaller processor. */
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
int omp_get_thread_num(void);
static inline int this_thread(void) { return omp_get_thread_num(); }
#else
static inline int this_thread(void) { return 0; }
#endif

#define LANES 16
#ifndef SOME
#define SOME 64
#endif
#define EACH(i) for (int i = 0; i < SOME / LANES; i++)

typedef float floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t masks __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef struct {
    floats part[SOME / LANES];
} sums;

static inline floats at(const float *from) { return *(const floats *)from; }
static inline void put(floats values, float *into) { *(floats *)into = values; }

/* max(0, x); what is not a number stays so, for training stops at it. */
static inline floats max_0(floats x) { return (floats)((masks)x & ~(x < 0)); }

/* The gradient below a ReLU with these outputs. */
static inline floats below(floats gradient, floats outputs) { return (floats)((masks)gradient & ~(outputs <= 0)); }

static inline float sum_of(floats x) {
    float left[LANES];
    put(x, left);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) left[i] += left[i + half];
    return left[0];
}

/* LANES floats of a and b: those of a where the lane's bit of `half` is 0, and then b's from `half` before; or
   a's from `half` after, and then b's. */
static inline void swapped(floats *a, floats *b, int half) {
    floats first = *a, second = *b;
#ifdef __clang__
    for (int l = 0; l < LANES; l++) {
        (*a)[l] = l & half ? second[l - half] : first[l];
        (*b)[l] = l & half ? second[l] : first[l + half];
    }
#else
    masks low, high;
    for (int l = 0; l < LANES; l++) {
        low[l] = l & half ? LANES + l - half : l;
        high[l] = l & half ? LANES + l : l + half;
    }
    *a = __builtin_shuffle(first, second, low), *b = __builtin_shuffle(first, second, high);
#endif
}

/* `rows` rows of `columns` floats, LANES of both at most, into as many rows: the transpose. */
static inline void transposed(const float *from, int64_t down, int64_t rows, int64_t columns, float *into,
                              int64_t into_down) {
    if (rows < LANES || columns < LANES) {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = 0; k < columns; k++) into[k * into_down + i] = from[i * down + k];
        return;
    }
    floats tile[LANES];
    for (int i = 0; i < LANES; i++) tile[i] = at(from + i * down);
#pragma GCC unroll 4
    for (int half = LANES / 2; half; half /= 2)
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            if (!(i & half)) swapped(tile + i, tile + i + half, half);
    for (int i = 0; i < LANES; i++) put(tile[i], into + i * into_down);
}

/* Of a matrix of any size. */
static inline void transpose(const float *from, int64_t down, int64_t rows, int64_t columns, float *into, int64_t into_down) {
    for (int64_t k = 0; k < columns; k += LANES)
        for (int64_t i = 0; i < rows; i += LANES)
            transposed(from + i * down + k, down, rows - i < LANES ? rows - i : LANES,
                       columns - k < LANES ? columns - k : LANES, into + k * into_down + i, into_down);
}

/* Rows of a wide matrix lie too far apart for the processor to see what comes next. */
#define AHEAD 6
static inline void ahead(const float *from) { EACH(i) __builtin_prefetch(from + i * LANES); }

/* The first `some` floats, and zeros. */
static inline sums read(const float *from, int64_t some) {
    float end[SOME] = {0};
    sums s;
    if (some < SOME) from = memcpy(end, from, sizeof(float) * some);
    EACH(i) s.part[i] = at(from + i * LANES);
    return s;
}

static inline void write(sums s, float *into, int64_t some) {
    float end[SOME], *to = some < SOME ? end : into;
    EACH(i) put(s.part[i], to + i * LANES);
    if (some < SOME) memcpy(into, end, sizeof(float) * some);
}

static inline sums plus(sums a, sums b) {
    EACH(i) a.part[i] += b.part[i];
    return a;
}

static inline sums times(float factor, sums s) {
    EACH(i) s.part[i] *= factor;
    return s;
}

static inline sums rectified(sums s) {
    EACH(i) s.part[i] = max_0(s.part[i]);
    return s;
}

static inline sums unrectified(sums gradient, sums outputs) {
    EACH(i) gradient.part[i] = below(gradient.part[i], outputs.part[i]);
    return gradient;
}
