/* Sums over the gradients of tasks, in one pass over them: weighted, or of one sign a coordinate. */
#include "rows.h"

#define BLOCK 1024 /* coordinates that stay in the cache while the tasks' are added */

static inline int64_t fewer(int64_t a, int64_t b) { return a < b ? a : b; }

/* into (length) = the sum of weights (count) times the vectors. */
void weighted(int64_t count, int64_t length, const float *const *vectors, const float *weights, float *into) {
    for (int64_t start = 0; start < length; start += BLOCK) {
        int64_t some = fewer(BLOCK, length - start);
        float *restrict sum = into + start;
        for (int64_t n = 0; n < some; n++) sum[n] = weights[0] * vectors[0][start + n];
        for (int64_t t = 1; t < count; t++) {
            const float *restrict from = vectors[t] + start;
            float weight = weights[t];
            for (int64_t n = 0; n < some; n++) sum[n] += weight * from[n];
        }
    }
}

/* GradDrop: into (length) = what rises if the share of that is above `uniform` (length), else what falls; of the other
   sign the part `leak` (count) of each task. */
void one_sign(int64_t count, int64_t length, const float *const *vectors, const float *uniform, const float *leak,
              float *into) {
    float rising[BLOCK], falling[BLOCK], leaked_up[BLOCK], leaked_down[BLOCK];
    for (int64_t start = 0; start < length; start += BLOCK) {
        int64_t some = fewer(BLOCK, length - start);
        for (int64_t n = 0; n < some; n++) rising[n] = falling[n] = leaked_up[n] = leaked_down[n] = 0;
        for (int64_t t = 0; t < count; t++) {
            const float *restrict from = vectors[t] + start;
            for (int64_t n = 0; n < some; n++) {
                float up = from[n] > 0 ? from[n] : 0, down = from[n] - up;
                rising[n] += up, falling[n] += down;
                leaked_up[n] += leak[t] * up, leaked_down[n] += leak[t] * down;
            }
        }
        for (int64_t n = 0; n < some; n++) {
            int rises = rising[n] > uniform[start + n] * (rising[n] - falling[n]);
            into[start + n] = rises ? rising[n] + leaked_down[n] : falling[n] + leaked_up[n];
        }
    }
}
